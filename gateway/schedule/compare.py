"""Two schedules compared by what they do in the next two weeks: the lines of `schedule diff`. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice, pairwise

from gateway.config.rules import ScheduleFile, WindowRule
from gateway.mail.envelope import CLASSES
from gateway.schedule.calendar import Calendar
from gateway.schedule.wallclock import DAY, Stretch, WallClock, date_of
from gateway.schedule.words import (
    clock_words,
    date_words,
    days_words,
    moment_words,
    only_if_words,
    size_words,
    span_words,
    times_words,
)

COMPARED_DAYS = 14
_MOST_OPENINGS = 20_000  # of one window; one that connects every minute has 20,160 in two weeks, mostly joined
_MOST_LISTED = 3

# Of one date: (minutes from 00:00 at which a stretch begins, seconds that it lasts), in order.
_DayOpenings = tuple[tuple[int, float], ...]


def compare(old: ScheduleFile, new: ScheduleFile, now: float) -> list[str]:
    """What changes from `old` to `new` in the 14 days from now, one line each, windows in the new file's order.

    The last line says that nothing (else) changes. Windows are told apart by their names."""
    lines: list[str] = []
    if old.timezone.key != new.timezone.key:
        lines.append(f"timezone: {new.timezone.key} instead of {old.timezone.key}")
    before = {rule.name: rule for rule in old.all_windows}
    after = {rule.name: rule for rule in new.all_windows}
    past, coming = _by_name(old, new, now), _by_name(new, new, now)
    for name, rule in after.items():
        if name not in before:
            first = next((stretch for stretch in coming.get(name, ()) if stretch[1] > now), None)
            when = f"next {moment_words(first[0], now, new.timezone)}" if first else "no opening in 14 days"
            lines.append(f"{name}: new, {_rhythm(rule)}; {when}")
            continue
        lines += [f"{name}: {text}" for text in _settings(before[name], rule)]
        lines += [f"{name}: {text}" for text in _times(past.get(name, []), coming.get(name, []), new, now)]
    lines += [f"{name}: gone; was {_rhythm(rule)}" for name, rule in before.items() if name not in after]
    common = [name for name in after if name in before]
    if common != [name for name in before if name in after]:
        lines.append("the order of the windows changes: the first that admits a message gives via and pays the budget")
    return [*lines, f"Nothing {'else ' if lines else ''}changes in {COMPARED_DAYS} days."]


def _by_name(file: ScheduleFile, by: ScheduleFile, now: float) -> dict[str, list[Stretch]]:
    """When each window is open, on whole days of the zone that `by` has: from today's midnight to a day beyond the end."""
    wall = WallClock(by.timezone)
    today = wall.day(now)
    begins, ends = wall.earliest(today * DAY), wall.earliest((today + COMPARED_DAYS + 1) * DAY)
    found: dict[str, list[Stretch]] = {}
    most = _MOST_OPENINGS * max(1, len(file.all_windows))
    for opening in islice(Calendar(file).openings(begins, ends), most):
        found.setdefault(opening.window.name, []).append((max(opening.opens, begins), min(opening.closes, ends)))
    return found


def _rhythm(rule: WindowRule) -> str:
    days = days_words(rule.days) if rule.days is not None else "on its dates"
    return f"{days} {times_words(rule)}" + ("" if rule.enabled else ", switched off")


def _settings(old: WindowRule, new: WindowRule) -> list[str]:
    """Changes of what an opening does, apart from when it is."""
    shown = (
        ("enabled", _yes(old.enabled), _yes(new.enabled)),
        ("send", _classes(old.send), _classes(new.send)),
        ("max_message", _size(old.max_message), _size(new.max_message)),
        ("budget", _budget(old), _budget(new)),
        ("only_if", only_if_words(old.only_if) or "none", only_if_words(new.only_if) or "none"),
        ("fetch", _fetch(old), _fetch(new)),
        ("dial", _yes(old.dial), _yes(new.dial)),
        ("via", old.via or "none", new.via or "none"),
    )
    return [f"{key}: {after} instead of {before}" for key, before, after in shown if before != after]


def _times(old: Sequence[Stretch], new: Sequence[Stretch], file: ScheduleFile, now: float) -> list[str]:
    wall = WallClock(file.timezone)
    more, less = _minus(new, old), _minus(old, new)
    added, removed = _by_day(more, wall), _by_day(less, wall)
    today = wall.day(now)
    days = {day for day in added.keys() | removed.keys() if day < today + COMPARED_DAYS}
    if not any(ends > now and wall.day(begins) == today for begins, ends in (*more, *less)):
        days.discard(today)  # what differs is over
    changes: dict[tuple[_DayOpenings, _DayOpenings], list[int]] = {}
    for day in sorted(days):
        changes.setdefault((removed.get(day, ()), added.get(day, ())), []).append(day)
    return [f"{_change(*change)}, {_days(on, today)}" for change, on in changes.items()]


def _minus(stretches: Sequence[Stretch], others: Sequence[Stretch]) -> list[Stretch]:
    """What of the first is in none of the second; both in order, without overlap."""
    left: list[Stretch] = []
    place = 0
    for begins, ends in stretches:
        while place < len(others) and others[place][1] <= begins:
            place += 1
        start, at = begins, place
        while at < len(others) and others[at][0] < ends:
            if others[at][0] > start:
                left.append((start, others[at][0]))
            start = max(start, others[at][1])
            at += 1
        if start < ends:
            left.append((start, ends))
    return left


def _by_day(stretches: Sequence[Stretch], wall: WallClock) -> dict[int, _DayOpenings]:
    """By the day on which each begins; one of two days and more is taken apart at each midnight."""
    found: dict[int, list[tuple[int, float]]] = {}
    for begins, ends in stretches:
        cuts = [begins, ends]
        if ends - begins >= 2 * DAY:
            midnights = [wall.moment(day * DAY) for day in range(wall.day(begins) + 1, wall.day(ends) + 1)]
            cuts[1:1] = [cut for cut in midnights if begins < cut < ends]
        for first, last in pairwise(cuts):
            reading = wall.reading(first)
            found.setdefault(int(reading // DAY), []).append((int(reading % DAY // 60), round(last - first, 3)))
    return {day: tuple(listed) for day, listed in found.items()}


def _change(removed: _DayOpenings, added: _DayOpenings) -> str:
    more = sum(length for _, length in added) - sum(length for _, length in removed)
    amount = f" ({span_words(abs(more))} {'more' if more > 0 else 'less'})" if more else ""
    if not removed:
        return f"also open {_listed(added)}{amount}"
    if not added:
        return f"no longer open {_listed(removed)}{amount}"
    return f"open {_listed(added)} instead of {_listed(removed)}{amount}"


def _listed(openings: _DayOpenings) -> str:
    if len(openings) > _MOST_LISTED:
        minute, length = openings[-1]
        return f"{len(openings)} times from {clock_words(openings[0][0])} to {_end(minute, length)}"
    return ", ".join(f"{clock_words(minute)}-{_end(minute, length)}" for minute, length in openings)


def _end(minute: int, length: float) -> str:
    """By the length and not by the clock, which differs only in the night of a change."""
    end = minute + int(length // 60)
    return "24:00" if end % 1440 == 0 else clock_words(end % 1440)


def _days(days: Collection[int], today: int) -> str:
    """`each sat-sun`, where it is so on every such weekday of the two weeks; the rest as dates."""
    whole = range(today, today + COMPARED_DAYS)
    weekdays = {(day + 3) % 7 for day in days}
    always = {w for w in weekdays if all(day in days for day in whole if (day + 3) % 7 == w)}
    rest = [day for day in sorted(days) if (day + 3) % 7 not in always]
    parts = []
    if always:
        parts.append("daily" if len(always) == 7 else f"each {days_words(always)}")
    if rest:
        more = f" and {len(rest) - _MOST_LISTED} more days" if len(rest) > _MOST_LISTED else ""
        parts.append("on " + ", ".join(date_words(date_of(day)) for day in rest[:_MOST_LISTED]) + more)
    return " and ".join(parts)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _classes(send: Sequence[str]) -> str:
    return "all" if len(send) == len(CLASSES) else ", ".join(send) or "none"


def _size(octets: int | None) -> str:
    return "none" if octets is None else size_words(octets)


def _budget(rule: WindowRule) -> str:
    return "none" if rule.budget is None else f"{size_words(rule.budget.octets)} per {rule.budget.per}"


def _fetch(rule: WindowRule) -> str:
    return rule.fetch if rule.fetch == "all" else ", ".join(rule.fetch) or "none"
