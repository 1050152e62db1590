"""The connection once it stands: any number of answers outstanding, each handed to whom it belongs, in order.

It takes the place of aiosmtplib's protocol on the live transport, so that the library's EHLO, STARTTLS and AUTH go
on working over it, and the exchange of messages has the same reader. Losing the connection is told once, at once,
with what the kernel knew at that moment.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import cast

from aiosmtplib import SMTPReadTimeoutError, SMTPResponse, SMTPServerDisconnected
from aiosmtplib.protocol import SMTPProtocol

from gateway.courier import kernel
from gateway.courier.replies import BadReply, ReplyReader

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")

_TEXT_BEFORE_TLS = "sent text where encryption was to begin"

Slot = object
"""Whose answer is awaited: a future of a command of the library, or whatever the exchange puts there."""


class Wire(SMTPProtocol):
    """`lost` is None while the connection is good, then why it is not, as the end of a sentence.

    `receiver(slot, code, raw)` gets the answers to slots that are no futures; `on_lost()` and `on_writable()` are called
    from the event loop; `unasked(code, raw)` gets an answer to nothing.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self.lost: str | None = None
        self.is_nonsense = False
        self.is_hung_up = False  # the relay ended it, or reset it
        self.line_works = False  # at the loss, another connection was possible
        self.last_traffic: kernel.Traffic | None = None
        self.is_ipv6 = False
        self.segments_aside = (0, 0)  # out and in, of other connections that were tried to see whether this one lives
        self.octets_in = 0
        self.octets_out = 0
        self.last_heard = loop.time()
        self.last_answered = loop.time()  # when the last whole reply was there
        self.receiver: Callable[[Slot, int, bytes], None] = lambda *_: None
        self.unasked: Callable[[int, bytes], None] | None = None
        self.on_lost: Callable[[], None] = lambda: None
        self.on_writable: Callable[[], None] = lambda: None
        self._slots: deque[Slot] = deque()
        self._reader = ReplyReader()
        self._is_full = False
        self._below_tls: asyncio.BaseTransport | None = None
        self._is_shaking_hands = False
        self._lock = asyncio.Lock()

    # what the exchange uses

    @property
    def outstanding(self) -> deque[Slot]:
        """Whose answers are awaited, in order. Read only."""
        return self._slots

    @property
    def is_writable(self) -> bool:
        return not self._is_full

    def expect(self, slot: Slot) -> None:
        self._slots.append(slot)

    def send(self, octets: bytes) -> None:
        """Hand octets to the transport. After the loss they go nowhere."""
        if self.lost is None:
            self.octets_out += len(octets)
            cast(asyncio.Transport, self.transport).write(octets)

    def give_up(self, why: str, *, nonsense: bool = False) -> None:
        """Close without a word. `nonsense`: the relay does not speak SMTP as we do."""
        if self.lost is None:
            self.is_nonsense = nonsense
            self._lose(why)
        if self.transport is not None:
            cast(asyncio.Transport, self.transport).abort()

    @property
    def tcp(self) -> socket.socket | None:
        """The TCP socket, None once the connection is gone. For asking, not for sending."""
        if self.transport is None:
            return None
        return cast("socket.socket | None", self.transport.get_extra_info("socket"))

    def count_aside(self, segments_out: int, segments_in: int) -> None:
        self.segments_aside = (self.segments_aside[0] + segments_out, self.segments_aside[1] + segments_in)

    def traffic(self) -> kernel.Traffic | None:
        return self.last_traffic if self.transport is None else kernel.traffic(self.tcp)

    def acked(self) -> int | None:
        """Octets that the peer's machine has acknowledged, None where the kernel does not say."""
        if self.transport is not None:
            return kernel.acked(self.tcp)
        return self.last_traffic.acked if self.last_traffic is not None else None

    def limit_ahead(self, octets: int, *, is_near: bool) -> None:
        """Let the kernel hold so many octets unsent; on a far line, what it does not take counts as not writable."""
        kernel.limit_unsent(self.tcp, octets)
        for transport in (self.transport, self._below_tls):
            if transport is not None and not is_near:
                cast(asyncio.Transport, transport).set_write_buffer_limits(high=1, low=0)  # 0 would stop TLS for good

    # asyncio's side

    def adopt(self, transport: asyncio.Transport) -> None:
        """Take over a transport on which the greeting was read."""
        self.transport = transport
        self._over_ssl = transport.get_extra_info("sslcontext") is not None
        transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        if self.lost is not None:
            return
        self.octets_in += len(data)
        self.last_heard = self._loop.time()
        if self._is_shaking_hands:
            self.give_up(_TEXT_BEFORE_TLS, nonsense=True)
            return
        try:
            for code, raw in self._reader.feed(data):
                self.last_answered = self.last_heard
                if self._slots:
                    slot = self._slots.popleft()
                    if isinstance(slot, asyncio.Future):
                        if not slot.done():
                            slot.set_result((code, raw))
                    else:
                        self.receiver(slot, code, raw)
                elif self.unasked is not None:
                    self.unasked(code, raw)
                else:
                    self.give_up("answered what nobody asked", nonsense=True)
                if self._is_over():
                    return
        except BadReply as exc:
            self.give_up(f"sent {exc}", nonsense=True)

    def _is_over(self) -> bool:
        return self.lost is not None

    def eof_received(self) -> bool:
        self.is_hung_up = True
        self.give_up("closed the connection")
        return False

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.lost is None:
            # A relay that closes while we still write resets the connection. Where our own write met the reset first, its last
            # words (421, mostly) are still there to be read.
            last = kernel.unread(self.tcp) if not self._over_ssl else b""
            if last:
                self.data_received(last)
        if self.lost is None:
            self.is_hung_up = exc is None or isinstance(exc, ConnectionResetError | BrokenPipeError)
            self._lose(_in_words(exc))
        self.transport = None

    def _lose(self, why: str) -> None:
        self.last_traffic = self.traffic()
        tcp = self.tcp
        self.is_ipv6 = tcp is not None and tcp.family == socket.AF_INET6
        self.lost = why
        for slot in self._slots:
            if isinstance(slot, asyncio.Future) and not slot.done():
                slot.set_exception(SMTPServerDisconnected(why))
                slot.exception()  # nobody may be waiting for it any more
        self.on_lost()

    # aiosmtplib's side

    async def read_response(self, timeout: float | None = None) -> SMTPResponse:
        slot: asyncio.Future[tuple[int, bytes]] = self._loop.create_future()
        self.expect(slot)
        if self.lost is not None:
            raise SMTPServerDisconnected(self.lost)
        try:
            async with asyncio.timeout(timeout):  # wait_for of Python 3.11 may swallow a cancellation
                code, raw = await slot
        except TimeoutError as exc:
            raise SMTPReadTimeoutError("no answer in time") from exc
        return SMTPResponse(code, raw.decode("utf-8", "backslashreplace"))

    async def execute_command(self, *args: bytes, timeout: float | None = None) -> SMTPResponse:
        if any(_CONTROL.search(arg) for arg in args):
            raise ValueError("a control character in a command")
        async with self._lock:
            self.send(b" ".join(args) + b"\r\n")
            return await self.read_response(timeout)

    async def start_tls(
        self, tls_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> SMTPResponse:
        """STARTTLS and the handshake. What comes in clear behind the 220 ends the connection (RFC 3207 4.2)."""
        response = await self.execute_command(b"STARTTLS", timeout=timeout)
        if response.code != 220:
            return response
        if self.lost is not None:  # right behind the 220, in the same moment
            raise SMTPServerDisconnected(self.lost)
        if not self._reader.is_clear:
            self.give_up(_TEXT_BEFORE_TLS, nonsense=True)
            raise SMTPServerDisconnected(_TEXT_BEFORE_TLS)
        self._is_shaking_hands = True
        self._below_tls = self.transport
        transport = await self._loop.start_tls(
            cast(asyncio.WriteTransport, self.transport),
            self,
            tls_context,
            server_hostname=server_hostname,
            ssl_handshake_timeout=timeout,
        )
        self._is_shaking_hands = False
        if transport is None:
            raise SMTPServerDisconnected("Connection lost")
        self.transport = transport
        self._over_ssl = True
        return response


def _in_words(exc: Exception | None) -> str:
    match exc:
        case None:
            return "closed the connection"
        case ConnectionResetError() | BrokenPipeError():
            return "cut the connection"
        case TimeoutError():
            return "no longer acknowledges what we send"
        case ssl.SSLError():
            return f"broke the encryption ({exc.reason or exc})"
        case OSError():
            return f"is lost ({exc.strerror or exc})"
        case _:
            return f"is lost ({exc})"
