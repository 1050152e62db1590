"""Word from the kernel that something about links, addresses or routes changed (rtnetlink(7)): no polling.

What changed is not read from the messages: the kernel does not announce the loss of a default route when an interface goes
down, and may drop messages (ENOBUFS). So every message, and every loss of one, means only: look again.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400  # link, IPv4 address, IPv4 route, IPv6 address, IPv6 route

SETTLE = 0.05
"""Seconds over which a burst of messages becomes one look."""

STORM = 0.25
"""The same after a run of looks without a second's pause between them: routers with a full table never fall silent."""

RUN = 8
"""Looks in such a run that are still quick."""


class KernelEvents:
    """Calls `on_change` in the loop soon after the kernel said that anything changed."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._socket: socket.socket | None = None
        self._pending: asyncio.TimerHandle | None = None
        self._looked = float("-inf")
        self._run = 0

    def start(self) -> bool:
        """Listen. False where the kernel has no rtnetlink (a sandbox): then nothing will be heard."""
        try:
            listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        except OSError:
            return False
        try:
            listener.bind((0, GROUPS))
        except OSError:
            listener.close()
            return False
        listener.setblocking(False)
        self._socket = listener
        asyncio.get_running_loop().add_reader(listener, self._readable)
        return True

    def stop(self) -> None:
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _readable(self) -> None:
        assert self._socket is not None
        for _ in range(64):  # a storm of messages must not keep the loop
            try:
                self._socket.recv(65536)
            except BlockingIOError:
                break
            except OSError:
                continue  # ENOBUFS: messages were lost, which is also a reason to look; the rest can still be read
        if self._pending is None:
            loop = asyncio.get_running_loop()
            self._run = self._run + 1 if loop.time() - self._looked < 1.0 else 0
            self._pending = loop.call_later(SETTLE if self._run < RUN else STORM, self._look)

    def _look(self) -> None:
        self._pending = None
        self._looked = asyncio.get_running_loop().time()
        self._on_change()
