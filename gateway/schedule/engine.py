"""What wakes the gateway when a window opens or closes: APScheduler, driven by our calendar.

The one job only signals. Whoever is signalled asks the calendar what is open now, so an edge that comes late, twice or
not at all does no harm. APScheduler's cron, calendar and And triggers are not used: at the odd nights they fire twice,
skip or hang, and on waking it lists every run that was missed; our trigger always answers with an edge that lies ahead,
so that list has one entry even after a start in 1970. Who notices a step of the clock calls `clock_stepped`: APScheduler
sleeps by the monotonic clock and would keep to the old time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from gateway.clock import Clock, utc
from gateway.schedule.calendar import Calendar

_JOB = "edge"
_LOOK_AGAIN = timedelta(days=1)
_SAME_CLOCK = 1.0


class EdgeTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler comes without types
    """The next opening or closing of any window, always after now."""

    __slots__ = ("calendar", "clock")

    def __init__(self, calendar: Calendar, clock: Clock) -> None:
        self.calendar = calendar
        self.clock = clock

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime:
        """`now` is APScheduler's, read from the machine. Where our clock is another one (in a simulation), the wait until
        the edge is what counts. Without an edge within 400 days: look again tomorrow, as the end of the search moves on."""
        machine = now.timestamp()
        ahead = self.clock.now() - machine
        if abs(ahead) < _SAME_CLOCK:
            ahead = 0.0  # the same clock, read twice
        edge = self.calendar.next_edge(machine + ahead)
        later = now.astimezone(UTC) + _LOOK_AGAIN
        return later if edge is None else max(utc(edge - ahead), now.astimezone(UTC) + timedelta(microseconds=1))


class EdgeEngine:
    """Calls `on_edge` in the event loop at every edge of the calendar in force, until `stop`."""

    def __init__(self, on_edge: Callable[[], None], clock: Clock) -> None:
        self._on_edge = on_edge
        self._clock = clock
        self._scheduler: AsyncIOScheduler | None = None

    def start(self, calendar: Calendar) -> None:
        """Begin to watch; needs a running event loop. Does not signal by itself."""
        if self._scheduler is not None:
            raise RuntimeError("the engine runs already")
        logging.getLogger("apscheduler").setLevel(logging.WARNING)  # it prints two lines a run
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._scheduler.add_job(
            self._signal,
            EdgeTrigger(calendar, self._clock),
            id=_JOB,
            coalesce=True,
            misfire_grace_time=None,  # the default would drop an edge that comes over a second late
            max_instances=1,
        )
        self._scheduler.start()

    def replace(self, calendar: Calendar) -> None:
        """Watch another calendar from now on."""
        if self._scheduler is not None:
            self._scheduler.reschedule_job(_JOB, trigger=EdgeTrigger(calendar, self._clock))

    def clock_stepped(self) -> None:
        """The wall clock moved: wait for the edge that is next by the new time, and signal, since edges may lie between."""
        if self._scheduler is not None:
            trigger = self._scheduler.get_job(_JOB).trigger
            self._scheduler.reschedule_job(_JOB, trigger=trigger)
            self._on_edge()

    def stop(self) -> None:
        """No signal comes after this."""
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None:
            scheduler.remove_job(_JOB)
            scheduler.shutdown(wait=False)

    async def _signal(self) -> None:
        if self._scheduler is not None:
            self._on_edge()
