"""When the next group of notes may begin: on a fast disk a little later than it could, so that messages on their way share its
flush; on a slow disk even while others are under way. Pure.

A flush of a fast disk costs the processor more than it costs time: two changes of thread each way. So where messages are being
handed in at this moment, or fewer have come than the last time, who is there waits for them, up to a few and a moment.

On a disk whose flush takes long (an SD card: 10 ms and more) a client that comes while a group is flushed would wait for the
rest of that flush and for the whole of its own. So there a few flushes are under way at once, begun at equal distances: nobody
waits longer than one distance before the own flush begins. On a fast disk that would only be more flushes.
"""

from __future__ import annotations

from collections import deque

SLOW = 0.002
"""Seconds of a flush from which on it pays to begin another meanwhile."""

MOST_UNDER_WAY = 8
"""Flushes at once. The disk may well take them one after the other; it has the next at hand then."""

GATHERED = 10
"""Messages that need not wait for more of them."""

LONGEST = 0.008
"""Seconds that a message waits for others."""

LATELY = 0.05
"""Seconds after which how many came the last time says nothing any more."""

RECENT = 8
"""Flushes of which the shortest tells how fast the disk is: on a busy machine the others tell how busy it is."""


class GroupPace:
    """Told of each group that begins and that was written (`now`: monotonic seconds); asked before each that may begin."""

    __slots__ = ("_begun", "_recent", "_seconds", "_served", "_slow")

    def __init__(self) -> None:
        self._seconds = 0.0
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._begun = float("-inf")
        self._served = 0
        self._slow = 0  # messages being handed in for which somebody has waited to the end already

    def begins(self, now: float, waiting: int = 1, since: float = float("inf"), coming: int = 0) -> None:
        """A group begins that serves so many, of whom the first waits `since` then; so many more are being handed in."""
        self._begun, self._served = now, waiting
        if now - since >= LONGEST:
            self._slow = coming

    def written(self, seconds: float) -> None:
        """A group took so long."""
        self._recent.append(seconds)
        self._seconds = min(self._recent)

    def wait(self, under_way: int, now: float, waiting: int = 1, since: float = 0.0, coming: int = 0) -> float | None:
        """Seconds until another group may begin beside so many; None: not before one of them has ended.

        `waiting`: those whom it would serve by now, the first of them `since` then; `coming`: messages being handed in.
        """
        if under_way == 0:
            self._slow = min(self._slow, coming)
            expected = self._served if now - self._begun < LATELY else 1
            are_enough = waiting >= GATHERED or (coming <= self._slow and waiting >= expected)
            if are_enough or self._seconds >= SLOW:
                return 0.0
            return max(0.0, since + LONGEST - now)
        if self._seconds < SLOW or under_way >= MOST_UNDER_WAY:
            return None
        return max(0.0, self._begun + self._seconds / MOST_UNDER_WAY - now)
