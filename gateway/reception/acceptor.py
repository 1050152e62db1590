"""A listening socket: each client that comes gets its protocol in the same round of the event loop.

asyncio's server asks the kernel after each client for another, and makes a task for it that goes on in a later round: a third
of the time that a device waits for our greeting. See also `gateway.reception.transport`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from gateway import eventloop
from gateway.reception.transport import ClientTransport

BREATH = 1.0
"""Seconds without new clients where the kernel has no descriptor or memory for one: sessions may end meanwhile."""

TOLD_AGAIN = 60.0
"""Seconds: where descriptors come and go, an alarm a minute says as much as one a second."""


class Acceptor:
    """Listens from the start until `close`. `trouble(text)` is told that clients cannot be let in, at most once a minute."""

    def __init__(
        self,
        listening: socket.socket,
        backlog: int,
        make: Callable[[], asyncio.BufferedProtocol],
        trouble: Callable[[str], None],
    ) -> None:
        """Raises OSError where the socket cannot listen."""
        self._loop = asyncio.get_running_loop()
        self._listening, self._make, self._trouble = listening, make, trouble
        self._told_at = float("-inf")
        self._pause: asyncio.TimerHandle | None = None
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # and so for each that is accepted
        listening.listen(backlog)
        eventloop.watch(self._loop, listening.fileno(), self._accept)

    def close(self) -> None:
        """Take no more connections; those there are go on."""
        if self._pause is not None:
            self._pause.cancel()
        eventloop.unwatch(self._loop, self._listening.fileno())
        self._listening.close()

    def _accept(self) -> None:
        """One client a round: where more wait, the socket is ready again at the next."""
        try:
            client, peername = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # it is gone already
        except OSError as exc:
            eventloop.unwatch(self._loop, self._listening.fileno())
            self._pause = self._loop.call_later(BREATH, self._go_on)
            if self._loop.time() - self._told_at >= TOLD_AGAIN:
                self._told_at = self._loop.time()
                self._trouble(f"no client can be let in: {exc.strerror or exc}")
            return
        try:
            ClientTransport(self._loop, client, peername).begin(self._make())
        except BaseException:
            client.close()
            raise

    def _go_on(self) -> None:
        self._pause = None
        eventloop.watch(self._loop, self._listening.fileno(), self._accept)
