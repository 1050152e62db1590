"""Words of the schedule file: days, times of day, stretches, dates, conditions, budgets, classes.

Text in, plain values of `gateway.config.rules` out; every function raises `Misread`. Which list of texts a key holds is the
reader's business; here each text is one item.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from datetime import date
from typing import TypeVar

from gateway.config.hints import Misread, did_you_mean, nearest, quoted
from gateway.config.rules import Condition, DateRange, Span
from gateway.config.scalars import MissingUnit, parse_duration, parse_number, parse_size
from gateway.config.settings import BudgetSettings

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FULL = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY_NUMBERS = {name: number for names in (DAYS, _FULL) for number, name in enumerate(names)}
_DAY_SETS = {"daily": range(7), "workdays": range(5), "weekend": range(5, 7)}
_MONTHS = tuple(calendar.month_name)
LEAP_YEAR = 2000
"""The year that dates of every year are stored with: it has a 29 February."""

T = TypeVar("T")

_TIME_HINT = "Times are written HH:MM on the 24-hour clock."
_NIGHT_HINT = "hours go from 00:00 to 24:00. A window that runs past midnight is written like 22:00-01:00."


def parse_weekday(text: str) -> int:
    """`sun` or `sunday` as 6; Monday is 0."""
    number = _DAY_NUMBERS.get(text.lower())
    if number is not None:
        return number
    raise _no_day(text, nearest(text, _DAY_NUMBERS))


def _no_day(text: str, meant: str | None) -> Misread:
    hint = "days are mon tue wed thu fri sat sun, ranges like mon-fri, and daily, workdays, weekend."
    if meant is not None:
        hint += f' Did you mean "{meant}"?'
    return Misread(f"{quoted(text)} is not a day", hint)


def parse_days(text: str) -> frozenset[int]:
    """One item of `days`: a day, a range (`fri-mon` runs over Sunday) or one of the words."""
    word = text.lower()
    if word in _DAY_SETS:
        return frozenset(_DAY_SETS[word])
    if "-" not in text:
        if word not in _DAY_NUMBERS:
            raise _no_day(text, nearest(text, [*_DAY_NUMBERS, *_DAY_SETS]))
        return frozenset({parse_weekday(text)})
    first, last = (_inner(part, parse_weekday) for part in _halves(text, "-"))
    return frozenset((first + step) % 7 for step in range((last - first) % 7 + 1))


def _halves(text: str, mark: str) -> tuple[tuple[int, str], tuple[int, str]]:
    """The text before and after `mark`, stripped, each with its offset."""
    head, tail = text.split(mark, 1)
    start = len(head) + len(mark) + len(tail) - len(tail.lstrip())
    return (len(head) - len(head.lstrip()), head.strip()), (start, tail.strip())


def _inner(part: tuple[int, str], parse: Callable[[str], T]) -> T:
    """Parse a part of a text; its mistake is told at its place in the whole."""
    offset, text = part
    try:
        return parse(text)
    except Misread as wrong:
        raise wrong.moved(offset, len(text)) from None


def parse_time(text: str) -> int:
    """`06:30` as minutes from 00:00; 24:00 is 1440."""
    found = re.fullmatch(r"([0-9]{2}):([0-9]{2})", text)
    if found:
        minutes = int(found[1]) * 60 + int(found[2])
        if int(found[2]) < 60 and minutes <= 1440:
            return minutes
        raise Misread(f"{quoted(text)} is not a time of day", _NIGHT_HINT)
    meant = _time_meant(text)
    hint = f"did you mean {meant}? {_TIME_HINT}" if meant else _TIME_HINT
    raise Misread(f"{quoted(text)} is not a time of day", hint)


def _time_meant(text: str) -> str | None:
    """HH:MM for `6pm`, `6.30`, `6h30`, `6:30 am`, `0630`."""
    found = re.fullmatch(
        r"([0-9]{1,2})(?:[:.h]?([0-9]{2}))?(?::00)?\s*h?\s*(am|pm|a\.m\.|p\.m\.)?", text.strip().lower()
    )
    if not found or (found[2] is None and found[3] is None and not text.strip().isdigit() and "h" not in text.lower()):
        return None
    hour, minute = int(found[1]), int(found[2] or 0)
    if found[3]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if found[3].startswith("p") else 0)
    return f"{hour:02}:{minute:02}" if hour < 24 and minute < 60 else None


def parse_moment(text: str) -> int:
    """One item of `at`: minutes from 00:00, 0 to 1439."""
    minutes = parse_time(text)
    if minutes == 1440:
        raise Misread(f"{quoted(text)} is not a time to start at", "midnight is 00:00 of the next day.")
    return minutes


def parse_span(text: str) -> Span:
    """One item of `open` or `closed`: `08:00-18:00`; an end before the start is on the next day."""
    if "-" not in text:
        dashes = [c for c in text if c in "–—‒−"]
        if dashes:
            raise Misread(f"{quoted(text)} is not a stretch of time", "write a plain hyphen: 08:00-18:00.")
        if re.fullmatch(r"[0-9]{2}:[0-9]{2}", text):
            raise Misread(
                f"{quoted(text)} is not a stretch of time",
                "write start and end: 08:00-18:00. A single moment is at: 08:00.",
            )
        parse_time(text)  # a misspelt time is the better thing to tell
    start, end = (_inner(part, parse_time) for part in _halves(text, "-"))
    if start == end or (start == 1440 and end == 0):
        moment = f"{start // 60 % 24:02}:{start % 60:02}"
        raise Misread(f"{quoted(text)} has no length", f"write 00:00-24:00 for the whole day, or at: {moment}.")
    if start == 1440:
        raise Misread('"24:00" is not a time to start at', "midnight is 00:00 of the next day.", end=5)
    if end == 0:
        end = 1440  # 22:00-00:00 ends at midnight, as 22:00-24:00 does
    return Span(start, end)


def _day_of(year: int, month: int, day: int, text: str) -> date:
    try:
        return date(year, month, day)
    except ValueError:
        hint = "months go from 01 to 12; dates are written year-month-day or month-day."
        if 1 <= month <= 12 and year >= 1:
            days = calendar.monthrange(year, month)[1]
            of = _MONTHS[month] if year == LEAP_YEAR and len(text) < 8 else f"{_MONTHS[month]} {year}"
            hint = f"{of} has {days} days."
        raise Misread(f"there is no {text}", hint) from None


def _parse_date(text: str) -> tuple[date, bool]:
    """A date, and whether it is one of every year."""
    if found := re.fullmatch(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", text):
        return _day_of(int(found[1]), int(found[2]), int(found[3]), text), False
    if found := re.fullmatch(r"([0-9]{2})-([0-9]{2})", text):
        return _day_of(LEAP_YEAR, int(found[1]), int(found[2]), text), True
    hint = "dates are written 2026-12-24, or 12-24 for every year, or 12-24..12-26."
    if found := re.fullmatch(r"([0-9]{1,2})\.\s?([0-9]{1,2})\.(?:\s?([0-9]{4}))?", text):
        year = f"{found[3]}-" if found[3] else ""
        hint = f"did you mean {year}{int(found[2]):02}-{int(found[1]):02}? " + hint
    elif found := re.fullmatch(r"(?:([0-9]{4})[-/])?([0-9]{1,2})[-/]([0-9]{1,2})", text):
        year = f"{found[1]}-" if found[1] else ""
        hint = f"did you mean {year}{int(found[2]):02}-{int(found[3]):02}? " + hint
    raise Misread(f"{quoted(text)} is not a date", hint)


def parse_dates(text: str) -> DateRange:
    """One item of `dates`: a date or a range of dates, each with a year or each of every year."""
    if ".." not in text:
        day, yearly = _parse_date(text)
        return DateRange(day, day, yearly)
    (first, first_yearly), (last, last_yearly) = (_inner(part, _parse_date) for part in _halves(text, ".."))
    if first_yearly != last_yearly:
        raise Misread(
            f"{quoted(text)} has a year at one end only", "write the year at both ends, or at neither for every year."
        )
    if last < first and not first_yearly:
        raise Misread(f"{quoted(text)} ends before it begins")
    return DateRange(first, last, first_yearly)


def parse_conditions(text: str) -> tuple[Condition, ...]:
    """`only_if`: terms joined by `or`."""
    terms: list[Condition] = []
    offset = 0
    for piece in re.split(r"(\bor\b)", text):
        if piece != "or":
            lead = len(piece) - len(piece.lstrip())
            terms.append(_inner((offset + lead, piece.strip()), _parse_condition))
        offset += len(piece)
    return tuple(terms)


def _parse_condition(text: str) -> Condition:
    words = " ".join(text.split())
    if words == "urgent waiting":
        return Condition("urgent waiting")
    if words.startswith("oldest over "):
        start = text.index("over") + 4
        rest = text[start:]
        seconds = _inner((start + len(rest) - len(rest.lstrip()), rest.strip()), parse_duration)
        return Condition("oldest over", seconds)
    if found := re.fullmatch(r"more than ([0-9]+) messages?", words):
        return Condition("more messages than", parse_number(found[1]))
    if words.startswith("more than "):
        start = text.index("than") + 4
        rest = text[start:]
        part = (start + len(rest) - len(rest.lstrip()), rest.strip())
        try:
            return Condition("more octets than", parse_size(part[1]))
        except MissingUnit as wrong:
            raise Misread(
                str(wrong), f"write {part[1]} messages or {part[1]} MB.", start=part[0], end=len(text)
            ) from None
        except Misread as wrong:
            raise wrong.moved(*_place(part)) from None
    hint = "conditions are: urgent waiting, oldest over 2 h, more than 20 messages, more than 5 MB; joined by or."
    if re.search(r"\band\b", words):
        hint = "conditions can be joined by or only; " + hint
    raise Misread(
        f"{quoted(text)} is not a condition" if text else "a condition is missing here", hint, end=max(1, len(text))
    )


def _place(part: tuple[int, str]) -> tuple[int, int]:
    return part[0], len(part[1])


def parse_budget(text: str) -> BudgetSettings:
    """`20 MB per day`."""
    found = re.fullmatch(r"(.*?)(\s+per\s+)(\S+)", text.strip())
    if found is None:
        raise Misread(
            f"{quoted(text)} is not a budget", "write it like 20 MB per day; per session, day, week or month."
        )
    octets = _inner((0, found[1]), parse_size)
    if octets == 0:
        raise Misread(f"{quoted(text)} lets nothing pass", "to stop a window write enabled: no, or send: none.")
    match found[3]:
        case "session" | "day" | "week" | "month" as per:
            return BudgetSettings(octets, per)
        case other:
            hint = f"{did_you_mean(other, ('session', 'day', 'week', 'month'))}Per session, day, week or month."
            raise Misread(f"{quoted(other)} is not a period", hint, start=found.start(3), end=found.end(3))
