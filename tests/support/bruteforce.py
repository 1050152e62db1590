"""When windows are open, worked out the slow way: minute after minute, by the words of DESIGN section 5.

Written apart from `gateway.schedule`, to be compared with it; shares no code with it and looks at nothing but the rules.
Every date, offset and duration must be of whole minutes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta

from gateway.config.rules import DateRange, ExceptionRule, ScheduleFile, Span, WindowRule

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def open_minutes(file: ScheduleFile, start: datetime, end: datetime) -> dict[int, set[datetime]]:
    """By index in `file.all_windows`: the minutes (UTC) from start to before end in which that window is open."""
    # Some days around, for what began before: enough for the longest `for` that the tests use (25 h).
    minutes = [start - 4 * DAY + i * MINUTE for i in range(int((end - start + 6 * DAY) / MINUTE))]
    walls = [m.astimezone(file.timezone).replace(tzinfo=None) for m in minutes]
    first_shown: dict[datetime, int] = {}
    for position, wall in enumerate(walls):
        first_shown.setdefault(wall, position)
    inside = {i for i, minute in enumerate(minutes) if start <= minute < end}
    closed = _closed(file, {wall.date() for wall in walls})
    shut = {i for i in inside if any(begins <= walls[i] < ends for begins, ends in closed)}
    owners: list[ExceptionRule | None] = [None] * len(file.windows)
    for exception in file.exceptions:
        owners += [exception] * len(exception.extra)
    result: dict[int, set[datetime]] = {}
    for index, (rule, owner) in enumerate(zip(file.all_windows, owners, strict=True)):
        positions: set[int] = set()
        if rule.enabled:
            day = walls[0].date()
            while day <= walls[-1].date():
                if _begins_on(file, rule, owner, day):
                    positions |= _minutes_begun_on(rule, day, walls, first_shown)
                day += DAY
        result[index] = {minutes[p] for p in (positions - shut) & inside}
    return result


def _minutes_begun_on(rule: WindowRule, day: date, walls: list[datetime], first_shown: dict[datetime, int]) -> set[int]:
    found: set[int] = set()
    for at in rule.at:
        mark = _position_of(_clock(day, at), walls, first_shown)
        if mark is not None:
            found |= set(range(mark, min(mark + int(rule.longest // 60), len(walls))))
    for span in rule.open:
        begins, ends = _clock(day, span.start), _clock(day, span.start) + span.length * MINUTE
        near = range(*_neighbourhood(begins, ends, walls, first_shown))
        shown = {i for i in near if begins <= walls[i] < ends}
        if rule.every is None:
            found |= shown
            continue
        wall = begins
        while wall < ends:
            mark = _position_of(wall, walls, first_shown)
            if mark is not None:
                found |= {i for i in range(mark, mark + int(rule.longest // 60)) if i in shown}
            wall += timedelta(seconds=rule.every)
    return found


def _neighbourhood(
    begins: datetime, ends: datetime, walls: list[datetime], first_shown: dict[datetime, int]
) -> tuple[int, int]:
    low = first_shown.get(begins - DAY, 0)
    high = first_shown.get(ends + DAY, len(walls))
    return low, high


def _position_of(wall: datetime, walls: list[datetime], first_shown: dict[datetime, int]) -> int | None:
    """The first minute that shows this reading; if it is skipped, the first after the skip; None if out of sight."""
    if wall in first_shown:
        return first_shown[wall]
    if not walls[0] < wall < walls[-1]:
        return None
    while wall not in first_shown:
        wall += MINUTE
    return first_shown[wall]


def _clock(day: date, minutes: int) -> datetime:
    return datetime.combine(day, time()) + minutes * MINUTE


def _begins_on(file: ScheduleFile, rule: WindowRule, owner: ExceptionRule | None, day: date) -> bool:
    if owner is not None:
        return _names(owner.dates, day)
    weekday = day.weekday()
    for exception in file.exceptions:
        if exception.like is not None and _names(exception.dates, day):
            weekday = exception.like
    assert rule.days is not None
    return weekday in rule.days


def _closed(file: ScheduleFile, days: set[date]) -> list[tuple[datetime, datetime]]:
    """What the clock on the wall must not show, for the exceptions of these dates."""
    found = []
    for exception in file.exceptions:
        for day in days:
            if exception.closed and _names(exception.dates, day):
                found += [_covered(day, span) for span in exception.closed]
    return found


def _covered(day: date, span: Span) -> tuple[datetime, datetime]:
    begins = _clock(day, span.start)
    ends = _clock(day, span.end) if span.end > span.start else _clock(day + DAY, span.end)
    return begins, ends


def _names(ranges: Iterable[DateRange], day: date) -> bool:
    for dates in ranges:
        if not dates.yearly:
            if dates.first <= day <= dates.last:
                return True
            continue
        this = (day.month, day.day)
        first, last = (dates.first.month, dates.first.day), (dates.last.month, dates.last.day)
        if first <= last:
            if first <= this <= last:
                return True
        elif this >= first or this <= last:
            return True
    return False


def runs(minutes: set[datetime]) -> list[tuple[float, float]]:
    """Minutes as stretches of seconds since 1970, those that touch joined."""
    found: list[tuple[float, float]] = []
    for minute in sorted(minutes):
        begins = minute.astimezone(UTC).timestamp()
        if found and found[-1][1] == begins:
            found[-1] = (found[-1][0], begins + 60.0)
        else:
            found.append((begins, begins + 60.0))
    return found
