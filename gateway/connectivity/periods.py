"""Days, weeks and months in which calls and octets are counted, by a clock that may be wrong. Pure."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Per = Literal["day", "week", "month"]


def period_of(now: float, per: Per, zone: ZoneInfo) -> str:
    """The first date of the period in which this instant lies, on the calendar of the zone: `2026-11-23`. Weeks begin on
    Monday. Later periods sort later."""
    return _first(_date(now, zone), per).isoformat()


def period_ends(now: float, per: Per, zone: ZoneInfo) -> float:
    """The instant at which the next period begins: midnight by the clock on the wall, so a day may last 23 or 25 hours."""
    first = _first(_date(now, zone), per)
    match per:
        case "day":
            following = first + timedelta(days=1)
        case "week":
            following = first + timedelta(days=7)
        case "month":
            following = (first + timedelta(days=32)).replace(day=1)
    return datetime(following.year, following.month, following.day, tzinfo=zone).timestamp()


def turn(counted: str, current: str, trusted: bool) -> tuple[str, bool]:
    """The period to count in from now on, and whether its count begins at zero. `counted`: the one counted in so far, empty
    at the very beginning; `trusted`: the clock is set.

    Only a clock that is set, and that shows a later period, begins a new count. One that cannot be right goes on counting in
    what was begun, else a box that starts in 1970 would have a fresh month after every power cut. One that was put back takes
    its count along: a day in the wrong year must not block the years until then.
    """
    if not trusted:
        return counted, False
    return current, bool(counted) and current > counted


def _date(now: float, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(now, zone).date()


def _first(day: date, per: Per) -> date:
    match per:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
