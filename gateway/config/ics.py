"""Dates out of a calendar file (RFC 5545): all-day events and their yearly rules. The rest of such a file is left alone.

Text in, `DateRange`s and problems out. Bounded: by the size of the text, the number of events, and the dates that a rule makes.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from gateway.config.document import normalized
from gateway.config.hints import Misread, quoted
from gateway.config.problem import Problem
from gateway.config.rules import DateRange
from gateway.config.times import LEAP_YEAR

MAX_EVENTS = 5000
MAX_DATES = 10_000
_MAX_DAYS = 366
_EXPAND_YEARS = 60
_WRITTEN_IN = 2026
"""A yearly rule that began by this year is taken for a rule of every year: its past is of no interest."""

_DAY_NAMES = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


@dataclass(frozen=True, slots=True)
class _Line:
    """One unfolded content line: `NAME;PARAMETERS:VALUE`; `number` is that of its first line in the file."""

    number: int
    name: str
    parameters: frozenset[str]
    value: str
    start: int


@dataclass(slots=True)
class _Event:
    line: int
    lines: dict[str, _Line] = field(default_factory=dict)
    exdates: list[_Line] = field(default_factory=list)


def parse_ics(text: str, path: Path) -> tuple[list[DateRange], list[Problem]]:
    """The dates of all all-day events, by their order, and all mistakes. Events with times are left out, with a warning."""
    problems: list[Problem] = []
    dates: dict[DateRange, None] = {}
    lines = list(_unfold(text))
    if not lines or (lines[0].name, lines[0].value.upper()) != ("BEGIN", "VCALENDAR"):
        return [], [Problem(path, 1, 1, "this is not a calendar file", "it begins with BEGIN:VCALENDAR.")]
    for count, event in enumerate(_events(lines)):
        if count >= MAX_EVENTS:
            problems.append(Problem(path, event.line, 1, f"this calendar holds more than {MAX_EVENTS} events"))
            break
        try:
            for found in _dates(event, path, problems):
                dates[found] = None
                if len(dates) > MAX_DATES:
                    problems.append(Problem(path, event.line, 1, f"this calendar makes more than {MAX_DATES} dates"))
                    return list(dates), problems
        except _Wrong as wrong:
            problems.append(Problem(path, wrong.line, wrong.column, str(wrong), wrong.hint))
    if lines[-1].name != "END" or lines[-1].value.upper() != "VCALENDAR":
        hint = "it ends with END:VCALENDAR; was it cut?"
        problems.append(Problem(path, lines[-1].number, 1, "this calendar does not end", hint))
    return list(dates), problems


class _Wrong(Misread):
    def __init__(self, line: _Line, what: str, hint: str | None = None) -> None:
        super().__init__(what, hint)
        self.line = line.number
        self.column = line.start + 1


def _unfold(text: str) -> Iterator[_Line]:
    """Content lines; a line that begins with a space continues the one before (RFC 5545 3.1)."""
    parts: list[str] = []
    first = 0
    for number, line in enumerate(normalized(text).split("\n"), start=1):
        if line[:1] in (" ", "\t") and parts:
            parts.append(line[1:])
            continue
        if parts:
            yield _content_line("".join(parts), first)
        parts, first = ([line], number) if line.strip() else ([], number)
    if parts:
        yield _content_line("".join(parts), first)


def _content_line(line: str, number: int) -> _Line:
    head, colon, value = line.partition(":")
    name, *parameters = head.split(";")
    known = frozenset(parameter.upper() for parameter in parameters)
    return _Line(number, name.strip().upper(), known, value.strip(), len(head) + len(colon))


def _events(lines: list[_Line]) -> Iterator[_Event]:
    """The VEVENTs, without what is nested in them (alarms)."""
    event: _Event | None = None
    nested = 0
    for line in lines:
        kind = line.value.upper()
        if line.name == "BEGIN":
            if event is not None:
                nested += 1
            elif kind == "VEVENT":
                event = _Event(line.number)
        elif line.name == "END" and event is not None:
            if nested:
                nested -= 1
            else:
                yield event
                event = None
        elif event is not None and not nested:
            event.lines.setdefault(line.name, line)
            if line.name == "EXDATE":
                event.exdates.append(line)


def _dates(event: _Event, path: Path, problems: list[Problem]) -> Iterator[DateRange]:
    start = event.lines.get("DTSTART")
    if start is None:
        raise _Wrong(_Line(event.line, "", frozenset(), "", 0), "this event has no DTSTART")
    status = event.lines.get("STATUS")
    if status is not None and status.value.upper() == "CANCELLED":
        return
    if "VALUE=DATE" not in start.parameters and not re.fullmatch(r"[0-9]{8}", start.value):
        what = "this event does not last all day, and is left out"
        problems.append(Problem(path, start.number, start.start + 1, what, severity="warning"))
        return
    first = _day(start, start.value)
    last = _last_day(event, first)
    rule = event.lines.get("RRULE")
    days = (last - first).days
    without = {_day(line, value) for line in event.exdates for value in line.value.split(",") if value[8:9] != "T"}
    if rule is not None:
        yield from _repeated(rule, first, days, without)
    elif first not in without:
        yield DateRange(first, last)


def _day(line: _Line, value: str) -> date:
    found = re.fullmatch(r"([0-9]{4})([0-9]{2})([0-9]{2})", value.strip())
    if found is None:
        raise _Wrong(line, f"{quoted(value)} is not a date", "dates are written 20261224.")
    try:
        return date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        raise _Wrong(line, f"there is no {found[1]}-{found[2]}-{found[3]}") from None


def _last_day(event: _Event, first: date) -> date:
    """DTEND is exclusive; without it and without DURATION the event lasts one day (RFC 5545 3.6.1)."""
    if (end := event.lines.get("DTEND")) is not None:
        last = _day(end, end.value) - timedelta(days=1) if end.value != "00010101" else first
        if last < first:
            if last == first - timedelta(days=1):
                return first  # a common slip: start and end the same
            raise _Wrong(end, "this event ends before it begins")
    elif (duration := event.lines.get("DURATION")) is not None:
        found = re.fullmatch(r"\+?P(?:([0-9]{1,3})W|([0-9]{1,3})D)", duration.value.upper())
        if found is None:
            raise _Wrong(duration, f"{quoted(duration.value)} is not a number of days", "write it like P3D or P1W.")
        length = int(found[1]) * 7 if found[1] else int(found[2])
        last = _plus(first, max(0, length - 1))
        end = duration
    else:
        return first
    if (last - first).days >= _MAX_DAYS:
        raise _Wrong(end, "this event lasts longer than a year")
    return last


def _plus(day: date, days: int) -> date:
    return date.fromordinal(min(day.toordinal() + days, date.max.toordinal()))


def _repeated(line: _Line, first: date, days: int, without: set[date]) -> Iterator[DateRange]:
    """The dates of a yearly rule: as a rule of every year where that says the same, else year by year."""
    rule: dict[str, str] = {}
    for part in filter(None, line.value.upper().split(";")):
        name, _, value = part.partition("=")
        rule[name.strip()] = value.strip()
    if rule.get("FREQ") != "YEARLY":
        raise _Wrong(
            line, f"a rule {quoted('FREQ=' + rule.get('FREQ', ''))} is not understood", "only yearly rules are."
        )
    unknown = rule.keys() - {"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYMONTH", "BYMONTHDAY", "BYDAY", "WKST"}
    if unknown:
        raise _Wrong(line, f"{quoted(min(unknown))} in a rule is not understood", "write the dates one by one.")
    step = _number(line, rule.get("INTERVAL", "1"), 1, 1000)
    count = _number(line, rule["COUNT"], 1, 100_000) if "COUNT" in rule else None
    until = _day(line, rule["UNTIL"][:8]) if "UNTIL" in rule else None
    has_end = count is not None or until is not None
    if step == 1 and not has_end and not without and first.year <= _WRITTEN_IN and _is_plain(rule, first):
        yield _every_year(first, days)
        return
    made = 0
    for year in range(first.year, min(first.year + 1000, 9999) + 1, step):
        if made >= (count or _EXPAND_YEARS * 12) or (until is not None and year > until.year):
            return
        if count is None and until is None and year > max(first.year, _WRITTEN_IN) + _EXPAND_YEARS:
            return
        for day in sorted(_of_year(line, rule, first, year)):
            if day < first or (until is not None and day > until) or (count is not None and made >= count):
                continue
            made += 1
            if day not in without:
                yield DateRange(day, _plus(day, days))


def _is_plain(rule: dict[str, str], first: date) -> bool:
    """Does the rule name the day on which the event begins, and no other?"""
    month, day = rule.get("BYMONTH", str(first.month)), rule.get("BYMONTHDAY", str(first.day))
    return "BYDAY" not in rule and month.lstrip("0") == str(first.month) and day.lstrip("0") == str(first.day)


def _every_year(first: date, days: int) -> DateRange:
    """Month and day of the first and last day; in a leap year, so that 29 February exists."""
    start = first.replace(year=LEAP_YEAR)
    end = _plus(first, days)
    return DateRange(start, end.replace(year=LEAP_YEAR), yearly=True)


def _of_year(line: _Line, rule: dict[str, str], first: date, year: int) -> Iterator[date]:
    """The days of one year that a yearly rule names."""
    default_month = str(first.month)
    months = [_number(line, part, 1, 12) for part in rule.get("BYMONTH", default_month).split(",")]
    for month in months:
        length = calendar.monthrange(year, month)[1]
        if "BYDAY" in rule:
            if "BYMONTH" not in rule:
                raise _Wrong(line, "a rule with BYDAY needs BYMONTH here", "write the dates one by one.")
            chosen = {day for part in rule["BYDAY"].split(",") for day in _by_day(line, part, year, month, length)}
            if "BYMONTHDAY" in rule:
                chosen &= set(_by_month_day(line, rule["BYMONTHDAY"], length))
        else:
            chosen = set(_by_month_day(line, rule.get("BYMONTHDAY", str(first.day)), length))
        for day in chosen:
            yield date(year, month, day)


def _by_month_day(line: _Line, text: str, length: int) -> Iterator[int]:
    for part in text.split(","):
        number = _number(line, part.removeprefix("-"), 1, 31)
        day = length + 1 - number if part.startswith("-") else number
        if 1 <= day <= length:
            yield day


def _by_day(line: _Line, part: str, year: int, month: int, length: int) -> Iterator[int]:
    found = re.fullmatch(r"([+-]?[1-5])?(MO|TU|WE|TH|FR|SA|SU)", part.strip())
    if found is None:
        raise _Wrong(line, f"{quoted(part)} is not a weekday of a month", "write it like 4TH or -1MO.")
    weekday = _DAY_NAMES.index(found[2])
    days = [day for day in range(1, length + 1) if date(year, month, day).weekday() == weekday]
    if found[1] is None:
        yield from days
        return
    place = int(found[1])
    if abs(place) <= len(days):
        yield days[place - 1 if place > 0 else place]


def _number(line: _Line, text: str, least: int, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text) or not least <= int(text) <= most:
        raise _Wrong(line, f"{quoted(text)} is out of place in a rule", f"a number from {least} to {most}.")
    return int(text)
