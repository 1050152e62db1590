"""Removal: a pair moves to removed/ and can be brought back, until it ends.

The note in the journal is the removal; the files move right after it. `removal.batch` in the record says which call it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from gateway.clock import Clock
from gateway.errors import ContentDamaged, NoSuchItem, NotNow, SpoolError
from gateway.spool.claims import Claims
from gateway.spool.entry import Entry
from gateway.spool.ledger import Ledger
from gateway.spool.notes import Kind, Note
from gateway.spool.record import Record, RemovalRecord, decode_record, encode_record
from gateway.spool.records import Records

_AT_ONCE = 256


class Removing:
    """`items`: the removal (batch) of each message in removed/. `leaving`: those about to go there; not to be claimed."""

    def __init__(
        self,
        entries: dict[str, Entry],
        records: Records,
        claims: Claims,
        ledger: Ledger,
        items: dict[str, int],
        changing: asyncio.Lock,
        clock: Clock,
        leaving: set[str],
        notify: Callable[[str], None],
    ) -> None:
        self._entries, self._records, self._claims, self._ledger = entries, records, claims, ledger
        self.items, self._changing, self._clock, self._notify = items, changing, clock, notify
        self.leaving = leaving

    async def remove(self, ids: Sequence[str], *, by: str, tell_sender: bool) -> dict[str, str]:
        """See `Spool.remove`."""
        outcome: dict[str, str] = dict.fromkeys(ids, "unknown")
        mine = [item for item in outcome if item in self._entries and item not in self.leaving]
        self.leaving.update(mine)
        try:
            for item in mine:
                entry = self._entries.get(item)
                while entry is not None and entry.claimed:
                    how = await self._claims.wait(item)
                    if how != "back":
                        outcome[item] = how
                    entry = self._entries.get(item)
            here = [item for item in mine if item in self._entries]
            removal = RemovalRecord(
                at=self._clock.now(), by=by, tell_sender=tell_sender, batch=max(self.items.values(), default=0) + 1
            )
            for at in range(0, len(here), _AT_ONCE):
                for item in await self._move(here[at : at + _AT_ONCE], removal):
                    outcome[item] = "removed"
        finally:
            self.leaving.difference_update(mine)
            for item in mine:
                if item in self._entries:  # it stays after all, and whoever was turned away meanwhile may have it
                    self._notify(item)
        outcome.update((item, "removed") for item in outcome if item in self.items)  # also by another call
        return outcome

    async def _move(self, ids: Sequence[str], removal: RemovalRecord) -> list[str]:
        """note flushed       the removal counts; a cut before leaves it waiting, one after leaves the rest to start
        pair in removed/, folder flushed, names in queue/ gone: `pairs.apply`"""
        notes: list[Note] = []
        async with self._changing:
            for item in ids:
                try:
                    record = await self._records.load_record(item)
                except (NoSuchItem, ContentDamaged):
                    continue  # the next claim sets it aside
                record.removal = removal
                notes.append(Note(Kind.REMOVED, item, encode_record(record)))
            written = self._records.write(notes)
        await written
        moved = [note.id for note in notes]
        for item in moved:
            del self._entries[item]
            self.items[item] = removal.batch
        await self._ledger.follow(moved)
        for item in moved:
            self._notify(item)
        return moved

    async def undo(self) -> list[str]:
        """See `Spool.undo`."""
        batch = max(self.items.values(), default=None)
        if batch is None:
            raise NotNow("there is no removal to undo")
        ids = [item for item, of in self.items.items() if of == batch]
        back: list[str] = []
        for at in range(0, len(ids), _AT_ONCE):
            back += await self._return(ids[at : at + _AT_ONCE])
        return back

    async def _return(self, ids: Sequence[str]) -> list[str]:
        notes: list[Note] = []
        records: list[Record] = []
        async with self._changing:
            for item in ids:
                if item not in self.items:
                    continue
                try:
                    record = await self._records.load_record(item, removed=True)
                except (NoSuchItem, ContentDamaged):
                    continue
                record.removal = None
                records.append(record)
                notes.append(Note(Kind.RETURNED, item, encode_record(record)))
            written = self._records.write(notes)
        await written
        for record in records:
            del self.items[record.id]
            self._entries[record.id] = Entry(record)
        await self._ledger.follow([record.id for record in records])
        for record in records:
            self._notify(record.id)
        return [record.id for record in records]

    async def records(self) -> list[Record]:
        """See `Spool.removed`."""
        found: list[Record] = []
        for item in tuple(self.items):
            try:
                found.append(decode_record(await self._records.load(item, removed=True)))
            except (NoSuchItem, SpoolError, ValueError):
                continue
        return found

    async def finish(self, ids: Iterable[str]) -> None:
        """See `Spool.finish_removals`."""
        ended = [item for item in ids if item in self.items]
        if ended:
            await self._records.write([Note(Kind.ENDED, item) for item in ended])
            for item in ended:
                self.items.pop(item, None)
