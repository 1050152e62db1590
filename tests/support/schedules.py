"""Random schedules, within what the grammar allows; the same seed makes the same schedule."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from gateway.config.rules import DateRange, ExceptionRule, ScheduleFile, Span, WindowRule

ZONES = ("Europe/Prague", "America/New_York", "Australia/Lord_Howe", "UTC", "Africa/Nairobi", "Asia/Kathmandu")

# Days around which something happens: both changes of each zone, New Year, 28 February to 1 March of a leap year.
ODD_DAYS = {
    "Europe/Prague": (date(2026, 3, 29), date(2026, 10, 25), date(2027, 3, 28)),
    "America/New_York": (date(2026, 3, 8), date(2026, 11, 1)),
    "Australia/Lord_Howe": (date(2026, 4, 5), date(2026, 10, 4)),
}
PLAIN_DAYS = (date(2026, 11, 24), date(2027, 1, 1), date(2028, 2, 29), date(2027, 3, 1))


def random_file(random: Random) -> tuple[ScheduleFile, datetime]:
    """A schedule and an instant (UTC, a whole minute) near a day on which its rules matter."""
    zone = random.choice(ZONES)
    day = random.choice(ODD_DAYS.get(zone, ()) * 2 + PLAIN_DAYS)
    windows = tuple(_window(random, f"w{i}", days=True) for i in range(random.randint(1, 3)))
    exceptions = tuple(_exception(random, f"e{i}", day) for i in range(random.choice((0, 1, 1, 2, 3))))
    start = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo("UTC")) - timedelta(hours=random.randint(0, 40))
    start += timedelta(minutes=random.randint(0, 59))
    return ScheduleFile(timezone=ZoneInfo(zone), windows=windows, exceptions=exceptions), start


def _minute(random: Random) -> int:
    if random.random() < 0.5:
        return random.choice((0, 60, 90, 105, 119, 120, 135, 150, 165, 179, 180, 1320, 1380, 1439))
    return random.randint(0, 287) * 5


def _span(random: Random) -> Span:
    if random.random() < 0.1:
        return Span(0, 1440)
    while True:
        start, end = _minute(random), _minute(random) or 1440
        if start % 1440 != end % 1440:
            return Span(start, end)


def _window(random: Random, name: str, days: bool) -> WindowRule:
    on = frozenset(random.sample(range(7), random.randint(1, 7))) if days else None
    longest = 60.0 * random.choice((1, 5, 15, 15, 45, 90, 1500))
    enabled = random.random() < 0.95
    if random.random() < 0.35:
        at = tuple(_minute(random) for _ in range(random.randint(1, 3)))
        return WindowRule(name, on, at=at, longest=longest, enabled=enabled)
    every = random.choice((None, None, 7, 10, 30, 60, 100, 600))
    spans = tuple(_span(random) for _ in range(random.choice((1, 1, 2))))
    seconds = None if every is None else every * 60.0
    return WindowRule(name, on, open=spans, every=seconds, longest=longest, enabled=enabled)


def _exception(random: Random, name: str, around: date) -> ExceptionRule:
    what = random.choice(("like", "closed", "closed", "extra", "all"))
    return ExceptionRule(
        name,
        tuple(_dates(random, around) for _ in range(random.choice((1, 1, 2)))),
        like=random.randint(0, 6) if what in ("like", "all") else None,
        closed=tuple(_span(random) for _ in range(random.choice((1, 2)))) if what in ("closed", "all") else (),
        extra=(_window(random, name, days=False),) if what in ("extra", "all") else (),
    )


def _dates(random: Random, around: date) -> DateRange:
    first = around + timedelta(days=random.randint(-2, 2))
    last = first + timedelta(days=random.choice((0, 0, 0, 1, 3)))
    if random.random() < 0.4:
        if random.random() < 0.2:
            return DateRange(date(2000, 12, 30), date(2000, 3, 1), yearly=True)
        return DateRange(first.replace(year=2000), last.replace(year=2000), yearly=True)
    return DateRange(first, last)
