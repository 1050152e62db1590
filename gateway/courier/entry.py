"""From a relay's settings to a connection that takes MAIL: greeting, EHLO, STARTTLS, AUTH, each by aiosmtplib.

Fails closed: `required` and `implicit` send nothing in clear, and a password travels inside TLS or not at all (P14).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, cast

import aiosmtplib

from gateway.config.settings import RelaySettings
from gateway.courier import dial, kernel
from gateway.courier.capabilities import Capabilities, read_capabilities
from gateway.courier.contract import Timers, Why
from gateway.courier.memory import DISTRUST, DISTRUST_OF_A_CUT, RelayMemory
from gateway.courier.secret import NoPassword, read_password
from gateway.courier.tls import TlsFailed, check_pin, context_for, failure_in_words
from gateway.courier.watch import Watch, probe_of
from gateway.courier.wire import Wire
from gateway.mail.outcome import Reply, clean_reply_text

_SIGN_INS = ("PLAIN", "LOGIN", "CRAM-MD5")
"""In this order: inside TLS the plain ones are safe, and no relay gets three wrong tries for one wrong password."""


class NoEntry(Exception):
    """The relay does not let us in: the fields of the SessionEnd to come; `str()` is its sentence."""

    def __init__(
        self, why: Why, text: str, reply: Reply | None = None, *, alarm: bool = False, reached: bool = True
    ) -> None:
        super().__init__(text)
        self.why = why
        self.reply = reply
        self.alarm = alarm
        self.reached = reached


class Door:
    """One try to get in. `wire` is set as soon as there is a connection, so that its owner can close it."""

    def __init__(
        self,
        relay: RelaySettings,
        memory: RelayMemory,
        *,
        hostname: str,
        timers: Timers,
        interface: str | None,
        credentials: Path | None,
    ) -> None:
        self.relay = relay
        self.memory = memory
        self.timers = timers
        self.wire: Wire | None = None
        self._watch: Watch | None = None
        self._ungreeted: socket.socket | None = None
        self._is_doubted = False
        self._hostname = hostname
        self._interface = interface
        self._credentials = credentials
        without = relay.tls == "opportunistic" and asyncio.get_running_loop().time() < memory.no_tls
        self._wants_tls = relay.tls != "none" and not without
        self.gave_up_tls = False  # it failed, and may be done without: the next try does

    async def enter(self) -> tuple[Wire, Capabilities]:
        """The connection and what the relay offers on it. Raises NoEntry; then `wire`, if any, is closed."""
        try:
            password = self._password()  # before a call is spent on a session that cannot sign in
            client = await self._greeting()
            wire = self.wire
            assert wire is not None
            if self.relay.tls == "implicit":
                check_pin(self.relay, _ssl_of(wire))
            with self._watched(wire):
                offers = await self._introduce(client, wire)
                if self._wants_tls and self.relay.tls != "implicit":
                    offers = await self._encrypt(client, wire, offers)
                if password is not None:
                    await self._sign_in(client, wire, offers, password)
            return wire, offers
        except TlsFailed as exc:
            self._close()
            raise NoEntry("tls", f"{self.relay.host} {exc}", alarm=True, reached=self.wire is not None) from exc
        except BaseException:
            self._close()
            raise

    def suspect(self) -> None:
        """A link changed: find out whether the connection survived it, rather than wait minutes for an answer."""
        if self._watch is not None:
            self._watch.suspect()
        elif self._ungreeted is not None and not self._is_doubted:
            # Nothing of ours is under way by which the kernel would notice, so it is told to ask.
            self._is_doubted = True
            kernel.ask_for_life(self._ungreeted, self.timers.suspicion + self.timers.silence, self.timers.block)

    @contextlib.contextmanager
    def _watched(self, wire: Wire) -> Iterator[None]:
        timers = self.timers  # each command has its own; the longest of them is only a backstop here
        longest = max(timers.ehlo, timers.tls, timers.auth)
        probe = probe_of(wire, self._interface, timers.connect)
        self._watch = watch = Watch(wire, timers, lambda: longest, probe)
        watch.start()
        try:
            yield
        finally:
            self._watch = None
            watch.stop()

    def _close(self) -> None:
        if self.wire is not None:
            self.wire.give_up("closed by us")

    def _password(self) -> str | None:
        if self.relay.user is None:
            return None
        if self.relay.password is None:
            raise NoEntry("auth", f"there is no password for {self.relay.host}", alarm=True, reached=False)
        try:
            return read_password(self.relay.password, self._credentials)
        except NoPassword as exc:
            raise NoEntry("auth", f"cannot sign in to {self.relay.host}: {exc}", alarm=True, reached=False) from exc

    async def _greeting(self) -> aiosmtplib.SMTP:
        relay, timers = self.relay, self.timers
        context = context_for(relay, self.memory) if self._wants_tls else None
        try:
            sock = await dial.connect(
                relay.host, relay.port, interface=self._interface, timers=timers, memory=self.memory
            )
        except dial.DialFailed as exc:
            raise NoEntry("unreachable", f"{relay.host} {exc}", reached=False) from exc
        implicit = relay.tls == "implicit"
        try:
            client = aiosmtplib.SMTP(
                hostname=relay.host,
                port=None,
                local_hostname=self._hostname,
                sock=sock,
                use_tls=implicit,
                start_tls=False,
                tls_context=context,
                timeout=None,  # it would use wait_for, which in Python 3.11 may swallow a cancellation
            )
        except ValueError as exc:
            sock.close()
            raise NoEntry("setup", f"we cannot introduce ourselves as {self._hostname} ({exc})", alarm=True) from exc
        self._ungreeted = sock
        try:
            async with asyncio.timeout(timers.tls if implicit else timers.greeting):
                await client.connect()
            if self._is_doubted:
                kernel.ask_for_life(sock, 0.0, timers.block)
        except aiosmtplib.SMTPConnectResponseError as exc:
            self._turned_away(exc.code, exc.message, "refuses us")
        except aiosmtplib.SMTPResponseException as exc:
            raise NoEntry("broken", f"{relay.host} does not speak SMTP (its greeting is no greeting)") from exc
        except (aiosmtplib.SMTPException, OSError, ssl.SSLError, asyncio.IncompleteReadError) as exc:
            cause = exc.__cause__ if isinstance(exc.__cause__, Exception) else exc
            if implicit and isinstance(cause, ssl.SSLError):
                raise TlsFailed(failure_in_words(cause)) from exc
            if implicit and isinstance(cause, ConnectionAbortedError | TimeoutError):
                raise NoEntry("unreachable", f"{relay.host} {failure_in_words(cause)}", reached=False) from exc
            if self._is_doubted and _is_the_kernels(exc):
                text = "does not know this connection any more: the line was cut"
                raise NoEntry("broken", f"{relay.host} {text}", reached=False) from exc
            if isinstance(exc, TimeoutError):
                said = "accepts the connection and then says nothing"
            else:
                said = "closes the connection without a word"
            raise NoEntry("unreachable", f"{relay.host} {said}", reached=False) from exc
        finally:
            self._ungreeted = None
            if client.transport is None:
                sock.close()
        self.wire = Wire(asyncio.get_running_loop())
        self.wire.adopt(cast(asyncio.Transport, client.transport))
        client.protocol = self.wire
        return client

    async def _introduce(self, client: aiosmtplib.SMTP, wire: Wire) -> Capabilities:
        """EHLO; HELO for relays from before 1995, but only where neither TLS nor AUTH is needed of them."""
        response = await self._ask(client, wire, b"EHLO", timeout=self.timers.ehlo)
        if response.code == 250:
            client.last_ehlo_response = response
            return read_capabilities(response.message)
        if response.code == 421 or response.code < 400:
            self._turned_away(response.code, response.message, "turns us away")
        if self._needs_extensions:
            need = "signing in" if self.relay.tls == "none" else "encryption"
            reply = _reply(response.code, response.message)
            kind: Why = "auth" if self.relay.tls == "none" else "tls"
            raise NoEntry(
                kind, f"{self.relay.host} offers no {need}, which the settings require ({reply})", reply, alarm=True
            )
        response = await self._ask(client, wire, b"HELO", timeout=self.timers.ehlo)
        if response.code != 250:
            self._turned_away(response.code, response.message, "turns us away")
        return Capabilities()

    @property
    def _needs_extensions(self) -> bool:
        return self.relay.tls == "required" or self.relay.user is not None

    async def _encrypt(self, client: aiosmtplib.SMTP, wire: Wire, offers: Capabilities) -> Capabilities:
        if not offers.starttls:
            if self.relay.tls == "opportunistic":
                return offers
            raise TlsFailed("offers no encryption (TLS), which the settings require")
        context = context_for(self.relay, self.memory)
        try:
            response = await wire.start_tls(context, self.relay.host, self.timers.tls)
        except (OSError, aiosmtplib.SMTPException) as exc:
            if wire.is_nonsense:
                raise TlsFailed(wire.lost or "") from exc
            text = wire.lost or failure_in_words(exc)
            if self.relay.tls == "opportunistic" and not wire.line_works:
                # What was cut or silent may have been the line; that is held against the relay for a few tries only.
                seconds = DISTRUST if isinstance(exc, ssl.SSLError) else DISTRUST_OF_A_CUT
                self.memory.no_tls = asyncio.get_running_loop().time() + seconds
                self.gave_up_tls = True
                raise NoEntry("broken", f"{self.relay.host} {text}; the next session does without") from exc
            if isinstance(exc, ssl.SSLError):
                raise TlsFailed(text) from exc
            # Cut or silent in the middle of the handshake: what a line does that breaks, and no fault of our set-up.
            raise NoEntry("broken", f"{self.relay.host} {text}") from exc
        if response.code == 421:
            self._turned_away(response.code, response.message, "turns us away")
        if response.code != 220:
            if self.relay.tls == "opportunistic":
                return offers
            reply = _reply(response.code, response.message)
            raise NoEntry("tls", f"{self.relay.host} refuses to encrypt ({reply})", reply, alarm=reply.is_permanent)
        check_pin(self.relay, _ssl_of(wire))
        # What was said before is forgotten (RFC 3207 4.2): only the second EHLO counts.
        response = await self._ask(client, wire, b"EHLO", timeout=self.timers.ehlo)
        if response.code != 250:
            self._turned_away(response.code, response.message, "turns us away")
        client.last_ehlo_response = response
        return read_capabilities(response.message)

    async def _sign_in(self, client: aiosmtplib.SMTP, wire: Wire, offers: Capabilities, password: str) -> None:
        host, user = self.relay.host, self.relay.user or ""
        if _ssl_of(wire) is None:
            raise NoEntry("auth", f"{host} would get our password without encryption; it is not sent", alarm=True)
        way = next((name for name in _SIGN_INS if name in offers.auth), None)
        if way is None:
            offered = ", ".join(sorted(offers.auth)[:8]) or "nothing"
            raise NoEntry("auth", f"{host} offers no way of signing in that we know (it offers {offered})", alarm=True)
        sign_in = {"PLAIN": client.auth_plain, "LOGIN": client.auth_login, "CRAM-MD5": client.auth_crammd5}[way]
        try:
            client.transport = wire.transport
            await sign_in(user, password, timeout=self.timers.auth)
        except aiosmtplib.SMTPResponseException as exc:
            reply = _reply(exc.code, exc.message)
            if reply.code == 421:
                self._turned_away(exc.code, exc.message, "turns us away")
            if reply.is_permanent:
                raise NoEntry("auth", f"{host} refuses our login ({reply})", reply, alarm=True) from None
            raise NoEntry("refused", f"{host} cannot check our login now ({reply})", reply) from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as exc:
            self._broke(wire, exc)

    async def _ask(self, client: aiosmtplib.SMTP, wire: Wire, verb: bytes, timeout: float) -> aiosmtplib.SMTPResponse:
        try:
            return await wire.execute_command(verb, (client.local_hostname or "").encode("ascii"), timeout=timeout)
        except (aiosmtplib.SMTPException, OSError, ValueError) as exc:
            self._broke(wire, exc)

    def _broke(self, wire: Wire, exc: Exception) -> NoReturn:
        said = wire.lost or "does not answer in time"
        raise NoEntry("broken", f"{self.relay.host} {said}") from exc

    def _turned_away(self, code: int, message: str | bytes, how: str) -> NoReturn:
        reply = _reply(code, message)
        why: Why = "busy" if code == 421 else "refused"
        how = "is busy" if code == 421 else how
        raise NoEntry(why, f"{self.relay.host} {how} ({reply})", reply)


def _is_the_kernels(exc: BaseException | None) -> bool:
    """Did the connection break, other than by the peer's closing it or by our patience?"""
    while exc is not None:
        if isinstance(exc, OSError) and exc.errno is not None:
            return True
        exc = exc.__cause__ or exc.__context__
    return False


def _ssl_of(wire: Wire) -> ssl.SSLObject | None:
    transport = wire.transport
    return None if transport is None else cast("ssl.SSLObject | None", transport.get_extra_info("ssl_object"))


def _reply(code: int, message: str | bytes) -> Reply:
    raw = message if isinstance(message, bytes) else message.encode("utf-8", "backslashreplace")
    with contextlib.suppress(ValueError):
        return Reply(code, clean_reply_text(raw))
    return Reply(code, "")
