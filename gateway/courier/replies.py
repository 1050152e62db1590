"""Takes the relay's octets apart into replies (RFC 5321 4.2), in bounded memory whatever comes."""

from __future__ import annotations

from collections.abc import Iterator

MAX_REPLY = 256 * 1024
MAX_LINES = 512
"""Beyond these bounds it is no reply: an EHLO of a talkative relay is some 2 KB in 40 lines."""

KEPT_LINE = 4096
KEPT_TEXT = 16 * 1024
"""Of what is within the bounds, so much of a line and of a reply is kept; the rest is counted and dropped."""


class BadReply(Exception):
    """What came is no reply; the text says why, for a person."""


class ReplyReader:
    """Fed with octets as they come; yields each reply as (code, text), text with its lines joined by LF."""

    __slots__ = ("_code", "_kept", "_lines", "_number", "_rest", "_total")

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []
        self._begin()

    def _begin(self) -> None:
        self._lines = []
        self._code = 0
        self._number = 0  # of lines
        self._kept = 0
        self._total = 0

    @property
    def is_clear(self) -> bool:
        """True if nothing unfinished is kept."""
        return not self._rest and not self._number

    def feed(self, octets: bytes) -> Iterator[tuple[int, bytes]]:
        """Raises BadReply; the connection is of no use then."""
        octets = self._rest + octets
        start = 0
        while (end := octets.find(b"\n", start)) >= 0:
            line = octets[start:end]
            start = end + 1
            self._rest = octets[start:]  # kept at each step: who asks while we yield sees what is there
            reply = self._line(line)
            if reply is not None:
                yield reply
        rest = octets[start:]
        if len(rest) > KEPT_LINE:
            self._total += len(rest) - KEPT_LINE
            rest = rest[:KEPT_LINE]
        self._rest = rest
        if self._total + len(rest) > MAX_REPLY:
            raise BadReply("an answer without end")

    def _line(self, line: bytes) -> tuple[int, bytes] | None:
        line = line.rstrip(b"\r")
        self._total += len(line)
        self._number += 1
        if self._total > MAX_REPLY or self._number > MAX_LINES:
            raise BadReply("an answer without end")
        digits, mark = line[:3], line[3:4]
        if len(digits) != 3 or not digits.isdigit() or mark not in (b"", b" ", b"-"):
            raise BadReply("something that is no SMTP answer")
        code = int(digits)
        if not 200 <= code <= 599:
            raise BadReply(f"the answer {code}, which means nothing")
        if self._number > 1 and code != self._code:
            raise BadReply("an answer that changes its mind from line to line")
        self._code = code
        if self._kept < KEPT_TEXT:
            self._lines.append(line[4:KEPT_LINE])
            self._kept += len(self._lines[-1])
        if mark == b"-":
            return None
        text = b"\n".join(self._lines)
        self._begin()
        return code, text
