"""The ten minutes in which a removal can be undone, and its end: the sender is told, if the operator chose so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.clock import Clock
from gateway.dispatch.reports import Reporter, has_room
from gateway.errors import GatewayError
from gateway.events import Alarm, FailedTo, Journal, RemovedItem
from gateway.report.dsn import wanted
from gateway.report.joint import may_share
from gateway.spool.record import RecipientRecord, Record
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
        self._told: set[str] = set()  # their senders know, and that they have ended is not on disk yet

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
        for group in _groups(due):
            try:
                await self._tell(group)
            except GatewayError as exc:
                about = group[0].id if len(group) == 1 else f"{group[0].id} and {len(group) - 1} more"
                self._journal.record(Alarm("spool", f"{about}: the removal cannot be ended yet: {exc}"))
                wait = min(wait or 60.0, 60.0)
                continue
            ended += group
        if ended:
            try:
                await self._spool.finish_removals([record.id for record in ended])
            except GatewayError as exc:
                self._journal.record(Alarm("spool", f"removals cannot be ended yet: {exc}"))
                return min(wait or 60.0, 60.0)
            self._told.difference_update(record.id for record in ended)
            for record in ended:
                self._journal.record(RemovedItem(record.id, record.removal.by if record.removal else "?", final=True))
        return wait

    def _left(self, record: Record, now: float) -> float:
        """Seconds left. A clock that stepped back must not prolong it for ever."""
        if record.removal is None:
            return 0.0
        return min(record.removal.at + self._undo_time - now, self._undo_time)

    async def _tell(self, group: Sequence[Record]) -> None:
        """The report to the sender, committed before the messages are let go: one for all that he is to be told of."""
        told: list[tuple[Record, list[RecipientRecord]]] = []
        for record in group:
            if record.id in self._told:
                continue
            concerned = [*record.pending, *record.untold] if record.removal and record.removal.tell_sender else []
            for recipient in record.pending if concerned else ():
                recipient.standing, recipient.reply, recipient.relay = "failed", REMOVED_REPLY, None
            if concerned:
                told.append((record, concerned))
        wanted_by = [(record, [r for r in concerned if wanted("failed", r, record)]) for record, concerned in told]
        wanted_by = [(record, concerned) for record, concerned in wanted_by if concerned]
        report: str | None = None
        if wanted_by:
            is_alone = len(wanted_by) == 1
            originals = [await self._reporter.original(r, concerned, is_alone=is_alone) for r, concerned in wanted_by]
            report = await self._reporter.commit("failed", originals)
        reported = {record.id for record, _ in wanted_by}
        for record, concerned in told:
            for recipient in concerned:
                about = report if record.id in reported else None
                self._journal.record(FailedTo(record.id, recipient.address, None, recipient.reply or "", about))
        self._told.update(record.id for record, _ in told)


def _groups(records: Sequence[Record]) -> list[list[Record]]:
    """Those of one sender together, as far as one report may hold them."""
    groups: dict[tuple[str, str | None], list[list[Record]]] = {}
    for record in records:
        of_sender = groups.setdefault((record.reverse_path, None if may_share(record) else record.id), [[]])
        if of_sender[-1] and not has_room([len(r.recipients) for r in of_sender[-1]], len(record.recipients)):
            of_sender.append([])
        of_sender[-1].append(record)
    return [group for of_sender in groups.values() for group in of_sender]
