"""How fast each link was: measured by real sessions, guessed by `speed:` until then (DESIGN section 5, rule 5)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gateway.config.settings import LinkSettings

SMALLEST_SAMPLE = 20_000
"""Octets: a session with less tells more about round trips than about the line."""

WEIGHT = 0.3
"""Of the newest session in the running mean."""


class SpeedBook:
    """Measured goodput by link name in bit/s, kept in the spool's state under `speeds`."""

    STATE = "speeds"

    def __init__(self, saved: bytes | None) -> None:
        self._measured: dict[str, float] = {}
        if saved is not None:
            try:
                self._measured = msgspec.json.decode(saved, type=dict[str, float])
            except msgspec.MsgspecError:
                self._measured = {}  # a guess is as good as a file nobody can read

    def add(self, link: str, octets: int, seconds: float) -> bool:
        """One session: octets sent, and seconds in which it was not idle. True if the book changed worth saving."""
        if octets < SMALLEST_SAMPLE or seconds <= 0:
            return False
        rate = octets * 8 / seconds
        before = self._measured.get(link)
        self._measured[link] = rate if before is None else before + WEIGHT * (rate - before)
        return before is None or abs(self._measured[link] - before) > 0.05 * before

    def known(self, links: Iterable[LinkSettings]) -> dict[str, float]:
        """Bit/s by link name; links of which nothing is known are left out."""
        speeds = {link.name: link.speed for link in links if link.speed is not None}
        return speeds | self._measured

    def encode(self) -> bytes:
        return msgspec.json.encode({name: round(rate) for name, rate in self._measured.items()})
