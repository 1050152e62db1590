"""The sessions: a lane for each relay over each link, one session at a time in each, more where they pay.

The dispatcher says what may go (`offer`) and whether anything may go on; this module starts, feeds and ends. What the end of a
session shows of relay and link is `experience`'s.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from gateway.clock import Clock
from gateway.config.settings import RelaySettings, Settings
from gateway.courier.contract import Feed, SessionEnd
from gateway.dispatch.conversations import Conversations
from gateway.dispatch.crowd import forget_idle, others_wait, with_turns
from gateway.dispatch.experience import Experience
from gateway.dispatch.facts import Go
from gateway.dispatch.lane import MOST_AHEAD, Lane, LaneFeed, Sending, SessionRecord
from gateway.dispatch.meter import Meter, used_octets
from gateway.dispatch.order import Key
from gateway.dispatch.retry import Opportunity
from gateway.dispatch.settler import Settler
from gateway.dispatch.way import inside_relay
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

    def ask_later(self, item: str) -> None:
        """It could not be read from the disk."""
        ...

    def linger(self, link: str) -> float:
        """Seconds that a session may wait for more mail."""
        ...

    def opportunity(self, go: Go) -> Opportunity: ...

    def window_name(self) -> str | None: ...

    def dials(self, link: str) -> int: ...

    def session_over(self, offered: set[str], end: SessionEnd, *, more_budget: bool) -> None:
        """A session has ended; `offered` are the messages that it left in its lane. `more_budget`: the next one
        may take what this one no longer could."""
        ...


class Sessions:
    """One session goes first in each lane; more join it only while they pay, or to let urgent mail pass a large message.

    Owns the lanes, what is being sent, and the records of sessions."""

    def __init__(
        self,
        director: Director,
        spool: Spool,
        settler: Settler,
        experience: Experience,
        run_session: RunSession,
        clock: Clock,
        journal: Journal,
        grace: float,
        meter: Meter,
    ) -> None:
        self._director, self._spool, self._settler, self._experience = director, spool, settler, experience
        self._run_session, self._clock, self._journal, self._grace = run_session, clock, journal, grace
        self._meter = meter
        self.conversations = Conversations()
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._closing: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = False
        self.sending: dict[str, Sending] = {}
        self.records: deque[SessionRecord] = deque(maxlen=KEPT)

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
        elif lane.relay != go.relay:
            self._leave_behind(lane)
            return
        lane.offer(key, item)

    def _leave_behind(self, lane: Lane) -> None:
        """A reload has changed its relay: what is in flight finishes, and what waits is asked again after that."""
        lane.stop.set()
        if not any((row.link, row.relay) == (lane.link, lane.relay.name) for row in self.sending.values()):
            lane.cut_off()

    def _is_left_behind(self, lane: Lane) -> bool:
        settings = self._director.settings
        return not lane.relay.direct and lane.relay not in (*settings.relays, inside_relay(settings))

    def waiting(self) -> set[str]:
        """Messages that a session will take, or is sending."""
        return set(self.sending).union(*(lane.offered for lane in self._lanes.values()))

    def start(self) -> None:
        """A session for each lane that has mail and none; of those to domains, for as many as the line bears."""
        if self._stopping:
            return
        lanes = [lane for lane in self._lanes.values() if not lane.relay.direct]
        if len(lanes) < len(self._lanes):
            forget_idle(self._lanes)
            lanes += with_turns(self._lanes.values(), self._experience.known_speeds())
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
        speed = self._experience.speed_of(lane.link)
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
            self._experience.broken_in,
            lambda size, go: self._meter.taken(metered, size, _payer(go)),
            self.conversations,
            1 if self._meter.has_budget(lane.link) else MOST_AHEAD,
            self._director.ask_later,
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
        self._session_over(lane, feed, record, end, more_budget=self._meter.leaves_more(metered))
        return end

    def _linger(self, lane: Lane) -> float:
        if lane.relay.direct and others_wait(self._lanes.values(), lane):
            return 0.0
        return self._director.linger(lane.link)

    def _go_of_lane(self, items: Sequence[str], lane: Lane) -> dict[str, Go]:
        way = (lane.link, lane.relay.name)
        verdicts = self._director.recheck(items, lane.route, way)
        going = {item: go for item, go in verdicts.items() if (go.link, go.relay.name) == way}
        for item in items:
            if item not in going:
                self._director.item_changed(
                    item
                )  # another way has become the better one, or it waits: for what, and until when?
        return going

    def _session_over(
        self, lane: Lane, feed: LaneFeed, record: SessionRecord, end: SessionEnd, *, more_budget: bool
    ) -> None:
        now = self._clock.now()
        record.ended, record.why, record.end = now, end.text, end.why
        record.octets_out, record.octets_in = used_octets(end)
        self._experience.measured(lane.link, end.octets_out, end.seconds - feed.idle)
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
        if self._is_left_behind(lane):
            lane.clear()
            self._experience.relay_changed()
        elif not self._stopping and not lane.cut:
            shown = _with_loop(lane, end)
            if shown.why == "damaged":
                self._spawn(self._hold(feed.put_off, shown.text))
            self._experience.session_over(lane, feed, shown)
        self._director.session_over(left, end, more_budget=more_budget)

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


def _with_loop(lane: Lane, end: SessionEnd) -> SessionEnd:
    """The end, or where what it sent came straight back to us, that: its own words do not show it."""
    if lane.loop is None:
        return end
    end = replace(end, why="loop" if lane.relay.direct else "setup", text=lane.loop, alarm=True)
    lane.loop = lane.loop if lane.tasks else None
    return end
