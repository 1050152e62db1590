"""What the journal's files say, taken together: for each message the change that its files still need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.durable import Disk
from gateway.spool.notes import FoundNote, JournalFile, Kind, Note, read_pages, scan
from gateway.spool.pairs import Change, InJournal, Place

_PLACES: dict[Kind, Place] = {
    Kind.ACCEPTED: "queue",
    Kind.LARGE: "queue",
    Kind.RECORD: "queue",
    Kind.RETURNED: "queue",
    Kind.REMOVED: "removed",
    Kind.ENDED: "gone",
    Kind.ASIDE: "aside",
}


def change_of(note: Note | FoundNote, number: int) -> Change:
    """What a note asks of the files, without its content. WIRE and CLEAR ask nothing and have no change."""
    return Change(
        note.id,
        _PLACES[note.kind],
        number,
        note.record or None,
        large=note.kind is Kind.LARGE,
        moved=note.kind in (Kind.REMOVED, Kind.RETURNED),
    )


@dataclass(slots=True)
class JournalState:
    """`changes` by ID. `on_wire`: what may have been on the wire when the journal ends. `unreadable`: pages that are lost."""

    changes: dict[str, Change] = field(default_factory=dict)
    on_wire: dict[str, None] = field(default_factory=dict)
    unreadable: int = 0


def read_journal(disk: Disk, files: Iterable[JournalFile]) -> JournalState:
    """Go through the files, oldest first. Records are kept in memory, contents stay where they are. Raises OSError."""
    state = JournalState()
    for file in files:
        octets, missing = read_pages(disk, file)
        state.unreadable += missing
        for note in scan(octets, file.nonce):
            if note.kind is Kind.WIRE:
                state.on_wire[note.id] = None
                continue
            state.on_wire.pop(note.id, None)
            if note.kind is Kind.CLEAR:
                continue
            change = change_of(note, file.number)
            change.tried = True
            if note.kind is Kind.ACCEPTED:
                change.content = InJournal(file.path, note.stored)
            older = state.changes.get(note.id)
            state.changes[note.id] = change if older is None else change.over(older)
    return state
