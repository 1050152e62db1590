"""When the next group of notes may begin: where one is under way already, on a slow disk before that has ended. Pure.

On a disk whose flush takes long (an SD card: 10 ms and more) a client that comes while a group is flushed would wait for the
rest of that flush and for the whole of its own. So there a few flushes are under way at once, begun at equal distances: nobody
waits longer than one distance before the own flush begins. On a fast disk that would only be more flushes.
"""

from __future__ import annotations

SLOW = 0.002
"""Seconds of a flush from which on it pays to begin another meanwhile."""

MOST_UNDER_WAY = 6
"""Flushes at once. The disk may well take them one after the other; it has the next at hand then."""


class GroupPace:
    """Told of each group that begins and that was written (`now`: monotonic seconds); asked before each that may begin."""

    __slots__ = ("_begun", "_seconds")

    def __init__(self) -> None:
        self._seconds = 0.0
        self._begun = float("-inf")

    def begins(self, now: float) -> None:
        self._begun = now

    def written(self, seconds: float) -> None:
        """A group took so long."""
        self._seconds = seconds

    def wait(self, under_way: int, now: float) -> float | None:
        """Seconds until another group may begin beside so many; None: not before one of them has ended."""
        if under_way == 0:
            return 0.0
        if self._seconds < SLOW or under_way >= MOST_UNDER_WAY:
            return None
        return max(0.0, self._begun + self._seconds / MOST_UNDER_WAY - now)
