"""What an operator wants sent now (`send`, `try`): which messages, and how long each wish lasts.

A wish is for one try, and is kept in memory only. Orders that last (the mode, openings by hand, skips) are the timetable's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateway.dispatch.decide import decide
from gateway.dispatch.facts import Go, Raise, Situation, Wish, directions, facts_of_entry
from gateway.dispatch.waking import Waking
from gateway.spool.spool import Spool


class Wishes:
    """True while there are any. `waive(relay)`: its trouble no longer keeps mail from being tried."""

    def __init__(
        self, spool: Spool, waking: Waking, situation: Callable[[], Situation], waive: Callable[[str], None]
    ) -> None:
        self._spool, self._waking = spool, waking
        self._situation, self._waive = situation, waive
        self._wishes: dict[str, Wish] = {}

    def __bool__(self) -> bool:
        return bool(self._wishes)

    def of(self, item: str) -> Wish | None:
        return self._wishes.get(item)

    def push(self, ids: Iterable[str], wish: Wish) -> list[tuple[str, Go | Raise]]:
        """Those of the messages that can leave now are sent now, also over a line that is called for them if the wish allows
        it. Returns them, with the way they go."""
        situation = self._situation()
        going: list[tuple[str, Go | Raise]] = []
        relays: set[str] = set()
        for item in ids:
            entry = self._spool.entries.get(item)
            if entry is None or entry.claimed:
                continue
            facts = facts_of_entry(entry, wish, "outside" if entry.outside else "inside")
            ways = [v for part in directions(facts, situation) if isinstance(v := decide(part, situation), Go | Raise)]
            if ways:
                self._wishes[item] = wish
                going.append((item, min(ways, key=lambda way: isinstance(way, Raise))))
                relays.update(way.relay.name for way in ways if isinstance(way, Go))
        if going:
            for name in relays:
                self._waive(name)
            self._waking.note(item for item, _ in going)
            self._waking.now()
        return going

    # -- how a wish ends ----------------------------------------------------------------------------------------

    def forget(self, item: str) -> None:
        """The message was tried or has ended: else a relay that puts it off is asked again and again."""
        self._wishes.pop(item, None)

    def session_over(self, waiting: set[str], *, is_calling: bool) -> None:
        """A wish ends with the session that tried it; what is `waiting` for another session keeps it, and while a line
        is called, what may go over it."""
        for item, wish in tuple(self._wishes.items()):
            if item not in waiting and not (wish.may_dial and is_calling):
                self._drop(item)

    def call_over(self) -> None:
        """No second call for what was asked for once."""
        for item in [item for item, wish in self._wishes.items() if wish.may_dial]:
            self._drop(item)

    def _drop(self, item: str) -> None:
        del self._wishes[item]
        self._waking.note((item,))
