"""Can the clock be right? Pure (DESIGN section 6, promise P7).

A box without a battery wakes in 1970, or where it was switched off; a wrong hand sets a year that is to come. What is known of
earlier days, the *floor*, tells such a clock: it follows the clock only when that has run for a day without a step, falls at
once when the kernel says that the clock is synchronised, and an operator clears it. What waits for a clock that is not set is
decided elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from gateway.clock import iso

STATE = "clock"
"""The name under which it is kept in the spool's state."""

BUILT = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
"""No clock is right that shows an earlier time than this program was made. Moved by each release."""

MARGIN = 3600.0
"""Seconds by which a clock may lie before the floor: a clock that was a little fast may be put right by hand."""

STEADY = 86400.0
"""Seconds without a step after which the floor follows."""

STEP = 1.0
"""Seconds by which the clock must jump to have been set; less is what time servers put right every day."""

GRAIN = 3600.0
"""Seconds by which the floor moves on at a time: each move is a write."""


class Standing(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept over restarts. Instants are wall-clock seconds; `steady_since` is seconds since boot, of the boot `boot`,
    and `offset` the wall clock less the seconds since boot, which changes exactly when the clock is set."""

    floor: float | None = None
    accepted: float | None = None
    boot: str = ""
    steady_since: float = 0.0
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Reading:
    """The clocks at one moment. `since_boot` counts sleep, too; `boot` names the boot; `synchronised` is the kernel's word."""

    now: float
    since_boot: float
    boot: str
    synchronised: bool = False

    @property
    def offset(self) -> float:
        return self.now - self.since_boot


def decode(octets: bytes | None) -> Standing:
    """As saved; nothing is known where there is nothing or it cannot be read."""
    if octets is not None:
        try:
            return msgspec.json.decode(octets, type=Standing)
        except msgspec.MsgspecError:
            pass  # another version's: to know nothing is safe, it takes a day to know something
    return Standing()


def encode(standing: Standing) -> bytes:
    return msgspec.json.format(msgspec.json.encode(standing)) + b"\n"


def judge_clock(standing: Standing, now: float, built: float = BUILT) -> tuple[bool, str]:
    """Is the clock set, and why (not)?"""
    if standing.accepted is not None and now >= standing.accepted - MARGIN:
        earliest = standing.floor if standing.floor is not None else standing.accepted
    else:
        if now < built:
            return False, f"the clock is not set: it shows {iso(now)}, before this program was made"
        earliest = standing.floor if standing.floor is not None else built
    if now < earliest - MARGIN:
        return False, f"the clock is not set: it shows {iso(now)}, and it was later than {iso(earliest)} before"
    return True, "the clock is set"


def earliest(standing: Standing, built: float = BUILT) -> float:
    """What a clock that is not set cannot be before: the best that is known of the time then."""
    return max([built, *(instant for instant in (standing.floor, standing.accepted) if instant is not None)])


def observe(standing: Standing, reading: Reading, built: float = BUILT) -> Standing:
    """What is known after a look at the clocks: at start, after each step, and now and then."""
    if standing.boot != reading.boot or abs(reading.offset - standing.offset) >= STEP:
        standing = msgspec.structs.replace(
            standing, boot=reading.boot, steady_since=reading.since_boot, offset=reading.offset
        )
    floor = standing.floor
    if reading.synchronised and floor is not None and reading.now < floor:
        floor = reading.now
    steady = reading.since_boot - standing.steady_since >= STEADY
    if steady and (floor is None or reading.now >= floor + GRAIN):
        floor = reading.now if judge_clock(standing, reading.now, built)[0] else floor
    return msgspec.structs.replace(standing, floor=floor) if floor != standing.floor else standing


def accept(standing: Standing, now: float) -> Standing:
    """`clock accept`: an operator says that the clock is right, whatever was seen before."""
    return msgspec.structs.replace(standing, floor=None, accepted=now)
