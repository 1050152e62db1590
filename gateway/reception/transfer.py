"""How content comes: as lines up to the dot (DATA), or as counted octets (BDAT, RFC 3030).

Moves octets from the inbox into an intake at the client's pace, within bounds of time and size. What the octets are is
judged in `content`, what is said about them in `session`.
"""

from __future__ import annotations

from gateway.reception import replies
from gateway.reception.connection import Connection, Hangup
from gateway.reception.content import DotReader
from gateway.reception.intake import Intake

EXCESS = 2
"""Of a message that is too big so many times the limit is read, that its sender may hear why; then it is cut."""


class Pace:
    """Lets a message go on only while it brings a minimum of octets over each stretch of time (CASES S67)."""

    __slots__ = ("_connection", "_octets", "_since")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._since = connection.loop.time()
        self._octets = 0

    def count(self, octets: int) -> None:
        """So many octets have come. Raises Hangup when they are too few for the time they took."""
        self._octets += octets
        now = self._connection.loop.time()
        timers = self._connection.timers
        if now - self._since < timers.rate_window:
            return
        if self._octets < timers.minimum_rate * timers.rate_window:
            self._connection.tell(replies.TOO_SLOW)
            raise Hangup(replies.TOO_SLOW)
        self._since = now
        self._octets = 0


async def take_lines(connection: Connection, intake: Intake, limit: int) -> None:
    """Take the content up to CR LF . CR LF; what the client sent behind it stays in the inbox.

    Raises Hangup for a client that is too slow or sends `EXCESS` times `limit`, EndOfInput when it is gone.
    """
    reader = DotReader()
    pace = Pace(connection)
    inbox = connection.inbox
    while True:
        block = inbox.take()
        if not block:
            await connection.more(connection.timers.block)
            continue
        pace.count(len(block))
        piece, rest = reader.feed(block)
        await intake.add(piece)
        if rest is not None:
            inbox.put_back(rest)
            return
        if intake.octets > EXCESS * limit:
            connection.tell(replies.TOO_BIG)
            raise Hangup(replies.TOO_BIG)


async def take_chunk(connection: Connection, intake: Intake | None, size: int, pace: Pace) -> None:
    """Take exactly `size` octets; without an intake they are dropped. `pace`: of all chunks of the message. Raises Hangup or
    EndOfInput."""
    inbox = connection.inbox
    left = size
    while left:
        block = inbox.take_at_most(min(left, 64 * 1024))
        if not block:
            await connection.more(connection.timers.block)
            continue
        pace.count(len(block))
        left -= len(block)
        if intake is not None:
            await intake.add(block)
