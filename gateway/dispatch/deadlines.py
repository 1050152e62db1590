"""Deadlines that senders set (RFC 2852): what has not left when its time has passed is returned, or its sender is told.

    mode R   its recipients have failed with 5.4.7, and are told as every failure is
    mode N   one report of delay with 4.4.7; it goes on waiting, without a deadline

A message that is being sent finishes its attempt first; one that an operator holds waits for its release. By a clock that is
not set no time passes.
"""

from __future__ import annotations

import asyncio

from gateway.clock import Clock
from gateway.dispatch.reports import Reporter
from gateway.errors import ContentDamaged, GatewayError, NoSuchItem, NotNow
from gateway.events import Alarm, FailedTo, Journal
from gateway.report.dsn import may_report, wanted
from gateway.spool.entry import Entry
from gateway.spool.record import RecipientRecord, Record
from gateway.spool.spool import Claim, Spool

PASSED = "the time for delivery that its sender asked for has passed"

MOST_SECONDS = 999_999_999
"""RFC 2852 gives nine digits."""

AGAIN = 30.0
"""Seconds until what the disk refused is tried again."""


def has_passed(entry: Entry, now: float) -> bool:
    """Is it for us to act: is its time over, and nobody sends or holds it?"""
    return entry.deliver_by is not None and entry.deliver_by <= now and not entry.claimed and not entry.held


def time_left(record: Record, now: float) -> str | None:
    """For the relay, which has the rest of the time to keep it in (RFC 2852 4.1); None where there is no deadline any more."""
    if record.deliver_by is None or record.by_mode is None:
        return None
    seconds = min(MOST_SECONDS, int(record.deliver_by - now))
    if seconds <= 0:
        return None  # it is returned, or its sender told, as soon as this attempt is over
    return f"{seconds};{record.by_mode}{'T' if record.by_trace else ''}"


class Deadlines:
    """`passed(id)` says that a message's time is over; `run` acts on it."""

    def __init__(self, spool: Spool, reporter: Reporter, clock: Clock, journal: Journal) -> None:
        self._spool, self._reporter, self._clock, self._journal = spool, reporter, clock, journal
        self._waiting: dict[str, None] = {}
        self._changed = asyncio.Event()

    def passed(self, item: str) -> None:
        self._waiting[item] = None
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled. What it does to a message it does whole, or not at all."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._waiting:
                item = next(iter(self._waiting))
                try:
                    await self._end(item)
                except GatewayError as exc:
                    self._journal.record(Alarm("spool", f"{item}: that its time has passed is not on disk yet: {exc}"))
                    asyncio.get_running_loop().call_later(AGAIN, self._changed.set)
                    break
                del self._waiting[item]

    async def _end(self, item: str) -> None:
        try:
            claim = await self._spool.claim(item)
        except (NoSuchItem, NotNow, ContentDamaged):
            return  # it is gone, or on its way: then it is asked again after its attempt
        record = claim.record
        if record.deliver_by is None or record.deliver_by > self._clock.now():
            self._spool.give_back(claim)
        elif record.by_mode == "R":
            await self._return(claim)
        else:
            await self._notify(claim)

    async def _return(self, claim: Claim) -> None:
        record, now = claim.record, self._clock.now()
        failed = record.pending
        for recipient in failed:
            recipient.standing, recipient.reply = "expired", f"550 5.4.7 {PASSED}"
            recipient.relay, recipient.at = None, now
            recipient.untold = wanted("failed", recipient, record) or not may_report(record)
        record.deliver_by = record.by_mode = None
        await self._spool.settle([claim])
        for recipient in failed:
            if not recipient.untold:
                self._journal.record(FailedTo(record.id, recipient.address, None, recipient.reply or ""))

    async def _notify(self, claim: Claim) -> None:
        """Once at most: the record says that it was told before the report is made, since nothing has been lost."""
        record = claim.record
        waiting = [recipient for recipient in record.pending if wanted("delayed", recipient, record)]
        record.deliver_by = record.by_mode = None
        record.warned = self._clock.now()
        await self._spool.settle([claim])
        if waiting:
            told = [_late(recipient) for recipient in waiting]
            original = await self._reporter.original(record, told, is_alone=True)
            await self._reporter.commit("delayed", [original], f"It goes on waiting, although {PASSED}.")


def _late(recipient: RecipientRecord) -> RecipientRecord:
    """As the report tells of it, whatever a relay said before."""
    return RecipientRecord(
        address=recipient.address, notify=recipient.notify, orcpt=recipient.orcpt, reply=f"450 4.4.7 {PASSED}"
    )
