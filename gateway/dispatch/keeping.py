"""What is ordered, measured and counted, on disk: the small states of other parts, each under its name in the spool's state."""

from __future__ import annotations

from collections.abc import Callable

from gateway.errors import SpoolError
from gateway.events import Alarm, Journal
from gateway.spool.spool import Spool


class StateKeeper:
    """`keep` writes what is new, durably. A disk that will not is told once, and asked again at the next `keep`."""

    __slots__ = ("_journal", "_pending", "_refused", "_sources", "_spool")

    def __init__(self, spool: Spool, journal: Journal) -> None:
        self._spool, self._journal = spool, journal
        self._sources: dict[str, Callable[[], bytes | None]] = {}
        self._pending: dict[str, bytes] = {}
        self._refused = False

    def add(self, name: str, take_unsaved: Callable[[], bytes | None]) -> None:
        """`take_unsaved()` gives what is to be written under that name, once; None if nothing is new."""
        self._sources[name] = take_unsaved

    async def keep(self) -> None:
        for name, take_unsaved in self._sources.items():
            octets = take_unsaved()
            if octets is not None:
                self._pending[name] = octets
        try:
            for name, octets in tuple(self._pending.items()):
                await self._spool.save_state(name, octets)
                if self._pending.get(name) is octets:
                    del self._pending[name]
        except SpoolError as exc:
            if not self._refused:
                self._journal.record(Alarm("spool", f"orders are in force and not on disk yet: {exc}"))
            self._refused = True
            return
        self._refused = False
