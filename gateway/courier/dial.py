"""From a relay's name to a connected socket: its addresses, remembered for a while and tried in turn; a given interface."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
from typing import cast

from gateway.courier.contract import Timers
from gateway.courier.memory import RelayMemory
from gateway.lookup import Lookups, SocketAddress, literal_address

FRESH = 60.0
"""Seconds for which a look-up is not repeated: it would cost a round trip on a thin line."""

_AT_ONCE = struct.pack("ii", 1, 0)

MAX_ADDRESSES = 8
MAX_LOOKUPS = 8

_lookups = Lookups(MAX_LOOKUPS)


class DialFailed(Exception):
    """No connection; the text completes "smtp.isp.example …"."""


async def connect(host: str, port: int, *, interface: str | None, timers: Timers, memory: RelayMemory) -> socket.socket:
    """A connected, non-blocking TCP socket. Raises DialFailed with the reason of the first address that was tried."""
    first_reason = ""
    for family, address in await _addresses(host, port, timers.resolve, memory):
        try:
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        except OSError as exc:  # a machine without IPv6 still gets on with the other addresses
            first_reason = first_reason or f"cannot be called ({_in_words(exc)})"
            continue
        try:
            _prepare(sock, interface, timers)
            async with asyncio.timeout(timers.connect):
                await asyncio.get_running_loop().sock_connect(sock, address)
            return sock
        except DialFailed:
            sock.close()
            raise
        except (OSError, TimeoutError) as exc:
            sock.close()
            first_reason = first_reason or f"does not answer ({_in_words(exc)})"
        except asyncio.CancelledError:
            sock.close()
            raise
    raise DialFailed(first_reason or "has no address")


def _prepare(sock: socket.socket, interface: str | None, timers: Timers) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # However it ends, also by the end of the process: no octet and no FIN is sent again on a line that may be paid for, or that
    # a packet would raise (DESIGN section 6, Silence). One reset says that we are gone; what mattered is settled by then.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(timers.block * 1000)))
    if interface is not None:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        except OSError as exc:
            raise DialFailed(f"cannot be reached through {interface} ({exc.strerror})") from exc


async def _addresses(host: str, port: int, timeout: float, memory: RelayMemory) -> list[SocketAddress]:
    literal = literal_address(host, port)
    if literal is not None:
        return [literal]
    loop = asyncio.get_running_loop()
    known = [cast(SocketAddress, a) for a in memory.addresses]
    if known and loop.time() - memory.addresses_at < FRESH:
        return known
    try:
        async with asyncio.timeout(timeout):
            found = await _lookups.addresses(host, port, MAX_ADDRESSES)
    except (OSError, UnicodeError, TimeoutError) as exc:
        if known:  # an old address beats none: resolvers die before relays move
            return known
        raise DialFailed(f"cannot be found (no answer from the name service: {_in_words(exc)})") from exc
    memory.addresses = tuple(found)
    memory.addresses_at = loop.time()
    return found


def _in_words(exc: Exception) -> str:
    match exc:
        case socket.gaierror():
            return exc.strerror or str(exc)
        case ConnectionRefusedError():
            return "connection refused"
        case OSError(errno=errno.ETIMEDOUT) | TimeoutError():
            return "no answer in time"
        case OSError(errno=int(number)):
            return os.strerror(number).lower() if number > 0 else str(exc)
        case _:
            return str(exc)
