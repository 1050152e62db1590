"""The calendar against an evaluator that looks at every minute, for random schedules around the odd days."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from random import Random

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
    for opening in calendar.openings(after, until):
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
        later = [edge for edge in edges if instant < edge < until]
        edge = calendar.next_edge(instant)
        if later:
            assert edge == min(later), f"seed {seed}: {file} {minute}"
        else:
            assert edge is None or edge >= until


def test_the_calendar_agrees_with_an_evaluator_that_looks_at_every_minute() -> None:
    for seed in range(FIRST, FIRST + SCHEDULES):
        check(seed)
