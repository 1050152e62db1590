"""What is believed of a line that may lie: one failed probe is not an outage, one good packet is not a line.

Two parts, both pure. A state machine as a table says whether a relay answers through a link: every legal change is a row, a
real session counts at once, a probe only the second time. A damper says for how long a line that keeps falling is not trusted.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Belief(enum.Enum):
    """Of one relay through one link."""

    UNKNOWN = "not tried yet"
    ANSWERS = "the relay answers"
    DOUBTED = "one probe failed"
    SILENT = "the relay does not answer"
    RETURNING = "one probe succeeded"


class Sign(enum.Enum):
    """What was observed."""

    PROBE_OK = enum.auto()
    PROBE_FAILED = enum.auto()
    SESSION_OK = enum.auto()
    SESSION_FAILED = enum.auto()
    CARRIER_LOST = enum.auto()
    CARRIER_BACK = enum.auto()
    AGAIN = enum.auto()  # what failed is given another chance: its time has come, or a hook says that the line is up


_U, _A, _D, _S, _R = Belief.UNKNOWN, Belief.ANSWERS, Belief.DOUBTED, Belief.SILENT, Belief.RETURNING

TRANSITIONS: dict[tuple[Belief, Sign], Belief] = {
    (_U, Sign.PROBE_OK): _A,
    (_U, Sign.PROBE_FAILED): _S,
    (_U, Sign.SESSION_OK): _A,
    (_U, Sign.SESSION_FAILED): _S,
    (_U, Sign.CARRIER_LOST): _U,
    (_U, Sign.CARRIER_BACK): _U,
    (_U, Sign.AGAIN): _U,
    (_A, Sign.PROBE_OK): _A,
    (_A, Sign.PROBE_FAILED): _D,
    (_A, Sign.SESSION_OK): _A,
    (_A, Sign.SESSION_FAILED): _S,
    (_A, Sign.CARRIER_LOST): _A,  # the cable says nothing of the relay: it is believed again when the cable is back
    (_A, Sign.CARRIER_BACK): _A,
    (_A, Sign.AGAIN): _A,
    (_D, Sign.PROBE_OK): _A,
    (_D, Sign.PROBE_FAILED): _S,
    (_D, Sign.SESSION_OK): _A,
    (_D, Sign.SESSION_FAILED): _S,
    (_D, Sign.CARRIER_LOST): _A,  # the probe failed because the cable was about to
    (_D, Sign.CARRIER_BACK): _D,
    (_D, Sign.AGAIN): _D,
    (_S, Sign.PROBE_OK): _R,
    (_S, Sign.PROBE_FAILED): _S,
    (_S, Sign.SESSION_OK): _A,
    (_S, Sign.SESSION_FAILED): _S,
    (_S, Sign.CARRIER_LOST): _S,
    (_S, Sign.CARRIER_BACK): _U,
    (_S, Sign.AGAIN): _U,
    (_R, Sign.PROBE_OK): _A,
    (_R, Sign.PROBE_FAILED): _S,
    (_R, Sign.SESSION_OK): _A,
    (_R, Sign.SESSION_FAILED): _S,
    (_R, Sign.CARRIER_LOST): _S,
    (_R, Sign.CARRIER_BACK): _U,
    (_R, Sign.AGAIN): _U,
}


def step(belief: Belief, sign: Sign) -> Belief:
    """What is believed after a sign."""
    return TRANSITIONS[belief, sign]


def is_trusted(belief: Belief, *, probed: bool) -> bool:
    """May a permanent link be called usable for it? Where probes ask, not before the first answer; where nobody asks, until
    a session failed."""
    return belief in (Belief.ANSWERS, Belief.DOUBTED) or (belief is Belief.UNKNOWN and not probed)


CALM = 60.0
"""Seconds without a fall after which a line is trusted as if it had never fallen."""

_HOLDS = (0.0, 0.0, 10.0, 20.0, 40.0)
"""Seconds for which a line must stay up before it is used again, by its falls since it was last calm; then a minute."""


@dataclass(slots=True)
class Damper:
    """Counts how often a line fell. Instants are monotonic seconds.

    A line that is calm is given up and taken back at once. One that flaps is given up at once and taken back ever later: each
    return would start sessions that the next fall breaks.
    """

    falls: int = 0
    up_since: float | None = None

    def came_up(self, now: float) -> None:
        if self.up_since is None:
            self.up_since = now

    def fell(self, now: float) -> None:
        if self.up_since is None:
            return
        if now - self.up_since >= CALM:
            self.falls = 0
        self.falls += 1
        self.up_since = None

    def held_until(self) -> float | None:
        """The moment from which a line that is up may be used, None if it may be or is down."""
        if self.up_since is None:
            return None
        hold = _HOLDS[self.falls] if self.falls < len(_HOLDS) else CALM
        return self.up_since + hold if hold else None
