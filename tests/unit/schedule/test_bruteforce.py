"""The calendar against an evaluator that looks at every minute, for random schedules around the odd days."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from gateway.config.rules import ScheduleFile, Span, WindowRule
from gateway.schedule.calendar import Calendar
from tests.support.bruteforce import open_minutes, runs
from tests.support.schedules import random_file

SCHEDULES = int(os.environ.get("TIDEGATE_SCHEDULES", "60"))
"""How many; the full proof takes some thousands."""
FIRST = int(os.environ.get("TIDEGATE_FIRST_SCHEDULE", "0"))
DAYS = 3


def check(seed: int) -> None:
    random = Random(seed)
    file, start = random_file(random)
    end = start + timedelta(days=DAYS)
    minutes = open_minutes(file, start, end)
    calendar = Calendar(file)
    after, until = start.timestamp(), end.timestamp()
    rules = file.all_windows
    found: dict[int, list[tuple[float, float]]] = {index: [] for index in minutes}
    order = []
    all_openings = list(calendar.openings(after, until))
    for opening in all_openings:
        index = next(i for i, rule in enumerate(rules) if rule is opening.window)
        order.append((opening.opens, index))
        assert opening.closes > after
        found[index].append((max(opening.opens, after), min(opening.closes, until)))
    expected = {index: runs(open_) for index, open_ in minutes.items()}
    assert found == expected, f"seed {seed}: {file} {start}"
    assert order == sorted(order), f"seed {seed}"
    edges = {edge for stretches in found.values() for stretch in stretches for edge in stretch}
    for _ in range(40):
        instant = after + random.randrange(DAYS * 86400)
        minute = datetime.fromtimestamp(instant // 60 * 60, UTC)
        assert [o.window for o in calendar.open_at(instant)] == [
            rules[i] for i in sorted(minutes) if minute in minutes[i]
        ], f"seed {seed}: {file} {minute}"
        if not any(
            o.closes - o.opens > 300 * 86400 for o in all_openings
        ):  # those that never end move on with the date
            rest = [o for o in all_openings if o.closes > instant]
            assert list(calendar.openings(instant, until)) == rest, f"seed {seed}: {file} {minute}"
        later = [edge for edge in edges if instant < edge < until]
        edge = calendar.next_edge(instant)
        if later:
            assert edge == min(later), f"seed {seed}: {file} {minute}"
        else:
            assert edge is None or edge >= until


def test_the_calendar_agrees_with_an_evaluator_that_looks_at_every_minute() -> None:
    for seed in range(FIRST, FIRST + SCHEDULES):
        check(seed)


def test_the_evaluator_itself_knows_the_odd_nights() -> None:
    night = WindowRule("Night", frozenset(range(7)), open=(Span(22 * 60, 6 * 60),))
    inside = WindowRule("Inside", frozenset(range(7)), open=(Span(135, 165),))
    once = WindowRule("Once", frozenset(range(7)), at=(150,))
    file = ScheduleFile(timezone=ZoneInfo("Europe/Prague"), windows=(night, inside, once))
    lengths = []
    for year, month, day in ((2026, 3, 28), (2026, 10, 24)):
        noon = datetime(year, month, day, 11, tzinfo=UTC)
        minutes = open_minutes(file, noon, noon + timedelta(days=1))
        lengths.append([len(minutes[index]) for index in range(3)])
    assert lengths == [[7 * 60, 0, 15], [9 * 60, 60, 15]]
