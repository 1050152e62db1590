"""A relay that does as a test tells it: an SMTP server on loopback, honest by default, that misbehaves on request.

    async with Relay({"RCPT": ["250 2.1.5 ok", "450 4.2.1 later"]}) as relay:
        ...
    assert relay.messages[0].octets == ...

A *say* is what it does instead of its ordinary answer: a text (CRLF is added), octets as they are, `HANG_UP`, `RESET`,
`SILENCE`, a `Say` that combines them, or a function of the command line that returns one of these or None. A list
gives them one after another, and None in it, or its end, means the ordinary answer. Keys are CONNECT, EHLO, HELO, MAIL,
RCPT, DATA, BDAT, "." (the answer to a whole message, by DATA or by BDAT LAST), RSET, NOOP, QUIT, STARTTLS, AUTH.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType

EXTENSIONS = ("PIPELINING", "CHUNKING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 50000000", "ENHANCEDSTATUSCODES")


@dataclass(frozen=True)
class Say:
    """Say `text` (None: nothing), once `after` is set if it is given; then hang up, or reset, or read nothing more."""

    text: str | bytes | None = None
    hang_up: bool = False
    reset: bool = False
    stop_reading: bool = False
    after: asyncio.Event | None = None
    also: bytes = b""  # said behind it in the same packet


HANG_UP = Say(hang_up=True)
RESET = Say(reset=True)
SILENCE = Say()

Answer = str | bytes | Say | None
Line = Callable[[str], Answer]
Script = Mapping[str, "Answer | Line | list[Answer]"]


@dataclass
class Message:
    """What the relay took. `octets` are byte for byte what came, dots undone; the parameters are as they came."""

    sender: str
    recipients: list[str]
    octets: bytes
    mail_parameters: str
    rcpt_parameters: list[str]
    session: int
    by: str  # DATA or BDAT


@dataclass
class Visit:
    """One connection: the command lines, in order, and what kind of end it had."""

    commands: list[str] = field(default_factory=list)
    is_encrypted: bool = False
    signed_in: str | None = None
    ended: bool = False
    resumed: bool = False

    @property
    def verbs(self) -> list[str]:
        return [command.split(" ")[0].upper() for command in self.commands]


class _End(Exception):
    """This connection is over."""


class Relay:
    """`messages` taken, `visits` made, `partial`: octets of messages that were cut.

    `withhold`: say nothing after the greeting and EHLO until so many messages of a connection are there.
    `capacity`: the most recipients of a message. `users`: for AUTH.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        extensions: tuple[str, ...] = EXTENSIONS,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        users: Mapping[str, str] | None = None,
        capacity: int | None = None,
        withhold: int = 0,
        greeting: str = "220 relay.test ESMTP",
        family: socket.AddressFamily = socket.AF_INET,
        receive_buffer: int | None = None,
        host: str | None = None,
        port: int = 0,
    ) -> None:
        self.script = dict(script or {})
        self.extensions = extensions
        self.tls = tls
        self.implicit = implicit
        self.users = dict(users or {})
        self.capacity = capacity
        self.withhold = withhold
        self.greeting = greeting
        self.messages: list[Message] = []
        self.partial: list[bytes] = []
        self.visits: list[Visit] = []
        self.unknown: frozenset[str] = frozenset()  # commands that it offers and does not know
        self.came = asyncio.Event()  # set at each message, for tests that wait
        self.visited = asyncio.Event()  # set at the first connection
        self.port = port
        self.host = host or ("::1" if family == socket.AF_INET6 else "127.0.0.1")
        self._family = family
        self._receive_buffer = receive_buffer
        self._uses: dict[str, int] = {}
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()
        self.writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Relay:
        listener = socket.socket(self._family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # or asyncio sets no TCP_NODELAY
        if self._receive_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, self.port))
        self._server = await asyncio.start_server(
            self._connected, sock=listener, limit=1 << 20, ssl=self.tls if self.implicit else None
        )
        self.port = listener.getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for talk in self._talks:
            talk.cancel()
        if self._talks:
            await asyncio.wait(self._talks)
        for writer in self.writers:
            writer.transport.abort()
        await asyncio.sleep(0)
        await self._server.wait_closed()

    def _next(self, key: str, line: str) -> Answer:
        rule = self.script.get(key)
        if isinstance(rule, list):
            use = self._uses.get(key, 0)
            self._uses[key] = use + 1
            return rule[use] if use < len(rule) else None
        if callable(rule):
            return rule(line)
        return rule

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        self.writers.append(writer)
        visit = Visit(is_encrypted=self.implicit)
        self.visits.append(visit)
        self.visited.set()
        with contextlib.suppress(_End, OSError, asyncio.IncompleteReadError, asyncio.CancelledError, ValueError):
            await _Talk(self, visit, reader, writer).run()
        visit.ended = True
        self._talks.discard(task)
        writer.close()


class _Talk:
    def __init__(self, relay: Relay, visit: Visit, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.relay = relay
        self.visit = visit
        self.reader = reader
        self.writer = writer
        self.sender: str | None = None
        self.mail_parameters = ""
        self.recipients: list[str] = []
        self.rcpt_parameters: list[str] = []
        self.chunks = bytearray()
        self.whole = 0
        self.pending = b""

    async def run(self) -> None:
        await self.answer("CONNECT", "", self.relay.greeting)
        while True:
            line = (await self.reader.readuntil(b"\r\n"))[:-2].decode("utf-8", "surrogateescape")
            self.visit.commands.append(line)
            verb = line.partition(" ")[0]
            handler = getattr(self, f"do_{verb.lower()}", None)
            if handler is None or verb.upper() in self.relay.unknown:
                await self.say("500 5.5.2 unknown command")
            else:
                await handler(line)

    async def answer(self, key: str, line: str, ordinary: str) -> bool:
        """True if the ordinary answer was given."""
        say = self.relay._next(key, line)
        await self.say(ordinary if say is None else say)
        return say is None or (isinstance(say, str) and say[:3] == ordinary[:3])

    async def say(self, what: str | bytes | Say) -> None:
        if not isinstance(what, Say):
            what = Say(what)
        if what.after is not None:
            await what.after.wait()
        if what.text is not None:
            text = what.text if isinstance(what.text, bytes) else what.text.encode() + b"\r\n"
            self.pending += text + what.also
        withheld = self.whole < self.relay.withhold and "EHLO" not in self.visit.verbs[-1:] and self.visit.commands
        if self.pending and not withheld:
            self.writer.write(self.pending)
            self.pending = b""
            await self.writer.drain()
        if what.reset:
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
            raise _End
        if what.hang_up:
            if what.text is not None and self.writer.can_write_eof():
                await self.linger()
            raise _End
        if what.stop_reading:
            self.writer.transport.pause_reading()  # type: ignore[attr-defined]  # any TCP transport has it
            await asyncio.Event().wait()

    async def linger(self) -> None:
        """End our side and let the other read: to close while it still sends resets the connection, and could take along what
        was said last."""
        self.writer.write_eof()
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(5):
                while await self.reader.read(65536):
                    pass

    async def do_ehlo(self, line: str) -> None:
        words = [*self.relay.extensions]
        if self.relay.tls is not None and not self.visit.is_encrypted:
            words.append("STARTTLS")
        if self.relay.users and self.visit.is_encrypted:
            words.append("AUTH PLAIN LOGIN")
        lines = ["relay.test greets you", *words]
        self.reset()
        await self.answer(
            "EHLO", line, "\r\n".join(f"250{'-' if n < len(lines) - 1 else ' '}{w}" for n, w in enumerate(lines))
        )

    async def do_helo(self, line: str) -> None:
        await self.answer("HELO", line, "250 relay.test")

    async def do_starttls(self, line: str) -> None:
        if self.relay.tls is None:
            await self.say("502 5.5.1 no TLS here")
        elif await self.answer("STARTTLS", line, "220 2.0.0 go ahead"):
            await self.writer.start_tls(self.relay.tls)
            self.visit.is_encrypted = True
            tls = self.writer.get_extra_info("ssl_object")
            self.visit.resumed = bool(tls is not None and tls.session_reused)

    async def do_auth(self, line: str) -> None:
        way, _, initial = _rest(line).partition(" ")
        if way.upper() == "PLAIN":
            _, user, password = base64.b64decode(initial).decode().split("\0")
        else:
            user = base64.b64decode(initial or await self.challenge("VXNlcm5hbWU6")).decode()
            password = base64.b64decode(await self.challenge("UGFzc3dvcmQ6")).decode()
        good = self.relay.users.get(user) == password
        if await self.answer("AUTH", line, "235 2.7.0 welcome" if good else "535 5.7.8 wrong name or password"):
            self.visit.signed_in = user if good else None

    async def challenge(self, text: str) -> bytes:
        await self.say(f"334 {text}")
        return (await self.reader.readuntil(b"\r\n"))[:-2]

    async def do_mail(self, line: str) -> None:
        if self.sender is not None:
            await self.say("503 5.5.1 nested MAIL")
        elif await self.answer("MAIL", line, "250 2.1.0 ok"):
            self.sender, self.mail_parameters = _path(line)

    async def do_rcpt(self, line: str) -> None:
        if self.sender is None:
            await self.say("503 5.5.1 MAIL first")
        elif self.relay.capacity is not None and len(self.recipients) >= self.relay.capacity:
            await self.say("452 4.5.3 too many recipients")
        elif await self.answer("RCPT", line, "250 2.1.5 ok"):
            address, parameters = _path(line)
            self.recipients.append(address)
            self.rcpt_parameters.append(parameters)

    async def do_data(self, line: str) -> None:
        if not self.recipients:
            await self.say("503 5.5.1 RCPT first" if self.sender is None else "554 5.5.1 no valid recipients")
            return
        if not await self.answer("DATA", line, "354 go on"):
            return
        octets = bytearray()
        try:
            while (part := await self.reader.readuntil(b"\r\n")) != b".\r\n":
                octets += part[1:] if part.startswith(b".") else part
        except asyncio.IncompleteReadError as exc:
            self.relay.partial.append(bytes(octets + exc.partial))
            raise
        await self.whole_message(line, bytes(octets), "DATA")

    async def do_bdat(self, line: str) -> None:
        words = _rest(line).upper().split()
        try:
            octets = await self.reader.readexactly(int(words[0]))
        except asyncio.IncompleteReadError as exc:
            self.relay.partial.append(exc.partial)
            raise
        if not self.recipients:
            self.whole += words[-1] == "LAST"
            await self.say("503 5.5.1 RCPT first" if self.sender is None else "554 5.5.1 no valid recipients")
            return
        self.chunks += octets
        if words[-1] == "LAST":
            await self.whole_message(line, bytes(self.chunks), "BDAT")
        else:
            await self.answer("BDAT", line, "250 2.0.0 chunk")

    async def whole_message(self, line: str, octets: bytes, by: str) -> None:
        self.whole += 1
        message = Message(
            self.sender or "",
            self.recipients,
            octets,
            self.mail_parameters,
            self.rcpt_parameters,
            self.relay.visits.index(self.visit),
            by,
        )
        self.reset()
        say = self.relay._next(".", line)
        if say is None or _is_yes(say):
            self.relay.messages.append(message)
            self.relay.came.set()
        else:
            self.relay.partial.append(octets)
        await self.say("250 2.0.0 taken" if say is None else say)

    async def do_rset(self, line: str) -> None:
        self.reset()
        await self.answer("RSET", line, "250 2.0.0 ok")

    async def do_noop(self, line: str) -> None:
        await self.answer("NOOP", line, "250 2.0.0 ok")

    async def do_quit(self, line: str) -> None:
        await self.answer("QUIT", line, "221 2.0.0 bye")
        raise _End

    def reset(self) -> None:
        self.sender = None
        self.recipients = []
        self.rcpt_parameters = []
        self.chunks = bytearray()


def _rest(line: str) -> str:
    return line.partition(" ")[2]


def _path(line: str) -> tuple[str, str]:
    """The address and the parameters of `MAIL FROM:<a@b> SIZE=1`."""
    address, _, parameters = line.partition("<")[2].partition(">")
    return address, parameters.strip()


def _is_yes(say: Answer) -> bool:
    text = say.text if isinstance(say, Say) else say
    if isinstance(text, str):
        text = text.encode()
    return text is not None and text.startswith(b"2")
