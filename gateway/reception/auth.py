"""Signing in: AUTH PLAIN and LOGIN (RFC 4954, 4616), on TLS only, and what a guesser meets.

Who exists and which password is right is `users`'; this module talks, waits and counts. A client cannot tell an unknown
name from a wrong password by words or by time.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from gateway.errors import ConfigurationError
from gateway.events import Alarm
from gateway.reception import replies
from gateway.reception.policy import IpAddress, origin_of
from gateway.reception.users import TooBusy, User

if TYPE_CHECKING:
    from gateway.reception.conversation import Conversation

MECHANISMS = ("PLAIN", "LOGIN")

MAX_FAILURES = 5
"""Wrong passwords in one connection, the last of which ends it."""

MAX_FAILURES_OF_ADDRESS = 20
MAX_ADDRESSES = 10_000


class Failures:
    """Wrong passwords by address, in memory. An IPv6 client has a whole /64 to guess from, so that counts as one."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, float]] = {}

    def is_blocked(self, address: IpAddress | None, now: float) -> bool:
        count, until = self._counts.get(origin_of(address), (0, 0.0))
        return count >= MAX_FAILURES_OF_ADDRESS and now < until

    def count(self, address: IpAddress | None, now: float, block: float) -> None:
        """One more; after the twentieth the address is blocked for `block` seconds. Older ones are forgotten after that."""
        origin = origin_of(address)
        count, until = self._counts.pop(origin, (0, 0.0))
        if now >= until:
            count = 0
        self._counts[origin] = (count + 1, now + block)
        if len(self._counts) > MAX_ADDRESSES:
            del self._counts[next(iter(self._counts))]

    def forgive(self, address: IpAddress | None) -> None:
        """A right password came from there."""
        self._counts.pop(origin_of(address), None)


class Cancelled(Exception):
    """The exchange ended before name and password were known; the reply says why."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply)
        self.reply = reply


Challenge = Callable[[bytes], Awaitable[bytes]]


async def credentials(mechanism: str, initial: str | None, challenge: Challenge) -> tuple[str, bytes] | None:
    """Name and password as the mechanism brings them. None: well-formed, but for somebody else. Raises Cancelled.

    `challenge` sends what is given, in base64, and returns the answer decoded.
    """
    if mechanism == "PLAIN":
        message = _decoded(initial) if initial is not None else await challenge(b"")
        parts = message.split(b"\0")
        if len(parts) != 3 or not parts[1]:
            raise Cancelled(replies.BAD_CREDENTIALS)
        identity, name, password = parts
        if identity not in (b"", name):
            return None  # to act for another is nobody's right here (RFC 4616 2)
    else:
        name = _decoded(initial) if initial is not None else await challenge(b"Username:")
        password = await challenge(b"Password:")
        if b"\0" in name or b"\0" in password:
            raise Cancelled(replies.BAD_CREDENTIALS)
    return name.decode("utf-8", "surrogateescape"), password


def _decoded(word: str) -> bytes:
    if word == "=":  # RFC 4954 4: an empty initial response
        return b""
    return decode_answer(word.encode("utf-8", "surrogateescape"))


def decode_answer(line: bytes) -> bytes:
    """The client's base64. Raises Cancelled for `*` and for what is none."""
    if line == b"*":
        raise Cancelled(replies.AUTH_CANCELLED)
    try:
        return base64.b64decode(line, validate=True)
    except binascii.Error:
        raise Cancelled(replies.BAD_BASE64) from None


def challenge_line(words: bytes) -> bytes:
    """The server's half of a step (RFC 4954 4)."""
    return b"334 " + base64.b64encode(words)


async def sign_in(session: Conversation, mechanism: str, initial: str | None) -> User | bytes:
    """The user, or the reply that refuses. Waits before telling of a wrong password, longer each time."""
    host = session.host
    register = session.rules.users
    assert register is not None
    now = host.clock.monotonic()
    if host.failures.is_blocked(session.address, now):
        return replies.AUTH_BLOCKED
    try:
        found = await credentials(mechanism, initial, session.challenge)
    except Cancelled as exc:
        return exc.reply
    try:
        register.refresh()
        # A foreign identity costs the same hash, so that it too takes its time.
        user = await register.verify(*(found or ("", b"")))
    except TooBusy:
        return replies.AUTH_LATER
    except ConfigurationError:
        host.journal.record(Alarm(about="users", what="the file of users cannot be used; nobody can sign in"))
        return replies.AUTH_LATER
    if host.failures.is_blocked(session.address, host.clock.monotonic()):
        return (
            replies.AUTH_BLOCKED
        )  # blocked meanwhile: many who began at once are not to learn more than twenty answers
    if user is not None and found is not None:
        host.failures.forgive(session.address)
        return user
    host.failures.count(session.address, now, session.timers.auth_block)
    session.failures += 1
    await asyncio.sleep(session.timers.auth_delay * 2 ** (session.failures - 1))
    return replies.AUTH_WRONG
