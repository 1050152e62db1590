"""Two schedules compared by what they do in the next two weeks: the lines of `schedule diff`. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice, pairwise

from gateway.config.rules import ScheduleFile, WindowRule
from gateway.mail.envelope import CLASSES
from gateway.schedule.calendar import Calendar, Opening
from gateway.schedule.wallclock import DAY, WallClock, date_of
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

# Of one date: (minutes from 00:00 at which it opens, seconds that it lasts), in order.
_DayOpenings = tuple[tuple[int, float], ...]


def compare(old: ScheduleFile, new: ScheduleFile, now: float) -> list[str]:
    """What changes from `old` to `new` in the 14 days from now, one line each, windows in the new file's order.

    The last line says that nothing (else) changes. Windows are told apart by their names."""
    lines: list[str] = []
    if old.timezone.key != new.timezone.key:
        lines.append(f"timezone: {new.timezone.key} instead of {old.timezone.key}")
    before = {rule.name: rule for rule in old.all_windows}
    after = {rule.name: rule for rule in new.all_windows}
    past, coming = _by_name(old, now), _by_name(new, now)
    for name, rule in after.items():
        if name not in before:
            first = next((o for o in coming.get(name, ()) if o.closes > now), None)
            when = f"next {moment_words(first.opens, now, new.timezone)}" if first else "no opening in 14 days"
            lines.append(f"{name}: new, {_rhythm(rule)}; {when}")
            continue
        lines += [f"{name}: {text}" for text in _settings(before[name], rule)]
        lines += [f"{name}: {text}" for text in _times(past.get(name, []), coming.get(name, []), new, now)]
    lines += [f"{name}: gone; was {_rhythm(rule)}" for name, rule in before.items() if name not in after]
    common = [name for name in after if name in before]
    if common != [name for name in before if name in after]:
        lines.append("the order of the windows changes: the first that admits a message gives via and pays the budget")
    return [*lines, f"Nothing {'else ' if lines else ''}changes in {COMPARED_DAYS} days."]


def _by_name(file: ScheduleFile, now: float) -> dict[str, list[Opening]]:
    """The openings of whole days from today on; one of several days is taken apart at each midnight."""
    calendar = Calendar(file)
    wall = calendar.wall
    today = wall.day(now)
    begins, ends = wall.earliest(today * DAY), wall.earliest((today + COMPARED_DAYS) * DAY)
    found: dict[str, list[Opening]] = {}
    most = _MOST_OPENINGS * max(1, len(file.all_windows))
    for opening in islice(calendar.openings(begins, ends), most):
        parts = [opening] if opening.closes - opening.opens < 2 * DAY else _daily(opening, wall, begins, ends)
        found.setdefault(opening.window.name, []).extend(part for part in parts if part.opens >= begins)
    return found


def _daily(opening: Opening, wall: WallClock, begins: float, ends: float) -> list[Opening]:
    opens, closes = max(opening.opens, begins), min(opening.closes, ends)
    midnights = [wall.moment(day * DAY) for day in range(wall.day(opens) + 1, wall.day(closes) + 1)]
    cuts = [opens, *(cut for cut in midnights if opens < cut < closes), closes]
    return [Opening(opening.window, first, last) for first, last in pairwise(cuts)]


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


def _times(old: Sequence[Opening], new: Sequence[Opening], file: ScheduleFile, now: float) -> list[str]:
    wall = WallClock(file.timezone)
    before, after = _by_day(old, wall), _by_day(new, wall)
    changes: dict[tuple[_DayOpenings, _DayOpenings], list[int]] = {}
    for day in sorted(before.keys() | after.keys()):
        change = (before.get(day, ()), after.get(day, ()))
        if change[0] != change[1]:
            changes.setdefault(change, []).append(day)
    today = wall.day(now)
    if _left(old, wall, now) == _left(new, wall, now):  # what differed today is over
        changes = {c: [d for d in days if d != today] for c, days in changes.items()}
    return [f"{_change(*change)}, {_days(days, today)}" for change, days in changes.items() if days]


def _left(openings: Sequence[Opening], wall: WallClock, now: float) -> list[tuple[float, float]]:
    """What is left of today's."""
    return [(o.opens, o.closes) for o in openings if o.closes > now and wall.day(o.opens) == wall.day(now)]


def _by_day(openings: Sequence[Opening], wall: WallClock) -> dict[int, _DayOpenings]:
    found: dict[int, list[tuple[int, float]]] = {}
    for opening in openings:
        reading = wall.reading(opening.opens)
        minute, length = int(reading % DAY // 60), round(opening.closes - opening.opens, 3)
        found.setdefault(int(reading // DAY), []).append((minute, length))
    return {day: tuple(listed) for day, listed in found.items()}


def _change(old: _DayOpenings, new: _DayOpenings) -> str:
    more = sum(length for _, length in new) - sum(length for _, length in old)
    amount = f" ({span_words(abs(more))} {'more' if more > 0 else 'less'})" if more else ""
    if not old:
        return f"opens {_listed(new)} in addition{amount}"
    if not new:
        return f"no longer opens {_listed(old)}{amount}"
    return f"opens {_listed(new)} instead of {_listed(old)}{amount}"


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
    """`each sat`, where it is so on every such weekday of the time compared; else the dates."""
    whole = range(today, today + COMPARED_DAYS)
    weekdays = {(day + 3) % 7 for day in days}
    if all(day in days for day in whole if (day + 3) % 7 in weekdays and day > today) and len(days) > 1:
        return "daily" if len(weekdays) == 7 else f"each {days_words(weekdays)}"
    shown = [date_words(date_of(day)) for day in sorted(days)[:_MOST_LISTED]]
    more = len(days) - len(shown)
    return "on " + ", ".join(shown) + (f" and {more} more days" if more > 0 else "")


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
