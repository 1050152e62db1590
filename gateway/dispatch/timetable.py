"""The schedule and the standing orders in force: which openings there are now, and which mode was chosen.

Owns the calendar and the engine that fires its edges; saving the orders is the dispatcher's, since only the spool writes.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.clock import Clock
from gateway.config.rules import ScheduleFile
from gateway.config.settings import ModeName
from gateway.dispatch import orders as standing
from gateway.dispatch.orders import Orders
from gateway.events import Event, WindowEdge
from gateway.schedule.calendar import Calendar, Opening
from gateway.schedule.engine import EdgeEngine

FAR = 86400.0
"""Seconds until the openings in progress are looked up again where the calendar has no edge ahead."""


class Timetable:
    """`on_change` is called, in the loop, at every edge and after every change of an order or of the file."""

    def __init__(
        self,
        schedule: ScheduleFile,
        mode_in_file: ModeName,
        saved: bytes | None,
        clock: Clock,
        on_change: Callable[[], None],
        clock_is_set: Callable[[], bool] = lambda: True,
    ) -> None:
        """While the clock is not set, windows wait; what an operator opened by hand is open all the same."""
        self._clock, self._on_change, self._clock_is_set = clock, on_change, clock_is_set
        self.schedule = schedule
        self.orders: Orders = standing.settled(standing.decode(saved, mode_in_file), clock.now())
        self.calendar = self._make_calendar()
        self._engine = EdgeEngine(on_change, clock)
        self._current: tuple[float, float, tuple[Opening, ...]] = (0.0, 0.0, ())  # from, until, openings
        self._told: tuple[Opening, ...] = ()
        self.unsaved = False

    def start(self) -> None:
        self._engine.start(self.calendar)

    def stop(self) -> None:
        self._engine.stop()

    def clock_stepped(self, seconds: float = 0.0) -> None:
        """The wall clock jumped by so many seconds, or became set or not: look at everything again."""
        if seconds:
            orders = standing.stepped(self.orders, seconds, self._clock.now())
            if orders != self.orders:
                self.change(orders)
        self._current = (0.0, 0.0, ())
        self._engine.clock_stepped()
        self._on_change()

    def openings(self, now: float) -> tuple[Opening, ...]:
        """Those in progress, in file order."""
        since, until, openings = self._current
        if not since <= now < until:
            openings = tuple(o for o in self.calendar.open_at(now) if o.once or self._clock_is_set())
            edge = self.calendar.next_edge(now)
            self._current = (now, edge if edge is not None else now + FAR, openings)
        return openings

    def edges(self, now: float) -> list[Event]:
        """What opened and what closed since this was asked last."""
        openings, told = self.openings(now), self._told
        self._told = openings
        before = {(o.window.name, o.opens) for o in told}
        current = {(o.window.name, o.opens) for o in openings}
        events: list[Event] = [
            WindowEdge(o.window.name, "closed") for o in told if (o.window.name, o.opens) not in current
        ]
        events += [
            WindowEdge(o.window.name, "open", o.closes) for o in openings if (o.window.name, o.opens) not in before
        ]
        return events

    def take_unsaved(self) -> bytes | None:
        """The orders, if they changed since this was asked last."""
        unsaved, self.unsaved = self.unsaved, False
        return standing.encode(self.orders) if unsaved else None

    # -- orders -----------------------------------------------------------------------------------------------

    def change(self, orders: Orders) -> None:
        """Put changed orders in force."""
        self.orders = standing.settled(orders, self._clock.now())
        self.unsaved = True
        self._put_in_force()

    def replace(self, schedule: ScheduleFile, mode_in_file: ModeName) -> None:
        """The files were read again."""
        self.schedule = schedule
        self.change(standing.with_file(self.orders, mode_in_file))

    def settle(self) -> None:
        """Orders that are over are dropped."""
        current = standing.settled(self.orders, self._clock.now())
        if current != self.orders:
            self.change(current)

    def set_mode(self, mode: ModeName, lasting: float | None = None) -> None:
        self.change(standing.with_mode(self.orders, mode, self._clock.now(), lasting))

    def open_now(self, seconds: float) -> Opening:
        """`schedule open`: an opening from now on, for so many seconds, that admits everything."""
        now = self._clock.now()
        self.change(standing.with_once(self.orders, (*self.orders.once, (now, now + seconds))))
        return next(o for o in self.calendar.open_at(now) if o.once)

    def skip_next(self) -> Opening | None:
        """`schedule skip`: the opening in progress, else the next, does not take place. None if there is none."""
        now = self._clock.now()
        opening = next(iter(self.calendar.openings(now)), None)
        if opening is None:
            return None
        if opening.once:
            self.change(standing.with_once(self.orders, (o for o in self.orders.once if o[0] > now or o[1] <= now)))
        else:
            skip = (opening.window.name, opening.opens, opening.closes)
            self.change(standing.with_skips(self.orders, (*self.orders.skips, skip)))
        return opening

    def _make_calendar(self) -> Calendar:
        return Calendar(self.schedule, self.orders.openings(), self.orders.skipped())

    def _put_in_force(self) -> None:
        self.calendar = self._make_calendar()
        self._current = (0.0, 0.0, ())
        self._engine.replace(self.calendar)
        self._on_change()
