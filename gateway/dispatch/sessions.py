"""The sessions: a lane for each relay over each link, one session at a time in each, and what its end shows.

The dispatcher says what may go (`offer`) and whether anything may go on; this module starts, feeds, ends and judges.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from gateway.clock import Clock
from gateway.config.settings import RelaySettings, Settings
from gateway.connectivity.monitor import Monitor
from gateway.courier.capabilities import Capabilities
from gateway.courier.contract import Feed, SessionEnd
from gateway.dispatch.conversations import Conversations
from gateway.dispatch.crowd import forget_idle, others_wait, with_turns
from gateway.dispatch.facts import Go
from gateway.dispatch.lane import MOST_AHEAD, Lane, LaneFeed, Sending, SessionRecord
from gateway.dispatch.meter import Meter, used_octets
from gateway.dispatch.order import Key
from gateway.dispatch.retry import Opportunity
from gateway.dispatch.settler import Settler
from gateway.dispatch.speed import SpeedBook
from gateway.dispatch.troubles import Troubles, told_of_domain, trouble_kind
from gateway.errors import GatewayError
from gateway.events import Alarm, HeldItem, Journal, SessionEnded
from gateway.spool.record import Record, Route
from gateway.spool.spool import Spool

T = TypeVar("T")

KEPT = 100
"""Records of past sessions."""

URGENT_WAIT = 3.0
"""Seconds of another message's content that an urgent one waits for before it gets a connection of its own."""

LARGE = 250_000
"""Octets left that count as long where no speed is known."""

OFTEN = 3
"""Breaks in the same message after which it lets others go first: the line may be too short for it (CASES C27)."""


class RunSession(Protocol):
    """Courier's entry: one session with a relay, from connect to QUIT. Never raises but CancelledError."""

    async def __call__(
        self, relay: RelaySettings, feed: Feed, *, link: str, interface: str | None, stop: asyncio.Event
    ) -> SessionEnd: ...

    def room(self, relay: RelaySettings) -> int:
        """How many more sessions at once would pay, as the one that runs has measured (0 with CHUNKING)."""
        ...


class Director(Protocol):
    """What sessions ask of the dispatcher."""

    settings: Settings

    def recheck(self, items: Sequence[str], route: Route, way: tuple[str, str]) -> dict[str, Go]:
        """At the moment of sending: those that may still go, and which way. `way`: link and relay of the lane that asks."""
        ...

    def item_changed(self, item: str) -> None: ...

    def reconsider(self) -> None: ...

    def linger(self, link: str) -> float:
        """Seconds that a session may wait for more mail."""
        ...

    def opportunity(self, go: Go) -> Opportunity: ...

    def window_name(self) -> str | None: ...

    def dials(self, link: str) -> int: ...

    def session_over(self, offered: set[str], end: SessionEnd) -> None:
        """A session has ended; `offered` are the messages that it left in its lane."""
        ...


class Sessions:
    """One session goes first in each lane; more join it only while they pay, or to let urgent mail pass a large message.

    Owns the lanes, what is being sent, the records of sessions, and what is known of relays from them."""

    def __init__(
        self,
        director: Director,
        spool: Spool,
        settler: Settler,
        monitor: Monitor,
        run_session: RunSession,
        clock: Clock,
        journal: Journal,
        grace: float,
        meter: Meter,
    ) -> None:
        self._director, self._spool, self._settler, self._monitor = director, spool, settler, monitor
        self._run_session, self._clock, self._journal, self._grace = run_session, clock, journal, grace
        self._meter = meter
        self.conversations = Conversations()
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._closing: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = False
        self.sending: dict[str, Sending] = {}
        self.records: deque[SessionRecord] = deque(maxlen=KEPT)
        self.troubles = Troubles()
        self.speeds = SpeedBook(spool.load_state(SpeedBook.STATE))
        self.speeds_unsaved = False
        self._quick_again = False
        self.offers: dict[str, Capabilities] = {}  # by relay, what its last greeting offered
        self._met_another: set[str] = set()  # relays in whose place somebody else answered, perhaps
        self.suspects: set[str] = (
            set()
        )  # refused with 5.7.x when first in a session (P9), or often broken: others go first
        self._breaks: Counter[str] = Counter()

    def take_unsaved_speeds(self) -> bytes | None:
        unsaved, self.speeds_unsaved = self.speeds_unsaved, False
        return self.speeds.encode() if unsaved else None

    # -- lanes --------------------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Forget what may go; it is about to be asked again."""
        for lane in self._lanes.values():
            lane.clear()

    def offer(self, go: Go, key: Key, item: str) -> None:
        """This message may go this way now."""
        name = (go.link, go.relay.name)
        lane = self._lanes.get(name)
        if lane is None or (lane.relay != go.relay and not lane.tasks):
            lane = self._lanes[name] = Lane(go.link, go.relay, route=go.route)
        lane.offer(key, item)

    def waiting(self) -> set[str]:
        """Messages that a session will take, or is sending."""
        return set(self.sending).union(*(lane.offered for lane in self._lanes.values()))

    def forget(self, item: str) -> None:
        """The message has ended."""
        self.suspects.discard(item)
        self._breaks.pop(item, None)

    def start(self) -> None:
        """A session for each lane that has mail and none; of those to domains, for as many as the line bears."""
        if self._stopping:
            return
        lanes = [lane for lane in self._lanes.values() if not lane.relay.direct]
        if len(lanes) < len(self._lanes):
            forget_idle(self._lanes)
            lanes += with_turns(self._lanes.values(), self.speeds.known(self._director.settings.links))
        for lane in lanes:
            if not lane.heap:
                continue
            if not lane.tasks:
                lane.stop, lane.cut = asyncio.Event(), False
                self._start(lane)
            elif lane.first_is_urgent and self._is_behind_a_large_one(lane):
                self._start(lane)

    def _start(self, lane: Lane) -> None:
        task = self._spawn(self._session(lane))
        lane.tasks.add(task)

    def _is_behind_a_large_one(self, lane: Lane) -> bool:
        """Its only session is in the middle of content that takes long at the measured speed."""
        rows = [row for row in self.sending.values() if (row.link, row.relay) == (lane.link, lane.relay.name)]
        speed = self.speeds.known(self._director.settings.links).get(lane.link)
        if len(lane.tasks) != 1 or not rows or lane.stop.is_set() or not self._may_join(lane):
            return False
        left = max(row.size - row.octets for row in rows)
        return left * 8 / speed > URGENT_WAIT if speed else left > LARGE

    def _more_if_it_pays(self, lane: Lane) -> None:
        """The first success: further sessions hide each other's round trips, where the relay makes us wait for each."""
        if lane.heap and self._may_join(lane) and not self._stopping and not lane.stop.is_set():
            if lane.relay.direct and others_wait(self._lanes.values(), lane):
                return
            for _ in range(min(self._run_session.room(lane.relay), len(lane.heap))):
                self._start(lane)

    def _may_join(self, lane: Lane) -> bool:
        return self._clock.monotonic() >= lane.alone_until

    def end_all(self, grace: float) -> None:
        """Nothing new starts; what is in flight has so many seconds, then returns to the queue."""
        self._stopping = True
        for lane in self._lanes.values():
            lane.stop.set()
            asyncio.get_running_loop().call_later(grace, lane.cut_off)

    def let_finish(self, *, inside_too: bool) -> None:
        """No new message over any line; what is in flight has its grace (DESIGN section 5 rule 5, section 6)."""
        for name, lane in self._lanes.items():
            if lane.route == "inside" and not inside_too:
                continue
            if lane.tasks and name not in self._closing:
                lane.stop.set()
                self._closing[name] = asyncio.get_running_loop().call_later(self._grace, lane.cut_off)

    @property
    def have_mail(self) -> bool:
        """Does anything wait that may leave now?"""
        return any(lane.heap for lane in self._lanes.values())

    def let_go_on(self) -> None:
        """Mail may leave again: what was told to end has no grace that is running out."""
        for timer in self._closing.values():
            timer.cancel()
        self._closing.clear()

    def is_busy(self, link: str) -> bool:
        """Does a session use this link, or does anything wait for one?"""
        return any(lane.link == link and (lane.tasks or lane.heap) for lane in self._lanes.values())

    async def leave(self, link: str, grace: float) -> None:
        """No new message over this link; returns when what is in flight has ended, at the latest after so many seconds."""
        lanes = [lane for lane in self._lanes.values() if lane.link == link]
        tasks = [task for lane in lanes for task in lane.tasks]
        for lane in lanes:
            lane.clear()
            lane.stop.set()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for lane in lanes:
                lane.cut_off()
            if late:
                await asyncio.wait(late)

    async def wait(self) -> None:
        """Until every session has ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- one session --------------------------------------------------------------------------------------------

    async def _session(self, lane: Lane) -> SessionEnd:
        record = SessionRecord(lane.link, lane.relay.name, self._clock.now(), self._director.window_name())
        record.dials = self._director.dials(lane.link)
        self.records.append(record)
        metered = self._meter.begun(lane.link, record.window)
        feed = LaneFeed(
            lane,
            self._spool,
            self._settler,
            self._clock,
            self._journal,
            lambda items: self._go_of_lane(items, lane),
            lambda: self._linger(lane),
            self._director.opportunity,
            self.sending,
            record,
            lambda: self._more_if_it_pays(lane),
            self._broken_in,
            lambda size, go: self._meter.taken(metered, size, _payer(go)),
            self.conversations,
            1 if self._meter.has_budget(lane.link) else MOST_AHEAD,
        )
        interface = next((k.interface for k in self._director.settings.links if k.name == lane.link), "default")
        try:
            end = await self._run_session(
                lane.relay,
                feed,
                link=lane.link,
                interface=None if interface == "default" else interface,
                stop=lane.stop,
            )
        except asyncio.CancelledError:
            if not lane.cut:
                raise
            # The grace is over: the courier has settled what was in flight; the session ends, the gateway goes on.
            end = SessionEnd("broken", "its time was over")
        except Exception as exc:  # a fault of ours ends this session, not the gateway
            end = SessionEnd("broken", f"a fault of the gateway: {type(exc).__name__}: {exc}", alarm=True)
        finally:
            feed.abandon()
            task = asyncio.current_task()
            lane.tasks = {other for other in lane.tasks if other is not task}
            if not lane.tasks and (timer := self._closing.pop((lane.link, lane.relay.name), None)) is not None:
                timer.cancel()
        record.money = self._meter.ended(metered, end)
        self._session_over(lane, feed, record, end)
        return end

    def _linger(self, lane: Lane) -> float:
        if lane.relay.direct and others_wait(self._lanes.values(), lane):
            return 0.0
        return self._director.linger(lane.link)

    def _broken_in(self, item: str) -> str | None:
        """The line broke in the middle of this one's content; a sentence, once that has happened often."""
        self._breaks[item] += 1
        if self._breaks[item] < OFTEN:
            return None
        self.suspects.add(item)
        return f"the line broke {self._breaks[item]} times in the middle of it: perhaps it is up too short for this message"

    def _go_of_lane(self, items: Sequence[str], lane: Lane) -> dict[str, Go]:
        way = (lane.link, lane.relay.name)
        going = self._director.recheck(items, lane.route, way)
        for item, go in tuple(going.items()):
            if (go.link, go.relay.name) != way:
                del going[item]
                self._director.item_changed(item)  # another way has become the better one
        return going

    def _session_over(self, lane: Lane, feed: LaneFeed, record: SessionRecord, end: SessionEnd) -> None:
        now = self._clock.now()
        record.ended, record.why, record.end = now, end.text, end.why
        record.octets_out, record.octets_in = used_octets(end)
        if self.speeds.add(lane.link, end.octets_out, end.seconds - feed.idle):
            self.speeds_unsaved = True
        self._journal.record(
            SessionEnded(
                lane.relay.name,
                lane.link,
                record.sent,
                0,
                record.octets_out,
                record.octets_in,
                end.seconds,
                end.text,
                record.money,
            )
        )
        left = set(lane.offered)
        if not self._stopping and not lane.cut:
            self._judge_session(lane, feed, end)
        self._director.session_over(left, end)

    def _judge_session(self, lane: Lane, feed: LaneFeed, end: SessionEnd) -> None:
        """What the session showed of the relay and of the link, which counts more than any probe (DESIGN section 6)."""
        relay, is_direct = lane.relay.name, lane.relay.direct
        if lane.loop is not None:
            end = replace(end, why="loop" if is_direct else "setup", text=lane.loop, alarm=True)
            lane.loop = lane.loop if lane.tasks else None
        if end.alarm and not is_direct:
            self._journal.record(Alarm(relay, end.text))
        if end.offers is not None and not is_direct:
            self.offers[relay] = end.offers
        if end.why == "setup":
            self.suspects |= feed.put_off
        elif end.why == "damaged":
            self._spawn(self._hold(feed.put_off, end.text))
        if lane.tasks and feed.record.sent == 0 and end.why in ("refused", "busy", "unreachable"):
            # A further connection that the relay will not have is no trouble of the relay: go on with those there are.
            lane.alone_until = self._clock.monotonic() + self._director.settings.queue.retry_interval
            return
        if end.line_works and not self._quick_again:
            self._quick_again = (
                True  # the old connection was dead and the line is not: no pause, but only once in a row
            )
            self._director.reconsider()
            return
        self._quick_again = False
        # What was told to end (the line fell, the mode changed), or found nothing to take, took nothing because of us, however
        # much waits by now.
        idle = feed.taken == 0 and bool(lane.heap) and not (lane.stop.is_set() or feed.is_done)
        kind = trouble_kind(end, interrupted=feed.interrupted, idle_while_mail_waits=idle)
        if kind is None:
            if self.troubles.succeeded(relay):
                self._director.reconsider()
            if end.reached or not is_direct:
                self._monitor.session_succeeded(lane.link, relay)
            return
        if end.why == "slow" and end.took:
            self.troubles.succeeded(relay)  # it goes on, if slowly: the pause does not grow
        trouble = self.troubles.failed(relay, kind, end.text, self._clock.now(), self._director.settings.queue)
        if is_direct:
            if end.reached:
                self._monitor.session_succeeded(lane.link, relay)
            event = told_of_domain(relay, end, trouble, has_relay=bool(self._director.settings.relays))
            if event is not None:
                self._journal.record(event)
            for item in lane.offered:
                self._director.item_changed(item)
            lane.clear()
            return
        if end.why in ("unreachable", "broken"):
            self._monitor.session_failed(lane.link, relay, end.text, trouble.until)
        elif end.why == "tls":
            self._met_another.add(relay)
            self._monitor.session_doubted(lane.link, relay)
        else:
            self._monitor.session_succeeded(lane.link, relay)
        self._director.reconsider()

    def line_is_usable_again(self) -> None:
        """Probes were satisfied with the certificate: a portal that stood between is gone, and its trouble with it."""
        for relay in self._met_another:
            self.troubles.waive(relay)
        self._met_another.clear()

    def looped(self, item: str) -> bool:
        """What we sent under this ID came straight to our own door: its relay is this gateway (CASES C26). The message is held,
        since a person has to look; the relay takes nothing more, as with every fault of our set-up (P9). False if it was not
        being sent.
        """
        row = self.sending.get(item)
        lane = self._lanes.get((row.link, row.relay)) if row is not None else None
        if lane is None:
            return False
        where = f"the relay {lane.relay.name} ({lane.relay.host}:{lane.relay.port})"
        if lane.relay.direct:
            where = f"the server for mail of {lane.relay.host}"
        lane.loop = f"mail loop: {where} is this gateway itself"
        lane.stop.set()
        self._spawn(self._hold([item], lane.loop))
        return True

    async def _hold(self, ids: Iterable[str], why: str) -> None:
        """Neither octets that must not leave (P6) nor a loop mend by waiting: a person has to look."""

        def hold(record: Record) -> None:
            record.held, record.hold_note = True, why

        try:
            for item in await self._spool.update(list(ids), hold):
                self._journal.record(HeldItem(item, why))
        except GatewayError as exc:
            self._journal.record(Alarm("spool", f"messages cannot be held ({why}): {exc}"))


def _payer(go: Go) -> str | None:
    """The window whose budget pays: Offline, the one that gave the way."""
    return go.opening.window.name if go.opening is not None else None
