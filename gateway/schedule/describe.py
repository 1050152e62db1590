"""The schedule shown: what `schedule check` echoes, the grid of `schedule week`, openings as JSON. Pure texts and values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo

from gateway.config.rules import ExceptionRule, ScheduleFile, WindowRule
from gateway.mail.envelope import CLASSES
from gateway.schedule.calendar import Calendar, Opening
from gateway.schedule.compare import compare
from gateway.schedule.wallclock import DAY, Stretch, date_of
from gateway.schedule.words import closed_words, days_words, moment_words, only_if_words, times_words

__all__ = ["compare", "iso_in", "opening_json", "summary", "week"]

LOOK_AHEAD_DAYS = 14
"""How far ahead the echo names exceptions."""

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWYZ"  # without X, which marks what is closed
_MOST_EXCEPTIONS_SHOWN = 3


def summary(file: ScheduleFile, now: float) -> str:
    """What was understood of the file: a head line, then a line a window with its next opening and the exceptions of the
    next two weeks that touch it."""
    here = datetime.fromtimestamp(now, file.timezone)
    name = file.path.name if file.path is not None else "the schedule"
    counted = f"{_count(len(file.windows), 'window')}, {_count(len(file.exceptions), 'exception')}"
    lines = [f"{name} is valid: {counted}, {file.timezone.key} (now {here:%H:%M})."]
    calendar = Calendar(file)
    rows = []
    for rule in file.all_windows:
        remarks = _exceptions_of(rule, file, calendar, now)
        days = days_words(rule.days) if rule.days is not None else _owner_dates(rule, file)
        rows.append((rule.name, f"{days} {times_words(rule)}", _next(rule, file, now), remarks))
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    for row in rows:
        padded = "   ".join(text.ljust(width) for text, width in zip(row, widths, strict=False))
        lines.append(f"  {padded}   {row[3]}".rstrip())
    return "\n".join(lines)


def opening_json(opening: Opening, zone: ZoneInfo) -> dict[str, object]:
    """One line of `schedule next --json` (DESIGN section 10). Times are ISO 8601 with offset, in the schedule's zone."""
    rule = opening.window
    return {
        "window": rule.name,
        "opens": iso_in(opening.opens, zone),
        "closes": iso_in(opening.closes, zone),
        "send": "all" if set(rule.send) == set(CLASSES) else list(rule.send),
        "fetch": rule.fetch if rule.fetch == "all" else list(rule.fetch),
        "max_message": rule.max_message,
        "via": rule.via,
        "only_if": only_if_words(rule.only_if),
    }


def iso_in(instant: float, zone: ZoneInfo) -> str:
    """`2026-11-24T12:30:00+01:00`, whole seconds."""
    return datetime.fromtimestamp(int(instant), zone).isoformat()


def week(calendar: Calendar, now: float, width: int = 80) -> str:
    """Seven days from today as a grid: a row a day, three signs an hour (two or one where `width` is small), and a legend.

    A capital letter is a window that is open for all of the sign's minutes, a small one for some; of several the one
    whose hours are fewest, since the others show beside it. `x`: one would be open but for an exception; `.`: nothing.
    Rows are days on the wall: the skipped hour is blank, and of the repeated hour both passes count."""
    signs = next((n for n in (3, 2) if 8 + 24 * n <= width), 1)
    seconds = 3600 // signs
    rules = [rule for rule in calendar.file.all_windows if rule.enabled]
    letters = {id(rule): _LETTERS[i % len(_LETTERS)] for i, rule in enumerate(rules)}
    today = calendar.wall.day(now)
    days = range(today, today + 7)
    begins, ends = calendar.wall.earliest(today * DAY), calendar.wall.latest(days.stop * DAY)
    shown = sorted(calendar.openings(begins, ends), key=lambda o: (not o.once, _hours_a_week(o.window)))
    uncut = list(_without_closed(calendar).openings(begins, ends)) if calendar.dates.any_closed else []
    lines = [_hours(signs)]
    for day in days:
        today_shown = _on(shown, calendar, day)
        today_uncut = _on(uncut, calendar, day)
        cells = []
        for start in range(day * DAY, (day + 1) * DAY, seconds):
            stretches = calendar.wall.stretches(start, start + seconds)
            cells.append(_sign(stretches, today_shown, today_uncut, letters))
        mark = "*" if calendar.dates.on(day).named else " "
        lines.append(f"{date_of(day):%a} {date_of(day).day:2}{mark}".ljust(8) + "".join(cells).rstrip())
    here = datetime.fromtimestamp(now, calendar.file.timezone)
    legend = f"A sign is {seconds // 60} min; small: open for a part."
    head = f"Now {here:%a %H:%M}, {calendar.file.timezone.key}."
    lines += ["", f"{head} {legend}"] if len(head) + len(legend) < width else ["", head, legend[:width]]
    used = {id(o.window) for o in shown}
    lines += [f"  {letters[id(r)]}  {r.name}: {times_words(r)}"[:width] for r in rules if id(r) in used]
    lines += ["  !  opened by hand"] if any(o.once for o in shown) else []
    lines += _legend_of_exceptions(calendar, days, width)
    return "\n".join(lines)


def _hours_a_week(rule: WindowRule) -> float:
    """From the first session to the last where there are several: what is written, not what is used."""
    minutes = sum(span.length for span in rule.open) + len(rule.at) * rule.longest / 60
    return minutes * (len(rule.days) if rule.days is not None else 1)


def _on(openings: Sequence[Opening], calendar: Calendar, day: int) -> list[Opening]:
    begins, ends = calendar.wall.earliest(day * DAY), calendar.wall.latest((day + 1) * DAY)
    return [opening for opening in openings if opening.opens < ends and opening.closes > begins]


def _hours(signs: int) -> str:
    step = 1 if signs > 2 else 6 // signs
    return f"{'':8}" + "".join(f"{hour:02}".ljust(step * signs) for hour in range(0, 24, step)).rstrip()


def _sign(
    stretches: Sequence[Stretch], shown: Sequence[Opening], uncut: Sequence[Opening], letters: dict[int, str]
) -> str:
    if not stretches:
        return " "
    for opening in shown:
        if _meets(opening, stretches):
            if opening.once:
                return "!"
            letter = letters[id(opening.window)]
            whole = all(opening.opens <= begins and opening.closes >= ends for begins, ends in stretches)
            return letter if whole else letter.lower()
    return "x" if any(_meets(opening, stretches) for opening in uncut) else "."


def _meets(opening: Opening, stretches: Sequence[Stretch]) -> bool:
    return any(opening.opens < ends and opening.closes > begins for begins, ends in stretches)


def _legend_of_exceptions(calendar: Calendar, week: range, width: int) -> list[str]:
    lines = []
    for index, exception in enumerate(calendar.file.exceptions):
        days = [day for day in week if index in calendar.dates.on(day).named]
        if days:
            dates = ", ".join(f"{date_of(day):%a} {date_of(day).day}" for day in days)
            lines.append(f"  *  {dates}: {exception.name}{_what(exception)}"[:width])
    if any(calendar.file.exceptions[i].closed for day in week for i in calendar.dates.on(day).named):
        lines.append("  x  closed by an exception")
    return lines


def _what(exception: ExceptionRule) -> str:
    parts = []
    if exception.like is not None:
        parts.append(f"like {days_words({exception.like})}")
    if exception.closed:
        parts.append(f"closed {closed_words(exception.closed)}")
    parts += [f"extra {times_words(rule)}" for rule in exception.extra]
    return f" ({'; '.join(parts)})"


def _without_closed(calendar: Calendar) -> Calendar:
    file = calendar.file
    exceptions = tuple(ExceptionRule(e.name, e.dates, e.like, (), e.extra, e.line) for e in file.exceptions)
    return Calendar(ScheduleFile(file.path, file.timezone, file.windows, exceptions))


def _only(rule: WindowRule, file: ScheduleFile) -> ScheduleFile:
    """The schedule with one window alone, and all its exceptions."""
    exceptions = tuple(
        ExceptionRule(e.name, e.dates, e.like, e.closed, tuple(x for x in e.extra if x is rule), e.line)
        for e in file.exceptions
    )
    return ScheduleFile(file.path, file.timezone, tuple(w for w in file.windows if w is rule), exceptions)


def _next(rule: WindowRule, file: ScheduleFile, now: float) -> str:
    if not rule.enabled:
        return "switched off"
    opening = next(Calendar(_only(rule, file)).openings(now), None)
    if opening is None:
        return "never opens"
    if opening.opens <= now:
        ends = moment_words(opening.closes, now, file.timezone)
        return "always open" if opening.closes - now > 399 * DAY else f"open until {ends}"
    return f"next {moment_words(opening.opens, now, file.timezone)}"


def _owner_dates(rule: WindowRule, file: ScheduleFile) -> str:
    owner = next(e for e in file.exceptions if any(x is rule for x in e.extra))
    return "extra" if owner.name == rule.name else f"extra ({owner.name})"


def _exceptions_of(rule: WindowRule, file: ScheduleFile, calendar: Calendar, now: float) -> str:
    """Exceptions of the next two weeks that change this window's openings, each with its first such day."""
    if not rule.enabled:
        return ""
    alone = _only(rule, file)
    whole = Calendar(alone)
    remarks = []
    today = calendar.wall.day(now)
    for index, exception in enumerate(file.exceptions):
        days = [d for d in range(today, today + LOOK_AHEAD_DAYS) if index in calendar.dates.on(d).named]
        if not days or not (exception.closed or exception.like is not None):
            continue
        others = tuple(e for i, e in enumerate(alone.exceptions) if i != index)
        if rule.days is None and any(x is rule for x in exception.extra):
            others = (*others, ExceptionRule(exception.name, exception.dates, None, (), (rule,)))
        without = Calendar(ScheduleFile(file.path, file.timezone, alone.windows, others))
        changed = [d for d in days if _openings_around(whole, d) != _openings_around(without, d)]
        if changed:
            shown = f"{date_of(changed[0]):%a}" if changed[0] - today < 7 else f"{date_of(changed[0]):%a %d %b}"
            if len(changed) > 1:
                final = date_of(changed[-1])
                shown += f"-{final:%a}" if changed[-1] - today < 7 else f"-{final:%a %d %b}"
            remarks.append(f"{shown}: {_short_what(exception)} ({exception.name})")
    extra = len(remarks) - _MOST_EXCEPTIONS_SHOWN
    return "; ".join(remarks[:_MOST_EXCEPTIONS_SHOWN]) + (f"; and {extra} more" if extra > 0 else "")


def _openings_around(calendar: Calendar, day: int) -> list[tuple[float, float]]:
    """What is open on a date and the one after, into which its exceptions reach."""
    begins, ends = calendar.wall.earliest(day * DAY), calendar.wall.latest((day + 2) * DAY)
    found = islice(calendar.openings(begins, ends), 5000)
    return [(max(o.opens, begins), min(o.closes, ends)) for o in found]


def _short_what(exception: ExceptionRule) -> str:
    parts = [f"like {days_words({exception.like})}"] if exception.like is not None else []
    parts += [f"closed {closed_words(exception.closed)}"] if exception.closed else []
    return ", ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
