"""What the schedule file says, parsed (DESIGN section 5). Plain rules; the arithmetic is `gateway.schedule`'s.

Times of day are minutes from 00:00, 0 to 1440; weekdays 0 (Monday) to 6; sizes octets; durations seconds. Lines are
1-based lines of the schedule file. Rules are frozen and hashable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from gateway.config.settings import BudgetSettings, NotInForce
from gateway.mail.envelope import CLASSES, Class


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of wall-clock time, end exclusive. `end <= start` means that it ends on the next day (22:00-05:00:
    1320, 300). `start` is 0..1439, `end` 1..1440; they are never equal modulo a day, but for 0, 1440: the whole day."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Minutes on the wall clock."""
        return self.end - self.start if self.end > self.start else self.end + 1440 - self.start


@dataclass(frozen=True, slots=True)
class Condition:
    """One term of `only_if`; terms are joined by `or`. `amount`: seconds, messages or octets, by kind."""

    kind: Literal["urgent waiting", "oldest over", "more messages than", "more octets than"]
    amount: float = 0


@dataclass(frozen=True, slots=True)
class WindowRule:
    """One window. Exactly one of `open` and `at` is not empty. `days` is None only in an exception's `extra`."""

    name: str
    days: frozenset[int] | None
    open: tuple[Span, ...] = ()
    at: tuple[int, ...] = ()
    every: float | None = None
    longest: float = 900.0  # the key `for`; counts for `at` and `every`
    only_if: tuple[Condition, ...] = ()
    send: tuple[Class, ...] = CLASSES  # () is `none`
    max_message: int | None = None
    budget: BudgetSettings | None = None
    fetch: tuple[str, ...] | Literal["all"] = ()
    dial: bool = False
    via: str | None = None
    enabled: bool = True
    note: str | None = None
    line: int = 0
    key_lines: tuple[tuple[str, int], ...] = ()
    key_columns: tuple[tuple[str, int], ...] = ()  # 1-based column at which the key's value begins

    def line_of(self, key: str) -> int:
        """The line at which `key` is written for this window (also in `defaults`), else that of the window."""
        return dict(self.key_lines).get(key, self.line)

    def column_of(self, key: str) -> int:
        """The column at which the value of `key` begins on `line_of(key)`, 1 where that is not known."""
        return dict(self.key_columns).get(key, 1)

    def admits(self, message_class: Class, size: int) -> bool:
        """Would this window, open, let a message of this class and size (octets) leave?"""
        return message_class in self.send and (self.max_message is None or size <= self.max_message)


@dataclass(frozen=True, slots=True)
class DateRange:
    """Dates, both ends included. With `yearly` only month and day count (the year stored is 2000, a leap year) and
    `last` may lie before `first`, across New Year. 29 February of a yearly range exists in leap years only."""

    first: date
    last: date
    yearly: bool = False


@dataclass(frozen=True, slots=True)
class ExceptionRule:
    """A dated deviation. `closed`: spans; `all day` is Span(0, 1440). `like`: a weekday or None."""

    name: str
    dates: tuple[DateRange, ...]
    like: int | None = None
    closed: tuple[Span, ...] = ()
    extra: tuple[WindowRule, ...] = ()
    line: int = 0
    column: int = 1


@dataclass(frozen=True, slots=True)
class ScheduleFile:
    """The whole schedule file. Without one there are no windows, and times are shown in UTC."""

    path: Path | None = None
    timezone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    windows: tuple[WindowRule, ...] = ()
    exceptions: tuple[ExceptionRule, ...] = ()
    not_in_force: tuple[NotInForce, ...] = ()
    line: int = 1  # of the key `windows`

    @property
    def all_windows(self) -> tuple[WindowRule, ...]:
        """Windows, then the extra ones of exceptions: file order, by which the first that admits a message decides."""
        return self.windows + tuple(extra for exception in self.exceptions for extra in exception.extra)
