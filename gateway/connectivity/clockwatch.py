"""Watches the machine's clock: notices within a second that it was set or that the machine slept, and keeps what tells a clock
that cannot be right. What a step means for windows, retries and ages is dispatch's business; the judgement is `clockset`'s.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

from gateway.clock import Clock
from gateway.connectivity import clockset
from gateway.connectivity.clockhost import ClockHost, LinuxClocks
from gateway.events import Journal, Remark

NOTEWORTHY = 0.5
"""Seconds of a step or a sleep below which nobody is told."""

HOURLY = 3600.0
UNSET = 10.0
"""Seconds between looks while the clock is not set: the kernel does not tell when a time server has done its work."""

DEAF = 1.0
"""The same where the machine has no timer that tells of steps."""


@dataclass(frozen=True, slots=True)
class ClockStep:
    """`seconds`: by which the wall clock jumped, forward if positive, beyond the time that passed. `slept`: seconds for which
    the machine was suspended, in which timers stood still."""

    seconds: float
    slept: float


class ClockWatch:
    """`on_step` is called, in the loop, after a step or a sleep; `on_change` when the clock becomes set or not.

    `saved` is the spool's state `clockset.STATE`; when `take_unsaved` gives octets, the owner writes them there;
    `on_unsaved` says that there are some.
    """

    def __init__(
        self,
        clock: Clock,
        saved: bytes | None,
        *,
        journal: Journal,
        on_step: Callable[[ClockStep], None],
        on_change: Callable[[], None],
        host: ClockHost | None = None,
        on_unsaved: Callable[[], None] = lambda: None,
        built: float = clockset.BUILT,
    ) -> None:
        self._clock, self._journal, self._built = clock, journal, built
        self._on_step, self._on_change, self._on_unsaved = on_step, on_change, on_unsaved
        self._host: ClockHost = host if host is not None else LinuxClocks()
        self._standing = clockset.decode(saved)
        self._unsaved = False
        self._descriptor: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._seen = self._host.read(clock.now())
        self._monotonic = clock.monotonic()
        self.is_set, self.why = True, ""
        self._take(self._seen)
        self._judge()

    def start(self) -> None:
        self._descriptor = self._host.open()
        if self._descriptor is not None:
            asyncio.get_running_loop().add_reader(self._descriptor, self._told)
        self._arm()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._descriptor is not None:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def accept(self) -> None:
        """`clock accept`: the operator says that the clock is right."""
        self._standing = clockset.accept(self._standing, self._clock.now())
        self._unsaved = True
        self._journal.record(Remark("clock", "accepted by an operator"))
        self._judge()
        self._arm()

    def take_unsaved(self) -> bytes | None:
        """What is to be written to the spool's state, once; None if nothing is new."""
        if not self._unsaved:
            return None
        self._unsaved = False
        return clockset.encode(self._standing)

    @property
    def earliest(self) -> float | None:
        """The time that it is at least, where the clock is not set; None where it is."""
        return None if self.is_set else clockset.earliest(self._standing, self._built)

    def look(self) -> None:
        """Read the clocks, and tell what follows."""
        before, monotonic_before = self._seen, self._monotonic
        self._seen, self._monotonic = self._host.read(self._clock.now()), self._clock.monotonic()
        step = self._seen.offset - before.offset
        slept = (self._seen.since_boot - before.since_boot) - (self._monotonic - monotonic_before)
        self._take(self._seen)
        self._judge()
        if abs(step) >= NOTEWORTHY or slept >= NOTEWORTHY:
            if abs(step) >= NOTEWORTHY:
                way = "forward" if step > 0 else "back"
                self._journal.record(Remark("clock", f"was set {way} by {abs(step):.1f} s"))
            self._on_step(ClockStep(step, max(0.0, slept)))
        self._arm()

    def _told(self) -> None:
        assert self._descriptor is not None
        self._host.rearm(self._descriptor)
        self.look()

    def _take(self, reading: clockset.Reading) -> None:
        standing = clockset.observe(self._standing, reading, self._built)
        changed, self._standing = standing != self._standing, standing
        if changed:
            self._unsaved = True
            self._on_unsaved()

    def _judge(self) -> None:
        was, first = self.is_set, not self.why
        self.is_set, self.why = clockset.judge_clock(self._standing, self._clock.now(), self._built)
        if was != self.is_set:
            self._journal.record(Remark("clock", self.why))
            if not first:
                self._on_change()

    def _arm(self) -> None:
        """Now and then: for the floor, and for a time server that has done its work."""
        if self._timer is not None:
            self._timer.cancel()
        delay = HOURLY if self.is_set else UNSET
        if self._descriptor is None:
            delay = DEAF
        self._timer = asyncio.get_running_loop().call_later(delay, self.look)
