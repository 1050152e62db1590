"""What sessions have shown of relays, links and messages: a real use counts more than any probe (DESIGN section 6).

Which sessions run and what they take is `sessions`'; how long each kind of trouble keeps a relay waiting, `troubles`' and
`retry`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from gateway.clock import Clock
from gateway.config.settings import Settings
from gateway.connectivity.monitor import Monitor
from gateway.courier.capabilities import Capabilities
from gateway.courier.contract import SessionEnd
from gateway.dispatch.facts import RelayTrouble
from gateway.dispatch.lane import Lane, LaneFeed
from gateway.dispatch.speed import SpeedBook
from gateway.dispatch.troubles import Troubles, told_of_domain, trouble_kind
from gateway.events import Alarm, Journal

OFTEN = 3
"""Breaks in the same message after which it lets others go first: the line may be too short for it (CASES C27)."""


class Experience:
    """`troubles`: of relays that failed as a whole. `offers`: by relay, what its last greeting offered. `suspects`: messages
    that were refused with 5.7.x when first in a session (P9), or in which the line broke often: others go first. Only the
    speeds of links are kept over a restart."""

    def __init__(
        self,
        saved_speeds: bytes | None,
        monitor: Monitor,
        settings: Callable[[], Settings],
        *,
        clock: Clock,
        journal: Journal,
        reconsider: Callable[[], None],
        item_changed: Callable[[str], None],
    ) -> None:
        """`settings()`: those in force. `reconsider()`: ask again for every message; `item_changed(id)`: for this one."""
        self._monitor, self._settings, self._clock, self._journal = monitor, settings, clock, journal
        self._reconsider, self._item_changed = reconsider, item_changed
        self.troubles = Troubles()
        self._speeds = SpeedBook(saved_speeds)
        self.offers: dict[str, Capabilities] = {}
        self.suspects: set[str] = set()
        self._speeds_unsaved = False
        self._breaks: Counter[str] = Counter()
        self._quick_again = False
        self._met_another: set[str] = set()  # relays in whose place somebody else answered, perhaps

    # -- messages -----------------------------------------------------------------------------------------------

    def broken_in(self, item: str) -> str | None:
        """The line broke in the middle of this one's content; a sentence, once that has happened often."""
        self._breaks[item] += 1
        if self._breaks[item] < OFTEN:
            return None
        self.suspects.add(item)
        return f"the line broke {self._breaks[item]} times in the middle of it: perhaps it is up too short for this message"

    def forget(self, item: str) -> None:
        """The message has ended."""
        self.suspects.discard(item)
        self._breaks.pop(item, None)

    # -- links --------------------------------------------------------------------------------------------------

    def speed_of(self, link: str) -> float | None:
        """Bit/s, None where nobody knows."""
        return self.known_speeds().get(link)

    def known_speeds(self) -> dict[str, float]:
        """Bit/s by the name of the link; links of which nothing is known are left out."""
        return self._speeds.known(self._settings().links)

    def measured(self, link: str, octets: int, seconds: float) -> None:
        """A session sent so many octets in the seconds in which it was not idle."""
        if self._speeds.add(link, octets, seconds):
            self._speeds_unsaved = True

    def take_unsaved_speeds(self) -> bytes | None:
        unsaved, self._speeds_unsaved = self._speeds_unsaved, False
        return self._speeds.encode() if unsaved else None

    def line_is_usable_again(self) -> None:
        """Probes were satisfied with the certificate: a portal that stood between is gone, and its trouble with it."""
        for relay in self._met_another:
            self.troubles.waive(relay)
        self._met_another.clear()

    def relay_changed(self) -> None:
        """A session has ended with what a relay was before a reload: nothing is learnt from it, and its mail is asked again."""
        self._reconsider()

    # -- relays -------------------------------------------------------------------------------------------------

    def session_over(self, lane: Lane, feed: LaneFeed, end: SessionEnd) -> None:
        """What this end shows of the lane's relay and link. Only of a session that ended by itself: not one cut off or stopped
        with the gateway."""
        relay, is_direct = lane.relay.name, lane.relay.direct
        if end.alarm and not is_direct:
            self._journal.record(Alarm(relay, end.text))
        if end.offers is not None and not is_direct:
            self.offers[relay] = end.offers
        if end.why == "setup":
            self.suspects |= feed.put_off
        if lane.tasks and feed.record.sent == 0 and end.why in ("refused", "busy", "unreachable"):
            # A further connection that the relay will not have is no trouble of the relay: go on with those there are.
            lane.alone_until = self._clock.monotonic() + self._settings().queue.retry_interval
            return
        if end.line_works and not self._quick_again:
            # The old connection was dead and the line is not: no pause, but only once in a row.
            self._quick_again = True
            self._reconsider()
            return
        self._quick_again = False
        # What was told to end (the line fell, the mode changed), or found nothing to take, took nothing because of us, however
        # much waits by now.
        idle = feed.taken == 0 and bool(lane.heap) and not (lane.stop.is_set() or feed.is_done)
        kind = trouble_kind(end, interrupted=feed.interrupted, idle_while_mail_waits=idle)
        if kind is None:
            if self.troubles.succeeded(relay):
                self._reconsider()
            if end.reached or not is_direct:
                self._monitor.session_succeeded(lane.link, relay)
            return
        if end.why == "slow" and end.took:
            self.troubles.succeeded(relay)  # it goes on, if slowly: the pause does not grow
        trouble = self.troubles.failed(relay, kind, end.text, self._clock.now(), self._settings().queue)
        if is_direct:
            self._domain_failed(lane, end, trouble)
        else:
            self._relay_failed(lane, end, trouble)

    def _domain_failed(self, lane: Lane, end: SessionEnd, trouble: RelayTrouble) -> None:
        """Its mail may go another way, and a stranger's trouble says nothing against the link."""
        if end.reached:
            self._monitor.session_succeeded(lane.link, lane.relay.name)
        event = told_of_domain(lane.relay.name, end, trouble, has_relay=bool(self._settings().relays))
        if event is not None:
            self._journal.record(event)
        for item in lane.offered:
            self._item_changed(item)
        lane.clear()

    def _relay_failed(self, lane: Lane, end: SessionEnd, trouble: RelayTrouble) -> None:
        relay = lane.relay.name
        if end.why in ("unreachable", "broken"):
            self._monitor.session_failed(lane.link, relay, end.text, trouble.until)
        elif end.why == "tls":
            self._met_another.add(relay)
            self._monitor.session_doubted(lane.link, relay)
        else:
            self._monitor.session_succeeded(lane.link, relay)
        self._reconsider()
