"""Takes the relay's octets apart into replies (RFC 5321 4.2), in bounded memory whatever comes."""

from __future__ import annotations

from collections.abc import Iterator

MAX_REPLY = 32 * 1024
MAX_LINES = 512
"""An EHLO of a talkative relay is some 2 KB in 40 lines; what is beyond these bounds is no reply."""


class BadReply(Exception):
    """What came is no reply; the text says why, for a person."""


class ReplyReader:
    """Fed with octets as they come; yields each reply as (code, text), text with its lines joined by LF."""

    __slots__ = ("_code", "_lines", "_rest", "_total")

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []
        self._code = 0
        self._total = 0

    @property
    def is_clear(self) -> bool:
        """True if nothing unfinished is kept."""
        return not self._rest and not self._lines

    def feed(self, octets: bytes) -> Iterator[tuple[int, bytes]]:
        """Raises BadReply; the connection is of no use then."""
        if self._rest:
            octets = self._rest + octets
            self._rest = b""
        start = 0
        while (end := octets.find(b"\n", start)) >= 0:
            line = octets[start:end]
            start = end + 1
            reply = self._line(line)
            if reply is not None:
                if start < len(octets):
                    self._rest = octets[start:]  # kept at once: who asks while we yield sees what is there
                    yield reply
                    octets, start = self._rest, 0
                    self._rest = b""
                else:
                    yield reply
        self._rest = octets[start:]
        if self._total + len(self._rest) > MAX_REPLY:
            raise BadReply("an answer without end")

    def _line(self, line: bytes) -> tuple[int, bytes] | None:
        line = line.rstrip(b"\r")
        self._total += len(line)
        if self._total > MAX_REPLY or len(self._lines) >= MAX_LINES:
            raise BadReply("an answer without end")
        digits, mark = line[:3], line[3:4]
        if len(digits) != 3 or not digits.isdigit() or mark not in (b"", b" ", b"-"):
            raise BadReply("something that is no SMTP answer")
        code = int(digits)
        if not 200 <= code <= 599:
            raise BadReply(f"the answer {code}, which means nothing")
        if self._lines and code != self._code:
            raise BadReply("an answer that changes its mind from line to line")
        self._code = code
        self._lines.append(line[4:])
        if mark == b"-":
            return None
        text = b"\n".join(self._lines)
        self._lines = []
        self._total = 0
        return code, text
