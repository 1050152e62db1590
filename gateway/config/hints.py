"""How a mistake is worded: quoting what the user wrote, and guessing what was meant. Knows no key and no file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

MAX_QUOTED = 60
"""A message quotes at most this many characters of the file."""


class Misread(ValueError):
    """A text is not what its key asks for. `start` and `end` are the offending piece, as offsets into that text."""

    def __init__(self, what: str, hint: str | None = None, *, start: int = 0, end: int | None = None) -> None:
        super().__init__(what)
        self.hint = hint
        self.start = start
        self.end = end

    def moved(self, offset: int, length: int) -> Misread:
        """The same, told of a longer text in which the text read, `length` characters, begins at `offset`."""
        end = length if self.end is None else self.end
        return Misread(str(self), self.hint, start=self.start + offset, end=end + offset)


def printable(text: str) -> str:
    """The text with everything escaped that could steer a terminal or turn the direction of writing."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def quoted(text: str) -> str:
    """What the user wrote, in quotation marks, as data: cut and escaped."""
    cut = text if len(text) <= MAX_QUOTED else text[: MAX_QUOTED - 1] + "…"
    return f'"{printable(cut)}"'


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, or None. Case and the difference between - and _ do not count."""

    def plain(text: str) -> str:
        return text.casefold().replace("-", "_").replace(" ", "_")

    by_plain = {plain(candidate): candidate for candidate in known}
    found = difflib.get_close_matches(plain(word[:MAX_QUOTED]), by_plain, n=1, cutoff=0.6 if len(word) > 3 else 0.5)
    return by_plain[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`Did you mean "…"? `, ready to stand before more of the hint; empty where nothing is near."""
    best = nearest(word, known)
    return f'Did you mean "{printable(best)}"? ' if best is not None else ""


_SECRET = re.compile(r"(?P<key>['\"]?pass(?:word|wd)['\"]?\s*:\s*)(?P<secret>[^\s{#].*)")


def without_secret(line: str) -> str:
    """The line, of the same length, with a password that was written into the file against all advice made unreadable."""
    return _SECRET.sub(lambda found: found["key"] + "*" * len(found["secret"]), line)
