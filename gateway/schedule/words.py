"""The schedule in words, as its file writes them: days, times, dates, sizes, spans. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date, datetime
from math import floor
from zoneinfo import ZoneInfo

from gateway.config.rules import Condition, DateRange, Span, WindowRule

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_UNITS = (("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000))
_RATES = (("Gbit/s", 1_000_000_000), ("Mbit/s", 1_000_000), ("kbit/s", 1_000))


def size_words(octets: float) -> str:
    """`2 MB`, `1.2 MB`, `800 B`; never more than there is."""
    for unit, scale in _UNITS:
        if octets >= scale:
            return f"{_short(octets / scale)} {unit}"
    return f"{int(octets)} B"


def rate_words(bits: float) -> str:
    """`33.6 kbit/s`."""
    for unit, scale in _RATES:
        if bits >= scale:
            return f"{_short(bits / scale)} {unit}"
    return f"{_short(bits)} bit/s"


def span_words(seconds: float) -> str:
    """`30 s`, `5 min`, `1 h 30 min`, `60 h`, `4 days`."""
    whole = round(seconds)
    if whole < 60 or (whole < 3600 and whole % 60):
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours <= 72:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} days {hours} h" if hours else f"{days} days"


def clock_words(minute: int) -> str:
    """`22:00`; 1440 is `24:00`."""
    return f"{minute // 60:02}:{minute % 60:02}"


def time_span_words(span: Span) -> str:
    """`22:00-05:00`."""
    return f"{clock_words(span.start)}-{clock_words(span.end)}"


def closed_words(spans: Collection[Span]) -> str:
    """`all day`, or `22:00-24:00, 06:00-07:00`."""
    return ", ".join("all day" if span.length == 1440 else time_span_words(span) for span in spans)


def days_words(days: Collection[int] | None) -> str:
    """`daily`, `mon-fri`, `sat-mon`, `mon, wed, fri`."""
    if days is None or len(days) == 7:
        return "daily"
    if not days:
        return "never"
    starts = [day for day in sorted(days) if (day - 1) % 7 not in days]
    if starts[0] > 0 and 0 in days:
        starts.insert(0, starts.pop())
    parts = []
    for start in starts:
        end = start
        while (end + 1) % 7 in days:
            end = (end + 1) % 7
        length = (end - start) % 7 + 1
        if length == 1:
            parts.append(WEEKDAYS[start])
        elif length == 2 and start != 5:
            parts.append(f"{WEEKDAYS[start]}, {WEEKDAYS[end]}")
        else:
            parts.append(f"{WEEKDAYS[start]}-{WEEKDAYS[end]}")
    return ", ".join(parts)


def times_words(rule: WindowRule) -> str:
    """`08:00-18:00, every 30 min for 5 min`; `at 06:30 for 15 min`; `22:00-05:00, ends next morning`."""
    if rule.at:
        return f"at {', '.join(clock_words(minute) for minute in rule.at)} for {span_words(rule.longest)}"
    text = ", ".join(time_span_words(span) for span in rule.open)
    if rule.every is not None:
        text += f", every {span_words(rule.every)} for {span_words(rule.longest)}"
    over_night = [span for span in rule.open if span.end <= span.start]
    if over_night:
        text += ", ends next morning" if all(span.end <= 720 for span in over_night) else ", ends next day"
    return text


def only_if_words(conditions: Iterable[Condition]) -> str | None:
    """`urgent waiting or oldest over 12 h`, as it may be written; None without conditions."""
    texts = []
    for condition in conditions:
        match condition.kind:
            case "urgent waiting":
                texts.append("urgent waiting")
            case "oldest over":
                texts.append(f"oldest over {_plain_duration(condition.amount)}")
            case "more messages than":
                texts.append(f"more than {condition.amount:.0f} messages")
            case "more octets than":
                texts.append(f"more than {_plain_size(condition.amount)}")
    return " or ".join(texts) or None


def date_words(when: date) -> str:
    """`Sun 29 Mar 2026`."""
    return f"{when:%a} {when.day} {when:%b %Y}"


def moment_words(instant: float, now: float, zone: ZoneInfo) -> str:
    """`Tue 12:30` within six days, else `Tue 24 Nov 12:30`, with the year where it is another."""
    when, today = datetime.fromtimestamp(instant, zone), datetime.fromtimestamp(now, zone)
    seconds = f"{when:%H:%M:%S}" if when.second else f"{when:%H:%M}"
    if 0 <= (when.date() - today.date()).days <= 6:
        return f"{when:%a} {seconds}"
    year = "" if when.year == today.year else f" {when.year}"
    return f"{when:%a} {when.day} {when:%b}{year} {seconds}"


def dates_words(ranges: Iterable[DateRange], most: int = 3) -> str:
    """`12-24..12-26, 2026-11-26`; after `most` of them, how many more."""
    texts = []
    for dates in ranges:
        form = "%m-%d" if dates.yearly else "%Y-%m-%d"
        first, last = dates.first.strftime(form), dates.last.strftime(form)
        texts.append(first if dates.first == dates.last else f"{first}..{last}")
    shown = ", ".join(texts[:most])
    return shown if len(texts) <= most else f"{shown} and {len(texts) - most} more"


def names_words(names: Iterable[str], last: str = "and") -> str:
    """`Day`, `Day and Night`, `Day, Noon and Night`."""
    listed = list(names)
    if len(listed) < 2:
        return "".join(listed)
    return f"{', '.join(listed[:-1])} {last} {listed[-1]}"


def _short(value: float) -> str:
    """One decimal below 100, cut and not rounded, none if it is 0."""
    if value >= 100:
        return str(floor(value))
    return f"{floor(value * 10 + 1e-9) / 10:.1f}".removesuffix(".0")


def _plain_duration(seconds: float) -> str:
    for unit, scale in (("h", 3600), ("min", 60)):
        if seconds >= scale and seconds % scale == 0:
            return f"{seconds // scale:.0f} {unit}"
    return f"{seconds:g} s"


def _plain_size(octets: float) -> str:
    """Exact, so that it can be read back."""
    for unit, scale in _UNITS:
        if octets >= scale and octets % (scale // 1000) == 0:
            return f"{octets / scale:.3f}".rstrip("0").rstrip(".") + f" {unit}"
    return f"{octets:.0f} B"
