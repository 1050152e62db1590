"""A clock that stands until it is moved."""

from __future__ import annotations


class FakeClock:
    """`advance` moves both clocks; `step` only the wall clock, as an operator or NTP does."""

    def __init__(self, now: float = 1_780_000_000.0) -> None:
        self._now = now
        self._monotonic = 1000.0

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        assert seconds >= 0
        self._now += seconds
        self._monotonic += seconds

    def step(self, seconds: float) -> None:
        self._now += seconds
