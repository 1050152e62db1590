"""The spool: mail from the moment it is ours to the moment it has ended. The only package that writes below SPOOL.

`Spool` is what the other parts see. What is durable when: `gateway.spool.ledger`; what a start makes of what it finds:
`gateway.spool.recovery`; removal and undo: `gateway.spool.removing`. When a message is tried and what becomes of it is
`gateway.dispatch`'s business. All methods belong to the event loop; the disk is touched on threads only, but for a stat of
the file system and at start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from gateway.clock import Clock
from gateway.durable import Disk, read_file, replace_file
from gateway.errors import ContentDamaged, GatewayError, NoSuchItem, NotNow, SpoolError, SpoolFull
from gateway.events import Alarm, InDoubt, Journal, Remark, SetAside
from gateway.mail.envelope import Class, Envelope, Peer
from gateway.spool import draft as drafts
from gateway.spool.claims import Claim, Claims, Release
from gateway.spool.content import Content
from gateway.spool.draft import Draft
from gateway.spool.ended import EndedLog
from gateway.spool.entry import Entry
from gateway.spool.ids import BLOCK
from gateway.spool.layout import Layout, checked_id, split_name
from gateway.spool.ledger import Ledger, Pace, spool_error
from gateway.spool.lock import SpoolLock
from gateway.spool.pairs import set_aside
from gateway.spool.record import RecipientRecord, Record, decode_record, encode_record
from gateway.spool.records import Records
from gateway.spool.recovery import DOUBT, Recovered, make_folders, recover
from gateway.spool.removing import Removing
from gateway.spool.room import Room
from gateway.spool.writeahead import FILE_OCTETS, Kind, Note, WriteAhead

__all__ = ["Claim", "Content", "Draft", "Entry", "Spool"]

T = TypeVar("T")

MOST_UNSAVED = 64
"""Outcomes that wait for the disk; with so many, nothing more is given out to be sent (DESIGN section 7)."""

_UPDATE_AT_ONCE = 256
_STATE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_STATE_LIMIT = 64 * 1024 * 1024


class Spool:
    """See the module. Made by `open`, ended by `close`."""

    def __init__(
        self,
        disk: Disk,
        layout: Layout,
        lock: SpoolLock,
        ledger: Ledger,
        found: Recovered,
        *,
        clock: Clock,
        journal: Journal,
        room: Room,
        pace: Pace,
    ) -> None:
        self._disk, self._layout, self._spool_lock, self._ledger = disk, layout, lock, ledger
        self._clock, self._journal, self._room, self._pace = clock, journal, room, pace
        self._entries = found.entries
        self._ids = found.ids
        self._records = Records(disk, layout, ledger)
        self._claims = Claims()
        self._changing = asyncio.Lock()  # read, change, enqueue: one at a time, so that no change is lost
        self._unsaved: dict[str, Claim] = {}
        self._listeners: list[Callable[[str], None]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._desk = drafts.Desk(disk, layout.incoming, room, ledger.on_disk)
        self._states: dict[str, asyncio.Lock] = {}
        self._reserving: asyncio.Task[None] | None = None
        self._removing = Removing(
            self._entries, self._records, self._claims, ledger, found.removed, self._changing, clock, self._notify
        )
        self._closing = asyncio.Event()
        self.in_doubt_at_start = tuple(found.in_doubt)

    # -- life ----------------------------------------------------------------------------------------------------------

    @classmethod
    async def open(
        cls,
        root: Path,
        *,
        clock: Clock,
        journal: Journal,
        reserve: float | int,
        durable: Disk | None = None,
        pace: Pace | None = None,
        journal_octets: int = FILE_OCTETS,
    ) -> Spool:
        """Lock the spool, make what is missing of it (0700), and take up what it holds, whatever happened before.

        `reserve`: octets, or as a float a share of the disk. Raises SpoolLocked, or SpoolError where it cannot be read or
        made. A full disk is no obstacle.
        """
        disk, layout = durable if durable is not None else Disk(), Layout(root)
        pace = pace if pace is not None else Pace()

        def begin() -> tuple[SpoolLock, Recovered, WriteAhead]:
            make_folders(disk, layout)
            lock = SpoolLock(layout.lock)
            try:
                found = recover(disk, layout, clock.now())
                with contextlib.suppress(OSError):
                    limit = found.ids.next + BLOCK
                    found.ids.reserve(disk, layout.ids, limit)
                    found.ids.extend(limit)
                log = WriteAhead(disk, layout.journal, journal_octets)
                if found.journal_is_empty:
                    log.release(log.number + 1)
                with contextlib.suppress(OSError):
                    log.prepare()
                return lock, found, log
            except BaseException:
                lock.release()
                raise

        with ThreadPoolExecutor(1, "start") as thread:
            try:
                lock, found, log = await asyncio.get_running_loop().run_in_executor(thread, begin)
            except OSError as exc:
                raise SpoolError(f"the spool {layout.root} cannot be used: {exc.strerror or exc}") from exc
        ledger = Ledger(
            disk,
            layout,
            log,
            EndedLog(disk, layout.ended, found.ids, found.ended),
            journal=journal,
            pace=pace,
            changes=found.changes.values(),
        )
        spool = cls(
            disk,
            layout,
            lock,
            ledger,
            found,
            clock=clock,
            journal=journal,
            room=Room(disk, layout.root, reserve, clock),
            pace=pace,
        )
        try:
            await spool._begin(found)
        except BaseException:
            await spool.close()
            raise
        return spool

    async def _begin(self, found: Recovered) -> None:
        for name, reason in found.aside:
            self._journal.record(SetAside(name, reason))
        for remark in found.remarks:
            self._journal.record(Remark("spool", remark))
        self._ledger.live = self._live
        self._ledger.on_wire.update(found.in_doubt)
        if found.notes:
            try:
                await self._records.write(found.notes)
            except SpoolError as exc:
                self._journal.record(Alarm("spool", f"what was in doubt is not on disk yet: {exc}"))
        await self._ledger.start()
        for item in found.in_doubt:
            try:
                to = tuple(recipient.address for recipient in (await self._records.load_record(item)).pending)
            except GatewayError:
                to = ()  # a claim will find out what is the matter with it
            self._journal.record(InDoubt(item, to, None, DOUBT))

    async def close(self) -> None:
        """Write what is still to be written, empty the journal, unlock. Open drafts are lost, as their clients know."""
        if self._closing.is_set():
            return
        self._closing.set()
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))
        if self._unsaved:
            with contextlib.suppress(SpoolError):
                await self._write_outcomes(list(self._unsaved.values()))
        await self._ledger.close()
        self._spool_lock.release()

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task of the spool's own, which `close` waits for and no caller's cancellation reaches."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def entries(self) -> Mapping[str, Entry]:
        """What waits or is being sent, by ID."""
        return self._entries

    def room(self) -> tuple[int, int]:
        """(free octets, octets of the reserve)."""
        return self._room.now()

    def set_aside_count(self) -> int:
        """How many files lie in `set-aside/` for a person to look at."""
        try:
            return len(os.listdir(self._layout.set_aside))
        except OSError:
            return 0

    def subscribe(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Called in the loop with the ID when a message appears, changes or goes; call what is returned to stop."""
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    def _notify(self, item: str) -> None:
        for listener in tuple(self._listeners):
            listener(item)

    def _live(self) -> tuple[list[str], int]:
        """Every ID that has not ended, and the counter below which all others have."""
        aside = {
            split[0] for name in os.listdir(self._layout.set_aside) if (split := split_name(name[:20])) is not None
        }
        live = [*self._entries, *self._removing.items, *self._desk.open, *aside]
        return live, self._ids.next

    # -- accepting -----------------------------------------------------------------------------------------------------

    def draft(self, heads: Sequence[Callable[[str], bytes]]) -> Draft:
        """Begin a message. `heads`: alternatives for what stands on top (Received), made from the new ID, of equal length.

        Raises SpoolFull below the reserve and while the disk does not take what is accepted already; SpoolError where no ID
        can be given.
        """
        if self._ledger.is_full:
            raise SpoolFull("the disk does not take the mail that is accepted already")
        self._room.spend(0)
        if self._ids.runs_low and (self._reserving is None or self._reserving.done()):
            self._reserving = self._spawn(self._reserve_ids())
        item = self._ids.take()
        octets = [head(item) for head in heads] or [b""]
        if any(len(head) != len(octets[0]) for head in octets):
            raise ValueError("the heads differ in length")
        return Draft(self._desk, item, octets)

    async def _reserve_ids(self) -> None:
        limit = self._ids.limit + BLOCK
        try:
            await self._ledger.on_disk(partial(self._ids.reserve, self._disk, self._layout.ids, limit))
        except OSError as exc:
            self._journal.record(Alarm("spool", f"the counter of queue IDs cannot be written: {exc.strerror}"))
            return
        self._ids.extend(limit)

    async def commit(
        self,
        draft: Draft,
        envelope: Envelope,
        *,
        message_class: Class,
        peer: Peer,
        service: str = "smtp",
        head: int = 0,
        report_for: str | None = None,
    ) -> Entry:
        """Make the message ours; when this returns, the client may have its 250 (P1).

        small   one note with record and content in the journal, flushed    before: nothing of it; after: it survives a cut
        large   content flushed in incoming/, the folder flushed, one note  before: a stray that start sweeps; after: as above

        The pair in queue/ follows within a second. Cancelling the caller does not cancel the commit. On SpoolFull or SpoolError
        nothing is stored, and the draft is over.
        """
        if draft.is_small:
            # Straight to the journal, without a task of its own: this is the daemon's busiest path.
            try:
                await self._ledger.room()
                self._room.spend(draft.size)
                content, sha256 = draft.take(head)
            except BaseException:
                await draft.abort()
                raise
            record = self._record(draft, envelope, sha256, message_class, peer, service, report_for)
            entry = Entry(record)
            written = self._records.write([Note(Kind.ACCEPTED, record.id, encode_record(record), content)])
            written.add_done_callback(partial(self._committed, entry))
            await asyncio.shield(written)
            return entry

        async def large() -> Entry:
            try:
                sha256 = await draft.finish(head)
                record = self._record(draft, envelope, sha256, message_class, peer, service, report_for)
                entry = Entry(record)
                written = self._records.write([Note(Kind.LARGE, record.id, encode_record(record))])
                written.add_done_callback(partial(self._committed, entry))
                await written
            except SpoolError:
                self._desk.open.discard(draft.id)
                await draft.discard()
                raise
            return entry

        return await asyncio.shield(self._spawn(large()))

    def _committed(self, entry: Entry, written: asyncio.Future[int]) -> None:
        """Runs before the one who waits for the commit goes on."""
        self._desk.open.discard(entry.id)
        if not written.cancelled() and written.exception() is None:
            self._entries[entry.id] = entry
            self._notify(entry.id)

    def _record(
        self,
        draft: Draft,
        envelope: Envelope,
        sha256: str,
        message_class: Class,
        peer: Peer,
        service: str,
        report_for: str | None,
    ) -> Record:
        return Record(
            id=draft.id,
            created=round(self._clock.now(), 6),
            reverse_path=envelope.reverse_path,
            recipients=[
                RecipientRecord(address=r.address, notify=r.notify, orcpt=r.orcpt) for r in envelope.recipients
            ],
            size=draft.size,
            sha256=sha256,
            message_class=message_class,
            service=service,
            body=envelope.body,
            smtputf8=envelope.smtputf8,
            ret=envelope.ret,
            envid=envelope.envid,
            client=peer.address,
            helo=peer.helo,
            user=peer.user,
            report_for=report_for,
            deliver_by=envelope.deliver_by,
            by_mode=envelope.by_mode,
            by_trace=envelope.by_trace,
        )

    # -- sending -------------------------------------------------------------------------------------------------------

    async def claim(self, id: str) -> Claim:
        """Take hold of a message for an attempt: its record is ours to change, its content is what was accepted (P5).

        NoSuchItem; NotNow if it is claimed, is being removed, or the disk owes too many outcomes; SpoolError if it cannot be
        read; ContentDamaged if it is not what was accepted: then it has been set aside, with an alarm.
        """
        entry = self._entries.get(id)
        if entry is None:
            raise NoSuchItem(f"{checked_id(id)}: no such message")
        if entry.claimed or id in self._removing.leaving:
            raise NotNow(f"{id} is being sent or removed")
        if len(self._unsaved) >= MOST_UNSAVED:
            raise NotNow("the outcomes of earlier messages wait for the disk")
        entry.claimed = True
        try:
            async with self._changing:
                stored = await self._records.load(id)
                record = _decoded(id, stored)
                claim = Claim(record, await self._records.content(record, verify=True), stored)
                self._claims.held[id] = claim
                return claim
        except ContentDamaged as exc:
            await asyncio.shield(self._spawn(self._set_aside(entry, str(exc))))
            raise
        except BaseException:
            entry.claimed = False
            self._claims.released(id, "back")
            raise

    async def _set_aside(self, entry: Entry, reason: str) -> None:
        """Damaged: its files go to set-aside/, durably, before the journal lets them go; then an operator must look."""
        item = entry.id
        try:
            await self._ledger.follow([item])
            paths = [f"{self._layout.queue}/{item}.{kind}" for kind in ("eml", "env")]
            names = await self._ledger.on_disk(
                lambda: set_aside(self._disk, self._layout, [path for path in paths if os.path.lexists(path)])
            )
            await self._records.write([Note(Kind.ASIDE, item)])
        except (OSError, SpoolError) as exc:
            # It keeps its claim, so that it is not tried again and again; the next start sees to it.
            self._journal.record(Alarm("spool", f"{item} is damaged ({reason}) and cannot be set aside: {exc}"))
            return
        for name in names or [item]:
            self._journal.record(SetAside(name, reason))
        self._journal.record(Alarm("spool", f"{item} was set aside: {reason}"))
        del self._entries[item]
        self._claims.released(item, "ended")
        self._notify(item)

    def give_back(self, claim: Claim) -> None:
        """Nothing happened to it; the record on disk stands, and changes to the living copy are forgotten."""
        item = claim.record.id
        claim.content.close()
        self._claims.released(item, "back")
        entry = self._entries.get(item)
        if entry is not None:
            entry.claimed = False
        if item in self._ledger.on_wire:
            self._records.write([Note(Kind.CLEAR, item)])
        self._notify(item)

    async def mark_on_wire(self, ids: Sequence[str]) -> None:
        """Say that these may be on the wire from now on; one flush a call. A start after a cut shows them in doubt.

        Where the journal cannot be written the sending goes on without (P10): a cut then costs what it always may, one more
        copy, and is not shown as a doubt. The outcomes that the disk owes bound how long.
        """
        try:
            await asyncio.shield(self._records.write([Note(Kind.WIRE, item) for item in ids]))
        except SpoolError as exc:
            self._journal.record(Alarm("spool", f"what is on the wire cannot be written down: {exc}"))

    async def settle(self, claims: Sequence[Claim]) -> None:
        """Write what became of them and give the claims back: one group of flushes, shared by concurrent calls.

        With a pending recipient the record is rewritten; without one the message has ended, for good (P4): its files go after
        its end is durable. On SpoolError the outcomes are kept and written when the disk allows; until then these messages
        stay claimed (P3).
        """
        await asyncio.shield(self._spawn(self._settle(claims)))

    async def _settle(self, claims: Sequence[Claim]) -> None:
        claims = [claim for claim in claims if self._claims.held.get(claim.record.id) is claim]
        for claim in claims:
            claim.content.close()
        try:
            await self._write_outcomes(claims)
        except SpoolError:
            if not self._unsaved and not self._closing.is_set():
                self._spawn(self._keep_saving())
            self._unsaved.update((claim.record.id, claim) for claim in claims)
            raise

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

    async def _keep_saving(self) -> None:
        """Try again and again to write the outcomes that the disk refused."""
        delay = self._pace.retry
        while self._unsaved and not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), delay)
            delay = min(delay * 2, 30.0)
            with contextlib.suppress(SpoolError):
                await self._write_outcomes(list(self._unsaved.values()))

    def _settled(self, claim: Claim, note: Note) -> None:
        record = claim.record
        entry = self._entries[record.id]
        how: Release = "back"
        if note.kind is Kind.ENDED:
            del self._entries[record.id]
            how = "delivered" if any(r.standing == "delivered" for r in record.recipients) else "ended"
        else:
            entry.follow(record)
            entry.claimed = False
        self._claims.released(record.id, how)
        self._notify(record.id)

    # -- changing and reading ------------------------------------------------------------------------------------------

    async def update(self, ids: Sequence[str], change: Callable[[Record], None]) -> list[str]:
        """Change records durably, also of messages that are being sent; the IDs of those that were there.

        `change` must give the same whenever it is called: of a claimed message it changes the living copy and the stored one.
        """
        changed: list[str] = []
        for at in range(0, len(ids), _UPDATE_AT_ONCE):
            changed += await asyncio.shield(self._spawn(self._update(ids[at : at + _UPDATE_AT_ONCE], change)))
        return changed

    async def _update(self, ids: Sequence[str], change: Callable[[Record], None]) -> list[str]:
        records: list[Record] = []
        notes: list[Note] = []
        changed: list[str] = []
        settling: list[str] = []
        async with self._changing:
            for item in ids:
                claim = self._claims.held.get(item)
                if item not in self._entries or item in self._removing.leaving:
                    continue
                if claim is not None and claim.is_settling:
                    settling.append(item)  # its end may be on its way to the disk, and nothing may be written after it
                    continue
                if claim is not None and item in self._unsaved:
                    change(claim.record)  # written with its outcome, when the disk allows
                    changed.append(item)
                    continue
                try:
                    stored = claim.stored if claim is not None else await self._records.load(item)
                    record = decode_record(stored)
                except (NoSuchItem, ValueError):
                    continue  # a claim will find out what is the matter and set it aside
                change(record)
                octets = encode_record(record)
                if claim is not None:
                    change(claim.record)
                    claim.stored = octets
                records.append(record)
                notes.append(Note(Kind.RECORD, item, octets))
            written = self._records.write(notes)
        await written
        for record in records:
            entry = self._entries.get(record.id)
            if entry is not None:
                entry.follow(record)
                self._notify(record.id)
        changed += [record.id for record in records]
        for item in settling:
            claim = self._claims.held.get(item)
            if claim is not None and claim.is_settling:
                await self._claims.wait(item)
            changed += await self._update([item], change)
        return changed

    async def record(self, id: str) -> Record:
        """A copy of the record, also of a removed message. NoSuchItem; ContentDamaged if it cannot be understood."""
        claim = self._claims.held.get(id)
        if claim is not None:
            return decode_record(encode_record(claim.record))
        return await self._records.load_record(checked_id(id), removed=self._is_removed(id))

    async def content(self, id: str) -> Content:
        """The content for looking at, also of a removed message; it is not compared with its hash. The caller closes it."""
        record = await self.record(id)
        return await self._records.content(record, verify=False)

    def _is_removed(self, item: str) -> bool:
        if item in self._entries:
            return False
        if item in self._removing.items:
            return True
        raise NoSuchItem(f"{checked_id(item)}: no such message")

    # -- removing ------------------------------------------------------------------------------------------------------

    async def remove(self, ids: Sequence[str], *, by: str, tell_sender: bool = False) -> dict[str, str]:
        """Move messages to removed/, durably: what became of each, "removed", "delivered", "ended" or "unknown".

        One that is being sent finishes its attempt first. All of one call are one removal for `undo`.
        """
        outcome = await asyncio.shield(self._spawn(self._removing.remove(ids, by=by, tell_sender=tell_sender)))
        for item, what in outcome.items():
            counter = self._ids.counter(item)
            if what == "unknown" and counter is not None and counter < self._ids.next:
                outcome[item] = "ended"
        return outcome

    async def undo(self) -> list[str]:
        """Bring the last removal back that is not final; the IDs. NotNow if there is none."""
        return await asyncio.shield(self._spawn(self._removing.undo()))

    async def removed(self) -> list[Record]:
        """The records of what lies in removed/."""
        return await self._removing.records()

    async def finish_removals(self, ids: Iterable[str]) -> None:
        """End these for good: durable when it returns, then their files go."""
        await asyncio.shield(self._spawn(self._removing.finish(ids)))

    # -- state of other parts ------------------------------------------------------------------------------------------

    async def save_state(self, name: str, octets: bytes) -> None:
        """Put SPOOL/state/NAME in one step, durable when it returns. A cut leaves the old or the new one."""
        path = self._state_path(name)
        async with self._states.setdefault(name, asyncio.Lock()):
            try:
                await self._ledger.on_disk(partial(replace_file, self._disk, path, octets, durable=True))
            except OSError as exc:
                raise spool_error(exc, f"the state {name} cannot be written") from exc

    def load_state(self, name: str) -> bytes | None:
        """What was saved last; None where nothing was, or where it cannot be read (with an alarm)."""
        try:
            return read_file(self._disk, self._state_path(name), _STATE_LIMIT)
        except FileNotFoundError:
            return None
        except OSError as exc:
            self._journal.record(Alarm("spool", f"the state {name} cannot be read: {exc.strerror}"))
            return None

    def _state_path(self, name: str) -> str:
        if _STATE_NAME.fullmatch(name) is None or name.endswith(".new"):
            raise ValueError(f"{name!r} cannot name a state")
        return f"{self._layout.state}/{name}"


def _outcome(record: Record) -> Note:
    if record.pending:
        return Note(Kind.RECORD, record.id, encode_record(record))
    return Note(Kind.ENDED, record.id)


def _decoded(item: str, stored: bytes) -> Record:
    try:
        return decode_record(stored)
    except ValueError as exc:
        raise ContentDamaged(f"{item}: {exc}") from exc
