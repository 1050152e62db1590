"""What wakes the gateway at the edges."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from gateway.clock import SystemClock, utc
from gateway.config.rules import ScheduleFile, Span, WindowRule
from gateway.schedule.calendar import Calendar, Once
from gateway.schedule.engine import EdgeEngine, EdgeTrigger
from tests.support.clock import FakeClock

EVERY_DAY = frozenset(range(7))
DAY = WindowRule("Day", EVERY_DAY, open=(Span(8 * 60, 18 * 60),))


def instant(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


class Signals:
    """Keeps what the machine's clock said at each signal."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self._came = asyncio.Event()

    def __call__(self) -> None:
        self.at.append(SystemClock().now())
        self._came.set()

    async def number(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.at) < count:
                self._came.clear()
                await self._came.wait()


def test_the_trigger_answers_with_the_next_edge_strictly_after_now() -> None:
    eight, eighteen = instant("2026-11-24T08:00"), instant("2026-11-24T18:00")
    trigger = EdgeTrigger(Calendar(ScheduleFile(windows=(DAY,))), FakeClock(eight))
    assert trigger.get_next_fire_time(None, utc(eight)) == utc(eighteen)
    trigger.clock.step(-1)
    assert trigger.get_next_fire_time(None, utc(eight - 1)) == utc(eight)


def test_the_trigger_of_another_clock_waits_as_long_as_that_clock_says() -> None:
    clock = FakeClock(instant("2026-11-24T07:59:30"))
    trigger = EdgeTrigger(Calendar(ScheduleFile(windows=(DAY,))), clock)
    machine = datetime(2030, 5, 5, tzinfo=UTC)
    assert trigger.get_next_fire_time(None, machine) == machine + timedelta(seconds=30)


def test_without_an_edge_the_trigger_looks_again_tomorrow() -> None:
    now = instant("2026-11-24T08:00")
    trigger = EdgeTrigger(Calendar(ScheduleFile()), FakeClock(now))
    assert trigger.get_next_fire_time(None, utc(now)) == utc(now + 86400)


def test_a_start_in_1970_leads_to_one_edge_and_not_to_all_that_were_missed() -> None:
    now = instant("2026-11-24T07:00")
    trigger = EdgeTrigger(Calendar(ScheduleFile(windows=(DAY,))), FakeClock(now))
    missed = trigger.get_next_fire_time(utc(0.0), utc(now))
    assert missed == utc(instant("2026-11-24T08:00"))


def test_every_edge_is_signalled_and_not_before_its_time() -> None:
    async def scenario() -> None:
        now = SystemClock().now()
        edges = [now + 0.05, now + 0.1, now + 0.15]
        calendar = Calendar(ScheduleFile(), once=[Once(edges[0], edges[1]), Once(edges[1], edges[2])])
        signals = Signals()
        engine = EdgeEngine(signals, SystemClock())
        engine.start(calendar)
        await signals.number(3)
        engine.stop()
        assert all(at >= edge for at, edge in zip(signals.at, edges, strict=True))

    asyncio.run(scenario())


def test_a_replaced_calendar_is_watched_from_then_on() -> None:
    async def scenario() -> None:
        signals = Signals()
        engine = EdgeEngine(signals, SystemClock())
        engine.start(Calendar(ScheduleFile()))
        now = SystemClock().now()
        engine.replace(Calendar(ScheduleFile(), once=[Once(now + 0.05, now + 3600)]))
        await signals.number(1)
        engine.stop()

    asyncio.run(scenario())


def test_after_a_step_back_the_edge_comes_by_the_new_time() -> None:
    async def scenario() -> None:
        clock = FakeClock(instant("2026-11-24T09:00"))
        signals = Signals()
        engine = EdgeEngine(signals, clock)
        engine.start(Calendar(ScheduleFile(windows=(DAY,))))
        clock.step(-3600.05)  # a moment before 08:00; the engine waited for 18:00
        engine.clock_stepped()
        assert len(signals.at) == 1  # at once, since edges may lie between
        await signals.number(2)
        engine.stop()

    asyncio.run(scenario())


def test_nothing_is_signalled_after_stop_and_the_log_stays_silent() -> None:
    async def scenario() -> None:
        signals = Signals()
        engine = EdgeEngine(signals, SystemClock())
        now = SystemClock().now()
        engine.start(Calendar(ScheduleFile(), once=[Once(now + 0.02, now + 0.04)]))
        engine.stop()
        engine.stop()
        engine.clock_stepped()
        engine.replace(Calendar(ScheduleFile()))
        await asyncio.sleep(0.06)
        assert signals.at == []

    asyncio.run(scenario())
    assert not logging.getLogger("apscheduler.scheduler").isEnabledFor(logging.INFO)
