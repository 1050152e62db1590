"""The filter language: one grammar for command line, API and console (DESIGN section 10).

    word "several words"       in ID, sender, recipients or status, letters folded
    from:anna to:*@list.example id:7k2f status:held class:bulk window:night
    larger:1MB smaller:10kB size>1MB size<10kB older:4h younger:30min
    -TERM                      not

All terms must hold. A `status:` is a state (waiting, deferred, held, sending), else text in the Status column; `*` stands
for any text. `parse_filter` raises UsageError with the place of the mistake.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gateway.config.scalars import parse_duration, parse_size
from gateway.control.rows import QueueRow
from gateway.errors import UsageError
from gateway.mail.envelope import CLASSES

MAX_LENGTH = 1000
STATES = ("waiting", "deferred", "held", "sending")

Test = Callable[[QueueRow, float], bool]

_TERM = re.compile(r'(-?)(?:([a-z]+)(:|>=?|<=?))?("(?:[^"\\]|\\.)*"|[^\s"]+)', re.IGNORECASE)
_BARE = re.compile(r"[a-z]+(?::|>=?|<=?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed filter; `text` as it was written. An empty one matches everything."""

    text: str
    tests: tuple[Test, ...]
    needs_record: bool

    def matches(self, row: QueueRow, now: float) -> bool:
        return all(test(row, now) for test in self.tests)


def parse_filter(text: str) -> Filter:
    """Read a filter. Raises UsageError: where, what was expected, what came."""
    if len(text) > MAX_LENGTH:
        raise UsageError(f"the filter is longer than {MAX_LENGTH} characters")
    tests: list[Test] = []
    position = 0
    while True:
        while position < len(text) and text[position].isspace():
            position += 1
        if position == len(text):
            return Filter(text, tuple(tests), bool(tests))
        match = _TERM.match(text, position)
        if match is None:
            raise _mistake(text, position, "a quotation mark is not closed")
        negated, key, sign, value = match.group(1), (match.group(2) or "").lower(), match.group(3), match.group(4)
        if not key and _BARE.fullmatch(value) and text[match.end() : match.end() + 1] != '"':
            raise _mistake(text, position, f'"{value}" lacks its value; it follows without a space, like from:anna')
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        test = _term(text, position, key, sign or "", value)
        tests.append(_negation(test) if negated else test)
        position = match.end()


def _negation(test: Test) -> Test:
    return lambda row, now: not test(row, now)


def _term(text: str, position: int, key: str, sign: str, value: str) -> Test:
    if not key:
        return _words(value)
    if key == "size" and sign.startswith((">", "<")):
        octets = _value(text, position, parse_size, value)
        compare = {">": int.__gt__, ">=": int.__ge__, "<": int.__lt__, "<=": int.__le__}[sign]
        return lambda row, now: compare(row.size, octets)
    if sign != ":":
        raise _mistake(text, position, f'"{key}{sign}" is not a term; sizes are compared like size>1MB')
    match key:
        case "from":
            return lambda row, now: _like(row.sender, value)
        case "to":
            return lambda row, now: any(_like(to, value) for to in row.to)
        case "id":
            return lambda row, now: _like(row.id, value)
        case "status" if value.lower() in STATES:
            return lambda row, now: row.state == value.lower()
        case "status":
            return lambda row, now: _like(row.status, value)
        case "class":
            if value.lower() not in CLASSES:
                raise _mistake(text, position, f'"{value}" is not a class; classes are {", ".join(CLASSES)}')
            return lambda row, now: row.message_class == value.lower()
        case "window":
            return lambda row, now: row.next_try.window is not None and _like(row.next_try.window, value)
        case "larger" | "smaller":
            octets = _value(text, position, parse_size, value)
            return (lambda row, now: row.size > octets) if key == "larger" else (lambda row, now: row.size < octets)
        case "older" | "younger":
            seconds = _value(text, position, parse_duration, value)
            older = key == "older"
            return lambda row, now: (now - datetime.fromisoformat(row.created).timestamp() > seconds) == older
        case _:
            raise _unknown(text, position, key)


def _words(value: str) -> Test:
    def found(row: QueueRow, now: float) -> bool:
        del now
        return any(_like(field, value) for field in (row.id, row.sender, *row.to, row.status))

    return found


def _like(field: str, wanted: str) -> bool:
    """Wanted text anywhere in the field, letters folded; with `*` a pattern over the whole field."""
    field, wanted = field.casefold(), wanted.casefold()
    if "*" in wanted:
        escaped = re.sub(r"([\[?])", r"[\1]", wanted)
        return fnmatch.fnmatchcase(field, escaped)
    return wanted in field


def _value(text: str, position: int, parse: Callable[[str], float], value: str) -> int:
    try:
        return int(parse(value))
    except ValueError as exc:
        raise _mistake(text, position, str(exc)) from exc


def _unknown(text: str, position: int, key: str) -> UsageError:
    known = ("from", "to", "id", "status", "class", "window", "larger", "smaller", "size", "older", "younger")
    near = difflib.get_close_matches(key, known, 1)
    hint = f'; did you mean "{near[0]}:"?' if near else f"; terms are {', '.join(known)}"
    return _mistake(text, position, f'"{key}:" is not a term of a filter{hint}')


def _mistake(text: str, position: int, what: str) -> UsageError:
    return UsageError(f"filter, column {position + 1}: {what}\n  {text}\n  {' ' * position}^")
