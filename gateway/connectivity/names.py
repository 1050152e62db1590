"""A name's addresses, looked up in a thread that nobody waits for at the end: resolvers hang when lines die."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import threading
from typing import Any

MAX_ADDRESSES = 4
MAX_LOOKUPS = 4

_slots = threading.BoundedSemaphore(MAX_LOOKUPS)

SocketAddress = tuple[int, tuple[Any, ...]]  # family, and what connect takes


def is_literal(host: str) -> bool:
    """Is it an address itself, so that nobody need be asked?"""
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]").partition("%")[0])
    except ValueError:
        return False
    return True


async def addresses_of(host: str, port: int) -> list[SocketAddress]:
    """In the resolver's order, at most MAX_ADDRESSES; an address literal is itself. Raises OSError or UnicodeError.

    Cancelling leaves a thread behind until its resolver gives up; never more than MAX_LOOKUPS of them.
    """
    literal = host.removeprefix("[").removesuffix("]")
    with contextlib.suppress(ValueError):
        version = ipaddress.ip_address(literal.partition("%")[0]).version
        return [(socket.AF_INET6 if version == 6 else socket.AF_INET, (literal, port))]
    if not _slots.acquire(blocking=False):
        raise OSError(errno.EAGAIN, "the name service still owes older answers")
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[SocketAddress]] = loop.create_future()

    def tell(found: list[SocketAddress], failure: Exception | None) -> None:
        if answer.done():
            return
        if failure is None:
            answer.set_result(found)
        else:
            answer.set_exception(failure)

    def ask() -> None:
        found: list[SocketAddress] = []
        failure: Exception | None = None
        try:
            every = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = [(family, address) for family, _, _, _, address in every[:MAX_ADDRESSES]]
        except (OSError, UnicodeError) as exc:
            failure = exc
        finally:
            _slots.release()
        with contextlib.suppress(RuntimeError):  # the loop ended before the resolver did
            loop.call_soon_threadsafe(tell, found, failure)

    try:
        threading.Thread(target=ask, name="names", daemon=True).start()
    except RuntimeError:
        _slots.release()
        raise OSError(errno.EAGAIN, "no thread for a look-up") from None
    return await answer
