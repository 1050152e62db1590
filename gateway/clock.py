"""Time as an argument: nothing in the gateway reads a clock but through one of these."""

from __future__ import annotations

import functools
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Two clocks. `now` may step either way; `monotonic` never goes back and is for waits and ages."""

    def now(self) -> float:
        """Seconds since 1970 (UTC), as the machine believes."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment in the past, never stepping."""
        ...


class SystemClock:
    """The machine's own clocks."""

    __slots__ = ()

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def utc(instant: float) -> datetime:
    """The instant as an aware datetime in UTC."""
    return datetime.fromtimestamp(instant, UTC)


def iso(instant: float) -> str:
    """ISO 8601 in UTC with seconds, `2026-03-01T06:10:00Z`: the form of records and log lines."""
    return _second(int(instant))


@functools.lru_cache(maxsize=16)
def _second(instant: int) -> str:
    # A busy gateway logs hundreds of lines in the same second.
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
