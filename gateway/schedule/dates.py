"""Which exceptions name a date, and what that makes of it (DESIGN section 5, rule 1). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from gateway.config.rules import DateRange, ExceptionRule, Span
from gateway.schedule.wallclock import DAY, Stretch, WallClock, date_of, day_of

_MOST_DAYS_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class DayFacts:
    """`weekday`: of the date, or what the last `like` makes it. `named`: indices of the exceptions that name the date.
    `closed`: the instants that its exceptions close, which may reach into the next date."""

    weekday: int
    named: tuple[int, ...]
    closed: tuple[Stretch, ...]


class Dates:
    """The exceptions of a schedule, asked by day number. Remembers a bounded number of days."""

    __slots__ = ("_exceptions", "_facts", "_ranges", "_single", "_wall", "_yearly", "any_closed")

    def __init__(self, exceptions: Sequence[ExceptionRule], wall: WallClock) -> None:
        self._exceptions = tuple(exceptions)
        self._wall = wall
        self._single: dict[int, set[int]] = {}
        self._yearly: dict[tuple[int, int], set[int]] = {}
        self._ranges: list[tuple[int, int, int]] = []
        self._facts: dict[int, DayFacts] = {}
        self.any_closed = any(exception.closed for exception in exceptions)
        for index, exception in enumerate(exceptions):
            for dates in exception.dates:
                self._learn(index, dates)

    def on(self, day: int) -> DayFacts:
        known = self._facts.get(day)
        if known is None:
            if len(self._facts) >= _MOST_DAYS_REMEMBERED:
                self._facts.clear()
            known = self._facts[day] = self._judge(day)
        return known

    def named_on(self, day: int) -> tuple[int, ...]:
        """Indices of the exceptions that name this date, in file order."""
        when = date_of(day)
        named = set(self._single.get(day, ()))
        named |= self._yearly.get((when.month, when.day), set())
        named.update(index for first, last, index in self._ranges if first <= day <= last)
        return tuple(sorted(named))

    def _judge(self, day: int) -> DayFacts:
        named = self.named_on(day)
        weekday = (day + 3) % 7  # 1970-01-01 was a Thursday
        closed: list[Stretch] = []
        for index in named:
            exception = self._exceptions[index]
            if exception.like is not None:
                weekday = exception.like
            for span in exception.closed:
                closed += self._wall.stretches(*readings_of(day, span))
        return DayFacts(weekday, named, tuple(sorted(closed)))

    def _learn(self, index: int, dates: DateRange) -> None:
        if dates.yearly:
            for month_day in yearly_days(dates):
                self._yearly.setdefault(month_day, set()).add(index)
        elif dates.first == dates.last:
            self._single.setdefault(day_of(dates.first), set()).add(index)
        else:
            self._ranges.append((day_of(dates.first), day_of(dates.last), index))


def readings_of(day: int, span: Span) -> tuple[int, int]:
    """The readings of a span that begins on this date: first, and first that is not in it any more."""
    start = day * DAY + span.start * 60
    return start, start + span.length * 60


def yearly_days(dates: DateRange) -> list[tuple[int, int]]:
    """Month and day of every date that a yearly range names; it may run across New Year."""
    step, days = date(2000, dates.first.month, dates.first.day), []
    while True:
        days.append((step.month, step.day))
        if (step.month, step.day) == (dates.last.month, dates.last.day):
            return days
        step += timedelta(days=1)
        if step.year > 2000:
            step = date(2000, 1, 1)
