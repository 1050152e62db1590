"""The demo's line and relay: a small SMTP server that reads no faster than a slow line would carry.

Takes everything for everybody and keeps nothing but a count; one address in its own domain does not exist, so that the
demo also shows a report to a sender.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

UNKNOWN = "nobody@hq.example"
"""The recipient that the relay refuses."""

_LINE = 2000
_BLOCK = 4096


class Line:
    """A reader that lets `rate` bit/s through, as a modem does."""

    def __init__(self, reader: asyncio.StreamReader, rate: float) -> None:
        self._reader, self._rate = reader, rate

    async def line(self) -> bytes:
        octets = await self._reader.readuntil(b"\n")
        await self._pace(len(octets))
        return octets

    async def some(self, count: int) -> bytes:
        octets = await self._reader.readexactly(min(count, _BLOCK))
        await self._pace(len(octets))
        return octets

    async def _pace(self, octets: int) -> None:
        await asyncio.sleep(octets * 8 / self._rate)


class DemoRelay:
    """Listens on a free port of 127.0.0.1; `received` counts the messages it took."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self.received = 0
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_LINE)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            await self._talk(Line(reader, self._rate), writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _talk(self, line: Line, writer: asyncio.StreamWriter) -> None:
        async def say(text: str) -> None:
            writer.write(text.encode() + b"\r\n")
            await writer.drain()

        await say("220 relay.demo.example ready")
        recipients = 0
        while True:
            command = (await line.line()).decode("ascii", "replace").strip()
            verb = command.split(" ", 1)[0].upper()
            if verb in ("EHLO", "HELO"):
                await say(
                    "250-relay.demo.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-CHUNKING\r\n250 SIZE 50000000"
                )
            elif verb == "MAIL":
                recipients = 0
                await say("250 2.1.0 sender taken")
            elif verb == "RCPT" and UNKNOWN in command.lower():
                await say("550 5.1.1 nobody of this name here")
            elif verb == "RCPT":
                recipients += 1
                await say("250 2.1.5 recipient taken")
            elif verb in ("DATA", "BDAT") and not recipients:
                if verb == "BDAT":
                    await self._chunk(line, command)
                await say("554 5.5.1 no recipients")
            elif verb == "DATA":
                await say("354 go on")
                while await line.line() != b".\r\n":
                    pass
                await self._took(say)
            elif verb == "BDAT":
                await self._chunk(line, command)
                if command.upper().endswith("LAST"):
                    await self._took(say)
                else:
                    await say("250 2.0.0 chunk taken")
            elif verb == "QUIT":
                await say("221 2.0.0 bye")
                return
            else:
                await say("250 2.0.0 ok" if verb in ("RSET", "NOOP") else "500 5.5.1 not known here")

    async def _chunk(self, line: Line, command: str) -> None:
        left = int(command.split()[1])
        while left > 0:
            left -= len(await line.some(left))

    async def _took(self, say: Callable[[str], Awaitable[None]]) -> None:
        self.received += 1
        await say(f"250 2.0.0 taken as demo{self.received}")
