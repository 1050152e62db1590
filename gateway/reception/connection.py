"""One client's connection: octets in, command lines out; replies gathered; waits with an end.

aiosmtpd's `SMTP` class is the skeleton (protocol, `session`, `smtp_VERB` methods with their help texts); what it does to
bytes, time and errors is replaced here, because it keeps a message in memory, ends commands at a bare LF, cancels a commit
when the client half-closes and times the whole of DATA. Its constructor is not called: it inspects the class anew for
every connection. What the verbs mean is `gateway.reception.session`'s.
"""

from __future__ import annotations

import asyncio
import logging
import math
import ssl

from aiosmtpd.smtp import SMTP

from gateway.events import Refused
from gateway.reception import replies
from gateway.reception.guests import Claim
from gateway.reception.host import Host
from gateway.reception.inbox import EndOfInput, Inbox
from gateway.reception.policy import IpAddress, client_address
from gateway.reception.serving import Serving
from gateway.reception.timers import ReceptionTimers
from gateway.reception.tls import begin_tls

MAX_COMMAND_OCTETS = 1280
"""RFC 5321's 512 with all that the extensions add to MAIL and RCPT (SIZE 26, SMTPUTF8 10, AUTH 500, DSN 500 and more)."""

MAX_AUTH_OCTETS = 12288
"""RFC 4954 4: for AUTH alone."""

MAX_SKIPPED_OCTETS = 48 * 1024
"""Of a command without end so much is passed over; then the connection is."""

MAX_REFUSALS_TOLD = 10
"""Refused events a connection may cause; a flood of refusals is not to become a flood of log lines."""

MAX_DISCARDED_OCTETS = 4 << 20
"""So much of what a refused client goes on sending is thrown away, that it may find our reply before the reset."""

_MANY_REPLIES = 16 * 1024

log = logging.getLogger(__name__)


class Hangup(Exception):
    """Say this and close. `linger`: the client is probably still sending, and must be let read why."""

    def __init__(self, reply: bytes, *, linger: bool = True) -> None:
        super().__init__(reply)
        self.reply = reply
        self.linger = linger


class _NeverAsked:
    """Stands for a future that nobody awaits."""

    def done(self) -> bool:
        return False


class Connection(SMTP, asyncio.BufferedProtocol):
    """Reads commands and calls `obey` with each; subclasses give them meaning.

    What serves a client is never cancelled by what the client does: a lost connection ends the next wait for it.
    """

    # What most connections never change stands in the class: one is made for each message of most devices.
    serving: Serving | None = None
    transport: asyncio.Transport | None = None
    tls: ssl.SSLObject | None = None
    address: IpAddress | None = None
    client = ""
    origin = ""  # see `gateway.reception.guests`
    is_lost = False
    _is_over_tls = False  # from the first octet of the handshake on; `tls` is set at its end
    _writable: asyncio.Future[None] | None = None  # set while the client does not read what we say
    _deadline = math.inf
    _late_reply = replies.TIMEOUT
    _watch: asyncio.TimerHandle | None = None
    _is_held_up = False  # waits for the client, though not for a word: for the handshake, or for it to read
    _has_made_way = False
    _told = 0
    _discarding: int | None = None
    _closed = (
        _NeverAsked()
    )  # looked at when asyncio's StreamReaderProtocol is let go, whose constructor is not called either

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.host = host
        self.timers: ReceptionTimers = host.timers
        self.inbox = Inbox(self._resume)
        self._out = bytearray()

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._transport = transport
        self.inbox.attach(transport)
        self.address = client_address(transport.get_extra_info("peername"))
        self.client = str(self.address) if self.address is not None else "unknown"
        self.origin = self.recognize()
        self.host.guests.enter(self)
        self.serving = Serving(self._serve(), self.loop, self._served)
        self.serving.resume()

    def _resume(self) -> None:
        if self.serving is not None:
            self.serving.resume()

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self.host.receive_view  # emptied in buffer_updated, before anybody else can fill it

    def buffer_updated(self, nbytes: int) -> None:
        if self._discarding is not None:
            self._discarding += nbytes
            if self._discarding > MAX_DISCARDED_OCTETS and self.transport is not None:
                self.transport.abort()
            return
        self.inbox.feed(self.host.receive_view[:nbytes])

    def eof_received(self) -> bool:
        self.inbox.feed_eof()
        if self._discarding is not None and self.transport is not None:
            self.transport.close()
        return not self._is_over_tls  # stay open for the replies still owed; asyncio's TLS cannot

    def connection_lost(self, error: Exception | None) -> None:
        del error  # the next wait for this client ends, however it went
        if self.is_lost:
            return
        self.is_lost = True
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self.resume_writing()
        self.inbox.feed_eof()
        self.host.guests.leave(self)

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = self.loop.create_future()

    def resume_writing(self) -> None:
        waiting, self._writable = self._writable, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    # Replies.

    def reply(self, octets: bytes) -> None:
        """Say this; it leaves with all other replies when the session next waits for the client (RFC 2920)."""
        self._out += octets
        self._out += b"\r\n"

    def refuse(self, octets: bytes, *, reverse_path: str | None = None, to: str | None = None) -> None:
        """Say this and let the log know, within bounds."""
        self.reply(octets)
        self.tell(octets, reverse_path=reverse_path, to=to)

    def tell(self, octets: bytes, *, reverse_path: str | None = None, to: str | None = None) -> None:
        """Record a Refused event; of the eleventh and later ones of a connection nothing is recorded."""
        self._told += 1
        if self._told < MAX_REFUSALS_TOLD:
            words = octets.decode("ascii", "replace")
        elif self._told == MAX_REFUSALS_TOLD:
            words = octets.decode("ascii", "replace") + " (and more of this connection, not shown)"
        else:
            return
        self.host.journal.record(Refused(client=self.client, reply=words, reverse_path=reverse_path, to=to))

    def flush(self) -> None:
        if self._out:
            if self.transport is not None and not self.transport.is_closing():
                self.transport.write(bytes(self._out))
            self._out.clear()

    async def push(self, status: str | bytes) -> None:
        """aiosmtpd's way to reply."""
        self.reply(status if isinstance(status, bytes) else status.encode())

    # Waiting.

    async def more(self, seconds: float, late_reply: bytes = replies.TIMEOUT) -> None:
        """Send what is owed, then wait for the client to send more, at most so long. Raises Hangup or EndOfInput."""
        await self._wait_until(self.loop.time() + seconds, late_reply)

    async def _wait_until(self, deadline: float, late_reply: bytes) -> None:
        self.flush()
        if self._writable is not None:
            await self._drained(self._writable)
        self._deadline = deadline
        self._late_reply = late_reply
        # One timer a connection, moved only when it would ring too late: a command costs no timer.
        if self._watch is None or self._watch.when() > deadline:
            if self._watch is not None:
                self._watch.cancel()
            self._watch = None if self.is_lost else self.loop.call_at(deadline, self._watch_rings)
        try:
            await self.inbox.more()
        finally:
            self._deadline = math.inf

    def _watch_rings(self) -> None:
        self._watch = None
        if self._deadline == math.inf:
            return
        if self.loop.time() >= self._deadline:
            self.inbox.interrupt(Hangup(self._late_reply))
        else:
            self._watch = self.loop.call_at(self._deadline, self._watch_rings)

    async def _drained(self, writable: asyncio.Future[None]) -> None:
        """Wait for the client to read what we said, so that replies nobody reads do not heap up."""
        self._is_held_up = True
        await asyncio.wait((writable,), timeout=self.timers.write)
        self._is_held_up = False
        if not writable.done() or self.is_lost:
            if self.transport is not None:
                self.transport.abort()
            raise EndOfInput

    def dismiss(self, reply: bytes) -> None:
        """End the session at its next wait for the client (or the present one) with this reply."""
        self.inbox.interrupt(Hangup(reply))

    def make_way(self, reply: bytes) -> None:
        """End for the sake of another. One that does not read, shakes hands or is closing cannot be told, and is cut off."""
        self._has_made_way = True
        self.dismiss(reply)
        if (self._is_held_up or self.serving is None) and self.transport is not None:
            self.transport.abort()

    # Commands.

    async def _serve(self) -> None:
        linger = False
        try:
            await self.open()
            while True:
                await self.obey(await self.next_line())
                if len(self._out) > _MANY_REPLIES:
                    self.flush()
                    if self._writable is not None:
                        await self._drained(self._writable)
        except Hangup as end:
            self.reply(end.reply)
            linger = end.linger
        except EndOfInput:
            pass
        except Exception as exc:  # the top of a connection: recorded, and the others live on
            log.exception("session with %s", self.client)
            self.tell(replies.INTERNAL + b" (" + type(exc).__name__.encode() + b")")
            self.reply(replies.INTERNAL)
        finally:
            await self.end()
            self.flush()
            self._close(linger)

    async def open(self) -> None:
        """Before the first command: the greeting. Raises Hangup for a client that is not let in."""
        raise NotImplementedError

    async def obey(self, line: bytes) -> None:
        """Carry out one command; `line` is without its line end, and a single LF stands for one that was too long."""
        raise NotImplementedError

    async def end(self) -> None:
        """Let go of what the session holds; called once, whatever ended it."""

    @property
    def claim(self) -> Claim:
        """See `gateway.reception.guests`."""
        return Claim.IDLE if self.is_in_suspense else Claim.FIRM

    @property
    def is_in_suspense(self) -> bool:
        """It is the client's turn, or nothing but the end of the connection is left; and its place is not given away yet."""
        return not self._has_made_way and (self.inbox.is_waiting or self._is_held_up or self.serving is None)

    def recognize(self) -> str:
        """Look at the address of one who has just come; the `origin` of this client."""
        return self.client

    @property
    def patience(self) -> float:
        """Seconds to wait for the next command."""
        return self.timers.first_mail

    def accepts_bare_lf(self) -> bool:
        """True if commands of this client may end with a bare LF."""
        return False

    def accepts_long_lines(self) -> bool:
        """True while the next line is the answer to a challenge."""
        return False

    async def next_line(self) -> bytes:
        """The next line from the client, without its line end; a single LF for one that was too long."""
        line = self._line()
        return line if line is not None else await self._wait_for_line()

    def _line(self) -> bytes | None:
        """The next command if it has come as a whole. Raises Hangup for what is no mail client."""
        buffer = self.inbox.buffer
        end = buffer.find(b"\n")
        if end < 0:
            return None
        if end > MAX_COMMAND_OCTETS and end > self._longest_line():
            self.inbox.take_at_most(end + 1)
            return b"\n"  # no command looks so: obey() says that it was too long
        line = self.inbox.take_at_most(end + 1)
        if line.endswith(b"\r\n"):
            return line[:-2]
        if self.accepts_bare_lf():
            return line[:-1]
        self.tell(replies.BARE_LF_COMMAND)
        raise Hangup(replies.BARE_LF_COMMAND)

    async def _wait_for_line(self) -> bytes:
        until: float | None = None
        skipped = 0
        if self.host.is_stopping:
            raise Hangup(replies.SHUTTING_DOWN)
        while True:
            buffer = self.inbox.buffer
            if buffer and until is None:
                until = self.loop.time() + self.timers.command_line
                if buffer[0] in (0x16, 0x80):  # a TLS hello: nobody will end that line
                    raise Hangup(replies.SYNTAX)
            if len(buffer) > MAX_COMMAND_OCTETS and (skipped or len(buffer) > self._longest_line()):
                skipped += len(buffer)
                if skipped > MAX_SKIPPED_OCTETS:
                    self.tell(replies.TOO_LONG)
                    raise Hangup(replies.TOO_LONG)
                self.inbox.take()
            await self._wait_until(self.loop.time() + self.patience if until is None else until, replies.TIMEOUT)
            if skipped:
                end = self.inbox.buffer.find(b"\n")
                if end >= 0:
                    self.inbox.take_at_most(end + 1)
                    return b"\n"
                continue
            line = self._line()
            if line is not None:
                return line

    def _longest_line(self) -> int:
        is_long = self.accepts_long_lines() or self.inbox.buffer[:5].upper() == b"AUTH "
        return MAX_AUTH_OCTETS if is_long else MAX_COMMAND_OCTETS

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Go on over TLS. What the client sent before the handshake is forgotten (RFC 3207 4.2). Raises EndOfInput."""
        transport = self.transport
        assert transport is not None
        self.flush()
        transport.pause_reading()
        self.inbox.take()
        self._is_over_tls = self._is_held_up = True
        try:
            secure = await begin_tls(transport, self, context, loop=self.loop, handshake_timeout=self.timers.handshake)
        except (OSError, ValueError) as exc:  # SSLError and the time-out are OSErrors
            # asyncio tells the protocol of a loss only after a handshake, so the count of guests is kept right here.
            transport.abort()
            self.connection_lost(None)
            raise EndOfInput from exc
        finally:
            self._is_held_up = False
        self.transport = secure
        self.tls = secure.get_extra_info("ssl_object")
        self.inbox.attach(secure)

    # The end.

    def _served(self, error: BaseException | None) -> None:
        self.host.guests.served(self)
        self.serving = None
        if error is not None:
            if isinstance(error, Exception):
                log.error("a session ended badly", exc_info=error)
            if self.transport is not None:
                self.transport.abort()

    def _close(self, linger: bool) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        transport = self.transport
        if transport is None or self.is_lost or transport.is_closing():
            return
        if not linger or self.inbox.eof or self.tls is not None or not transport.can_write_eof():
            transport.close()
            return
        # Closing with unread octets would reset the connection and could take our last reply with it.
        self._discarding = len(self.inbox.take())
        try:
            transport.write_eof()
        except OSError:  # reset in the meantime
            transport.abort()
            return
        self._watch = self.loop.call_later(self.timers.refusal, transport.abort)
