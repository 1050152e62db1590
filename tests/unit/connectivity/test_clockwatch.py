"""The clock watch: who is told of a step, a sleep, and of a clock that becomes set."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from gateway.connectivity import clockset
from gateway.connectivity.clockhost import LinuxClocks
from gateway.connectivity.clockset import Reading
from gateway.connectivity.clockwatch import ClockStep, ClockWatch
from gateway.events import Event, Journal, Remark
from tests.support.clock import FakeClock

DAY = 86400.0


class FakeHost:
    """Clocks that the test sets, and a pipe that tells of it."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.slept = 0.0
        self.is_synchronised = False
        self._write: int | None = None

    def read(self, now: float) -> Reading:
        return Reading(now, self._clock.monotonic() + self.slept, "boot-1", self.is_synchronised)

    def open(self) -> int | None:
        read, self._write = os.pipe()
        return read

    def rearm(self, descriptor: int) -> None:
        os.read(descriptor, 8)

    def tell(self) -> None:
        assert self._write is not None
        os.write(self._write, b"x")

    def close(self) -> None:
        if self._write is not None:
            os.close(self._write)


class Office:
    def __init__(self, now: float = 1_780_000_000.0, saved: bytes | None = None) -> None:
        self.clock = FakeClock(now)
        self.host = FakeHost(self.clock)
        self.steps: list[ClockStep] = []
        self.changes = 0
        self.events: list[Event] = []
        journal = Journal()
        journal.subscribe(self.events.append)
        self.watch = ClockWatch(
            self.clock, saved, journal=journal, on_step=self.steps.append, on_change=self.changed, host=self.host
        )

    def changed(self) -> None:
        self.changes += 1


def run(office: Office, body: Callable[[], None]) -> None:
    async def main() -> None:
        office.watch.start()
        try:
            body()
            await asyncio.sleep(0)
        finally:
            office.watch.stop()
            office.host.close()

    asyncio.run(main())


def test_a_step_is_told_with_its_length_and_passing_time_is_not() -> None:
    office = Office()

    def body() -> None:
        office.clock.advance(5000)
        office.watch.look()
        assert office.steps == []
        office.clock.advance(10)
        office.clock.step(-7200)
        office.watch.look()
        assert office.steps == [ClockStep(-7200.0, 0.0)]
        assert office.events[-1] == Remark("clock", "was set back by 7200.0 s")

    run(office, body)


def test_a_sleep_is_told_and_is_no_step() -> None:
    office = Office()

    def body() -> None:
        office.clock.step(3600)  # the wall clock went on while the machine slept, as a clock does
        office.host.slept += 3600
        office.watch.look()
        assert office.steps == [ClockStep(0.0, 3600.0)]
        assert office.events == []

    run(office, body)


def test_what_a_time_server_does_every_day_is_told_to_nobody() -> None:
    office = Office()

    def body() -> None:
        office.clock.step(0.3)
        office.watch.look()
        assert office.steps == []

    run(office, body)


def test_the_machines_word_is_heard_in_the_loop() -> None:
    office = Office()

    async def main() -> None:
        office.watch.start()
        try:
            office.clock.step(60)
            office.host.tell()
            async with asyncio.timeout(5):
                while not office.steps:  # what is waited for is the loop's own turns
                    await asyncio.sleep(0)
        finally:
            office.watch.stop()
            office.host.close()

    asyncio.run(main())
    assert office.steps == [ClockStep(60.0, 0.0)]


def test_a_clock_that_is_not_set_becomes_set_by_a_step_and_both_are_said() -> None:
    office = Office(now=1000.0)
    assert not office.watch.is_set
    assert "before this program was made" in office.watch.why
    assert len(office.events) == 1

    def body() -> None:
        office.clock.step(1_780_000_000.0)
        office.watch.look()
        assert office.watch.is_set
        assert office.changes == 1
        assert len(office.steps) == 1

    run(office, body)


def test_an_operators_word_is_enough() -> None:
    office = Office(now=1000.0)

    def body() -> None:
        office.watch.accept()
        assert office.watch.is_set
        assert office.changes == 1
        saved = office.watch.take_unsaved()
        assert saved is not None
        assert Office(now=2000.0, saved=saved).watch.is_set
        assert office.watch.take_unsaved() is None

    run(office, body)


def test_a_floor_that_fell_because_the_clock_is_synchronised_is_saved() -> None:
    saved = clockset.encode(clockset.Standing(floor=1_780_000_000.0 + 10 * DAY))
    office = Office(saved=saved)
    assert not office.watch.is_set

    def body() -> None:
        office.watch.take_unsaved()
        office.host.is_synchronised = True
        office.watch.look()
        assert office.watch.is_set
        assert office.watch.take_unsaved() is not None

    run(office, body)


def test_the_machines_own_clocks_can_be_read_and_its_timer_is_silent_while_nothing_happens() -> None:
    host = LinuxClocks()
    reading = host.read(time.time())
    assert reading.since_boot > 0
    assert reading.boot
    descriptor = host.open()
    assert descriptor is not None
    try:
        for _ in range(2):
            armed = Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
            assert "clockid: 0" in armed  # the wall clock
            assert "settime flags: 03" in armed  # absolute, and cancelled when that is set
            host.rearm(descriptor)
        heard: list[None] = []

        async def listen() -> None:
            loop = asyncio.get_running_loop()
            loop.add_reader(descriptor, heard.append, None)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            loop.remove_reader(descriptor)

        asyncio.run(listen())
        assert heard == []
    finally:
        os.close(descriptor)
