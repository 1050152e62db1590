"""The octets of a message on their way in: where it ends, and whether its lines are lines (RFC 5321 2.3.8, 4.1.1.4).

Pure and incremental: blocks of any size and split anywhere go in, pieces to store come out, and memory does not depend
on the message. Only CR LF . CR LF ends a message. Nothing here answers a client or touches a disk.
"""

from __future__ import annotations

import re

from gateway.reception import replies

MAX_LINE_OCTETS = 1 << 20
"""A longer line is no text, and a courier or a mail program further on would choke on it."""

MAX_HEADER_OCTETS = 64 * 1024
"""So much of a header is looked at; classes and loop detection need no more."""

MAX_HOPS = 50
"""RFC 5321 6.3 asks for a large threshold, at least 100 in theory; CASES S56 sets it."""

_END = b"\r\n.\r\n"
# Each begins with a plain octet, which the engine looks for faster than `find` and `count` do for two.
_DOT = re.compile(rb"\r\n\.").search
_BARE_CR = re.compile(rb"\r(?!\n)").search
_BARE_LF = re.compile(rb"\n(?<!\r\n)").search
# A dot with a bare LF, CR or NUL behind it was never put there for transparency: no line can have been so. It stays.
_STUFFED = re.compile(rb"\r\n\.(?![\r\n\0])")
_RECEIVED = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)


class DotReader:
    """Takes the dots out again that transparency put in, and finds the end."""

    __slots__ = ("_held", "_virtual")

    def __init__(self) -> None:
        # The CR LF of the DATA command ends the line before the first: ".CRLF" alone is an empty message.
        self._held = b"\r\n"
        self._virtual = 2

    def feed(self, block: bytes) -> tuple[bytes, bytes | None]:
        """The piece of content that is certain now, and, once the end was found, what followed it (else None)."""
        octets = self._held + block
        found = _DOT(octets)  # one search for both: in most blocks no line begins with a dot
        dot = found.start() if found is not None else -1
        end = octets.find(_END, dot) if dot >= 0 else -1
        rest: bytes | None = None
        if end >= 0:
            rest = octets[end + 5 :]
            octets = octets[: end + 2]
            self._held = b""
        else:
            keep = _end_begun(octets)
            self._held = octets[len(octets) - keep :]
            octets = octets[: len(octets) - keep]
        if dot >= 0 and dot != end:
            octets = _STUFFED.sub(b"\r\n", octets)
        if self._virtual and octets:
            # What is held is never split within its first two octets, so the virtual CR LF leaves in one piece.
            octets = octets[self._virtual :]
            self._virtual = 0
        return octets, rest


def _end_begun(octets: bytes) -> int:
    """How many octets at the end of `octets` may be the beginning of the end."""
    if octets.endswith((b"\r\n.\r",)):
        return 4
    if octets.endswith(b"\r\n."):
        return 3
    if octets.endswith(b"\r\n"):
        return 2
    if octets.endswith(b"\r"):
        return 1
    return 0


class Inspection:
    """What is known of a content: size, faults, header. With `repair` faults of line endings are mended on the way.

    `size`: octets to store. `refusal`: the reply that this content earns, or None; once set it stays, and what
    `check` returns is worth nothing any more.
    """

    __slots__ = ("_header", "_held", "_limit", "_line", "_repair", "header", "refusal", "repaired", "size")

    def __init__(self, *, limit: int, repair: bool) -> None:
        self._limit = limit
        self._repair = repair
        self._held = b""
        self._line = 0  # octets of the line that is not yet ended
        self._header: bytearray | None = bytearray()
        self.header = b""
        self.size = 0
        self.refusal: bytes | None = None
        self.repaired = False

    def check(self, piece: bytes) -> bytes:
        """The octets to store for this piece. A CR at its end is held until it is known what follows."""
        if self._held:
            piece = self._held + piece
            self._held = b""
        if b"\0" in piece:
            if not self._repair:
                self.refusal = self.refusal or replies.NUL_CONTENT
                return b""
            piece = piece.replace(b"\0", b"")
            self.repaired = True
        if piece.endswith(b"\r"):
            self._held = b"\r"
            piece = piece[:-1]
        return self._take(piece)

    def finish(self) -> bytes:
        """The last octets to store; to be called once, at the end."""
        piece = b""
        if self._held:
            self._held = b""
            piece = self._take(b"\r")
        if self._header is not None:
            self._end_header(bytes(self._header))
        return piece

    def _take(self, piece: bytes) -> bytes:
        if _BARE_CR(piece) or _BARE_LF(piece):
            if not self._repair:
                self.refusal = self.refusal or replies.BARE_ENDINGS
                return b""
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
            self.repaired = True
        self._measure(piece)
        if self._header is not None:
            self._gather(piece)
        return piece

    def _measure(self, piece: bytes) -> None:
        size = len(piece)
        self.size += size
        if self.size > self._limit:
            self.refusal = self.refusal or replies.TOO_BIG
        if self._line + size <= MAX_LINE_OCTETS:  # the common case: no line in it can be too long
            last = piece.rfind(b"\n")
            self._line = self._line + size if last < 0 else size - last - 1
            return
        start = 0
        line = self._line
        while (end := piece.find(b"\n", start)) >= 0:
            if line + end - start + 1 > MAX_LINE_OCTETS:
                self.refusal = self.refusal or replies.LONG_LINE
            line = 0
            start = end + 1
        self._line = line + size - start
        if self._line > MAX_LINE_OCTETS:
            self.refusal = self.refusal or replies.LONG_LINE

    def _gather(self, piece: bytes) -> None:
        gathered = self._header
        assert gathered is not None
        if not gathered:
            if piece.startswith(b"\r\n"):
                self._end_header(b"")
                return
            end = piece.find(b"\r\n\r\n", 0, MAX_HEADER_OCTETS)
            if end >= 0:  # nearly always: the whole header is in the first piece
                self._end_header(piece[: end + 2])
                return
        known = max(0, len(gathered) - 3)
        gathered += piece[: MAX_HEADER_OCTETS - len(gathered)]
        end = gathered.find(b"\r\n\r\n", known)
        if end >= 0:
            self._end_header(bytes(gathered[: end + 2]))
        elif gathered.startswith(b"\r\n"):
            self._end_header(b"")
        elif len(gathered) >= MAX_HEADER_OCTETS:
            self._end_header(bytes(gathered))

    def _end_header(self, header: bytes) -> None:
        self._header = None
        self.header = header
        # The expression is slow over 64 KiB without an end, so it is asked only where there is something to count.
        if header.lower().count(b"received") > MAX_HOPS and len(_RECEIVED.findall(header)) > MAX_HOPS:
            self.refusal = self.refusal or replies.TOO_MANY_HOPS
