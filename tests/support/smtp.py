"""A client that says exactly what a test tells it, and a Reception over a fake spool to say it to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from gateway import eventloop
from gateway.clock import SystemClock
from gateway.config.settings import AcceptSettings, Address, ListenSettings, Settings
from gateway.events import Event, Journal
from gateway.reception.reception import Reception
from gateway.reception.timers import ReceptionTimers
from tests.support.fakespool import FakeSpool

if TYPE_CHECKING:
    from gateway.spool.spool import Spool

PATIENCE = 10.0


@dataclass(frozen=True)
class Answer:
    """One reply, all its lines."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class Client:
    """Raw octets out, replies in. Every wait ends within ten seconds."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, octets: bytes) -> None:
        self.writer.write(octets)
        await asyncio.wait_for(self.writer.drain(), PATIENCE)

    async def answer(self) -> Answer:
        """The next reply; raises EOFError when the connection is closed instead."""
        lines: list[str] = []
        while True:
            line = await asyncio.wait_for(self.reader.readline(), PATIENCE)
            if not line.endswith(b"\r\n"):
                raise EOFError(f"closed after {line!r}")
            text = line[:-2].decode("ascii")
            assert text[:3].isdigit(), text
            assert text[3:4] in (" ", "-"), text
            lines.append(text[4:])
            if text[3] == " ":
                return Answer(int(text[:3]), tuple(lines))

    async def say(self, command: str | bytes) -> Answer:
        """One command, one reply."""
        octets = command if isinstance(command, bytes) else command.encode()
        await self.send(octets + b"\r\n")
        return await self.answer()

    async def greet(self, name: str = "client.example") -> Answer:
        """Take the greeting and say EHLO."""
        assert (await self.answer()).code == 220
        answer = await self.say(f"EHLO {name}")
        assert answer.code == 250
        return answer

    async def envelope(self, sender: str = "<a@branch.example>", *recipients: str) -> None:
        assert (await self.say(f"MAIL FROM:{sender}")).code == 250
        for recipient in recipients or ("<b@hq.example>",):
            assert (await self.say(f"RCPT TO:{recipient}")).code == 250

    async def data(self, content: bytes) -> Answer:
        """DATA, the content with its end as it is, and the reply to it (or to DATA)."""
        answer = await self.say("DATA")
        if answer.code != 354:
            return answer
        await self.send(content)
        return await self.answer()

    async def is_closed(self) -> bool:
        """True when the server has closed without another word."""
        try:
            return await asyncio.wait_for(self.reader.read(1), PATIENCE) == b""
        except ConnectionError:
            return True

    async def rest(self) -> bytes:
        """All that comes until the server closes."""
        try:
            return await asyncio.wait_for(self.reader.read(), PATIENCE)
        except ConnectionError:
            return b""

    def half_close(self) -> None:
        """Say that there is no more; the server may have closed already."""
        with contextlib.suppress(OSError):
            self.writer.write_eof()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    def reset(self) -> None:
        """End the connection as a crash of the client would: with a reset."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.writer.transport.abort()


@dataclass
class Door:
    """A running Reception and all around it."""

    reception: Reception
    spool: FakeSpool
    settings: Settings
    addresses: list[Address]
    events: list[Event] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)

    async def connect(self, index: int = 0, source: str | None = None, **options: Any) -> Client:
        address = self.addresses[index]
        reader, writer = await asyncio.wait_for(
            asyncio.open_connection(
                address.host, address.port, local_addr=(source, 0) if source is not None else None, **options
            ),
            PATIENCE,
        )
        client = Client(reader, writer)
        self.clients.append(client)
        return client

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something to become true."""
        async with asyncio.timeout(PATIENCE):
            while not condition():  # the conditions are anything at all, with no event to wait for
                await asyncio.sleep(0.002)


class Faults(logging.Handler):
    """A session's unexpected error fails the test, also where the session lived through it, and so does asyncio's surprise."""

    def __init__(self, faults: list[object]) -> None:
        super().__init__(logging.WARNING)
        self.faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        self.faults.append((record.getMessage(), record.exc_info))


def stranger_settings(**changes: Any) -> AcceptSettings:
    """Nobody is listed: a client from loopback is a stranger."""
    return AcceptSettings(networks=(), **changes)


@contextlib.asynccontextmanager
async def open_door(
    accept: AcceptSettings | None = None,
    *,
    timers: ReceptionTimers | None = None,
    spool: FakeSpool | None = None,
    settings: Settings | None = None,
    grace: float = 5.0,
    **options: Any,
) -> AsyncIterator[Door]:
    """A Reception on a free port of 127.0.0.1, stopped at the end; no draft may be left open then."""
    spool = spool or FakeSpool()
    journal = Journal()
    events: list[Event] = []
    journal.subscribe(events.append)
    settings = settings or Settings(
        path=None,
        hostname="gw.test",
        spool=Path("spool"),
        listen=(ListenSettings(Address("127.0.0.1", 0)),),
    )
    if accept is not None:
        settings = replace(settings, accept=accept)
    options.setdefault("clock", SystemClock())
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    caught = Faults(faults)
    watched = [logging.getLogger(name) for name in ("gateway.reception", "asyncio")]
    for logger in watched:
        logger.addHandler(caught)
    reception = Reception(
        settings, cast("Spool", spool), journal=journal, timers=timers or ReceptionTimers(), **options
    )
    door = Door(reception, spool, settings, await reception.start(), events)
    try:
        yield door
    finally:
        for client in door.clients:
            client.writer.close()
        await reception.stop(grace)
        for client in door.clients:
            await client.close()
        for logger in watched:
            logger.removeHandler(caught)
    assert not faults, faults
    assert not spool.open_drafts, "a draft was left open"


def run(body: Callable[[], Any]) -> None:
    """Run an async test body, every task and exception accounted for."""
    eventloop.run(body())
