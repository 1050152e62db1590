"""Ask a relay itself whether it answers: connect, greeting, EHLO, QUIT. Never a third party, and only on permanent links.

Where the relay's certificate is asked for too, a portal that answers in its place is told by its name (DESIGN section 6). Which
certificate counts in a session is the courier's business; a pinned key is not looked at here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import struct
from dataclasses import dataclass

from gateway.config.settings import RelaySettings
from gateway.connectivity.ledger import wire_octets
from gateway.lookup import Lookups, SocketAddress, literal_address

TIMEOUT = 20.0
"""Seconds for the whole probe."""

_INFO = struct.Struct("=120xQQII")
"""Of tcp_info: octets acknowledged and received, segments out and in."""

_CLOSING = 2
"""Segments that are still exchanged after the last look."""

_FAREWELL = 2.0
"""Seconds from QUIT to the relay's closing."""

MAX_ADDRESSES = 4
MAX_LOOKUPS = 4
_MOST_LINES = 100
_LONGEST_LINE = 4096

_lookups = Lookups(MAX_LOOKUPS)


@dataclass(frozen=True, slots=True)
class Question:
    """`interface`: the one to use, None for whatever the kernel takes. `certificate`: look at the relay's, too. `known`: its
    addresses as last looked up; where it may not be looked up (`may_look_up`), or nobody answers, they must do."""

    relay: RelaySettings
    hostname: str
    interface: str | None = None
    certificate: bool = False
    known: tuple[SocketAddress, ...] = ()
    may_look_up: bool = True


@dataclass(frozen=True, slots=True)
class Probed:
    """`failed`: None if the relay answered as a mail server does, else one sentence that says what happened instead.

    `octets`: on the line both ways, with headers, as the kernel counts them; looking up the name is not among them.
    `addresses`: of the relay, as they were used."""

    failed: str | None
    octets: int = 0
    addresses: tuple[SocketAddress, ...] = ()


class _Answer(Exception):
    """Not the answer of our relay; the text says what came instead."""


class _Spent:
    """Octets of the connections of one probe, each added just before it is closed; and the addresses that were tried."""

    def __init__(self) -> None:
        self.octets = 0
        self.addresses: tuple[SocketAddress, ...] = ()

    def add(self, sock: socket.socket) -> None:
        try:
            told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
        except OSError:
            return
        if len(told) == _INFO.size:
            acked, received, segments_out, segments_in = _INFO.unpack(told)
            segments = segments_out + segments_in + (_CLOSING if segments_in else 0)
            self.octets += wire_octets(acked + received, segments, 6 if sock.family == socket.AF_INET6 else 4)


async def probe(question: Question, timeout: float = TIMEOUT) -> Probed:
    """Ask once; never raises for what the relay or the line does."""
    spent = _Spent()
    failed = await _ask(question, timeout, spent)
    return Probed(failed, spent.octets, spent.addresses)


async def _ask(question: Question, timeout: float, spent: _Spent) -> str | None:
    host = question.relay.host
    try:
        async with asyncio.timeout(timeout):
            await _probe(question, spent)
            return None
    except TimeoutError:
        return f"{host} does not answer within {timeout:g} s"
    except ssl.SSLCertVerificationError as exc:
        return f"{host} shows a certificate that is not its own: {exc.verify_message or exc.reason}"
    except ssl.SSLError as exc:
        return f"{host} does not encrypt as it should: {exc.reason or exc}"
    except _Answer as exc:
        return f"{host} {exc}"
    except (OSError, UnicodeError) as exc:
        number = exc.errno or 0 if isinstance(exc, OSError) else 0
        words = os.strerror(number).lower() if number > 0 else getattr(exc, "strerror", None) or exc
        return f"{host} does not answer ({words})"


async def _probe(question: Question, spent: _Spent) -> None:
    relay = question.relay
    context = _context(relay) if relay.tls == "implicit" else None
    spent.addresses = await _addresses(question)
    sock = await _connect(relay.host, spent.addresses, question.interface, spent)
    try:
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=context, server_hostname=_name(relay) if context else None, limit=_LONGEST_LINE
        )
    except BaseException:
        spent.add(sock)
        sock.close()
        raise
    try:
        await _talk(question, reader, writer)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as exc:
        raise _Answer("hung up, or did not talk like a mail server") from exc
    finally:
        spent.add(sock)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _talk(question: Question, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    relay = question.relay
    if not (await _reply(reader))[-1].startswith(b"220"):
        raise _Answer("does not greet like a mail server")
    hello = b"EHLO " + question.hostname.encode("ascii", "replace") + b"\r\n"
    writer.write(hello)
    answer = await _reply(reader)
    if not answer[-1].startswith(b"250"):
        raise _Answer("does not answer EHLO like a mail server")
    if question.certificate and relay.tls in ("required", "opportunistic") and relay.pin is None:
        offers = any(line[4:].strip().upper() == b"STARTTLS" for line in answer)
        if offers:
            writer.write(b"STARTTLS\r\n")
            if (await _reply(reader))[-1].startswith(b"220"):
                await writer.start_tls(_context(relay), server_hostname=_name(relay))
        elif relay.tls == "required":
            raise _Answer("does not offer encryption")
    writer.write(b"QUIT\r\n")
    with contextlib.suppress(TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        async with asyncio.timeout(_FAREWELL):  # it has answered; how it says goodbye no longer matters
            await reader.read(_LONGEST_LINE)
            await reader.read(_LONGEST_LINE)  # it closes behind that


def _context(relay: RelaySettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(relay.ca) if relay.ca is not None else None)
    if relay.pin is not None or relay.tls == "opportunistic":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _name(relay: RelaySettings) -> str:
    return relay.host.removeprefix("[").removesuffix("]")


async def _addresses(question: Question) -> tuple[SocketAddress, ...]:
    relay = question.relay
    literal = literal_address(relay.host, relay.port)
    if literal is not None:
        return (literal,)
    if question.may_look_up:
        try:
            return tuple(await _lookups.addresses(_name(relay), relay.port, MAX_ADDRESSES))
        except (OSError, UnicodeError):
            if not question.known:
                raise
    elif not question.known:
        raise _Answer(
            "is not asked: its address is not known, and the question for it would leave by a line that costs"
        )
    return question.known


async def _connect(
    host: str, addresses: tuple[SocketAddress, ...], interface: str | None, spent: _Spent
) -> socket.socket:
    loop = asyncio.get_running_loop()
    failure: OSError | None = None
    for family, address in addresses:
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if interface is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
            await loop.sock_connect(sock, address)
            return sock
        except OSError as exc:
            spent.add(sock)
            sock.close()
            failure = failure or exc
        except BaseException:
            spent.add(sock)
            sock.close()
            raise
    raise failure or OSError(f"{host} has no address")


async def _reply(reader: asyncio.StreamReader) -> list[bytes]:
    """The lines of a reply; bounded in number, and each by the reader's limit."""
    lines = []
    for _ in range(_MOST_LINES):
        line = await reader.readuntil(b"\n")
        lines.append(line)
        if line[3:4] != b"-":
            return lines
    raise asyncio.LimitOverrunError("a reply without end", 0)
