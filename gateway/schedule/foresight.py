"""Warnings that need the calendar: what will not open, for how long nothing does, what the odd nights do to a window. Pure."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice

from gateway.config.rules import DateRange, ExceptionRule, ScheduleFile, Span, WindowRule
from gateway.config.settings import Settings
from gateway.schedule.calendar import HORIZON_DAYS, Calendar
from gateway.schedule.dates import Dates, readings_of
from gateway.schedule.remarks import Remark, at_key
from gateway.schedule.wallclock import DAY, WallClock, date_of, day_of
from gateway.schedule.words import (
    clock_words,
    date_words,
    dates_words,
    moment_words,
    span_words,
    time_span_words,
)

_LONG_GAP = 48 * 3600.0
_NEVER_DAYS = 7
_LOOK_AHEAD_DAYS = 14
_MOST_OPENINGS = 50_000
_MOST_DATES = 100
_WARN_AFTER = 4 * 3600.0  # the default of queue.warn_after


def foresee(file: ScheduleFile, settings: Settings | None, now: float) -> Iterator[Remark]:
    """All of these warnings, in no order."""
    calendar = Calendar(file)
    if next(calendar.openings(now, now + _NEVER_DAYS * DAY), None) is None:
        yield _nothing(file, calendar, now)
    else:
        yield from _long_gap(file, settings, now)
    yield from _never_open(file, calendar, now)
    yield from _odd_nights(file, calendar, now)
    yield from _calls(file, settings, now)
    for index, exception in enumerate(file.exceptions):
        yield from _of_exception(file, calendar, index, exception, now)


def _nothing(file: ScheduleFile, calendar: Calendar, now: float) -> Remark:
    what = f"No opening in the next {_NEVER_DAYS} days."
    if not calendar.has_windows():
        reason = "There is no window" if not file.all_windows else "No window is enabled"
        return Remark(file.line, 1, what, f"{reason}; offline, mail would wait for ever.")
    later = next(calendar.openings(now), None)
    if later is None:
        return Remark(file.line, 1, what, f"Nor in the next {HORIZON_DAYS}; offline, mail would wait for ever.")
    when = moment_words(later.opens, now, file.timezone)
    return Remark(file.line, 1, what, f"The next is {later.window.name}, {when}.")


def _long_gap(file: ScheduleFile, settings: Settings | None, now: float) -> Iterator[Remark]:
    """The longest time in which nothing may be sent, of those that end in the next two weeks."""
    sending = Calendar(_with(file, lambda rule: bool(rule.send)))
    longest, since, until = 0.0, 0.0, 0.0
    shut: float | None = None
    begins, ends = now - _NEVER_DAYS * DAY, now + _LOOK_AHEAD_DAYS * DAY
    for opening in islice(sending.openings(begins, ends), _MOST_OPENINGS):
        if shut is not None and opening.opens > now and opening.opens - shut > longest:
            longest, since, until = opening.opens - shut, shut, opening.opens
        shut = opening.closes if shut is None else max(shut, opening.closes)
    if longest <= _LONG_GAP:
        return
    after = settings.queue.warn_after if settings is not None else _WARN_AFTER
    what = (
        f"No opening from {moment_words(since, min(since, now), file.timezone)} to "
        f"{moment_words(until, min(since, now), file.timezone)} ({span_words(longest)}); "
        f"senders get a delay notice after {span_words(after)} of lateness."
    )
    yield Remark(file.line, 1, what, "Lateness counts from the opening that was planned; a window between would help.")


def _with(file: ScheduleFile, keep: Callable[[WindowRule], bool]) -> ScheduleFile:
    """The same schedule with only some of its windows."""
    exceptions = tuple(replace(e, extra=tuple(x for x in e.extra if keep(x))) for e in file.exceptions)
    return replace(file, windows=tuple(w for w in file.windows if keep(w)), exceptions=exceptions)


def _never_open(file: ScheduleFile, calendar: Calendar, now: float) -> Iterator[Remark]:
    """Enabled windows without an opening although they have days to open on."""
    today = calendar.wall.day(now)
    coming = {i for day in range(today, today + HORIZON_DAYS) for i in calendar.dates.named_on(day)}
    extras = {id(x): index for index, e in enumerate(file.exceptions) for x in e.extra}
    for rule in file.all_windows:
        owner = extras.get(id(rule))
        if not rule.enabled or (owner is not None and owner not in coming):
            continue
        alone = Calendar(_with(file, partial(operator.is_, rule)))
        if next(alone.openings(now), None) is None:
            hint = "Its times are closed by exceptions." if calendar.dates.any_closed else "Look at its days."
            yield at_key(rule, "open" if rule.open else "at", f"{rule.name} never opens.", hint)


def _odd_nights(file: ScheduleFile, calendar: Calendar, now: float) -> Iterator[Remark]:
    """Windows that the next change of the clock in each direction takes away, cuts, moves or doubles."""
    wall = calendar.wall
    first = int(now // DAY)
    seen: set[bool] = set()
    for day in range(first, first + HORIZON_DAYS):
        change = wall.change_on(day)
        if change is None or change[0] <= now:
            continue
        instant, before, after = change
        forward = after > before
        if forward in seen:
            continue
        seen.add(forward)
        low, high = instant + min(before, after), instant + max(before, after)
        for rule, begins_on in _beginning_near(file, calendar.dates, low // DAY):
            yield from (_skipped if forward else _repeated)(rule, begins_on, low, high, wall)


def _beginning_near(file: ScheduleFile, dates: Dates, day: int) -> Iterator[tuple[WindowRule, int]]:
    """Enabled windows that begin on that date or the one before."""
    for when in (day - 1, day):
        facts = dates.on(when)
        for rule in file.windows:
            if rule.enabled and rule.days is not None and facts.weekday in rule.days:
                yield rule, when
        for index in facts.named:
            for rule in file.exceptions[index].extra:
                if rule.enabled:
                    yield rule, when


def _skipped(rule: WindowRule, day: int, low: int, high: int, wall: WallClock) -> Iterator[Remark]:
    """Readings from `low` to before `high` are never shown."""
    on = date_words(date_of(low // DAY))
    jump = f"The clock jumps from {_reading(low)} to {_reading(high)}."
    for minute in rule.at:
        if low <= day * DAY + minute * 60 < high:
            what = f"{rule.name} at {clock_words(minute)} runs at {_reading(high)} on {on}."
            yield at_key(rule, "at", what, jump)
    for span in rule.open:
        start, end = readings_of(day, span)
        if low <= start and end <= high:
            yield at_key(rule, "open", f"{_called(rule, span)} does not exist on {on}.", jump)
        elif low < start < high or low < end < high:
            lasts = sum(closes - opens for opens, closes in wall.stretches(start, end))
            yield at_key(rule, "open", f"{_called(rule, span)} lasts only {span_words(lasts)} on {on}.", jump)


def _repeated(rule: WindowRule, day: int, low: int, high: int, wall: WallClock) -> Iterator[Remark]:
    """Readings from `low` to before `high` are shown twice."""
    for span in rule.open if rule.every is None else ():
        if len(wall.stretches(*readings_of(day, span))) > 1:
            what = f"{_called(rule, span)} opens twice on {date_words(date_of(low // DAY))}."
            yield at_key(rule, "open", what, f"The clock shows {_reading(low)} to {_reading(high)} twice.")


def _called(rule: WindowRule, span: Span) -> str:
    return f"{rule.name} ({time_span_words(span)})"


def _reading(reading: int) -> str:
    return clock_words(reading % DAY // 60)


def _calls(file: ScheduleFile, settings: Settings | None, now: float) -> Iterator[Remark]:
    """More calls a day than a dialled link may make."""
    limited = [link for link in settings.links if link.dial and link.dial.at_most] if settings is not None else []
    if not limited:
        return
    dialling = [rule for rule in file.all_windows if rule.enabled and rule.dial]
    calendar = Calendar(_with(file, lambda rule: rule.enabled and rule.dial))
    by_day: dict[int, int] = {}
    for opening in islice(calendar.openings(now, now + _LOOK_AHEAD_DAYS * DAY), _MOST_OPENINGS):
        day = calendar.wall.day(opening.opens)
        by_day[day] = by_day.get(day, 0) + 1
    most = max(by_day.values(), default=0)
    for link in limited:
        if link.dial is not None and link.dial.at_most is not None and most > link.dial.at_most:
            what = f"{most} openings a day may call, but link {link.name} allows {link.dial.at_most} calls per day."
            yield at_key(dialling[0], "dial", what, "Make the interval longer, or raise at_most in gateway.yaml.")


def _of_exception(
    file: ScheduleFile, calendar: Calendar, index: int, exception: ExceptionRule, now: float
) -> Iterator[Remark]:
    today = calendar.wall.day(now)
    fixed = [dates for dates in exception.dates if not dates.yearly]
    if fixed and len(fixed) == len(exception.dates) and all(day_of(dates.last) < today - 1 for dates in fixed):
        what = f"The exception of {dates_words(fixed)} is over; you may delete it."
        yield Remark(exception.line, exception.column, what, f'It is called "{exception.name}".')
        return
    yield from _leap_days(exception, today)
    days = [day for day in range(today, today + HORIZON_DAYS) if index in calendar.dates.named_on(day)]
    if exception.closed and days and not exception.extra and exception.like is None:
        closed = ((span, day) for day in days[:_MOST_DATES] for span in exception.closed)
        if len(days) <= _MOST_DATES and not _cuts(file, calendar.wall, closed):
            what = f'The exception "{exception.name}" closes nothing: no window is open then.'
            yield Remark(exception.line, exception.column, what, "Look at its dates and ranges.")


def _cuts(file: ScheduleFile, wall: WallClock, closed: Iterable[tuple[Span, int]]) -> bool:
    uncut = Calendar(replace(file, exceptions=tuple(replace(e, closed=()) for e in file.exceptions)))
    return any(
        next(uncut.openings(begins, ends), None) is not None
        for span, day in closed
        for begins, ends in wall.stretches(*readings_of(day, span))
    )


def _leap_days(exception: ExceptionRule, today: int) -> Iterator[Remark]:
    if exception.dates and all(_is_leap_day(dates) for dates in exception.dates):
        year = date_of(today).year
        while not _has_leap_day(year) or (year == date_of(today).year and date_of(today).month > 2):
            year += 1
        what = f'29 February exists in leap years only; the exception "{exception.name}" counts next in {year}.'
        yield Remark(exception.line, exception.column, what)


def _is_leap_day(dates: DateRange) -> bool:
    return dates.yearly and dates.first == dates.last and (dates.first.month, dates.first.day) == (2, 29)


def _has_leap_day(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
