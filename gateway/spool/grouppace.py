"""When the next group of notes is written: at once, or when those who are about to hand theirs in have done so. Pure.

On a disk whose flush takes long (an SD card: 10 ms and more) clients fall into two cohorts: while the notes of one are
flushed, the other waits for the next flush, for ever; twice the flushes, half the messages. So where flushes are slow the next
group waits a moment for as many commits as were under way at the last one. One client alone is never waited for, and nothing
but a commit waits: what a relay answered, or is about to be sent, is written at once.
"""

from __future__ import annotations

SLOW = 0.002
"""Seconds of a flush from which on waiting may pay."""

MOST = 0.01
"""Seconds that a group waits, and never longer than half a flush takes."""


class GroupPace:
    """Told of each group that was written; asked before each that may begin."""

    __slots__ = ("_expected", "_seconds")

    def __init__(self) -> None:
        self._seconds = 0.0
        self._expected = 1

    def written(self, seconds: float, commits: int, waiting: int) -> None:
        """A group with so many commits took so long; so many more came meanwhile."""
        self._seconds, self._expected = seconds, commits + waiting

    def is_complete(self, commits: int) -> bool:
        """Have as many as can be expected handed in theirs?"""
        return commits >= self._expected

    def wait(self, commits: int) -> float:
        """Seconds that a group with so many commits, and nothing else in it, waits for more."""
        if self._seconds < SLOW or self.is_complete(commits):
            return 0.0
        return min(MOST, self._seconds / 2)
