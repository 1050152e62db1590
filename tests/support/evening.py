"""A zone of the world in which it is evening now: between office hours and night, whenever the tests run.

A schedule in that zone has its windows where a test expects them, though the gateway's clock is the machine's.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

HOUR = 19
"""What the clock shows there, and whatever minutes it is: no window of an office is open, the night's is the next."""


def evening_zone(now: datetime | None = None) -> str:
    """The name of a zone whose clock shows HOUR. (The sign of these names is the wrong way round: POSIX.)"""
    hour = (now if now is not None else datetime.now(UTC)).astimezone(UTC).hour
    ahead = (HOUR - hour + 12) % 24 - 12
    return f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"


def weekday_of_this_week(number: int, zone: str) -> date:
    """Monday is 0, and 7 the Monday after, by that zone's clock."""
    today = datetime.now(ZoneInfo(zone)).date()
    return today - timedelta(days=today.weekday()) + timedelta(days=number)
