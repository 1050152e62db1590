"""What an operator orders for all mail: the mode, openings by hand and skips, the clock, another schedule, a reload."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from gateway.clock import Clock
from gateway.config.settings import ModeName
from gateway.desk import schedule_file, status
from gateway.desk.arguments import number, one_text
from gateway.desk.choice import Choice
from gateway.desk.view import iso
from gateway.dispatch.dispatcher import Dispatcher
from gateway.errors import NotNow, UsageError
from gateway.events import Journal, WindowEdge

MODES: tuple[ModeName, ...] = ("auto", "online", "offline", "stopped")

Answer = AsyncIterator[Any]


class PlanOrders:
    """An order is judged and on disk when it is answered. `reload`: as the desk's."""

    def __init__(
        self, dispatcher: Dispatcher, clock: Clock, journal: Journal, choice: Choice, reload: Callable[[], None]
    ) -> None:
        self._dispatcher, self._clock, self._journal = dispatcher, clock, journal
        self._choice, self._reload = choice, reload
        self._trial = schedule_file.Trial()

    async def op_mode(self, arguments: dict[str, Any]) -> Answer:
        mode = arguments.get("mode")
        if mode is not None:
            if mode not in MODES:
                raise UsageError(f'"{mode}" is not a mode; modes are {", ".join(MODES)}')
            self._dispatcher.timetable.set_mode(mode, number(arguments, "for"))
            await self._dispatcher.settled()
        yield status.mode_row(self._dispatcher)

    async def op_open(self, arguments: dict[str, Any]) -> Answer:
        seconds = number(arguments, "seconds")
        if seconds is None or not 1 <= seconds <= 7 * 86400:
            raise UsageError("an opening lasts from 1 s to 7 days")
        opening = self._dispatcher.timetable.open_now(seconds)
        await self._dispatcher.settled()
        yield {"window": opening.window.name, "opens": self._iso(opening.opens), "closes": self._iso(opening.closes)}

    async def op_skip(self, arguments: dict[str, Any]) -> Answer:
        del arguments
        opening = self._dispatcher.timetable.skip_next()
        if opening is None:
            raise NotNow("the schedule has no opening ahead")
        self._journal.record(WindowEdge(opening.window.name, "skipped", opening.closes, "skipped by an operator"))
        await self._dispatcher.settled()
        yield {"window": opening.window.name, "opens": self._iso(opening.opens), "closes": self._iso(opening.closes)}

    async def op_clock_accept(self, arguments: dict[str, Any]) -> Answer:
        """The operator says that the clock is right."""
        del arguments
        watch = self._dispatcher.clock_watch
        if watch is None:
            raise NotNow("nobody watches the clock")
        watch.accept()
        await self._dispatcher.settled()
        yield {"clock": self._iso(self._clock.now()), "is_set": watch.is_set}

    async def op_simulate(self, arguments: dict[str, Any]) -> Answer:
        """When would the waiting messages leave under another schedule file?"""
        changed = schedule_file.read(Path(one_text(arguments, "file")), self._dispatcher.settings)
        situation = schedule_file.under(self._dispatcher.situation(), changed)
        async for row in self._choice.rows(situation=situation):
            yield row

    async def op_apply(self, arguments: dict[str, Any]) -> Answer:
        """Put another schedule file in force; with `confirm` seconds, go back unless it is said again within them."""
        path = Path(one_text(arguments, "file"))
        yield await self._trial.apply(
            path, self._dispatcher.settings, number(arguments, "confirm"), self._reload, self._journal
        )

    async def op_reload(self, arguments: dict[str, Any]) -> Answer:
        del arguments
        self._reload()
        await self._dispatcher.settled()
        waiting = [*self._dispatcher.settings.not_in_force, *self._dispatcher.timetable.schedule.not_in_force]
        yield {"result": "reloaded", "not_in_force": [str(key) for key in waiting]}

    def _iso(self, instant: float) -> str:
        return iso(instant, self._dispatcher.timetable.schedule.timezone)
