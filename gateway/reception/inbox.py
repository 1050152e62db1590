"""What a client has sent and nobody has read yet: a bounded buffer between the transport and the session.

Unlike `asyncio.StreamReader` it can be looked into, and a wait for more can be ended from outside with a reason (a
time-out, a stop, a lost connection), without cancelling the session that waits: what is being made safe on disk then goes
on undisturbed. Who waits is resumed at once, by the callback that brings what it waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.reception.serving import PAUSE

HIGH_WATER = 128 * 1024
"""Above this many unread octets the transport is told to stop reading; so that is all that a client can make us keep."""


class EndOfInput(Exception):
    """The client has said its last word: it closed its side, or the connection is lost."""


class Inbox:
    """`buffer` holds the unread octets, in order; `take` and its like empty it. `resume` goes on with the one who waits."""

    __slots__ = ("_interruption", "_paused", "_resume", "_transport", "buffer", "eof", "is_waiting")

    def __init__(self, resume: Callable[[], None]) -> None:
        self._resume = resume
        self._transport: asyncio.Transport | None = None
        self.is_waiting = False
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
        if self.is_waiting:
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

    def take(self) -> bytes:
        """All unread octets; the buffer is empty afterwards."""
        octets = bytes(self.buffer)
        self.buffer.clear()
        self._go_on_reading()
        return octets

    def take_at_most(self, count: int) -> bytes:
        """The first `count` unread octets, or as many as there are."""
        if count >= len(self.buffer):
            return self.take()
        octets = bytes(self.buffer[:count])
        del self.buffer[:count]
        self._go_on_reading()
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
        self._go_on_reading()
        self.is_waiting = True
        await PAUSE
        if self._interruption is not None:
            raise self._interruption

    def _wake(self) -> None:
        if self.is_waiting:
            self.is_waiting = False
            self._resume()

    def _go_on_reading(self) -> None:
        if self._paused and len(self.buffer) <= HIGH_WATER and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
