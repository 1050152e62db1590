"""Content on its way out: nothing forbidden in it (P6), and dots doubled for DATA (RFC 5321 4.5.2), block by block."""

from __future__ import annotations

BLOCK = 64 * 1024


class Damaged(Exception):
    """The content holds what must never leave: NUL, a bare CR or a bare LF."""


class Guard:
    """Looks at every octet that leaves. Feed it all blocks in order, then `finish`."""

    __slots__ = ("_cr",)

    def __init__(self) -> None:
        self._cr = False

    def check(self, block: bytes) -> None:
        """Raises Damaged. Four passes at memory speed: a line of Python an octet would cost more than the sending."""
        if not block:
            return
        pairs = block.count(b"\r\n")
        feeds = block.count(b"\n")
        returns = block.count(b"\r")
        if self._cr:
            if block[0] != 10:
                raise Damaged("a bare CR")
            feeds -= 1
        self._cr = block[-1] == 13
        if returns - self._cr != pairs:
            raise Damaged("a bare CR")
        if feeds != pairs:
            raise Damaged("a bare LF")
        if b"\0" in block:
            raise Damaged("a NUL")

    def finish(self) -> None:
        if self._cr:
            raise Damaged("a bare CR")


class DotStuffer:
    """Doubles the dot at the start of a line, also where the line begins in one block and the dot in the next.

    The content is CRLF throughout (Guard). `end` gives what is still missing: the end of an unfinished line, and the
    final dot.
    """

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b"\r\n"  # the start of the content is the start of a line

    def stuff(self, block: bytes) -> bytes:
        if not block:
            return block
        kept = len(self._tail)
        joined = self._tail + block
        self._tail = joined[-2:]
        # What was sent before ends in at most two octets of `joined`, and a dot that is doubled comes after them.
        return joined.replace(b"\r\n.", b"\r\n..")[kept:]

    def end(self) -> bytes:
        return b".\r\n" if self._tail == b"\r\n" else b"\r\n.\r\n"
