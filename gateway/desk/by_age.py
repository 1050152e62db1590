"""The index in the order of age, the oldest first, and its octets: what the first page of a long queue is cut from.

A look at each of 100,000 messages takes longer than a page may. So the order is made once, when somebody first asks, and
kept by what the spool tells of each message. What has ended is left out at the next look.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from operator import attrgetter

from gateway.spool.entry import Entry
from gateway.spool.spool import Spool

_CREATED = attrgetter("created")


class ByAge:
    """What `entries` gives is not the caller's to change, and may change under it at the next turn of the event loop."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._ordered: list[Entry] = []
        self._octets = 0
        self._is_stale = True
        self._unsubscribe: Callable[[], None] | None = None

    def entries(self) -> Sequence[Entry]:
        if self._unsubscribe is None:
            self._unsubscribe = self._spool.subscribe(self._changed)
            self._ordered = sorted(self._spool.entries.values(), key=_CREATED)
        elif self._is_stale:
            known = self._spool.entries
            self._ordered = [entry for entry in self._ordered if known.get(entry.id) is entry]
        if self._is_stale:
            self._octets = sum(map(attrgetter("size"), self._ordered))
            self._is_stale = False
        return self._ordered

    @property
    def octets(self) -> int:
        """Of all in `entries`."""
        self.entries()
        return self._octets

    def close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()

    def _changed(self, item: str) -> None:
        entry = self._spool.entries.get(item)
        if entry is None:
            self._is_stale = True
            return
        ordered = self._ordered
        if not ordered or entry.created > ordered[-1].created:
            ordered.append(entry)
        else:
            at = bisect_left(ordered, entry.created, key=_CREATED)
            while at < len(ordered) and ordered[at].created == entry.created:
                if ordered[at] is entry:
                    return  # known; age and size of a message never change
                at += 1
            ordered.insert(at, entry)
        self._octets += entry.size
