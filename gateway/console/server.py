"""The HTTP server in the gateway's own event loop: uvicorn, with bounds on what a client may cost and without its tick.

uvicorn's main loop looks ten times a second whether it should end; here it waits for an event, so that an idle gateway
sleeps. Signals stay the program's. What a request may do is the application's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.config.settings import Address


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on clients. Seconds and octets."""

    header: float = 10.0
    body: float = 30.0
    write: float = 30.0
    keep_alive: int = 75
    handshake: float = 10.0
    connections: int = 200
    per_client: int = 60
    header_octets: int = 16 * 1024
    body_octets: int = 3 * 1024 * 1024
    stop: float = 2.0


class Connection(H11Protocol):
    """One client. Whoever does not send a request's header in time, or is one too many, is let go.

    `scope["state"]["abort"]()` ends the connection without waiting for the client to read.
    """

    limits = Limits()
    _overdue: asyncio.TimerHandle | None = None
    _header_octets = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.app_state = {**self.app_state, "abort": transport.abort}
        connections: set[Any] = set(self.connections)
        same = sum(other.client is not None and other.client[:1] == (self.client or ())[:1] for other in connections)
        if len(self.connections) > self.limits.connections or same > self.limits.per_client:
            transport.abort()
            return
        self._overdue = self.loop.call_later(self.limits.header, self._too_slow)

    def data_received(self, data: bytes) -> None:
        cycle: Any = self.cycle  # None until the first request, whatever uvicorn declares
        is_idle = cycle is None or cycle.response_complete
        if is_idle and self._overdue is None:
            self._overdue = self.loop.call_later(self.limits.header, self._too_slow)
        if is_idle and not self._header_fits(data):
            self._refuse(b"431 Request Header Fields Too Large")
            return
        super().data_received(data)
        if self.cycle is not cycle:
            self._header_octets = 0
            self._in_time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def _in_time(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def _header_fits(self, data: bytes) -> bool:
        """h11 bounds a header that is not whole yet; one that comes whole in a single read is bounded here."""
        end = data.find(b"\r\n\r\n")
        before, self._header_octets = self._header_octets, self._header_octets + len(data)
        return before + (end if end >= 0 else len(data)) <= self.limits.header_octets

    def _too_slow(self) -> None:
        self._overdue = None
        self._refuse(b"408 Request Timeout")

    def _refuse(self, status: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            self.transport.close()
            self.loop.call_later(self.limits.stop, self.transport.abort)


class Server(uvicorn.Server):
    """`serve` runs until `end`; the address is bound by `bind`, so that a failure is the caller's to handle."""

    def __init__(self, app: ASGIApp, limits: Limits, tls: ssl.SSLContext | None) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what clients do wrong is no news; ours is told
        config = uvicorn.Config(
            app,
            http=type("BoundedConnection", (Connection,), {"limits": limits}),
            ws="none",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # nobody's X-Forwarded-For counts (CASES W23)
            server_header=False,
            date_header=False,
            timeout_keep_alive=limits.keep_alive,
            h11_max_incomplete_event_size=limits.header_octets,
        )
        super().__init__(config)
        self._limits, self._tls = limits, tls
        self._listener: socket.socket | None = None
        self._end = asyncio.Event()

    def bind(self, address: Address) -> Address:
        """Listen. Raises OSError. The actual address, where port 0 was asked for."""
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address.host, address.port))
            listener.listen(100)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
        self._listener = listener
        return Address(address.host, listener.getsockname()[1])

    def end(self) -> None:
        self.should_exit = True
        self._end.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the program's own."""
        yield

    async def startup(self, sockets: Sequence[socket.socket] | None = None) -> None:
        del sockets
        assert self._listener is not None
        loop = asyncio.get_running_loop()

        def connection() -> asyncio.Protocol:
            make: Any = self.config.http_protocol_class
            made: asyncio.Protocol = make(config=self.config, server_state=self.server_state, app_state={}, _loop=loop)
            return made

        handshake = self._limits.handshake if self._tls is not None else None
        server = await loop.create_server(
            connection, sock=self._listener, ssl=self._tls, ssl_handshake_timeout=handshake
        )
        self.servers = [server]
        self.started = True

    async def main_loop(self) -> None:
        await self._end.wait()

    async def shutdown(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Answers in progress have a moment; then every connection is gone."""
        del sockets
        for server in self.servers:
            server.close()
        for connection in tuple(self.server_state.connections):
            connection.shutdown()
        tasks = tuple(self.server_state.tasks)
        if tasks:
            _, slow = await asyncio.wait(tasks, timeout=self._limits.stop)
            for task in slow:
                task.cancel()
            await asyncio.gather(*slow, return_exceptions=True)
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)
