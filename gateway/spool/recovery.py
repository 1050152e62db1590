"""After anything: what the folders hold and what the journal says become the index, without a person (P11).

The journal's word stands over the files: it is replayed into changes, which the ledger then carries out. Files of which the
journal says nothing were whole and flushed when it was last emptied, so what is not whole among them is nobody's crash: it
is set aside. Only ID.env files are read; contents are judged by their length and, when they are sent, by their SHA-256.
Everything legal, and what a cut at each step leaves: `gateway/README.md`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

from gateway.durable import Disk, read_file, remove_file
from gateway.spool.ended import Ended
from gateway.spool.entry import Entry
from gateway.spool.ids import Ids
from gateway.spool.journal_state import JournalState, read_journal
from gateway.spool.layout import Layout, split_name
from gateway.spool.notes import Kind, Note, find_files
from gateway.spool.pairs import Change, set_aside, size_of
from gateway.spool.record import MAX_RECORD_OCTETS, DoubtRecord, Record, decode_record, encode_record

ENV, EML = 1, 2

DOUBT = "the gateway stopped while this was being sent"


@dataclass(slots=True)
class Recovered:
    """`entries`: the index. `removed`: removal (batch) by ID of what lies in removed/. `changes`: for the ledger.

    `notes`: to be written to the journal before anything else. `in_doubt`: what may have been on the wire. `aside`: (name,
    reason) of what was set aside. `remarks`: other sentences for the log.
    """

    ids: Ids
    ended: Ended
    journal_is_empty: bool
    entries: dict[str, Entry] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    changes: dict[str, Change] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    in_doubt: list[str] = field(default_factory=list)
    aside: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def recover(disk: Disk, layout: Layout, now: float) -> Recovered:
    """Read the whole spool. Nothing is written but sweeping of strays and setting aside. Raises OSError."""
    ids = Ids.load(disk, layout.ids)
    ended = Ended.load(disk, layout.ended, ids)
    files, _ = find_files(disk, layout.journal)
    state = read_journal(disk, files)
    found = Recovered(ids, ended, not state.changes and not state.on_wire, changes=state.changes)
    if not ended.is_whole:
        found.remarks.append("the list of ended messages was damaged; what a pair put back by hand says counts")
    if state.unreadable:
        found.remarks.append(
            f"the disk does not give back {state.unreadable} pages of the journal; the rest of it counts"
        )
    recovery = _Recovery(disk, layout, now, state, found)
    recovery.go()
    # Folders come in no order; the index in that of age, in which new mail joins it and in which people look at it.
    found.entries = dict(sorted(found.entries.items(), key=lambda item: item[1].created))
    return found


def _paths(folder: str, item: str, kinds: int) -> list[str]:
    return [f"{folder}/{item}.{kind}" for kind, flag in (("eml", EML), ("env", ENV)) if kinds & flag]


class _Recovery:
    def __init__(self, disk: Disk, layout: Layout, now: float, state: JournalState, found: Recovered) -> None:
        self.disk, self.layout, self.now, self.state, self.found = disk, layout, now, state, found

    def go(self) -> None:
        layout, changes = self.layout, self.state.changes
        removed = self._names(layout.removed)
        queue = self._names(layout.queue)
        for item, kinds in removed.items():
            if item not in changes:
                self._removed_pair(item, kinds)
        for item, kinds in queue.items():
            change = changes.get(item)
            if change is None:
                self._queue_pair(item, kinds)
            elif change.place == "aside":
                self._once_aside(item, kinds)
        for item in list(changes):
            self._from_journal(changes[item])
        self._sweep_incoming()

    # -- folders -------------------------------------------------------------------------------------------------------

    def _names(self, folder: str) -> dict[str, int]:
        """Which files there are (ENV, EML, both) by ID; `.new` files are swept, what bears no name of ours is set aside."""
        kinds: dict[str, int] = {}
        odd: list[str] = []
        with os.scandir(folder) as scan:
            for file in scan:
                split = split_name(file.name)
                if split is None or not file.is_file(follow_symlinks=False):
                    odd.append(file.path)
                elif split[2]:
                    remove_file(self.disk, file.path)
                else:
                    kinds[split[0]] = kinds.get(split[0], 0) | (ENV if split[1] == "env" else EML)
        for path in odd:
            self._aside([path], "no file of ours")
        return kinds

    def _sweep_incoming(self) -> None:
        """Drafts that never became messages: nobody was told that we have them."""
        keep = {f"{change.id}.eml" for change in self.state.changes.values() if change.large and change.place != "gone"}
        odd: list[str] = []
        with os.scandir(self.layout.incoming) as scan:
            for file in scan:
                if file.name in keep:
                    continue
                if split_name(file.name) is not None and file.is_file(follow_symlinks=False):
                    remove_file(self.disk, file.path)
                else:
                    odd.append(file.path)
        for path in odd:
            self._aside([path], "no file of ours")

    def _aside(self, paths: list[str], reason: str) -> None:
        try:
            names = set_aside(self.disk, self.layout, paths)
        except OSError as exc:
            names = [os.path.basename(path) for path in paths]
            reason = f"{reason}; it stays where it is: {exc.strerror}"
        self.found.aside += [(name, reason) for name in names]

    # -- pairs of which the journal says nothing -------------------------------------------------------------------------

    def _queue_pair(self, item: str, kinds: int) -> None:
        paths = _paths(self.layout.queue, item, kinds)
        try:
            record = self._judge(item, kinds, self.layout.queue)
            if self.found.ended.has(item):
                raise ValueError("a message of this ID has ended already")
            if item in self.found.removed:
                raise ValueError("a removed message has this ID")
        except ValueError as exc:
            self._aside(paths, str(exc))
            return
        if record.removal is not None:  # put back by hand from removed/ or a copy of it
            record.removal = None
            self._rewrite(record)
        self._take(record)

    def _once_aside(self, item: str, kinds: int) -> None:
        """It was set aside, and its old names were about to go. What is not the same file was put back by somebody."""
        for path in _paths(self.layout.queue, item, kinds):
            try:
                target = f"{self.layout.set_aside}/{os.path.basename(path)}"
                if os.path.samestat(os.lstat(path), os.lstat(target)) and remove_file(self.disk, path) is None:
                    kinds &= ~(ENV if path.endswith(".env") else EML)
            except FileNotFoundError:
                continue
        del self.state.changes[item]
        if kinds:
            self._queue_pair(item, kinds)

    def _removed_pair(self, item: str, kinds: int) -> None:
        paths = _paths(self.layout.removed, item, kinds)
        try:
            record = self._judge(item, kinds, self.layout.removed)
            if self.found.ended.has(item):
                raise ValueError("a message of this ID has ended already")
            if record.removal is None:
                raise ValueError("its record does not say who removed it")
        except ValueError as exc:
            self._aside(paths, str(exc))
            return
        self.found.removed[item] = record.removal.batch

    def _judge(self, item: str, kinds: int, folder: str) -> Record:
        """The record of a whole pair; ValueError with the reason for anything less."""
        if not kinds & EML:
            raise ValueError("an envelope without its content")
        if not kinds & ENV:
            raise ValueError("content without its envelope")
        try:
            octets = read_file(self.disk, f"{folder}/{item}.env", MAX_RECORD_OCTETS)
        except OSError as exc:
            raise ValueError(f"its envelope cannot be read: {exc.strerror}") from exc
        return self._check(item, octets, size_of(f"{folder}/{item}.eml"))

    def _check(self, item: str, octets: bytes, size: int | None) -> Record:
        record = decode_record(octets)
        if record.id != item:
            raise ValueError(f"its envelope belongs to {record.id[:16]!r}")
        if record.size != size:
            raise ValueError(f"its content has {size} octets, its envelope says {record.size}")
        if not record.recipients:
            raise ValueError("its envelope has no recipient")
        return record

    def _take(self, record: Record) -> None:
        if record.id in self.state.on_wire:
            self._doubt(record)
        self.found.entries[record.id] = Entry(record)

    def _doubt(self, record: Record) -> None:
        """It may have been on the wire: shown in doubt, due at once, since no answer can come any more (DESIGN section 7)."""
        count = record.doubt.count + 1 if record.doubt is not None else 1
        record.doubt = DoubtRecord(at=self.now, count=count, reason=DOUBT)
        record.due = None
        record.status = f"in doubt: {DOUBT}"
        self.found.in_doubt.append(record.id)
        self._rewrite(record)

    def _rewrite(self, record: Record) -> None:
        self.found.notes.append(Note(Kind.RECORD, record.id, encode_record(record)))

    # -- what the journal says -------------------------------------------------------------------------------------------

    def _from_journal(self, change: Change) -> None:
        if change.place in ("gone", "aside"):
            return
        if self.found.ended.has(change.id):
            # Its end was in a part of the journal that rot has taken, or that a cut did: the list of the ended outlives both.
            self.state.changes[change.id] = replace(change, place="gone", record=None, content=None, moved=True)
            return
        here, there = self.layout.queue, self.layout.removed
        if change.place == "removed":
            here, there = there, here
        change.moved = True
        try:
            octets = change.record
            if octets is None:
                raise ValueError("the journal has no record of it")
            if change.content is not None:
                size = None if isinstance(change.content, bytes) else change.content.stored.content_octets
            else:
                places = (here, there, self.layout.incoming) if change.large else (here, there)
                sizes = [size_of(f"{folder}/{change.id}.eml") for folder in places]
                size = next((size for size in sizes if size is not None), None)
            record = self._check(change.id, octets, size)
        except ValueError as exc:
            self._give_up(change, str(exc))
            return
        if change.place == "queue":
            self._take(record)
        elif record.removal is not None:
            self.found.removed[change.id] = record.removal.batch

    def _give_up(self, change: Change, reason: str) -> None:
        """Rot, or somebody's hand in the spool: what is left of it goes to set-aside/, the journal's record too."""
        paths = [
            path
            for folder in (self.layout.queue, self.layout.removed, self.layout.incoming)
            for kind in ("env", "eml")
            if os.path.lexists(path := f"{folder}/{change.id}.{kind}")
        ]
        self._aside(paths, reason)
        if not paths:
            self.found.aside.append((change.id, reason))
        self.found.notes.append(Note(Kind.ASIDE, change.id))
        del self.state.changes[change.id]
