"""What a step of the clock means for mail that waits: no Next Try lies further away than it may (promise P7).

Next Try is an instant on the wall clock. After a step forward it comes early, which does no harm; after a step back it would
come as much too late as the clock was ahead, so it is moved. Starting with a clock that is behind the last try is such a step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import islice

from gateway.clock import Clock
from gateway.config.settings import QueueSettings
from gateway.dispatch.retry import DOUBT_WAIT
from gateway.errors import SpoolError
from gateway.events import Alarm, Journal
from gateway.spool.entry import Entry
from gateway.spool.record import Record
from gateway.spool.spool import Spool

LONGEST = 3600.0
"""Seconds for which a step may keep mail from leaving."""

SLIGHT = 60.0
"""Seconds of a step back that change nothing: a time server's correction would else undo every doubled interval."""

LOOKED_AT = 2000
"""Messages looked at before the event loop gets its turn."""

SLICE = 500
"""Records changed at a time."""


def latest_due(now: float, queue: QueueSettings, *, doubt: bool) -> float:
    """No Next Try set before the step lies beyond this; a message in doubt keeps its ten minutes (DESIGN section 7)."""
    longest = min(queue.retry_interval, LONGEST)
    return now + (max(longest, DOUBT_WAIT) if doubt else longest)


def waiting_too_long(entries: Iterable[Entry], now: float, queue: QueueSettings, *, at_start: bool) -> list[str]:
    """IDs whose Next Try must be moved. At a start nobody knows of a step: those whose last try lies ahead of the clock."""
    return [
        entry.id
        for entry in entries
        if (entry.due is not None or entry.inside_due is not None or entry.dues)  # most of a long queue was never tried
        and max(due or now for due in (entry.due, entry.inside_due, *(entry.dues or ())))
        > latest_due(now, queue, doubt=entry.doubt)
        and (not at_start or (entry.last_try is not None and entry.last_try > now + SLIGHT))
    ]


def with_sooner_tries(now: float, queue: QueueSettings) -> Callable[[Record], None]:
    """The change of one record, for `Spool.update`."""

    def change(record: Record) -> None:
        latest = latest_due(now, queue, doubt=record.doubt is not None)
        if record.due is not None:
            record.due = min(record.due, latest)
        if record.inside_due is not None:
            record.inside_due = min(record.inside_due, latest)
        for recipient in record.recipients:
            if recipient.due is not None:
                recipient.due = min(recipient.due, latest)
        if record.last_try is not None:
            record.last_try = min(record.last_try, now)

    return change


class DueMover:
    """Moves what waits too long, durably, after a step back; a start counts as one that nobody saw."""

    def __init__(self, spool: Spool, clock: Clock, journal: Journal) -> None:
        self._spool, self._clock, self._journal = spool, clock, journal
        self._wanted = True
        self._seen = False

    def stepped_back(self) -> None:
        self._wanted = self._seen = True

    async def move(self, queue: QueueSettings) -> None:
        """What is to be moved, if anything is. A disk that will not is asked again at the next call."""
        if not self._wanted:
            return
        self._wanted = False
        now = self._clock.now()
        ids: list[str] = []
        entries = iter(tuple(self._spool.entries.values()))
        while some := list(islice(entries, LOOKED_AT)):
            ids += waiting_too_long(some, now, queue, at_start=not self._seen)
            await asyncio.sleep(0)
        try:
            for first in range(0, len(ids), SLICE):
                await self._spool.update(ids[first : first + SLICE], with_sooner_tries(now, queue))
        except SpoolError as exc:
            self._wanted = True
            self._journal.record(Alarm("spool", f"Next Try cannot be moved after a step of the clock: {exc}"))
