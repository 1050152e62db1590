"""Settling: outcomes into records, then one group of flushes for all that waits.

The order on disk is the promise (P2, P4): a record is on disk before its content is let go, and what has failed stays,
`untold`, until its report is in the queue (`gateway.dispatch.telling`). A crash in between costs a second report, never a
message.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.clock import Clock
from gateway.config.settings import Settings
from gateway.dispatch.ends import has_expired
from gateway.dispatch.reports import Reporter
from gateway.dispatch.retry import Applied, Opportunity, apply_outcomes
from gateway.errors import SpoolError
from gateway.events import Alarm, DeferredTo, DeliveredTo, Event, FailedTo, InDoubt, Journal
from gateway.mail.outcome import MAX_REPLY_OCTETS, Interrupted, Outcome, Reply
from gateway.report.dsn import may_report, wanted
from gateway.spool.record import Record, Route
from gateway.spool.spool import Claim, Spool

GATHERED, GATHER = 16, 0.005
"""Outcomes that are waited for, and for how many seconds, while further messages are being sent."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """`relay`: who answered; empty where no server was asked."""

    claim: Claim
    outcomes: tuple[Outcome, ...]
    relay: str
    opportunity: Opportunity
    route: Route = "outside"
    relay_reports: bool = False  # it offers DSN, so that success is its to report
    domains: frozenset[str] | None = None  # it was an attempt for the recipients there alone


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
        on_late: Callable[[str], None] = lambda item: None,
        clock_is_set: Callable[[], bool] = lambda: True,
        on_tried: Callable[[str], None] = lambda item: None,
    ) -> None:
        """`late(record)`: None while it waits as planned, else the sentence that says when it will leave; `on_late(id)` then.
        `on_tried(id)`: a relay answered for all of it; said before it is offered again. Nothing is given up while the clock is
        not set."""
        self._late, self._clock_is_set = late, clock_is_set
        self._reporter, self._on_late = Reporter(spool, settings, clock, journal), on_late
        self._spool, self._settings, self._clock, self._journal = spool, settings, clock, journal
        self._on_settled, self._on_tried = on_settled, on_tried
        self._waiting: list[Settlement] = []
        self._wake, self._enough = asyncio.Event(), asyncio.Event()
        self._room = asyncio.Condition()
        self._working: asyncio.Task[None] | None = None
        self.unsettled = 0

    def put(self, settlement: Settlement) -> None:
        self._waiting.append(settlement)
        self._wake.set()
        if len(self._waiting) >= min(GATHERED, self.unsettled):
            self._enough.set()

    async def run(self) -> None:
        """Work until cancelled; then `drain`, or what waits is lost to memory and becomes in doubt at the next start."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if len(self._waiting) < min(GATHERED, self.unsettled):
                # More is under way: what is answered within a moment shares this flush, which costs more than a message.
                self._enough.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GATHER):
                        await self._enough.wait()
            self._working = asyncio.create_task(self._work())
            try:
                await asyncio.shield(self._working)  # a group is settled whole: what it holds is nowhere else
            except Exception as exc:  # top of the worker: one bad settlement must not stop the others
                self._journal.record(Alarm("settling", f"a fault of the gateway: {type(exc).__name__}: {exc}"))

    async def drain(self) -> None:
        """Settle all that waits now, and what `run` had begun when it was cancelled."""
        if self._working is not None:
            await asyncio.wait([self._working])
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
                for settlement in group:
                    if settlement.domains is None and not any(isinstance(o, Interrupted) for o in settlement.outcomes):
                        self._on_tried(settlement.claim.record.id)
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
        except Exception as exc:
            # Outcomes that do not fit the record mark nobody, and the message is tried again. Whatever it was, the claim is
            # settled with the others, as far as its record has been written to: one that leaked would wait for ever.
            self._journal.record(Alarm("settling", f"a fault of the gateway: {type(exc).__name__}: {exc}"))
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
            domains=settlement.domains,
        )
        applied = self._give_up(record, applied, by_domain=settlement.domains is not None)
        for recipient, _ in applied.failed:
            # What is a report itself, or has no sender, is not told either: it waits to be set aside.
            recipient.untold = wanted("failed", recipient, record) or not may_report(record)
        if applied.delivered and not settlement.relay_reports:
            await self._tell_of_success(settlement, applied)
        if applied.deferred and self._late(record) is not None:
            self._on_late(record.id)
        return _events(record, settlement.relay, applied)

    def _give_up(self, record: Record, applied: Applied, *, by_domain: bool) -> Applied:
        """After an attempt that failed for somebody: is their time up? (DESIGN section 8)"""
        tried = (*applied.deferred, *applied.doubtful)
        attempts = max((r.attempts for r, _ in tried), default=0) if by_domain else None
        why = has_expired(record, self._settings().queue, attempts) if tried and self._clock_is_set() else None
        if why is None:
            return applied
        expired = []
        for recipient, reason in tried:
            recipient.standing = "expired"
            reply = Reply(550, f"4.4.7 {why}; the last answer was: {reason}"[:MAX_REPLY_OCTETS])
            recipient.reply = reply.text
            expired.append((recipient, reply))
        return replace(applied, failed=(*applied.failed, *expired), deferred=(), doubtful=())

    async def _tell_of_success(self, settlement: Settlement, applied: Applied) -> None:
        """Where it was asked for and the relay will not do it. A report that cannot be stored is not worth holding the outcome
        for: nothing has been lost."""
        delivered = [recipient for recipient, _ in applied.delivered]
        with contextlib.suppress(SpoolError):
            await self._reporter.tell("relayed", settlement.claim.record, delivered, settlement.claim.content)


def _events(record: Record, relay: str, applied: Applied) -> list[Event]:
    """What failed and is yet to be told is told to the log with its report."""
    events: list[Event] = [DeliveredTo(record.id, r.address, relay, str(reply)) for r, reply in applied.delivered]
    events += [FailedTo(record.id, r.address, relay or None, str(reply)) for r, reply in applied.failed if not r.untold]
    events += [DeferredTo(record.id, r.address, relay, reason, r.due or record.due) for r, reason in applied.deferred]
    if applied.doubtful:
        addresses = tuple(r.address for r, _ in applied.doubtful)
        first, reason = applied.doubtful[0]
        events.append(InDoubt(record.id, addresses, relay, reason, first.due or record.due))
    return events
