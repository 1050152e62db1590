"""What a client has sent and nobody has read yet: a bounded buffer between the transport and the session.

Unlike `asyncio.StreamReader` it can be looked into, and a wait for more can be ended from outside with a reason (a
time-out, a stop, a lost connection), without cancelling the task that waits: what is being made safe on disk then goes
on undisturbed.
"""

from __future__ import annotations

import asyncio

HIGH_WATER = 128 * 1024
"""Above this many unread octets the transport is told to stop reading; so that is all that a client can make us keep."""


class EndOfInput(Exception):
    """The client has said its last word: it closed its side, or the connection is lost."""


class Inbox:
    """`buffer` holds the unread octets; whoever reads deletes from it, through `take` or `line`."""

    __slots__ = ("_interruption", "_loop", "_paused", "_transport", "_waiter", "buffer", "eof")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._interruption: Exception | None = None
        self._paused = False
        self.buffer = bytearray()
        self.eof = False

    def attach(self, transport: asyncio.Transport) -> None:
        """Take flow control of this transport from now on (again after TLS has begun)."""
        self._transport = transport
        self._paused = False

    def feed(self, octets: bytes | memoryview) -> None:
        self.buffer += octets
        if self._waiter is not None:
            self._wake()
        if len(self.buffer) > HIGH_WATER and not self._paused and self._transport is not None:
            self._transport.pause_reading()
            self._paused = True

    def feed_eof(self) -> None:
        self.eof = True
        self._wake()

    def interrupt(self, reason: Exception) -> None:
        """End the present wait, and every later one, with `reason`. The first reason stands."""
        if self._interruption is None:
            self._interruption = reason
        self._wake()

    @property
    def is_waiting(self) -> bool:
        """True while the session waits for the client."""
        return self._waiter is not None

    def take(self) -> bytes:
        """All unread octets; the buffer is empty afterwards."""
        octets = bytes(self.buffer)
        self.buffer.clear()
        self._resume()
        return octets

    def take_at_most(self, count: int) -> bytes:
        """The first `count` unread octets, or as many as there are."""
        if count >= len(self.buffer):
            return self.take()
        octets = bytes(self.buffer[:count])
        del self.buffer[:count]
        self._resume()
        return octets

    def put_back(self, octets: bytes) -> None:
        """Undo a `take` that went too far."""
        if octets:
            self.buffer[:0] = octets

    async def more(self) -> None:
        """Return when something new has come. Raises EndOfInput, or the reason of an interruption."""
        if self._interruption is not None:
            raise self._interruption
        if self.eof:
            raise EndOfInput
        self._resume()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if self._interruption is not None:
            raise self._interruption

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _resume(self) -> None:
        if self._paused and len(self.buffer) <= HIGH_WATER and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
