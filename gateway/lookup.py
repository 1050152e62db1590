"""The addresses of a name, by the system's resolver, in threads of their own: resolvers hang when lines die.

A dead line must not hold up the disk or anything else: a thread that hangs is left behind, and never more than a few of them.
How long to wait, and what to make of no answer, is the caller's.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import threading
from typing import Any

SocketAddress = tuple[int, tuple[Any, ...]]
"""The family, and what connect takes."""


def literal_address(host: str, port: int) -> SocketAddress | None:
    """Of a host that is an address itself, perhaps in brackets, so that nobody need be asked."""
    literal = host.removeprefix("[").removesuffix("]")
    try:
        version = ipaddress.ip_address(literal.partition("%")[0]).version
    except ValueError:
        return None
    return (socket.AF_INET6 if version == 6 else socket.AF_INET, (literal, port))


class Lookups:
    """At most `most` under way. Each part has its own, so that what hangs for one is in nobody else's way."""

    def __init__(self, most: int) -> None:
        self._slots = threading.BoundedSemaphore(most)

    async def addresses(self, host: str, port: int, at_most: int) -> list[SocketAddress]:
        """In the resolver's order, each once. Raises OSError or UnicodeError.

        Cancelling leaves the thread behind until its resolver gives up.
        """
        if not self._slots.acquire(blocking=False):
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
                each: dict[SocketAddress, None] = dict.fromkeys((family, address) for family, _, _, _, address in every)
                found = list(each)[:at_most]
            except (OSError, UnicodeError) as exc:
                failure = exc
            finally:
                self._slots.release()
            with contextlib.suppress(RuntimeError):  # the loop ended before the resolver did
                loop.call_soon_threadsafe(tell, found, failure)

        try:
            threading.Thread(target=ask, name="names", daemon=True).start()
        except RuntimeError:
            self._slots.release()
            raise OSError(errno.EAGAIN, "no thread for a look-up") from None
        return await answer
