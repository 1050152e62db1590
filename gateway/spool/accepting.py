"""Accepting: from a draft to a message that is ours. What is durable when: `gateway.spool.ledger`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from gateway.clock import Clock
from gateway.durable import Disk
from gateway.errors import SpoolError, SpoolFull
from gateway.events import Alarm, Journal
from gateway.mail.envelope import Class, Envelope, Peer
from gateway.spool.draft import Draft, Drafts
from gateway.spool.entry import Entry
from gateway.spool.ids import BLOCK, Ids
from gateway.spool.layout import Layout
from gateway.spool.ledger import Ledger
from gateway.spool.notes import Kind, Note
from gateway.spool.record import RecipientRecord, Record, encode_record
from gateway.spool.records import Records
from gateway.spool.room import Room
from gateway.spool.tasks import Tasks
from gateway.spool.written import Written


class Accepting:
    """Gives drafts and commits them. `appeared` is called with each new entry before its commit returns."""

    def __init__(
        self,
        disk: Disk,
        layout: Layout,
        ledger: Ledger,
        records: Records,
        ids: Ids,
        room: Room,
        tasks: Tasks,
        *,
        clock: Clock,
        journal: Journal,
        appeared: Callable[[Entry], None],
        is_inside: Callable[[str], bool],
    ) -> None:
        self.is_inside = is_inside
        self._disk, self._layout, self._ledger, self._records = disk, layout, ledger, records
        self._ids, self._room, self._tasks = ids, room, tasks
        self._clock, self._journal, self._appeared = clock, journal, appeared
        self.drafts = Drafts(disk, layout.incoming, room, ledger.on_disk)
        self.drafts.count = ledger.count_coming
        self._reserving: asyncio.Task[None] | None = None

    def draft(self, heads: Sequence[Callable[[str], bytes]]) -> Draft:
        """See `Spool.draft`."""
        if self._ledger.is_full:
            raise SpoolFull("the disk does not take the mail that is accepted already")
        self._room.spend(0)
        if self._ids.runs_low and (self._reserving is None or self._reserving.done()):
            self._reserving = self._tasks.start(self._reserve_ids())
        item = self._ids.take()
        octets = [head(item) for head in heads] or [b""]
        if any(len(head) != len(octets[0]) for head in octets):
            raise ValueError("the heads differ in length")
        return Draft(self.drafts, item, octets)

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
        service: str,
        head: int,
        report_for: str | None,
        meanwhile: Callable[[Entry], None] | None,
    ) -> Entry:
        """See `Spool.commit`.

        small   one note with record and content in the journal, flushed    before: nothing of it; after: it survives a cut
        large   content flushed in incoming/, the folder flushed, one note  before: a stray that start sweeps; after: as above
        """
        make = partial(
            self._record,
            draft,
            envelope,
            message_class=message_class,
            peer=peer,
            service=service,
            report_for=report_for,
        )
        if not draft.is_small:
            return await asyncio.shield(self._tasks.start(self._commit_large(draft, head, make, meanwhile)))
        # Straight to the journal, without a task of its own: this is the daemon's busiest path.
        try:
            await self._ledger.room()
            self._room.spend(draft.size)
            content, sha256 = draft.take(head)
        except BaseException:
            await draft.abort()
            raise
        record = make(sha256)
        entry = Entry(record)
        written = self._records.write([Note(Kind.ACCEPTED, record.id, encode_record(record), content)])
        written.then(partial(self._committed, entry))
        if meanwhile is not None:
            meanwhile(entry)
        await written
        return entry

    async def _commit_large(
        self, draft: Draft, head: int, make: Callable[[str], Record], meanwhile: Callable[[Entry], None] | None
    ) -> Entry:
        try:
            record = make(await draft.finish(head))
            entry = Entry(record)
            written = self._records.write([Note(Kind.LARGE, record.id, encode_record(record))])
            written.then(partial(self._committed, entry))
            if meanwhile is not None:
                meanwhile(entry)
            await written
        except SpoolError:
            self.drafts.open.discard(draft.id)
            await draft.discard()
            raise
        return entry

    def _committed(self, entry: Entry, written: Written) -> None:
        """Runs before the one who waits for the commit goes on, and also where nobody waits any more."""
        self.drafts.open.discard(entry.id)
        if written.error is None:
            self._appeared(entry)

    def _record(
        self,
        draft: Draft,
        envelope: Envelope,
        sha256: str,
        *,
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
                RecipientRecord(address=r.address, notify=r.notify, orcpt=r.orcpt, inside=self.is_inside(r.address))
                for r in envelope.recipients
            ],
            size=draft.size,
            sha256=sha256,
            message_class=message_class,
            service=service,
            body=envelope.body,
            smtputf8=envelope.smtputf8,
            ret=envelope.ret,
            envid=envelope.envid,
            deliver_by=envelope.deliver_by,
            by_mode=envelope.by_mode,
            by_trace=envelope.by_trace,
            client=peer.address,
            helo=peer.helo,
            user=peer.user,
            report_for=report_for,
        )
