"""Does the relay answer through this link? One failed probe is not an outage, one good packet is not a line.

A state machine as a table: every legal change is a row. A real session counts at once, a probe only the second time.
"""

from __future__ import annotations

import enum


class Line(enum.Enum):
    """What is believed of a link's relay."""

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
    AGAIN = enum.auto()  # a link that failed is given another chance: its time has come, or its carrier is back


TRANSITIONS: dict[tuple[Line, Sign], Line] = {
    (Line.UNKNOWN, Sign.PROBE_OK): Line.ANSWERS,
    (Line.UNKNOWN, Sign.PROBE_FAILED): Line.SILENT,
    (Line.UNKNOWN, Sign.SESSION_OK): Line.ANSWERS,
    (Line.UNKNOWN, Sign.SESSION_FAILED): Line.SILENT,
    (Line.UNKNOWN, Sign.AGAIN): Line.UNKNOWN,
    (Line.ANSWERS, Sign.PROBE_OK): Line.ANSWERS,
    (Line.ANSWERS, Sign.PROBE_FAILED): Line.DOUBTED,
    (Line.ANSWERS, Sign.SESSION_OK): Line.ANSWERS,
    (Line.ANSWERS, Sign.SESSION_FAILED): Line.SILENT,
    (Line.ANSWERS, Sign.AGAIN): Line.ANSWERS,
    (Line.DOUBTED, Sign.PROBE_OK): Line.ANSWERS,
    (Line.DOUBTED, Sign.PROBE_FAILED): Line.SILENT,
    (Line.DOUBTED, Sign.SESSION_OK): Line.ANSWERS,
    (Line.DOUBTED, Sign.SESSION_FAILED): Line.SILENT,
    (Line.DOUBTED, Sign.AGAIN): Line.DOUBTED,
    (Line.SILENT, Sign.PROBE_OK): Line.RETURNING,
    (Line.SILENT, Sign.PROBE_FAILED): Line.SILENT,
    (Line.SILENT, Sign.SESSION_OK): Line.ANSWERS,
    (Line.SILENT, Sign.SESSION_FAILED): Line.SILENT,
    (Line.SILENT, Sign.AGAIN): Line.UNKNOWN,
    (Line.RETURNING, Sign.PROBE_OK): Line.ANSWERS,
    (Line.RETURNING, Sign.PROBE_FAILED): Line.SILENT,
    (Line.RETURNING, Sign.SESSION_OK): Line.ANSWERS,
    (Line.RETURNING, Sign.SESSION_FAILED): Line.SILENT,
    (Line.RETURNING, Sign.AGAIN): Line.UNKNOWN,
}

USABLE = {Line.UNKNOWN, Line.ANSWERS, Line.DOUBTED}
"""In which a permanent link may be called Online. A link that is probed is not trusted before its first answer."""


def step(line: Line, sign: Sign) -> Line:
    """What is believed after a sign."""
    return TRANSITIONS[line, sign]
