"""How much is handed to the connection before it asks for more: enough to keep the line busy, and no more.

What waits in the kernel can no longer be overtaken by something urgent, and after a cut it is harder to tell what never
left. So on a far line the kernel gets half a second of mail ahead, by the rate that the answers show; the rest stays
with us, or is not taken at all.
"""

from __future__ import annotations

import math

from gateway.courier.kernel import Traffic

NEAR = 0.005
"""Seconds of round trip: a relay nearer than this is on a line that one need not be careful with."""

LEAST_AHEAD = 16 * 1024
MOST_AHEAD = 256 * 1024
MOST_UNANSWERED = 1024 * 1024
"""Octets of messages taken and not answered, whatever the line."""

MOST_SESSIONS = 4
NEAR_SESSIONS = 2
"""To a relay nearby that makes us wait for each message: while it thinks about one, the next is written to the other."""

_SPAN = 0.5
_SECONDS_AHEAD = 0.5


class Pace:
    """`ahead`: octets that may wait in the kernel unsent. The best rate of the last five spans counts."""

    __slots__ = ("_octets", "_rates", "_since", "_span", "ahead", "is_near")

    def __init__(self, traffic: Traffic | None, now: float) -> None:
        rtt = traffic.rtt if traffic is not None else 0.1
        self._span = max(_SPAN, 2 * rtt)
        self._since = now
        self._octets = 0
        self._rates: list[float] = []
        self.is_near = rtt < NEAR
        self.ahead = MOST_AHEAD if self.is_near else LEAST_AHEAD

    def answered(self, octets: int, now: float) -> bool:
        """A message of so many octets was answered. True if `ahead` is another one now."""
        self._octets += octets
        elapsed = now - self._since
        if self.is_near or elapsed < self._span:
            return False
        self._rates = [*self._rates[-4:], self._octets / elapsed]
        self._since = now
        self._octets = 0
        before = self.ahead
        self.ahead = int(min(MOST_AHEAD, max(LEAST_AHEAD, max(self._rates) * _SECONDS_AHEAD)))
        return self.ahead != before


def useful_sessions(seconds: float, round_trips: int, rtt: float) -> int:
    """How many connections at once keep the line busy, if a message takes so long on one, of which it waits for so many
    round trips with nothing on the line. A connection more than that would only fill the line's queue."""
    if rtt < NEAR:
        return NEAR_SESSIONS
    busy = seconds - round_trips * rtt
    if busy <= seconds / MOST_SESSIONS:
        return MOST_SESSIONS
    return math.ceil(seconds / busy - 0.1)
