"""What every request passes before anything is done for it: its host, its size and time, who asks, where it was made.

And what every answer carries: a strict Content-Security-Policy and its like. A fault of ours is told to the operator and
answered 500; the rest lives on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.clock import Clock
from gateway.console.answers import refusal
from gateway.console.door import Door, Wait
from gateway.console.server import Limits

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)

PUBLIC = frozenset({"/healthz", "/readyz", "/signin", "/setup"})
PROGRAMS = ("/api/", "/metrics")
SAFE = frozenset({"GET", "HEAD"})


class TooLarge(Exception):
    """The request's body is larger than any that we take."""


class TooSlow(Exception):
    """The request's body did not come in time."""


class Guard:
    """ASGI middleware. `told(text)` gets a sentence about a fault of ours."""

    def __init__(self, app: ASGIApp, door: Door, limits: Limits, clock: Clock, told: Callable[[str], None]) -> None:
        self._app, self._door, self._limits, self._clock, self._told = app, door, limits, clock, told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        out = _Out(send, self._limits, scope, self._fixed_headers())
        source = _In(receive, self._limits)
        try:
            answer = await self._refuse(scope)
            await (answer or self._app)(scope, source, out)
        except TooLarge:
            await self._instead(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request is too large", scope, source, out)
        except TooSlow:
            await self._instead(HTTPStatus.REQUEST_TIMEOUT, "the request came too slowly", scope, source, out)
        except Exception as exc:  # the top of a request: it is told, and the others live on
            self._told(f"{scope['method']} {scope['path'][:80]!r} failed: {type(exc).__name__}: {exc}"[:500])
            await self._instead(HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of the gateway", scope, source, out)

    async def _instead(self, status: HTTPStatus, text: str, scope: Scope, source: Receive, out: _Out) -> None:
        if out.has_started:
            scope["state"]["abort"]()
        else:
            await refusal(status, text, {"connection": "close"})(scope, source, out)

    async def _refuse(self, scope: Scope) -> Response | None:
        """The answer to a request that goes no further; None for one that may."""
        headers = Headers(scope=scope)
        path, method = scope["path"], scope["method"]
        if "transfer-encoding" in headers and "content-length" in headers:
            return refusal(HTTPStatus.BAD_REQUEST, "two lengths in one request", {"connection": "close"})
        if len(headers.getlist("host")) != 1 or not self._door.knows_host(headers["host"], _local(scope)):
            return refusal(HTTPStatus.MISDIRECTED_REQUEST, "this is not a name of this gateway")
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length[:20]) > self._limits.body_octets:
            return refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request is too large", {"connection": "close"})
        client = scope["client"][0] if scope.get("client") else ""
        scope["state"]["client"] = client
        if method not in SAFE and self._door.is_forged(headers):
            return refusal(HTTPStatus.FORBIDDEN, "this request was made by another site")
        if path in PUBLIC or path.startswith("/static/"):
            return None
        return await self._admit(scope, headers, path, method, client)

    async def _admit(self, scope: Scope, headers: Headers, path: str, method: str, client: str) -> Response | None:
        is_program = path.startswith(PROGRAMS)
        try:
            who = await self._door.who(headers, client)
        except Wait as exc:
            return refusal(
                HTTPStatus.TOO_MANY_REQUESTS, "too many wrong passwords", {"retry-after": f"{exc.seconds:.0f}"}
            )
        if who is None:
            if is_program or method not in SAFE:
                return refusal(HTTPStatus.UNAUTHORIZED, "sign in first")
            return RedirectResponse("/signin" if self._door.is_set_up else "/setup", HTTPStatus.SEE_OTHER)
        scope["state"]["who"] = who
        if method in SAFE or path == "/signout":  # its form carries the token
            return None
        if not self._door.may_change(who, headers):
            return refusal(HTTPStatus.FORBIDDEN, "this request did not come from a page of ours; load it again")
        return None

    def _fixed_headers(self) -> dict[str, str]:
        return {
            "date": formatdate(self._clock.now(), usegmt=True),
            "content-security-policy": POLICY,
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
            "referrer-policy": "same-origin",  # with no-referrer, browsers say "Origin: null" of our own forms
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "permissions-policy": "camera=(), microphone=(), geolocation=()",
            "cache-control": "no-store",
        }


class _In:
    """The request's body, bounded in octets and time."""

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self._receive, self._left = receive, limits.body_octets
        self._until = asyncio.get_running_loop().time() + limits.body
        self._is_whole = False

    async def __call__(self) -> Message:
        if self._is_whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            raise TooSlow from None
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise TooLarge
        self._is_whole = not message.get("more_body", False)
        return message


class _Out:
    """The answer, with the headers that all have. A client that does not read it in time is let go."""

    def __init__(self, send: Send, limits: Limits, scope: Scope, fixed: dict[str, str]) -> None:
        self._send, self._limits, self._scope, self._fixed = send, limits, scope, fixed
        self.has_started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started = True
            given: list[tuple[bytes, bytes]] = list(message.get("headers", []))
            names = {name.lower() for name, _ in given}
            given += [(k.encode(), v.encode()) for k, v in self._fixed.items() if k.encode() not in names]
            message = {**message, "headers": given}
        try:
            async with asyncio.timeout(self._limits.write):
                await self._send(message)
        except TimeoutError:
            self._scope["state"]["abort"]()


def _local(scope: Scope) -> str | None:
    """The address at which this connection came in."""
    server: Any = scope.get("server")
    return server[0] if server else None
