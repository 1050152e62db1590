"""Which messages are to be decided over again, and when: what wakes the dispatcher, and how often.

A change of the situation asks for every message again, a change of one message only for it. Nothing polls: one timer, for the
earliest moment at which time alone changes a decision.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable

from gateway.clock import Clock

GATHER = 0.05
"""Seconds in which changes are gathered while nothing can leave: what comes in then is decided over together."""

LONGEST_TIMER = 3600.0
"""Seconds: the wall clock may be set meanwhile."""


class Waking:
    """`wait` returns when there is something to be asked; `take` says what. `is_quiet`: nothing can leave at present."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event = asyncio.Event()
        self._all = True
        self._items: set[str] = set()
        self._dues: list[tuple[float, str]] = []
        self._all_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._gathering: asyncio.TimerHandle | None = None
        self.is_quiet = False

    @property
    def items(self) -> frozenset[str]:
        """Messages that are to be asked again."""
        return frozenset(self._items)

    @property
    def has_all(self) -> bool:
        """Is every message to be asked again?"""
        return self._all

    def now(self) -> None:
        """Look at everything that is not a message: states to be kept, lines that nobody needs."""
        self._event.set()

    def for_all(self) -> None:
        """The situation changed: ask again for every message."""
        self._all = True
        self._event.set()

    def note_all(self) -> None:
        """Ask again for every message at the next turn, without a turn for their sake."""
        self._all = True

    def note(self, items: Iterable[str]) -> None:
        """Ask again about these at the next turn, without a turn for their sake."""
        self._items.update(items)

    def for_one(self, item: str, *, can_wait: bool) -> None:
        """Ask again about this one; `can_wait`: it may be gathered with others while all is quiet."""
        self._items.add(item)
        if not (self.is_quiet and can_wait):
            self._event.set()
        elif self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_later(GATHER, self._gathered)

    def one_at(self, at: float, item: str) -> None:
        """Time changes the decision about this one then."""
        heapq.heappush(self._dues, (at, item))

    def all_at(self, at: float) -> None:
        """Time changes the decision about many then."""
        if self._all_at is None or at < self._all_at:
            self._all_at = at

    async def wait(self) -> None:
        await self._event.wait()
        self._event.clear()

    def take(self) -> frozenset[str] | None:
        """The messages to be asked again, None: all of them; all that was noted of their times is forgotten then."""
        items, self._items = frozenset(self._items), set()
        if not self._all:
            return items
        self._all, self._all_at, self._dues = False, None, []
        return None

    def arm(self, also: float | None) -> None:
        """Set the timer, for the moment `also` too."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        moments = [self._all_at, self._dues[0][0] if self._dues else None, also]
        earliest = min((moment for moment in moments if moment is not None), default=None)
        if earliest is not None:
            delay = max(0.0, min(earliest - self._clock.now(), LONGEST_TIMER))
            self._timer = asyncio.get_running_loop().call_later(delay, self._rings)

    def close(self) -> None:
        for timer in (self._timer, self._gathering):
            if timer is not None:
                timer.cancel()

    def _gathered(self) -> None:
        self._gathering = None
        self._event.set()

    def _rings(self) -> None:
        self._timer = None
        now = self._clock.now()
        while self._dues and self._dues[0][0] <= now:
            self._items.add(heapq.heappop(self._dues)[1])
        if self._all_at is not None and self._all_at <= now:
            self._all_at = None
            self._all = True
        self._event.set()
