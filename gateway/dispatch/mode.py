"""The mode in force, since when, and what is counted while it lasts. Which one it is, `connectivity.mode` says."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.clock import Clock
from gateway.config.settings import ModeName
from gateway.connectivity.mode import judge_mode
from gateway.connectivity.state import LinkState
from gateway.dispatch.facts import Mode
from gateway.dispatch.troubles import Uptime
from gateway.events import Journal, ModeChanged


class ModeInForce:
    """`now`, and `why` in a few words; `since` (wall clock): when it came into force, or this run began.

    `opportunity_since`: the last time that Online began. What was tried before then is due at once.
    """

    def __init__(self, clock: Clock, journal: Journal) -> None:
        self._clock, self._journal = clock, journal
        self.now: Mode = "offline"
        self.why = "starting"
        self.since = self.opportunity_since = clock.now()
        self._known: Mode | None = None
        self._uptime = Uptime()

    @property
    def is_online(self) -> bool:
        return self.now == "online"

    def judge(self, chosen: ModeName, links: Sequence[LinkState]) -> bool:
        """Look at what was chosen and at the links again. True if the mode is another than before; the journal has it then."""
        self.now, self.why = judge_mode(chosen, links)
        self._uptime.count(self.is_online and any(link.up for link in links), self._clock.monotonic())
        if self._known == self.now:
            return False
        self._known, self.since = self.now, self._clock.now()
        if self.is_online:
            self.opportunity_since = self._clock.now()  # every waiting message becomes ASAP
        self._journal.record(ModeChanged(self.now, chosen, self.why))
        return True

    def uptime(self) -> float:
        """Seconds of Online time with a link up in this run."""
        return self._uptime.total(self._clock.monotonic())

    def clock_stepped(self, seconds: float) -> None:
        """The wall clock jumped by so many seconds."""
        # What was tried before a step back seems to come from the future: it belongs to the present opportunity all the same.
        self.opportunity_since = min(self.opportunity_since, self._clock.now())
        self.since += seconds
