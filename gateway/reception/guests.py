"""Who is here: connections counted in all and by address, and messages by address and hour. Bounded, in memory only."""

from __future__ import annotations

import asyncio
import enum
from typing import Protocol

from gateway.reception import replies

MAX_ADDRESSES = 20_000
"""Addresses whose messages are counted; beyond it the counts of the present hour start anew."""

HOUR = 3600.0


class Claim(enum.IntEnum):
    """Who has to go first when all places are taken and one who is preferred comes."""

    IDLE = 0  # has never begun a message, and says nothing
    STRANGER = 1  # may not relay, and says nothing at this moment
    FIRM = 2  # stays


class Guest(Protocol):
    """What the count knows of a connection."""

    @property
    def origin(self) -> str:
        """By which it is counted: the client's address, or its network."""
        ...

    def make_way(self, reply: bytes) -> None:
        """Another needs its place: end soon, with this reply if it can be said at once."""
        ...

    @property
    def claim(self) -> Claim:
        """How good its claim to its place is now."""
        ...


class Guests:
    """The connections of one Reception. `enter` and `leave` once each; `admit` in between, before the greeting."""

    def __init__(self) -> None:
        self._present: dict[Guest, None] = {}  # connected, in order of arrival
        self.serving: set[Guest] = set()
        """Those whose session has not ended; a commit goes on after its client has gone."""
        self._nobody = asyncio.Event()
        self._nobody.set()
        self._all_served = asyncio.Event()
        self._all_served.set()
        self._by_client: dict[str, int] = {}
        self._hour = 0.0
        self._messages: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._present)

    @property
    def present(self) -> tuple[Guest, ...]:
        return tuple(self._present)

    def enter(self, guest: Guest) -> None:
        self._present[guest] = None
        self.serving.add(guest)
        self._nobody.clear()
        self._all_served.clear()
        self._by_client[guest.origin] = self._by_client.get(guest.origin, 0) + 1

    def leave(self, guest: Guest) -> None:
        if guest not in self._present:
            return
        del self._present[guest]
        if not self._present:
            self._nobody.set()
        count = self._by_client[guest.origin] - 1
        if count:
            self._by_client[guest.origin] = count
        else:
            del self._by_client[guest.origin]

    def served(self, guest: Guest) -> None:
        """Its session has ended."""
        self.serving.discard(guest)
        if not self.serving:
            self._all_served.set()

    async def all_served(self) -> None:
        """Return when no session is left."""
        await self._all_served.wait()

    async def gone(self) -> None:
        """Return when nobody is connected."""
        await self._nobody.wait()

    def admit(self, guest: Guest, *, limit: int, limit_per_client: int, preferred: bool) -> bytes | None:
        """The refusal for one that has entered, or None.

        Where all places are taken, a preferred client gets that of the one with the least claim who came first: five hundred
        strangers, silent or slow, do not keep the office's printer out.
        """
        if self._by_client[guest.origin] > limit_per_client:
            return replies.TOO_MANY_FROM_YOU
        if len(self._present) <= limit:
            return None
        if preferred:
            others = [other for other in self._present if other is not guest]
            loser = min(others, key=lambda other: other.claim, default=None)  # the first of equals
            if loser is not None and loser.claim is not Claim.FIRM:
                loser.make_way(replies.MAKE_ROOM)
                return None
        return replies.TOO_MANY_CONNECTIONS

    def may_send(self, client: str, limit: int | None, now: float) -> bool:
        """True if this client may begin one more message in the present hour. `now`: the monotonic clock."""
        if limit is None:
            return True
        self._turn(now)
        return self._messages.get(client, 0) < limit

    def sent(self, client: str, now: float) -> None:
        """Count one message."""
        self._turn(now)
        self._messages[client] = self._messages.get(client, 0) + 1

    def not_sent(self, client: str) -> None:
        """One that was counted was not taken after all."""
        if client in self._messages:
            self._messages[client] -= 1

    def _turn(self, now: float) -> None:
        if now - self._hour >= HOUR or len(self._messages) > MAX_ADDRESSES:
            self._hour = now
            self._messages.clear()
