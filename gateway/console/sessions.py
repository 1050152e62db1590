"""Who is signed in: sessions with their ends, and the streams that hang on them. In memory; a restart signs everybody out.

A session's name is known to its browser alone; here only its hash is kept. It ends after IDLE in which nobody
used a page of it, after LONGEST in any case, at sign-out, and with every other of its role when a password is set (CASES
W10-W12).
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Literal

from gateway.clock import Clock

Role = Literal["operator", "viewer"]

IDLE = 30 * 60.0
LONGEST = 12 * 3600.0
MOST = 500


@dataclass(slots=True, eq=False)
class Session:
    """`is_open`: made without signing in, while no password is set. `ended` is set when it is over; `token`: against forged
    requests, shown to its pages only."""

    key: bytes
    role: Role
    is_open: bool
    began: float
    seen: float
    token: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    streams: int = 0


class SessionBook:
    """All sessions. Times are monotonic: a step of the clock signs nobody in or out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: dict[bytes, Session] = {}

    def begin(self, role: Role, *, is_open: bool = False) -> tuple[str, Session]:
        """A new session under a new name, which goes into the browser's cookie. The longest idle one ends if there are too
        many."""
        self._sweep()
        while len(self._sessions) >= MOST:
            self.end(min(self._sessions.values(), key=lambda session: session.seen))
        name = secrets.token_urlsafe(32)
        now = self._clock.monotonic()
        session = Session(_key(name), role, is_open, now, now)
        self._sessions[session.key] = session
        return name, session

    def find(self, name: str, *, is_seen: bool = True) -> Session | None:
        """The session of that name, seen now unless the page asked by itself; None if there is none any more."""
        session = self._sessions.get(_key(name)) if len(name) <= 100 else None
        if session is None or not self.is_alive(session):
            return None
        if is_seen:
            session.seen = self._clock.monotonic()
        return session

    def is_alive(self, session: Session) -> bool:
        """Ask without being seen: what a stream does each minute."""
        if session.ended.is_set():
            return False
        now = self._clock.monotonic()
        if now - session.seen > IDLE or now - session.began > LONGEST:
            self.end(session)
            return False
        return True

    def end(self, session: Session) -> None:
        self._sessions.pop(session.key, None)
        session.ended.set()

    def end_role(self, role: Role) -> None:
        """Every session of the role, and every one that was made without signing in."""
        for session in tuple(self._sessions.values()):
            if session.role == role or session.is_open:
                self.end(session)

    def end_all(self) -> None:
        for session in tuple(self._sessions.values()):
            self.end(session)

    def _sweep(self) -> None:
        for session in tuple(self._sessions.values()):
            self.is_alive(session)


def _key(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "replace")).digest()
