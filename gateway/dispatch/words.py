"""Sizes, spans and instants in the words an operator reads."""

from __future__ import annotations

from datetime import datetime, tzinfo
from functools import lru_cache


def size_words(octets: int) -> str:
    """`2.1 MB`, `512 B`; 1 MB = 1,000,000 octets."""
    if octets < 1000:
        return f"{octets} B"
    for unit, scale in (("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)):
        value = octets / scale
        if value < 999.5 or unit == "GB":
            return f"{value:.0f} {unit}" if value >= 99.5 else f"{value:.1f} {unit}".replace(".0 ", " ")
    raise AssertionError("unreachable")


def span_words(seconds: float) -> str:
    """`20 s`, `9 min`, `2 h 5 min`, `3 days`."""
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h" + (f" {minutes} min" if minutes else "")
    return f"{round(hours / 24)} days"


@lru_cache(512)  # many messages wait for one instant
def time_words(instant: float, now: float, zone: tzinfo) -> str:
    """`12:30` today, `Tue 12:30` within a week, `2026-12-24 12:30` beyond; in the schedule's zone."""
    when, today = datetime.fromtimestamp(instant, zone), datetime.fromtimestamp(now, zone)
    if when.date() == today.date():
        return f"{when:%H:%M:%S}" if abs(instant - now) < 120 else f"{when:%H:%M}"
    if 0 < (when.date() - today.date()).days < 7:
        return f"{when:%a %H:%M}"
    return f"{when:%Y-%m-%d %H:%M}"


def count_words(number: int, noun: str = "message") -> str:
    """`1 message`, `3 messages`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
