"""Settling: outcomes into records, reports for what failed, then one group of flushes for all that waits.

The order on disk is the promise (P2, P4): a report is committed before the record that says `failed`, and a record is on disk
before its content is let go. A crash in between costs a second report, never a message.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.clock import Clock
from gateway.config.settings import Settings
from gateway.dispatch.ends import has_expired, will_retry_until
from gateway.dispatch.reports import Reporter
from gateway.dispatch.retry import Applied, Opportunity, apply_outcomes
from gateway.errors import SpoolError
from gateway.events import Alarm, DeferredTo, DeliveredTo, Event, FailedTo, InDoubt, Journal
from gateway.mail.outcome import MAX_REPLY_OCTETS, Outcome, Reply
from gateway.spool.record import Record, Route
from gateway.spool.spool import Claim, Spool

GATHERED, GATHER = 8, 0.003
"""Outcomes that are waited for, and for how many seconds, while further messages are being sent."""


@dataclass(frozen=True, slots=True)
class Settlement:
    claim: Claim
    outcomes: tuple[Outcome, ...]
    relay: str
    opportunity: Opportunity
    route: Route = "outside"
    relay_reports: bool = False  # it offers DSN, so that success is its to report


class Settler:
    """Takes settlements as sessions make them and works them off in groups. `on_settled(id)` follows each."""

    def __init__(
        self,
        spool: Spool,
        settings: Callable[[], Settings],
        clock: Clock,
        journal: Journal,
        on_settled: Callable[[str], None],
        late: Callable[[Record], str | None],
        clock_is_set: Callable[[], bool] = lambda: True,
    ) -> None:
        """`late(record)`: None while it waits as planned, else the sentence that says when it will leave. Nothing is given up
        while the clock is not set."""
        self._late, self._clock_is_set = late, clock_is_set
        self._reporter = Reporter(spool, settings, clock, journal)
        self._spool, self._settings, self._clock, self._journal = spool, settings, clock, journal
        self._on_settled = on_settled
        self._waiting: list[Settlement] = []
        self._wake, self._enough = asyncio.Event(), asyncio.Event()
        self._room = asyncio.Condition()
        self.unsettled = 0

    def put(self, settlement: Settlement) -> None:
        self._waiting.append(settlement)
        self._wake.set()
        if len(self._waiting) >= min(GATHERED, self.unsettled):
            self._enough.set()

    async def run(self) -> None:
        """Work until cancelled; `drain` first, or what waits is lost to memory and becomes in doubt at the next start."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if len(self._waiting) < min(GATHERED, self.unsettled):
                # More is under way: what is answered within a moment shares this flush, which costs more than a message.
                self._enough.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GATHER):
                        await self._enough.wait()
            try:
                await self._work()
            except Exception as exc:  # top of the worker: one bad settlement must not stop the others
                self._journal.record(Alarm("settling", f"a fault of the gateway: {type(exc).__name__}: {exc}"))

    async def drain(self) -> None:
        """Settle all that waits now."""
        await self._work()

    async def room_for_one(self, limit: int) -> None:
        """Wait until fewer than `limit` messages are sent or being sent and not settled."""
        if self.unsettled < limit:
            return
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
        applied = self._give_up(record, applied)
        report: str | None = None
        if applied.failed:
            try:
                failed = [recipient for recipient, _ in applied.failed]
                report = await self._reporter.tell("failed", record, failed, settlement.claim.content)
            except SpoolError as exc:
                applied = self._not_final_yet(record, applied, exc)
        await self._tell_the_rest(settlement, applied)
        return _events(record, settlement.relay, applied, report)

    def _give_up(self, record: Record, applied: Applied) -> Applied:
        """After an attempt that failed for somebody: is their time up? (DESIGN section 8)"""
        tried = (*applied.deferred, *applied.doubtful)
        why = has_expired(record, self._settings().queue) if tried and self._clock_is_set() else None
        if why is None:
            return applied
        expired = []
        for recipient, reason in tried:
            recipient.standing = "expired"
            reply = Reply(550, f"4.4.7 {why}; the last answer was: {reason}"[:MAX_REPLY_OCTETS])
            recipient.reply = reply.text
            expired.append((recipient, reply))
        return replace(applied, failed=(*applied.failed, *expired), deferred=(), doubtful=())

    def _not_final_yet(self, record: Record, applied: Applied, exc: SpoolError) -> Applied:
        """No room for the report: the failure is not final. The message stays and is tried again later, since a sender who
        is never told would be a fifth end (P2)."""
        record.due = self._clock.now() + self._settings().queue.retry_interval
        record.status = f"refused, but the report cannot be written: {exc}"
        for recipient, _ in applied.failed:
            recipient.standing = "pending"
        waiting = tuple((recipient, record.status) for recipient, _ in applied.failed)
        return replace(applied, failed=(), deferred=applied.deferred + waiting)

    async def _tell_the_rest(self, settlement: Settlement, applied: Applied) -> None:
        """Reports of success where they were asked for and the relay will not make them, and of delay. A report that
        cannot be stored is not worth holding the outcome for: nothing has been lost."""
        record, content = settlement.claim.record, settlement.claim.content
        with contextlib.suppress(SpoolError):
            if applied.delivered and not settlement.relay_reports:
                delivered = [recipient for recipient, _ in applied.delivered]
                await self._reporter.tell("relayed", record, delivered, content)
            if applied.deferred and (plan := self._late(record)) is not None:
                until = will_retry_until(record, self._clock.now(), self._settings().queue)
                waiting = [recipient for recipient, _ in applied.deferred]
                record.warned = self._clock.now()
                await self._reporter.tell("delayed", record, waiting, content, will_retry_until=until, plan=plan)


def _events(record: Record, relay: str, applied: Applied, report: str | None) -> list[Event]:
    events: list[Event] = [DeliveredTo(record.id, r.address, relay, str(reply)) for r, reply in applied.delivered]
    events += [FailedTo(record.id, r.address, relay, str(reply), report) for r, reply in applied.failed]
    events += [DeferredTo(record.id, r.address, relay, reason, record.due) for r, reason in applied.deferred]
    if applied.doubtful:
        addresses = tuple(r.address for r, _ in applied.doubtful)
        events.append(InDoubt(record.id, addresses, relay, applied.doubtful[0][1], record.due))
    return events
