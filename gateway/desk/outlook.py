"""Openings drawn for the console: the hours around now, the week, and what leaves in the openings ahead. Pure values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from itertools import islice

from gateway.config.rules import ExceptionRule, ScheduleFile, WindowRule
from gateway.control.console_rows import AheadRow, BlockRow, ClosedRow, DayRow, GroupRow, Kind, WindowLine
from gateway.desk.view import iso
from gateway.mail.envelope import CLASSES
from gateway.schedule.calendar import Calendar, Opening
from gateway.schedule.dates import readings_of
from gateway.schedule.wallclock import DAY, date_of, day_of
from gateway.schedule.words import (
    closed_words,
    dates_words,
    days_words,
    only_if_words,
    size_words,
    times_words,
)

MANY = 60
"""Openings of one window in one picture above which they are drawn as one stretch."""

MOST = 12_000
"""Openings looked at for one picture: a week of a session each minute."""

DAYS = 7


def kind_of(rule: WindowRule) -> Kind:
    """What a window lets through, in one word."""
    if set(rule.send) == set(CLASSES) and rule.max_message is None:
        return "all"
    return "urgent" if set(rule.send) == {"urgent"} else "limited"


def blocks(calendar: Calendar, begins: float, ends: float) -> list[BlockRow]:
    """The openings between two instants, those of a window that opens very often joined."""
    by_window: dict[int, list[Opening]] = {}
    for opening in islice(calendar.openings(begins, ends), MOST):
        by_window.setdefault(id(opening.window), []).append(opening)
    rows: list[BlockRow] = []
    for openings in by_window.values():
        joined = _joined(openings) if len(openings) > MANY else ((o.opens, o.closes, 1) for o in openings)
        rows += [_block(openings[0], calendar, *stretch) for stretch in joined]
    return sorted(rows, key=lambda row: row.opens)


def _joined(openings: list[Opening]) -> Iterator[tuple[float, float, int]]:
    pause = 1.5 * (openings[0].window.every or 0.0)
    first, last, count = openings[0].opens, openings[0], 1
    for opening in openings[1:]:
        if opening.opens - last.opens > max(pause, last.closes - last.opens):
            yield first, last.closes, count
            first, count = opening.opens, 0
        last, count = opening, count + 1
    yield first, last.closes, count


def _block(opening: Opening, calendar: Calendar, opens: float, closes: float, times: int) -> BlockRow:
    rule, zone = opening.window, calendar.file.timezone
    return BlockRow(
        window=rule.name,
        kind="all" if opening.once else kind_of(rule),
        opens=iso(opens, zone),
        closes=iso(closes, zone),
        is_conditional=bool(rule.only_if),
        is_extra=rule.days is None and not opening.once,
        by_hand=opening.once,
        times=times,
    )


def week(calendar: Calendar, first: date, now: float) -> list[DayRow]:
    """Seven days from `first`, each from its midnight to the next."""
    start = day_of(first)
    return [_day(calendar, day, now) for day in range(start, start + DAYS)]


def monday_of(calendar: Calendar, now: float) -> date:
    """The Monday of the week in which the wall shows `now`."""
    day = calendar.wall.day(now)
    return date_of(day - (day + 3) % 7)  # 1970-01-01 was a Thursday


def _day(calendar: Calendar, day: int, now: float) -> DayRow:
    zone, file = calendar.file.timezone, calendar.file
    begins, ends = calendar.wall.moment(day * DAY), calendar.wall.moment((day + 1) * DAY)
    named = [file.exceptions[index] for index in calendar.dates.on(day).named]
    before = [file.exceptions[index] for index in calendar.dates.on(day - 1).named]
    closed = [*_closed(calendar, before, day - 1, begins, ends), *_closed(calendar, named, day, begins, ends)]
    return DayRow(
        date=date_of(day).isoformat(),
        begins=iso(begins, zone),
        ends=iso(ends, zone),
        is_today=calendar.wall.day(now) == day,
        exceptions=[exception.name for exception in named],
        blocks=blocks(calendar, begins, ends),
        closed=closed,
    )


def _closed(
    calendar: Calendar, exceptions: Iterable[ExceptionRule], day: int, begins: float, ends: float
) -> Iterator[ClosedRow]:
    zone = calendar.file.timezone
    for exception in exceptions:
        for span in exception.closed:
            for first, last in calendar.wall.stretches(*readings_of(day, span)):
                if last > begins and first < ends:
                    yield ClosedRow(name=exception.name, begins=iso(first, zone), ends=iso(last, zone))


def ahead(calendar: Calendar, now: float, groups: Iterable[GroupRow], most: int = 240) -> list[AheadRow]:
    """The next openings, and the messages whose Next Try each of them is."""
    zone = calendar.file.timezone
    waiting: dict[tuple[str | None, str | None], tuple[int, int]] = {}
    for group in groups:
        if group.next_try.kind == "window":
            waiting[group.next_try.window, group.next_try.at] = (group.messages, group.octets)
    rows = []
    for opening in islice(calendar.openings(now), most):
        messages, octets = waiting.get((opening.window.name, iso(opening.opens, zone)), (0, 0))
        rows.append(
            AheadRow(
                window=opening.window.name,
                opens=iso(opening.opens, zone),
                closes=iso(opening.closes, zone),
                messages=messages,
                octets=octets,
            )
        )
    return rows


def lines(file: ScheduleFile, text: str) -> list[WindowLine]:
    """Windows and exceptions in words, with the lines of the text at which each stands."""
    written = text.split("\n")
    rows = [
        WindowLine(
            name=rule.name,
            kind=kind_of(rule),
            words=window_words(rule),
            line=rule.line,
            end_line=_last_line(written, rule.line),
            enabled=rule.enabled,
        )
        for rule in file.windows
    ]
    rows += [
        WindowLine(
            name=exception.name,
            kind="exception",
            words=f"{dates_words(exception.dates)}: {exception_words(exception)}",
            line=exception.line,
            end_line=_last_line(written, exception.line),
        )
        for exception in file.exceptions
    ]
    return rows


def window_words(rule: WindowRule) -> str:
    """`mon-fri 08:00-18:00, every 30 min for 5 min · urgent, normal up to 2 MB · dials`."""
    parts = [f"{days_words(rule.days)} {times_words(rule)}"]
    what = "all mail" if set(rule.send) == set(CLASSES) else ", ".join(rule.send) or "sends nothing"
    parts.append(what + (f" up to {size_words(rule.max_message)}" if rule.max_message is not None else ""))
    condition = only_if_words(rule.only_if)
    parts += [f"only if {condition}"] if condition is not None else []
    parts += [f"through {rule.via}"] if rule.via is not None else []
    parts += ["dials"] if rule.dial else []
    parts += [] if rule.enabled else ["switched off"]
    return " · ".join(parts)


def exception_words(exception: ExceptionRule) -> str:
    """`like sun · closed 22:00-24:00 · extra 14:00-18:00`."""
    parts = [f"like {days_words({exception.like})}"] if exception.like is not None else []
    parts += [f"closed {closed_words(exception.closed)}"] if exception.closed else []
    parts += [f"extra {times_words(rule)}" for rule in exception.extra]
    return " · ".join(parts)


def _last_line(written: list[str], first: int) -> int:
    """The last line of the list item that begins at line `first`: what follows is indented deeper."""
    if not 0 < first <= len(written):
        return first
    indent = len(written[first - 1]) - len(written[first - 1].lstrip())
    last = first
    for number in range(first + 1, len(written) + 1):
        line = written[number - 1]
        if line.strip():
            if len(line) - len(line.lstrip()) <= indent:
                break
            last = number
    return last
