"""From a relay's name to a connected socket: look-up, several addresses in turn, a given interface.

Looking up a name blocks for as long as the resolver likes, so it has threads of its own: a dead line must not hold up
the disk or anything else. A thread that hangs is left behind, and never more than a few of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import socket
import struct
import threading
from typing import Any, cast

from gateway.courier.contract import Timers
from gateway.courier.memory import RelayMemory

FRESH = 60.0
"""Seconds for which a look-up is not repeated: it would cost a round trip on a thin line."""

_AT_ONCE = struct.pack("ii", 1, 0)

MAX_ADDRESSES = 8
MAX_LOOKUPS = 8

_slots = threading.BoundedSemaphore(MAX_LOOKUPS)

AddressInfo = tuple[socket.AddressFamily, tuple[Any, ...]]


class DialFailed(Exception):
    """No connection; the text completes "smtp.isp.example …"."""


async def connect(host: str, port: int, *, interface: str | None, timers: Timers, memory: RelayMemory) -> socket.socket:
    """A connected, non-blocking TCP socket. Raises DialFailed with the reason of the first address that was tried."""
    first_reason = ""
    for family, address in await _addresses(host, port, timers.resolve, memory):
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
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


async def _addresses(host: str, port: int, timeout: float, memory: RelayMemory) -> list[AddressInfo]:
    literal = host.removeprefix("[").removesuffix("]")
    with contextlib.suppress(ValueError):
        version = ipaddress.ip_address(literal.partition("%")[0]).version
        return [(socket.AF_INET6, (literal, port)) if version == 6 else (socket.AF_INET, (literal, port))]
    loop = asyncio.get_running_loop()
    known = [cast(AddressInfo, a) for a in memory.addresses]
    if known and loop.time() - memory.addresses_at < FRESH:
        return known
    try:
        found = await _look_up(host, port, timeout)
    except (OSError, UnicodeError, TimeoutError) as exc:
        if known:  # an old address beats none: resolvers die before relays move
            return known
        raise DialFailed(f"cannot be found (no answer from the name service: {_in_words(exc)})") from exc
    memory.addresses = tuple(found)
    memory.addresses_at = loop.time()
    return found


async def _look_up(host: str, port: int, timeout: float) -> list[AddressInfo]:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[AddressInfo]] = loop.create_future()

    def tell(found: list[AddressInfo], failure: Exception | None) -> None:
        if not answer.done():
            if failure is None:
                answer.set_result(found)
            else:
                answer.set_exception(failure)

    def ask() -> None:
        found: list[AddressInfo] = []
        failure: Exception | None = None
        try:
            for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                if (family, address) not in found and len(found) < MAX_ADDRESSES:
                    found.append((family, address))
        except (OSError, UnicodeError) as exc:
            failure = exc
        finally:
            _slots.release()
        with contextlib.suppress(RuntimeError):  # the loop ended before the resolver did
            loop.call_soon_threadsafe(tell, found, failure)

    if not _slots.acquire(blocking=False):
        raise OSError(errno.EAGAIN, "the name service still owes older answers")
    try:
        threading.Thread(target=ask, name="names", daemon=True).start()
    except RuntimeError:
        _slots.release()
        raise OSError(errno.EAGAIN, "no thread for a look-up") from None
    async with asyncio.timeout(timeout):
        return await answer


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
