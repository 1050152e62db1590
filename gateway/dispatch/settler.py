"""Settling: outcomes into records, reports for what failed, then one group of flushes for all that waits.

The order on disk is the promise (P2, P4): a report is committed before the record that says `failed`, and a record is on disk
before its content is let go. A crash in between costs a second report, never a message.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from gateway.clock import Clock
from gateway.config.settings import Settings
from gateway.dispatch.retry import Applied, Opportunity, apply_outcomes
from gateway.errors import SpoolError
from gateway.events import Alarm, DeferredTo, DeliveredTo, Event, FailedTo, InDoubt, Journal, Received
from gateway.mail.envelope import Envelope, Peer, Recipient
from gateway.mail.outcome import Outcome
from gateway.report.dsn import build_report, wanted
from gateway.spool.record import RecipientRecord, Record, Route
from gateway.spool.spool import Claim, Content, Spool

HEADER_LIMIT = 65536
"""Octets of the original that are read for a report's copy of its header."""


@dataclass(frozen=True, slots=True)
class Settlement:
    claim: Claim
    outcomes: tuple[Outcome, ...]
    relay: str
    opportunity: Opportunity
    route: Route = "outside"


class Settler:
    """Takes settlements as sessions make them and works them off in groups. `on_settled(id)` follows each."""

    def __init__(
        self,
        spool: Spool,
        settings: Callable[[], Settings],
        clock: Clock,
        journal: Journal,
        on_settled: Callable[[str], None],
    ) -> None:
        self._spool, self._settings, self._clock, self._journal = spool, settings, clock, journal
        self._on_settled = on_settled
        self._waiting: list[Settlement] = []
        self._wake = asyncio.Event()
        self._room = asyncio.Condition()
        self.unsettled = 0

    def put(self, settlement: Settlement) -> None:
        self._waiting.append(settlement)
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled; `drain` first, or what waits is lost to memory and becomes in doubt at the next start."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._work()
            except Exception as exc:  # top of the worker: one bad settlement must not stop the others
                self._journal.record(Alarm("settling", f"a fault of the gateway: {type(exc).__name__}: {exc}"))

    async def drain(self) -> None:
        """Settle all that waits now."""
        await self._work()

    async def room_for_one(self, limit: int) -> None:
        """Wait until fewer than `limit` messages are sent or being sent and not settled."""
        async with self._room:
            await self._room.wait_for(lambda: self.unsettled < limit)

    async def _work(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            try:
                events = [event for settlement in group for event in await self._applied(settlement)]
                await self._spool.settle([s.claim for s in group])
                for event in events:
                    self._journal.record(event)
            except SpoolError as exc:
                # The spool keeps the outcomes and writes them when it can; nothing of the group is sent again until then.
                self._journal.record(Alarm("spool", f"outcomes are not on disk yet: {exc}"))
            finally:
                async with self._room:
                    self.unsettled -= len(group)
                    self._room.notify_all()
            for settlement in group:
                self._on_settled(settlement.claim.record.id)

    async def _applied(self, settlement: Settlement) -> list[Event]:
        try:
            return await self._apply(settlement)
        except ValueError as exc:  # outcomes that do not fit the record mark nobody; the message is tried again
            self._journal.record(Alarm("settling", f"a fault of the gateway: {exc}"))
            return []

    async def _apply(self, settlement: Settlement) -> list[Event]:
        record, now = settlement.claim.record, self._clock.now()
        applied = apply_outcomes(
            record,
            settlement.outcomes,
            relay=settlement.relay,
            now=now,
            queue=self._settings().queue,
            opportunity=settlement.opportunity,
            route=settlement.route,
        )
        report: str | None = None
        if applied.failed:
            failed = [r for r, _ in applied.failed]
            try:
                report = await self.report(record, failed, settlement.claim.content)
            except SpoolError as exc:
                # No room for the report: the failure is not final yet. The message stays and is tried again later, since
                # a sender who is never told would be a fifth end (P2).
                for recipient in failed:
                    recipient.standing = "pending"
                record.due = now + self._settings().queue.retry_interval
                record.status = f"refused, but the report cannot be written: {exc}"
                deferred = tuple((recipient, record.status) for recipient in failed)
                applied = replace(applied, failed=(), deferred=applied.deferred + deferred)
        return _events(record, settlement.relay, applied, report)

    async def report(self, record: Record, recipients: Sequence[RecipientRecord], content: Content) -> str | None:
        """Commit a report of failure to the sender; its ID, or None where none is due (NOTIFY, null reverse-path)."""
        if not record.reverse_path:
            return None
        told = [recipient for recipient in recipients if wanted("failed", recipient)]
        if not told:
            return None
        full = record.ret == "FULL"
        header = await content.read(0, min(content.size, HEADER_LIMIT))
        if not full:
            header = header.partition(b"\r\n\r\n")[0] + b"\r\n"
        settings, now = self._settings(), self._clock.now()

        def whole(report_id: str) -> bytes:
            return build_report(
                "failed",
                record,
                told,
                header=header,
                hostname=settings.hostname,
                now=now,
                report_id=report_id,
                language=settings.report_language,
            )

        draft = self._spool.draft([whole])
        try:
            envelope = Envelope("", (Recipient(record.reverse_path),), smtputf8=not record.reverse_path.isascii())
            entry = await self._spool.commit(
                draft, envelope, message_class="normal", peer=Peer(), service="report", report_for=record.id
            )
        except BaseException:
            with contextlib.suppress(SpoolError):
                await draft.abort()
            raise
        self._journal.record(Received(entry.id, "", (record.reverse_path,), entry.size, "normal", service="report"))
        return entry.id


def _events(record: Record, relay: str, applied: Applied, report: str | None) -> list[Event]:
    events: list[Event] = [DeliveredTo(record.id, r.address, relay, str(reply)) for r, reply in applied.delivered]
    events += [FailedTo(record.id, r.address, relay, str(reply), report) for r, reply in applied.failed]
    events += [DeferredTo(record.id, r.address, relay, reason, record.due) for r, reason in applied.deferred]
    if applied.doubtful:
        addresses = tuple(r.address for r, _ in applied.doubtful)
        events.append(InDoubt(record.id, addresses, relay, applied.doubtful[0][1], record.due))
    return events
