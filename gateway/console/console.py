"""The console as a whole: its server, its pages, its API, and who may see them. The app starts and stops it, and hands it the
operations of the gateway; it knows nothing else of the gateway.

Whatever is wrong with the console (an address that is taken, a certificate that cannot be read) is told as an alarm, and mail
goes on without it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from gateway.clock import Clock
from gateway.config.settings import Address, ConsoleSettings
from gateway.console.answers import refusal
from gateway.console.api import Api, standing
from gateway.console.ask import Ask
from gateway.console.door import Door
from gateway.console.guard import Guard
from gateway.console.metrics import Counters
from gateway.console.pages import Pages
from gateway.console.server import Limits, Server
from gateway.console.stream import Hub
from gateway.console.throttle import is_loopback
from gateway.control.protocol import Handler
from gateway.errors import GatewayError
from gateway.events import Alarm, Journal, Refused


async def _refusal(request: Request, exc: Exception) -> Response:
    """What Starlette refuses (no such page, no such method), in the shape of all refusals."""
    del request
    assert isinstance(exc, HTTPException)
    return refusal(HTTPStatus(exc.status_code), exc.detail, exc.headers)


class ConsoleProblem(GatewayError):
    """The console cannot be served; the text says why."""


class Console:
    """`load_state(name)` gives octets of the spool's state. `start` raises ConsoleProblem."""

    def __init__(
        self,
        settings: ConsoleSettings,
        hostname: str,
        handler: Handler,
        *,
        clock: Clock,
        journal: Journal,
        load_state: Callable[[str], bytes | None],
        limits: Limits | None = None,
    ) -> None:
        self._settings, self._journal = settings, journal
        self._limits = limits if limits is not None else Limits()
        ask = Ask(handler)
        self.door = Door(
            settings.address,
            (hostname, socket.gethostname()),
            has_tls=settings.certificate is not None,
            clock=clock,
            load_state=load_state,
            told=self._refused,
        )
        self._counters = Counters(journal)
        self.hub = Hub(ask, self.door.sessions, standing, self._fault)
        self._pages = Pages(self.door, ask, clock, self._counters)
        routes = [*self._pages.routes(), *Api(ask, self.hub).routes()]
        plain = Starlette(routes=routes, exception_handlers={HTTPException: _refusal})
        app: ASGIApp = Guard(plain, self.door, self._limits, clock, self._fault)
        self._app = app
        self._server: Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self.address: Address | None = None

    @property
    def code(self) -> str | None:
        """The one-time code of the set-up page; None once a password is set."""
        return self.door.code

    @property
    def url(self) -> str:
        address = self.address or self._settings.address
        host = "localhost" if is_loopback(address.host) and ":" not in address.host else address.host
        host = f"[{host}]" if ":" in host else host
        return f"{'https' if self.door.has_tls else 'http'}://{host}:{address.port}/"

    async def start(self) -> Address:
        tls = self._tls()
        if tls is None and not is_loopback(self._settings.address.host):
            raise ConsoleProblem(f"the console on {self._settings.address} needs tls, since others can reach it")
        server = Server(self._app, self._limits, tls)
        try:
            self.address = server.bind(self._settings.address)
        except OSError as exc:
            why = exc.strerror or str(exc)
            raise ConsoleProblem(f"the console cannot listen on {self._settings.address}: {why}") from exc
        await self._pages.warm()
        self._server = server
        self._serving = asyncio.create_task(server.serve(), name="console")
        return self.address

    def _tls(self) -> ssl.SSLContext | None:
        certificate = self._settings.certificate
        if certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(certificate.certificate, certificate.key)
        except (OSError, ssl.SSLError) as exc:
            why = exc.strerror or str(exc)
            raise ConsoleProblem(f"the certificate of the console cannot be used: {why}") from exc
        return context

    def accounts_changed(self, role: str) -> None:
        """A password was set: what hung on the old one is over."""
        self.door.passwords_changed(role)

    async def stop(self) -> None:
        self._counters.close()
        self.door.close()
        await self.hub.stop()
        if self._server is not None and self._serving is not None:
            self._server.end()
            await asyncio.gather(self._serving, return_exceptions=True)

    def _refused(self, text: str) -> None:
        what, _, client = text.rpartition(" from ")
        self._journal.record(Refused(client, f"console: {what}"))

    def _fault(self, text: str) -> None:
        self._journal.record(Alarm("console", text))
