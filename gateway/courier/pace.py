"""How many octets may be under way without an answer: enough to keep the line busy, and no more.

What is under way can no longer be overtaken by something urgent, and some of it is in doubt after a cut.
"""

from __future__ import annotations

from gateway.courier.kernel import Traffic

LEAST = 16 * 1024
FIRST = 64 * 1024
MOST = 1024 * 1024
NEAR = 0.005
"""Seconds of round trip: a relay nearer than this is on a line that one need not be careful with."""

_SPAN = 0.5
_AHEAD = 2.0


class Pace:
    """`window` in octets. Measured from the answers, in spans of half a second; the best of the last few counts."""

    __slots__ = ("_octets", "_rates", "_rtt", "_since", "window")

    def __init__(self, traffic: Traffic | None, now: float) -> None:
        self._rtt = traffic.rtt if traffic is not None else 0.1
        self._since = now
        self._octets = 0
        self._rates: list[float] = []
        self.window = MOST if self._rtt < NEAR else FIRST

    def answered(self, octets: int, now: float) -> None:
        """A message of so many octets was answered."""
        self._octets += octets
        elapsed = now - self._since
        if elapsed < max(_SPAN, 2 * self._rtt):
            return
        self._rates = [*self._rates[-4:], self._octets / elapsed]
        self._since = now
        self._octets = 0
        if self._rtt >= NEAR:
            ahead = max(_AHEAD, 4 * self._rtt)
            self.window = int(min(MOST, max(LEAST, max(self._rates) * ahead)))
