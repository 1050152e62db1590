"""Sending, as far as the disk is concerned: claims, marks on the wire, outcomes, and changes to records under way."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence

from gateway.durable import Disk
from gateway.errors import ContentDamaged, GatewayError, NoSuchItem, NotNow, SpoolError
from gateway.events import Alarm, Journal, SetAside
from gateway.spool.claims import Claim, Claims, Release
from gateway.spool.content import Content
from gateway.spool.entry import Entry
from gateway.spool.layout import SMALL, Layout, checked_id
from gateway.spool.ledger import Ledger
from gateway.spool.notes import Kind, Note
from gateway.spool.pairs import set_aside
from gateway.spool.record import Record, decode_record, encode_record
from gateway.spool.records import Records
from gateway.spool.tasks import Tasks

MOST_UNSAVED = 64
"""Outcomes that wait for the disk; with so many, nothing more is given out to be sent (DESIGN section 7)."""

UPDATE_AT_ONCE = 256
_LONGEST_RETRY = 30.0


class Sending:
    """See the module. `changing` is held from reading a record to handing its change to the journal. `retry`: seconds."""

    def __init__(
        self,
        disk: Disk,
        layout: Layout,
        ledger: Ledger,
        records: Records,
        entries: dict[str, Entry],
        claims: Claims,
        leaving: set[str],
        changing: asyncio.Lock,
        tasks: Tasks,
        *,
        journal: Journal,
        notify: Callable[[str], None],
        retry: float,
    ) -> None:
        self._disk, self._layout, self._ledger, self._records = disk, layout, ledger, records
        self._entries, self._claims, self._leaving, self._changing = entries, claims, leaving, changing
        self._tasks, self._journal, self._notify, self._retry = tasks, journal, notify, retry
        self._unsaved: dict[str, Claim] = {}
        self._turned_away: set[str] = set()

    # -- claims --------------------------------------------------------------------------------------------------------

    async def claim(self, items: Sequence[str]) -> list[Claim | GatewayError]:
        """See `Spool.claim_some`."""
        taken: dict[str, Claim | GatewayError | None] = {}
        entries: dict[str, Entry] = {}
        for item in items:
            try:
                entries[item] = self._take(item)
                taken[item] = None
            except (NoSuchItem, NotNow) as exc:
                taken[item] = exc
        try:
            await self._claim_small([entry for entry in entries.values() if entry.size <= SMALL], taken)
            for item, entry in entries.items():
                if taken[item] is None:
                    try:
                        taken[item] = await self._claim_one(entry)
                    except GatewayError as exc:
                        taken[item] = exc
        except BaseException:
            for item, entry in entries.items():
                claim = taken[item]
                if isinstance(claim, Claim):
                    self.give_back(claim)
                elif claim is None and entry.claimed:
                    self._let_go(entry)
            raise
        return [claim for claim in taken.values() if claim is not None]

    def _take(self, item: str) -> Entry:
        """Nobody else gets it from here on. NoSuchItem, NotNow."""
        entry = self._entries.get(item)
        if entry is None:
            raise NoSuchItem(f"{checked_id(item)}: no such message")
        if entry.claimed or item in self._leaving:
            raise NotNow(f"{item} is being sent or removed")
        if len(self._unsaved) >= MOST_UNSAVED:
            self._turned_away.add(item)
            raise NotNow("the outcomes of earlier messages wait for the disk")
        entry.claimed = True
        return entry

    def _let_go(self, entry: Entry) -> None:
        entry.claimed = False
        self._claims.released(entry.id, "back")

    async def _claim_small(self, entries: Sequence[Entry], taken: dict[str, Claim | GatewayError | None]) -> None:
        """Those of which all lies in its files, in one visit to the disk; the others are left as they are."""
        if not entries:
            return
        async with self._changing:
            for item, found in (await self._records.small([entry.id for entry in entries])).items():
                stored, record, content = found
                taken[item] = self._claims.held[item] = Claim(record, content, stored)

    async def _claim_one(self, entry: Entry) -> Claim:
        """ContentDamaged, SpoolError: then it is not claimed."""
        item = entry.id
        content: Content | None = None
        try:
            # Hashing large content takes a while, in which records may change: outside of the lock, and then read again.
            content = await self._records.content(_decoded(item, await self._records.load(item)), verify=True)
            async with self._changing:
                stored = await self._records.load(item)
                claim = self._claims.held[item] = Claim(_decoded(item, stored), content, stored)
                return claim
        except (ContentDamaged, NoSuchItem) as exc:
            reason = str(exc) if isinstance(exc, ContentDamaged) else "its record is gone"
            await asyncio.shield(self._tasks.start(self._set_aside(entry, reason)))
            raise ContentDamaged(f"{item} was set aside: {reason}") from exc
        except BaseException:
            if content is not None:
                content.close()
            self._let_go(entry)
            raise

    async def _set_aside(self, entry: Entry, reason: str) -> None:
        """Its files go to set-aside/, durably, before the journal lets them go; then an operator must look."""
        item = entry.id
        paths = [f"{self._layout.queue}/{item}.{kind}" for kind in ("eml", "env")]
        try:
            await self._ledger.follow([item])
            names = await self._ledger.on_disk(
                lambda: set_aside(self._disk, self._layout, [path for path in paths if os.path.lexists(path)])
            )
            await self._records.write([Note(Kind.ASIDE, item)])
        except (OSError, SpoolError) as exc:
            # It keeps its claim, so that it is not tried again and again; the next start sees to it.
            self._journal.record(Alarm("spool", f"{item} cannot be set aside ({reason}): {exc}"))
            return
        for name in names or [item]:
            self._journal.record(SetAside(name, reason))
        self._journal.record(Alarm("spool", f"{item} was set aside: {reason}"))
        del self._entries[item]
        self._claims.released(item, "ended")
        self._notify(item)

    async def lay_aside(self, item: str, reason: str) -> None:
        """See `Spool.lay_aside`; to be run as a task of the spool's own."""
        entry = self._entries.get(item)
        if entry is None:
            raise NoSuchItem(f"{checked_id(item)}: no such message")
        if entry.claimed or item in self._leaving:
            raise NotNow(f"{item} is being sent or removed")
        entry.claimed = True
        await self._set_aside(entry, reason)

    def give_back(self, claim: Claim) -> None:
        """See `Spool.give_back`."""
        item = claim.record.id
        claim.content.close()
        if self._claims.held.get(item) is not claim:
            return
        self._claims.released(item, "back")
        entry = self._entries.get(item)
        if entry is not None:
            entry.claimed = False
        if item in self._ledger.on_wire or self._records.writes(item, Kind.WIRE):
            self._records.write([Note(Kind.CLEAR, item)])
        self._notify(item)

    async def mark_on_wire(self, ids: Sequence[str]) -> None:
        """See `Spool.mark_on_wire`."""
        try:
            await self._records.write([Note(Kind.WIRE, item) for item in ids])
        except SpoolError as exc:
            self._journal.record(Alarm("spool", f"what is on the wire cannot be written down: {exc}"))

    # -- outcomes ------------------------------------------------------------------------------------------------------

    async def settle(self, claims: Sequence[Claim]) -> None:
        """See `Spool.settle`; to be run as a task of the spool's own."""
        claims = [claim for claim in claims if self._claims.held.get(claim.record.id) is claim]
        for claim in claims:
            claim.content.close()
        try:
            await self._write_outcomes(claims)
        except SpoolError:
            if not self._unsaved and not self._tasks.closing.is_set():
                self._tasks.start(self._keep_saving())
            self._unsaved.update((claim.record.id, claim) for claim in claims)
            raise

    async def save(self) -> None:
        """Try once more to write the outcomes that the disk refused. Raises SpoolError."""
        if self._unsaved:
            await self._write_outcomes(list(self._unsaved.values()))

    async def _keep_saving(self) -> None:
        """Try again and again to write the outcomes that the disk refused."""
        delay = self._retry
        while self._unsaved and not self._tasks.closing.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._tasks.closing.wait(), delay)
            delay = min(delay * 2, _LONGEST_RETRY)
            with contextlib.suppress(SpoolError):
                await self.save()
        turned_away, self._turned_away = self._turned_away, set()
        for item in turned_away:
            self._notify(item)

    async def _write_outcomes(self, claims: Sequence[Claim]) -> None:
        notes = [_outcome(claim.record) for claim in claims]
        for claim in claims:
            claim.is_settling = True
        try:
            await self._records.write(notes)
        finally:
            for claim in claims:
                claim.is_settling = False
        for claim, note in zip(claims, notes, strict=True):
            self._unsaved.pop(claim.record.id, None)
            self._settled(claim, note)

    def _settled(self, claim: Claim, note: Note) -> None:
        record = claim.record
        entry = self._entries[record.id]
        how: Release = "back"
        if note.kind is Kind.ENDED:
            del self._entries[record.id]
            how = _way_of_ending(record)
        else:
            entry.follow(record)
            entry.claimed = False
        self._claims.released(record.id, how)
        self._notify(record.id)

    # -- changes -------------------------------------------------------------------------------------------------------

    async def update(self, ids: Sequence[str], change: Callable[[Record], None]) -> list[str]:
        """See `Spool.update`; to be run as a task of the spool's own, for at most `UPDATE_AT_ONCE` messages."""
        async with self._changing:
            stored: dict[str, bytes] = {}
            for item in ids:
                if item in self._entries and item not in self._claims.held:
                    with contextlib.suppress(NoSuchItem):
                        stored[item] = await self._records.load(item)
            # From here to the journal without a pause: nothing may be written of a message after its end.
            records, changed, again = self._change(ids, change, stored)
            notes = [note for _, note in records]
            ended = [self._entries[note.id] for note in notes if note.kind is Kind.ENDED]
            for entry in ended:
                entry.claimed = True  # nobody takes hold of it, or removes it, any more
            written = self._records.write(notes)
        try:
            await written
        except SpoolError:
            for entry in ended:
                entry.claimed = False
                self._claims.released(entry.id, "back")
            raise
        for record, note in records:
            changed_entry = self._entries.get(record.id)
            if changed_entry is not None and note.kind is Kind.ENDED:
                del self._entries[record.id]
                self._claims.released(record.id, _way_of_ending(record))
            elif changed_entry is not None:
                changed_entry.follow(record)
            if changed_entry is not None:
                self._notify(record.id)
            changed.append(record.id)
        for item in again:
            claim = self._claims.held.get(item)
            if claim is not None and claim.is_settling:
                await self._claims.wait(item)
            changed += await self.update([item], change)
        return changed

    def _change(
        self, ids: Sequence[str], change: Callable[[Record], None], loaded: dict[str, bytes]
    ) -> tuple[list[tuple[Record, Note]], list[str], list[str]]:
        """(records to be written; those that are written with their outcome; those to be asked once more)."""
        records: list[tuple[Record, Note]] = []
        later: list[str] = []
        again: list[str] = []
        for item in ids:
            claim = self._claims.held.get(item)
            if item not in self._entries or item in self._leaving:
                continue
            if claim is not None and claim.is_settling:
                again.append(item)  # when its outcome is on the disk, and if it has not ended
                continue
            if claim is not None and item in self._unsaved:
                change(claim.record)
                later.append(item)
                continue
            stored = claim.stored if claim is not None else loaded.get(item)
            if stored is None:
                again.append(item)  # its claim was let go while others were read
                continue
            try:
                record = decode_record(stored)
            except ValueError:
                continue  # a claim will find out and set it aside
            change(record)
            if claim is None:
                note = _outcome(record)
            else:
                change(claim.record)
                claim.stored = encode_record(record)
                note = Note(Kind.RECORD, record.id, claim.stored)
            records.append((record, note))
        return records, later, again


def _outcome(record: Record) -> Note:
    if record.has_ended:
        return Note(Kind.ENDED, record.id)
    return Note(Kind.RECORD, record.id, encode_record(record))


def _way_of_ending(record: Record) -> Release:
    return "delivered" if any(r.standing == "delivered" for r in record.recipients) else "ended"


def _decoded(item: str, stored: bytes) -> Record:
    try:
        return decode_record(stored)
    except ValueError as exc:
        raise ContentDamaged(f"{item}: {exc}") from exc
