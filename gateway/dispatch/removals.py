"""The ten minutes in which a removal can be undone, and its end: the sender is told, if the operator chose so."""

from __future__ import annotations

import asyncio

from gateway.clock import Clock
from gateway.dispatch.reports import Reporter
from gateway.errors import GatewayError
from gateway.events import Alarm, FailedTo, Journal, RemovedItem
from gateway.spool.record import Record
from gateway.spool.spool import Spool

UNDO_TIME = 600.0
"""Seconds that a removed pair lies in `removed/` (DESIGN section 3)."""

REMOVED_REPLY = "550 5.7.0 removed by the operator of the gateway"


class Removals:
    """Ends removals whose time has come. `changed` must be called after each remove and undo."""

    def __init__(
        self, spool: Spool, reporter: Reporter, clock: Clock, journal: Journal, undo_time: float = UNDO_TIME
    ) -> None:
        self._spool, self._reporter, self._clock, self._journal = spool, reporter, clock, journal
        self._undo_time = undo_time
        self._changed = asyncio.Event()

    def changed(self) -> None:
        self._changed.set()

    async def run(self) -> None:
        while True:
            self._changed.clear()
            try:
                wait = await self.finish_due()
            except GatewayError as exc:
                self._journal.record(Alarm("spool", f"removals cannot be looked at: {exc}"))
                wait = 60.0
            try:
                await asyncio.wait_for(self._changed.wait(), wait)
            except TimeoutError:
                continue

    async def finish_due(self) -> float | None:
        """End what is due now; seconds until the next, None if nothing lies in `removed/`."""
        now, wait = self._clock.now(), None
        due: list[Record] = []
        for record in await self._spool.removed():
            left = self._left(record, now)
            if left <= 0:
                due.append(record)
            elif wait is None or left < wait:
                wait = left
        ended: list[Record] = []
        for record in due:
            try:
                await self._tell(record)
            except GatewayError as exc:
                self._journal.record(Alarm("spool", f"{record.id}: the removal cannot be ended yet: {exc}"))
                wait = min(wait or 60.0, 60.0)
                continue
            ended.append(record)
        if ended:
            try:
                await self._spool.finish_removals([record.id for record in ended])
            except GatewayError as exc:
                self._journal.record(Alarm("spool", f"removals cannot be ended yet: {exc}"))
                return min(wait or 60.0, 60.0)
            for record in ended:
                self._journal.record(RemovedItem(record.id, record.removal.by if record.removal else "?", final=True))
        return wait

    def _left(self, record: Record, now: float) -> float:
        """Seconds left. A clock that stepped back must not prolong it for ever."""
        if record.removal is None:
            return 0.0
        return min(record.removal.at + self._undo_time - now, self._undo_time)

    async def _tell(self, record: Record) -> None:
        """The report to the sender, committed before the message is let go."""
        if record.removal is None or not record.removal.tell_sender:
            return
        pending = record.pending
        for recipient in pending:
            recipient.standing, recipient.reply = "failed", REMOVED_REPLY
        content = await self._spool.content(record.id)
        try:
            report = await self._reporter.tell("failed", record, pending, content)
        finally:
            content.close()
        for recipient in pending:
            self._journal.record(FailedTo(record.id, recipient.address, None, REMOVED_REPLY, report))
