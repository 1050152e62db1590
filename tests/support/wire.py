"""A session without sockets and without waiting: a transport in memory, on a loop whose time moves only when it is told.

For tests that play many thousand conversations: each is exact (the same moves, the same answers), and minutes of
silence cost nothing. What the kernel does to packets is left to the tests with real sockets.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable
from typing import Any


class _IdleSelector(selectors.SelectSelector):
    """Waits for nothing: where a loop would sleep, it stops instead, and `idle` says for how long it would have."""

    def __init__(self) -> None:
        super().__init__()
        self.idle: float | None = None
        self.on_idle: Callable[[], None] = lambda: None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            self.idle = timeout
            self.on_idle()
        return []


class StillLoop(asyncio.SelectorEventLoop):
    """Its clock stands while callbacks run. `settle` runs all that is due, `advance` lets time pass, timer by timer.

    What goes to a thread elsewhere is done on the spot.
    """

    def __init__(self) -> None:
        self._still = _IdleSelector()
        self._instant = 1000.0
        super().__init__(self._still)
        self._still.on_idle = self.stop

    def time(self) -> float:
        return self._instant

    def settle(self) -> None:
        """Run until nothing is left but waits for time or for the other side."""
        self.run_forever()

    def advance(self, seconds: float) -> None:
        """Let so much time pass; everything that it makes due happens, at its own moment."""
        end = self._instant + seconds
        self.settle()
        while self._still.idle is not None and self._instant + self._still.idle <= end:
            # At least the next number there is: what a timer lacks may be too small to be added.
            self._instant = max(self._instant + self._still.idle, math.nextafter(self._instant, math.inf))
            self.settle()
        self._instant = max(self._instant, end)
        self.settle()

    def rewind(self) -> None:
        """Begin anew at the first instant; no timer may be running."""
        assert self.timers == 0, "a timer was left behind"
        self._instant = 1000.0

    @property
    def timers(self) -> int:
        """Timers that will still ring."""
        return sum(not handle.cancelled() for handle in self._scheduled)  # type: ignore[attr-defined]  # no public way

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


class LoopClock:
    """Wall and monotonic time as the loop has them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now = lambda: 1_780_000_000.0 + loop.time()
        self.monotonic = loop.time


class Wire(asyncio.Transport):
    """Both ends of one connection, as `protocol`, the server, sees it. `said`: all that it has written.

    The client's side are the methods from `arrive` to `reset`.
    """

    WRITE_HIGH_WATER = 64 * 1024

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: Any, peer: str) -> None:
        super().__init__({"peername": (peer, 50000)})
        self._loop = loop
        self._protocol = protocol
        self._coming = bytearray()
        self._eof = False
        self._reading = True
        self._closing = False
        self.is_lost = False
        self.said = bytearray()
        self.is_secure = False
        self._client_reads = True
        self._unread = 0
        self._told_to_pause = False
        protocol.connection_made(self)

    # The client's side.

    def arrive(self, octets: bytes) -> None:
        """One packet from the client."""
        if not self._eof:
            self._coming += octets
            self._deliver()

    def half_close(self) -> None:
        self._eof = True
        self._deliver()

    def reset(self) -> None:
        self._coming.clear()
        self._eof = True
        self._lose(ConnectionResetError("reset by the client"))

    def stop_reading(self) -> None:
        """The client's window is closed: what is written from now on stays with us."""
        self._client_reads = False

    def read_again(self) -> None:
        self._client_reads = True
        self._unread = 0
        if self._told_to_pause:
            self._told_to_pause = False
            self._protocol.resume_writing()

    def _deliver(self) -> None:
        while self._coming and self._reading and not self._closing:
            buffer = self._protocol.get_buffer(-1)
            count = min(len(buffer), len(self._coming))
            buffer[:count] = self._coming[:count]
            del self._coming[:count]
            self._protocol.buffer_updated(count)
        if self._eof and not self._coming and self._reading and not self._closing:
            self._reading = False
            if not self._protocol.eof_received():
                self.close()

    def _lose(self, error: BaseException | None) -> None:
        self._closing = True
        if not self.is_lost:
            self.is_lost = True
            self._loop.call_soon(self._protocol.connection_lost, error)

    # The server's side, as asyncio's transports have it.

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._closing:
            return
        self.said += data
        if not self._client_reads:
            self._unread += len(data)
            if self._unread > self.WRITE_HIGH_WATER and not self._told_to_pause:
                self._told_to_pause = True
                self._protocol.pause_writing()

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._loop.call_soon(self._deliver)

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def get_protocol(self) -> Any:
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self if self.is_secure else None
        return super().get_extra_info(name, default)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """The client sees the end; whether it goes on sending is its own business."""

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._lose(None)

    def abort(self) -> None:
        self._lose(None)

    def _force_close(self, error: BaseException | None) -> None:
        """What asyncio's TLS calls where a handshake went wrong."""
        self._lose(error)
