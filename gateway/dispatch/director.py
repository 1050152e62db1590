"""What sessions ask while they run, and what the end of one changes: the other side of the protocol `Director`.

Which sessions run is `sessions`', which message goes first is the lane's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.clock import Clock
from gateway.config.settings import Settings
from gateway.connectivity.monitor import Monitor
from gateway.courier.contract import SessionEnd
from gateway.dispatch.calls import Calls
from gateway.dispatch.conditions import Conditions
from gateway.dispatch.decide import decide
from gateway.dispatch.facts import Go, Situation, directions, facts_of_entry, together
from gateway.dispatch.mode import ModeInForce
from gateway.dispatch.retry import Opportunity
from gateway.dispatch.timetable import Timetable
from gateway.dispatch.waking import Waking
from gateway.dispatch.wishes import Wishes
from gateway.spool.record import Route
from gateway.spool.spool import Spool

LINGER = 2.0
"""Seconds that an Online session over a permanent link waits for the next message before it says QUIT."""

UNREADABLE = 60.0
"""Seconds until a message that the disk did not give out is asked for again."""


class SessionDirector:
    """`settings` are those in force: a reload sets them. `item_changed(id)` asks again about a message that was given back."""

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        monitor: Monitor,
        timetable: Timetable,
        mode: ModeInForce,
        conditions: Conditions,
        calls: Calls,
        wishes: Wishes,
        waking: Waking,
        *,
        clock: Clock,
        linger: float,
        situation: Callable[[], Situation],
        waiting: Callable[[], set[str]],
        item_changed: Callable[[str], None],
    ) -> None:
        """`linger`: see LINGER. `waiting()`: messages that a session will take, or is sending."""
        self.settings = settings
        self._spool, self._monitor = spool, monitor
        self._timetable, self._mode, self._conditions = timetable, mode, conditions
        self._calls, self._wishes, self._waking = calls, wishes, waking
        self._clock, self._linger = clock, linger
        self._situation, self._waiting = situation, waiting
        self.item_changed = item_changed
        self._stopping = False

    def stop(self) -> None:
        """From here nothing more may go, and nobody waits for more."""
        self._stopping = True

    # -- while it runs ------------------------------------------------------------------------------------------

    def recheck(self, items: Sequence[str], route: Route, way: tuple[str, str]) -> dict[str, Go]:
        """At the moment of sending: which of these may still leave, and which way. `way`: link and relay of the lane that asks;
        of several domains of a message all that go this way go together."""
        going: dict[str, Go] = {}
        if self._stopping:
            return going
        situation = self._situation()
        for item in items:
            entry = self._spool.entries.get(item)
            if entry is None or entry.claimed or not (entry.outside if route == "outside" else entry.inside):
                continue
            facts = facts_of_entry(entry, self._wishes.of(item), route)
            ways = [go for part in directions(facts, situation) if isinstance(go := decide(part, situation), Go)]
            if ways:
                going[item] = together(ways, way)
        return going

    def ask_later(self, item: str) -> None:
        """The disk does not give this one out."""
        self._waking.one_at(self._clock.now() + UNREADABLE, item)
        self._waking.now()

    def linger(self, link: str) -> float:
        """Seconds that a session may wait for more mail."""
        if not self._mode.is_online or self._stopping:
            return 0.0
        kind = next((state.kind for state in self._monitor.states if state.name == link), None)
        return self._linger if kind == "permanent" else 0.0

    def opportunity(self, go: Go) -> Opportunity:
        """What a try this way counts as."""
        if self._mode.is_online:
            return Opportunity(uptime=self._mode.uptime())
        return Opportunity(opens=go.opening.opens if go.opening is not None else None)

    def window_name(self) -> str | None:
        """The opening in progress, Offline."""
        openings = self._timetable.openings(self._clock.now())
        return openings[0].window.name if openings and self._mode.now == "offline" else None

    def dials(self, link: str) -> int:
        """Calls of this link made since this was asked last."""
        return self._calls.dialler.take_dials(link)

    # -- when it ends -------------------------------------------------------------------------------------------

    def session_over(self, offered: set[str], end: SessionEnd, *, more_budget: bool) -> None:
        """A session has ended; `offered` are the messages that it left in its lane: their wishes end with it, but for
        one that ended as it should. An `only_if` must hold again for the next; with `more_budget` than in this one
        it may take what this one could not."""
        if self._wishes:
            waiting = self._waiting() | self._waking.items
            if end.why != "done":
                waiting -= offered
            self._wishes.session_over(waiting, is_calling=self._calls.is_calling)
        if self._conditions.session_ended() or more_budget:
            self._waking.for_all()
        self._waking.now()
