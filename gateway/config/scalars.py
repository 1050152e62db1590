"""Single values: sizes, durations, rates, shares, numbers, words. Text in, value out; used by the commands too.

Every function raises `Misread` (a ValueError) whose text says what is wrong, with a hint. Sizes are octets (1 kB = 1000
octets), durations seconds, rates bit/s, shares 0 to 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from gateway.config.hints import Misread, did_you_mean, quoted
from gateway.config.hosts import parse_address

__all__ = [
    "parse_address",
    "parse_choice",
    "parse_duration",
    "parse_none_or",
    "parse_number",
    "parse_rate",
    "parse_reserve",
    "parse_share",
    "parse_size",
    "parse_text",
    "parse_yes_no",
]

_SIZES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZES |= {"KB": 10**3, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_MAX_SIZE = 10**15

_SECONDS = {
    1: ("s", "sec", "secs", "second", "seconds"),
    60: ("min", "mins", "minute", "minutes", "m"),
    3600: ("h", "hour", "hours"),
    86400: ("d", "day", "days"),
    604800: ("w", "week", "weeks"),
}
_DURATIONS = {unit: seconds for seconds, units in _SECONDS.items() for unit in units}
_MAX_DURATION = 3660 * 86400.0

_RATES = {"bit/s": 1, "kbit/s": 10**3, "Mbit/s": 10**6, "Gbit/s": 10**9}
_MAX_RATE = 10**12

_QUANTITY = re.compile(r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,6})?)\s*(?P<unit>[^\s0-9.,][^\s]*)?\Z")

T = TypeVar("T")


def _quantity(text: str, units: dict[str, int], what: str, listed: str, examples: tuple[str, str]) -> float:
    """A number and its unit; without a unit the mistake is the missing unit, which is the commonest."""
    found = _QUANTITY.fullmatch(text.strip())
    usual = f"write it like {examples[0]} or {examples[1]}."
    if found is None:
        if re.fullmatch(r"[0-9]+,[0-9]+\s*\S*", text.strip()):
            raise Misread(f"{quoted(text)} is not {what}", f"decimals are written with a point; {usual}")
        raise Misread(f"{quoted(text)} is not {what}", usual)
    number, unit = found["number"], found["unit"]
    if unit is None:
        tails = (example.split(" ", 1)[1] for example in examples)
        raise MissingUnit(text, " or ".join(f"{number} {tail}" for tail in tails))
    if unit not in units:
        hint = f"units here are {listed}; {usual}"
        if unit.lower().endswith("ib") and unit[:1].lower() in "kmgt":
            hint = f"sizes count in thousands here (1 MB = 1,000,000 octets); {usual}"
        start = text.index(unit, text.index(number) + len(number))
        raise Misread(
            f"{quoted(unit)} is not a unit of {what.split(' ', 1)[1]}", hint, start=start, end=start + len(unit)
        )
    return float(number) * units[unit]


class MissingUnit(Misread):
    """A bare number where a unit is needed; the reader puts the key's name into the text."""

    def __init__(self, text: str, write: str) -> None:
        super().__init__(f"{quoted(text)} has no unit", f"write {write}.")


def parse_size(text: str) -> int:
    """`25 MB`, `500kB`, `1.5 GB`, `800 B` as octets."""
    octets = _quantity(text, _SIZES, "a size", "B, kB, MB, GB, TB", ("2 MB", "2 kB"))
    if octets != int(octets):
        raise Misread(f"{quoted(text)} is not a whole number of octets")
    if octets > _MAX_SIZE:
        raise Misread(f"{quoted(text)} is too large", "the largest size is 1000 TB.")
    return int(octets)


def parse_duration(text: str) -> float:
    """`90 s`, `90s`, `30 min`, `2 h`, `1.5 h`, `5 days` as seconds."""
    if re.fullmatch(r"\s*([0-9]+\s*[a-z]+\s*){2,}", text):
        raise Misread(f"{quoted(text)} is not a duration", "use one number and one unit: 90 min instead of 1 h 30 min.")
    seconds = _quantity(text, _DURATIONS, "a duration", "s, min, h, days, weeks", ("30 min", "30 s"))
    if seconds > _MAX_DURATION:
        raise Misread(f"{quoted(text)} is too long", "the longest duration is ten years.")
    return seconds


def parse_rate(text: str) -> float:
    """`33.6 kbit/s`, `2 Mbit/s` as bit/s."""
    rate = _quantity(text, _RATES, "a speed", "bit/s, kbit/s, Mbit/s, Gbit/s", ("33.6 kbit/s", "2 Mbit/s"))
    if not 1 <= rate <= _MAX_RATE:
        raise Misread(f"{quoted(text)} is no speed of a line", "speeds go from 1 bit/s to 1000 Gbit/s.")
    return rate


def parse_share(text: str) -> float:
    """`5 %` as 0.05."""
    found = re.fullmatch(r"\s*([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%\s*", text)
    if found is None:
        raise Misread(f"{quoted(text)} is not a share", "write it like 5 %.")
    share = float(found[1]) / 100
    if share > 1:
        raise Misread(f"{quoted(text)} is more than the whole")
    return share


def parse_reserve(text: str) -> float | int:
    """A share of the disk (float) or a size (int)."""
    if "%" in text:
        share = parse_share(text)
        if share > 0.9:
            raise Misread(f"{quoted(text)} of the disk would leave no room for mail", "write it like 5 % or 2 GB.")
        return share
    return parse_size(text)


def parse_number(text: str, least: int = 0, most: int = 10**9) -> int:
    """A whole number within the bounds, both included."""
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise Misread(f"{quoted(text)} is not a whole number", f"a number from {least} to {most}.")
    number = int(text)
    if not least <= number <= most:
        raise Misread(f"{quoted(text)} is out of range", f"a number from {least} to {most}.")
    return number


def parse_yes_no(text: str) -> bool:
    """`yes` or `no`, nothing else: what YAML 1.1 made of `on` and `true` has surprised enough people."""
    if text in ("yes", "no"):
        return text == "yes"
    raise Misread(f"{quoted(text)} is neither yes nor no", "write yes or no.")


def parse_choice(text: str, choices: tuple[str, ...], what: str) -> str:
    """One of the words."""
    if text in choices:
        return text
    listed = ", ".join(choices)
    raise Misread(f"{quoted(text)} is not {what}", f"{did_you_mean(text, choices)}One of {listed}.")


def parse_none_or(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    """A reader that also takes `none`, as None."""

    def read(text: str) -> T | None:
        return None if text == "none" else parse(text)

    return read


def parse_text(text: str, most: int = 200) -> str:
    """One line of printable text, not empty: names, notes, command lines."""
    bare = text.strip()
    if not bare:
        raise Misread("there is no text here", "write something, or remove the line.")
    if len(bare) > most:
        raise Misread(f"{quoted(bare)} is too long", f"at most {most} characters.")
    if not bare.isprintable():
        raise Misread(f"{quoted(bare)} holds a character that cannot be shown", "use one line of plain text.")
    return bare
