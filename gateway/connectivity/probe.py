"""Ask a relay itself whether it answers: connect, greeting, EHLO, QUIT. Never a third party, and only on permanent links."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from gateway.config.settings import RelaySettings

TIMEOUT = 20.0
"""Seconds for the whole probe."""

_MOST_LINES = 100


async def probe(relay: RelaySettings, hostname: str, timeout: float = TIMEOUT) -> str | None:
    """None if the relay answered as a mail server does, else one sentence that says what happened instead."""
    try:
        async with asyncio.timeout(timeout):
            return await _probe(relay, hostname)
    except TimeoutError:
        return f"{relay.host} does not answer within {timeout:g} s"
    except ssl.SSLError as exc:
        return f"{relay.host}: {exc.reason or exc}"
    except OSError as exc:
        return f"{relay.host} does not answer ({exc.strerror or exc})"


async def _probe(relay: RelaySettings, hostname: str) -> str | None:
    context = None
    if relay.tls == "implicit":
        context = ssl.create_default_context(cafile=str(relay.ca) if relay.ca is not None else None)
        if relay.pin is not None:  # the pin is the courier's to check; the probe only asks for an answer
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(relay.host, relay.port, ssl=context, limit=4096)
    try:
        greeting = await _reply(reader)
        if not greeting.startswith(b"220"):
            return f"{relay.host} does not greet like a mail server"
        writer.write(f"EHLO {hostname}\r\n".encode())
        answer = await _reply(reader)
        writer.write(b"QUIT\r\n")
        if not answer.startswith(b"250"):
            return f"{relay.host} does not answer EHLO like a mail server"
        return None
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return f"{relay.host} hung up, or did not talk like a mail server"
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()


async def _reply(reader: asyncio.StreamReader) -> bytes:
    """The last line of a reply; bounded in lines, and each line by the reader's limit."""
    for _ in range(_MOST_LINES):
        line = await reader.readuntil(b"\n")
        if line[3:4] != b"-":
            return line
    raise asyncio.LimitOverrunError("a reply without end", 0)
