"""Every key of the schedule file, declared (DESIGN section 5). No logic: what they mean together is `schedule_file`'s."""

from __future__ import annotations

import re
import zoneinfo
from dataclasses import dataclass
from functools import partial

from gateway.config.document import Block, Listing, Node, Text
from gateway.config.gateway_keys import DURATION, SIZE, TEXT
from gateway.config.hints import Misread, did_you_mean, quoted
from gateway.config.keys import (
    BlockTable,
    Each,
    Key,
    Many,
    Nested,
    One,
    Reading,
    Schema,
    Unread,
    parse_text_node,
    split,
)
from gateway.config.rules import DateRange, Span
from gateway.config.scalars import (
    parse_choice,
    parse_duration,
    parse_none_or,
    parse_size,
    parse_text,
    parse_yes_no,
)
from gateway.config.times import (
    parse_budget,
    parse_conditions,
    parse_dates,
    parse_days,
    parse_moment,
    parse_span,
    parse_weekday,
)
from gateway.mail.envelope import CLASSES

ALL_DAY = Span(0, 1440)
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*\Z")


def parse_zone(text: str) -> zoneinfo.ZoneInfo:
    """`Europe/Prague`: a zone of the machine's database."""
    if _ZONE.match(text):
        try:
            return zoneinfo.ZoneInfo(text)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            pass  # unknown, or a folder of the database, or no such thing in it
    zones = zoneinfo.available_timezones()
    by_city = sorted(zone for zone in zones if zone.rsplit("/", 1)[-1].casefold() == text.casefold().replace(" ", "_"))
    hint = f'Did you mean "{by_city[0]}"? ' if by_city else did_you_mean(text, sorted(zones))
    raise Misread(f"{quoted(text)} is not a known time zone", f"{hint}Names look like Area/City.")


def _every(text: str) -> float:
    seconds = parse_duration(text)
    if not 10 <= seconds <= 86400:
        raise Misread(f"{quoted(text)} is out of range", "an interval from 10 s to 24 h.")
    return seconds


def _longest(text: str) -> float:
    seconds = parse_duration(text)
    if not 1 <= seconds <= 86400:
        raise Misread(f"{quoted(text)} is out of range", "a session lasts from 1 s to 24 h.")
    return seconds


def _limit(text: str) -> int:
    octets = parse_size(text)
    if octets < 1:
        raise Misread(f"{quoted(text)} would let nothing pass", "to let nothing leave write send: none.")
    return octets


@dataclass(frozen=True, slots=True)
class CalendarFile:
    """`file: holidays.ics` among the dates of an exception; still to be read."""

    name: Text


@dataclass(frozen=True, slots=True)
class Dates:
    """`dates`: date texts and calendar files, mixed; a tuple of DateRange and CalendarFile."""

    def read(self, node: Node, key: Text, reading: Reading) -> tuple[DateRange | CalendarFile, ...]:
        dates: list[DateRange | CalendarFile] = []
        failed = False
        for entry in node.items if isinstance(node, Listing) else (node,):
            try:
                dates.extend(self._entry(entry, key, reading))
            except Unread:
                failed = True
        if failed:
            raise Unread
        if not dates:
            reading.wrong(node, "there are no dates here", "write at least one, like 12-24 or 2026-12-24.")
            raise Unread
        return tuple(dates)

    def _entry(self, entry: Node, key: Text, reading: Reading) -> list[DateRange | CalendarFile]:
        if isinstance(entry, Block):
            return [CalendarFile(self._file(entry, reading))]
        if isinstance(entry, Listing):
            reading.wrong(entry, "a list within a list is not what dates are", "write one list: 12-24, 12-25.")
            raise Unread
        if found := re.match(r"file:\s*(?=\S)", entry.value):
            return [CalendarFile(entry.piece(found.end(), None))]
        dates: list[DateRange | CalendarFile] = []
        failed = False
        for piece in split(entry):
            if not piece.value:
                reading.wrong(piece, "there is nothing here between the commas", "remove a comma.")
                failed = True
                continue
            try:
                dates.append(parse_text_node(piece, parse_dates, key, reading))
            except Unread:
                failed = True
        if failed:
            raise Unread
        return dates

    def _file(self, block: Block, reading: Reading) -> Text:
        for name, value in block.pairs:
            if name.value == "file" and len(block.pairs) == 1 and isinstance(value, Text) and value.value.strip():
                return value
            if name.value != "file":
                reading.wrong(name, f"{quoted(name.value)} is not a setting of dates", "Settings here: file.")
                raise Unread
        reading.wrong(block, "a calendar is written file: and its name", "write {file: holidays.ics}.")
        raise Unread

    def schema(self) -> Schema:
        calendar = {
            "type": "object",
            "properties": {"file": TEXT},
            "required": ["file"],
            "additionalProperties": False,
        }
        one: Schema = {"anyOf": [TEXT, calendar]}
        return {"anyOf": [TEXT, calendar, {"type": "array", "items": one}]}


def _yes_no() -> One:
    return One(parse_yes_no, {"enum": ["yes", "no", True, False]})


def _name() -> One:
    return One(partial(parse_text, most=64), TEXT)


_NONE_OR_SIZE: Schema = {"anyOf": [{"const": "none"}, SIZE]}
_RANGES: Schema = {"type": "string", "pattern": r"^\d\d:\d\d ?- ?\d\d:\d\d( ?, ?\d\d:\d\d ?- ?\d\d:\d\d)*$"}

_OWN = {
    "name": Key("name", _name(), "Its name in log, metrics and commands.", required=True),
    "days": Key(
        "days", Many(parse_days, TEXT), "Days on which the window begins: mon-fri, mon, wed, sat-sun.", "daily"
    ),
    "open": Key(
        "open", Many(parse_span, _RANGES), "HH:MM-HH:MM, or several; the end is exclusive; may run past midnight."
    ),
    "at": Key("at", Many(parse_moment, TEXT), "Times at which one session starts, instead of open."),
}
_SHARED = (
    Key("every", One(_every, DURATION), "With open: one session at the start and after each interval."),
    Key("for", One(_longest, DURATION), "Longest session for at and every.", "15 min"),
    Key(
        "only_if",
        Many(parse_conditions, TEXT, has_commas=False),
        "urgent waiting, oldest over 2 h, more than 20 messages, more than 5 MB; joined by or.",
    ),
    Key(
        "send",
        Many(partial(parse_choice, choices=CLASSES, what="a class"), TEXT, {"all": CLASSES, "none": ()}),
        "Classes that may leave: urgent, normal, bulk; or all, or none.",
        "all",
    ),
    Key("max_message", One(parse_none_or(_limit), _NONE_OR_SIZE), "Larger mail waits for another window.", "none"),
    Key("budget", One(parse_none_or(parse_budget), TEXT), "N MB per session, day, week or month.", "none"),
    Key("fetch", Many(partial(parse_text, most=64), TEXT, {"all": "all", "none": ()}), "Sources to pull from.", "none"),
    Key("dial", _yes_no(), "Raise a dialled link; no uses it only if it is up anyway.", "no"),
    Key("via", _name(), "Relay to send through."),
    Key("enabled", _yes_no(), "Switch off without deleting.", "yes"),
    Key("note", One(partial(parse_text, most=1000), TEXT), "A remark for people."),
)
_FOREIGN = {
    "from": 'times are written open: 08:00-18:00; classes are written "send".',
    "start": "times are written open: 08:00-18:00, or at: 06:30.",
    "end": "times are written open: 08:00-18:00.",
    "time": "times are written open: 08:00-18:00, or at: 06:30.",
    "duration": 'the longest session is written "for".',
    "interval": 'the interval between sessions is written "every".',
    "timezone": "it is a setting of the whole file and stands at its top.",
    "closed": "it is a setting of an exception.",
    "like": "it is a setting of an exception.",
    "dates": "it is a setting of an exception.",
}
_IN_A_WINDOW = "it belongs into each window."

WINDOW = BlockTable("a window", "window", tuple(_OWN.values()) + _SHARED, _FOREIGN)
DEFAULTS = BlockTable("defaults", "window", _SHARED, dict.fromkeys(_OWN, _IN_A_WINDOW))
EXTRA = BlockTable(
    "an extra window",
    "window",
    (
        Key("name", _name(), "Its name.", "that of the exception"),
        _OWN["open"],
        _OWN["at"],
        *_SHARED,
    ),
    _FOREIGN | {"days": "it opens on the dates of the exception."},
)
EXCEPTION = BlockTable(
    "an exception",
    "exceptions",
    (
        Key("name", _name(), "What it is called on screen.", required=True),
        Key(
            "dates",
            Dates(),
            "2026-12-24, 12-24 (every year), 12-24..12-26, lists, {file: holidays.ics}.",
            required=True,
        ),
        Key("like", One(parse_weekday, TEXT), "Weekday to take these days for."),
        Key(
            "closed", Many(parse_span, _RANGES, {"all day": (ALL_DAY,)}), "all day, or ranges in which nothing is open."
        ),
        Key("extra", Each(EXTRA), "Windows of these dates."),
    ),
    {
        "date": 'it is written "dates", for one date too.',
        "days": 'days are written "dates", or "like" for a weekday.',
        "open": 'what opens is written below "extra".',
        "at": 'what opens is written below "extra".',
    },
)
SCHEDULE = BlockTable(
    "the schedule file",
    "",
    (
        Key("timezone", One(parse_zone, TEXT), "Zone of every time here and on screen.", required=True),
        Key("defaults", Nested(DEFAULTS), "What holds for windows that do not say otherwise."),
        Key("windows", Each(WINDOW), "When mail may leave."),
        Key("exceptions", Each(EXCEPTION), "Dates on which that is different."),
    ),
    {
        "mode": "it belongs in gateway.yaml.",
        "relays": "it belongs in gateway.yaml.",
        "links": "it belongs in gateway.yaml.",
    },
)
