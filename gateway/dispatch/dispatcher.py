"""The loop around the decision: gathers the facts, starts and ends sessions, and wakes only when something can change.

What wakes it: a message that appears or changes, an edge of the schedule, a link, an order of the operator, a Next Try that
comes due, the end of a session. A change of the situation asks for every message again; a change of one message only for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Sequence

from gateway.clock import Clock
from gateway.config.rules import ScheduleFile
from gateway.config.settings import ModeName, Settings
from gateway.connectivity import clockset, ledger
from gateway.connectivity.clockwatch import ClockStep, ClockWatch
from gateway.connectivity.mode import judge_mode
from gateway.connectivity.monitor import Monitor
from gateway.courier.contract import SessionEnd
from gateway.dispatch import clockstep, sentences
from gateway.dispatch import orders as standing
from gateway.dispatch.calls import STATE as CALLED
from gateway.dispatch.calls import make_calls
from gateway.dispatch.conditions import Conditions
from gateway.dispatch.deadlines import Deadlines, has_passed
from gateway.dispatch.decide import GRACE, decide, fits_no_opening
from gateway.dispatch.facts import (
    Decision,
    Go,
    MessageFacts,
    Mode,
    OpenWindow,
    Raise,
    Situation,
    Wish,
    directions,
    facts_of_entry,
    together,
)
from gateway.dispatch.keeping import StateKeeper
from gateway.dispatch.meter import Meter
from gateway.dispatch.order import order_key
from gateway.dispatch.removals import Removals
from gateway.dispatch.reports import Reporter
from gateway.dispatch.retry import Opportunity
from gateway.dispatch.sessions import RunSession, Sessions
from gateway.dispatch.settler import Settler
from gateway.dispatch.speed import SpeedBook
from gateway.dispatch.stamps import Stamps
from gateway.dispatch.telling import Teller
from gateway.dispatch.timetable import Timetable
from gateway.dispatch.troubles import Uptime
from gateway.dispatch.waking import Waking
from gateway.events import Journal, ModeChanged, WindowEdge
from gateway.mail.envelope import Class
from gateway.schedule.calendar import Opening
from gateway.spool.entry import Entry
from gateway.spool.record import Route
from gateway.spool.spool import Spool

LINGER = 2.0
"""Seconds that an Online session over a permanent link waits for the next message before it says QUIT."""

SCAN_SLICE = 100
"""Messages decided over before the event loop gets its turn: a millisecond."""


class Dispatcher:
    """Owns the mode, the calendar in force, the lanes and what is known of the relays' troubles."""

    def __init__(
        self,
        settings: Settings,
        schedule: ScheduleFile,
        spool: Spool,
        monitor: Monitor,
        run_session: RunSession,
        *,
        clock: Clock,
        journal: Journal,
        linger: float = LINGER,
        grace: float = GRACE,
        clock_watch: ClockWatch | None = None,
    ) -> None:
        """Without a `clock_watch` the clock is taken to be right, and nobody tells of its steps."""
        self.settings, self.clock_watch = settings, clock_watch
        self._waking = Waking(clock)
        self._spool, self._monitor = spool, monitor
        self._clock, self._journal = clock, journal
        self._linger_seconds = linger
        self.timetable = Timetable(
            schedule,
            settings.mode,
            spool.load_state(standing.STATE),
            clock,
            self.reconsider,
            lambda: not self.clock_why,
        )
        reporter = Reporter(spool, lambda: self.settings, clock, journal)
        self.teller = Teller(
            spool,
            reporter,
            lambda: self.settings,
            clock,
            journal,
            lambda record: sentences.late(record, self.situation()),
            lambda: not self._settler.unsettled and not self.sessions.have_mail,
            self.wake,
        )
        self._settler = Settler(
            spool,
            lambda: self.settings,
            clock,
            journal,
            self.item_changed,
            lambda record: sentences.late(record, self.situation()),
            self.teller.note_late,
            lambda: not self.clock_why,
            on_tried=self._wish_is_done,
        )
        self.removals = Removals(spool, reporter, clock, journal)
        self._deadlines = Deadlines(spool, reporter, clock, journal)
        self.meter = Meter(
            spool.load_state(ledger.STATE),
            settings,
            schedule,
            clock=clock,
            clock_is_set=lambda: not self.clock_why,
            on_unsaved=self.wake,
        )
        self.meter.links_are(monitor.states)
        self.sessions = Sessions(self, spool, self._settler, monitor, run_session, clock, journal, grace, self.meter)
        self._links_up = {state.name for state in monitor.states if state.up}
        self._links_usable = self._usable_links()
        self._wishes: dict[str, Wish] = {}
        self.calls = make_calls(
            settings.links,
            schedule.timezone,
            spool,
            monitor,
            self.meter,
            clock=clock,
            journal=journal,
            clock_is_set=lambda: not self.clock_why,
            on_change=self.reconsider,
            on_over=self._drop_calling_wishes,
        )
        self._conditions = Conditions()
        self._mode: tuple[Mode, str] = ("offline", "starting")
        self._mode_known: tuple[Mode, str] | None = None
        self.mode_since = clock.now()  # wall clock: when the mode in force came into force, or this run began
        self._opportunity_since = clock.now()
        self._uptime = Uptime()
        self._stopping = False
        self._dues_after_step = clockstep.DueMover(spool, clock, journal)
        self._stamps = Stamps(settings)
        self.keeper = StateKeeper(spool, journal)
        self.keeper.add(standing.STATE, self.timetable.take_unsaved)
        self.keeper.add(SpeedBook.STATE, self.sessions.take_unsaved_speeds)
        self.keeper.add(CALLED, self.calls.take_unsaved)
        self.keeper.add(ledger.STATE, self.meter.take_unsaved)
        if clock_watch is not None:
            self.keeper.add(clockset.STATE, clock_watch.take_unsaved)

    # -- life --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until `stop`; then what is in flight has `grace` seconds (see `stop`)."""
        unsubscribe = self._spool.subscribe(self.item_changed)
        self.timetable.start()
        self.calls.recover()
        settling = asyncio.create_task(self._settler.run())
        removing = asyncio.create_task(self.removals.run())
        ending = asyncio.create_task(self._deadlines.run())
        self.teller.note_all()
        telling = asyncio.create_task(self.teller.run())
        try:
            while not self._stopping:
                await self._pump()
                await self._waking.wait()
            await self.sessions.wait()
        finally:
            unsubscribe()
            self.timetable.stop()
            self._waking.close()
            try:
                for task in (settling, removing, ending):
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task
                await self._settler.drain()
                await self.teller.close(telling)
            finally:  # whatever went wrong: no line stays up for it
                await self.calls.close()
                self.meter.save_all()
                await self.keeper.keep()

    def stop(self, grace: float) -> None:
        """Nothing new starts; what is in flight has so many seconds, then returns to the queue. `run` then returns."""
        self._stopping = True
        self._waking.now()
        self.sessions.end_all(grace)

    def replace(self, settings: Settings, schedule: ScheduleFile) -> None:
        """A reload: the new files are in force from here. Troubles of relays that changed are forgotten."""
        changed = {relay.name for relay in self.settings.relays} - {
            relay.name for relay in settings.relays if relay in self.settings.relays
        }
        for name in changed:
            self.sessions.troubles.forget(name)
        self.settings = settings
        self._stamps = Stamps(settings)
        self.timetable.replace(schedule, settings.mode)
        self.calls.dialler.replace(settings.links, schedule.timezone)
        self.meter.replace(settings, schedule)

    def files_changed(self) -> list[str]:
        """Files of the configuration that differ on disk from what is in force."""
        return self._stamps.changed()

    def set_mode(self, mode: ModeName, lasting: float | None = None) -> None:
        self.timetable.set_mode(mode, lasting)

    async def settled(self) -> None:
        """Orders just given are judged and on disk."""
        self._judge_mode()
        await self._keep_states()
        self._waking.now()

    def verdict(self, entry: Entry, wish: Wish | None) -> Decision:
        """What the decision says now, with or without an operator's wish."""
        return decide(facts_of_entry(entry, wish, "outside" if entry.outside else "inside"), self.situation())

    def leaves(self, entry: Entry) -> str | None:
        """See `sentences.leaves`."""
        return sentences.leaves(self.verdict(entry, None), self.situation())

    def refuses(self, message_class: Class, size: int) -> str | None:
        """See `sentences.refuses`."""
        mode = self.timetable.orders.mode
        return sentences.refuses(message_class, size, mode, self.timetable.calendar, self.situation)

    # -- orders of the operator ---------------------------------------------------------------------------------

    def skip_next(self) -> Opening | None:
        """`schedule skip`; see Timetable."""
        opening = self.timetable.skip_next()
        if opening is not None:
            self._journal.record(WindowEdge(opening.window.name, "skipped", opening.closes, "skipped by an operator"))
        return opening

    def push(self, ids: Iterable[str], wish: Wish) -> list[tuple[str, Go | Raise]]:
        """`send` and `try`: those of the messages that can leave now are sent now, also over a line that is called for them if
        the wish allows it. Returns them, with the way they go."""
        situation = self.situation()
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
                self.sessions.troubles.waive(name)
            self._waking.note(item for item, _ in going)
            self._waking.now()
        return going

    # -- facts --------------------------------------------------------------------------------------------------

    def situation(self) -> Situation:
        """What holds for every message at this moment."""
        now = self._clock.now()
        openings = self.timetable.openings(now)
        return Situation(
            now=now,
            settings=self.settings,
            calendar=self.timetable.calendar,
            mode=self._mode[0],
            mode_set=self.timetable.orders.mode,
            mode_why=self._mode[1],
            open=tuple(OpenWindow(opening, self._conditions.met(opening)) for opening in openings),
            links=self.calls.seen(self._monitor.states),
            opportunity_since=self._opportunity_since,
            troubles=self.sessions.troubles.now,
            speed=self.sessions.speeds.known(self.settings.links),
            clock_why=self.clock_why,
            calls=self.calls.states(),
            link_budgets=self.meter.link_budgets(),
            window_budgets=self.meter.window_budgets() if self._mode[0] != "online" else {},
        )

    @property
    def clock_why(self) -> str | None:
        """Why the clock is *not set*; None while it is."""
        watch = self.clock_watch
        return None if watch is None or watch.is_set else watch.why

    def facts(self, entry: Entry) -> MessageFacts:
        return facts_of_entry(entry, self._wishes.get(entry.id), "outside" if entry.outside else "inside")

    # -- what wakes us ------------------------------------------------------------------------------------------

    def reconsider(self) -> None:
        """The situation changed: ask again for every message."""
        self._waking.for_all()

    def wake(self) -> None:
        """There is something to be kept on disk."""
        self._waking.now()

    def item_changed(self, item: str) -> None:
        """Ask again about this one. What has ended, or is being sent, needs no answer: most changes are of that kind."""
        entry = self._spool.entries.get(item)
        if entry is None:
            self._wishes.pop(item, None)
            self.sessions.forget(item)
            if not self._settler.unsettled:
                self._waking.now()  # the last of a session: a line that was called for it may be put down
        else:
            if entry.untold:
                self.teller.note(item)
            if not entry.claimed:
                self._waking.for_one(item, can_wait=not entry.inside)

    def clock_stepped(self, step: ClockStep) -> None:
        """The wall clock was set, or the machine slept. Nothing waits longer for it than an hour (P7)."""
        now = self._clock.now()
        # What was tried before a step back seems to come from the future: it belongs to the present opportunity all the same.
        self._opportunity_since = min(self._opportunity_since, now)
        self.mode_since += step.seconds
        if step.seconds < -clockstep.SLIGHT:
            self._dues_after_step.stepped_back()
            self.sessions.troubles.clock_stepped_back(clockstep.latest_due(now, self.settings.queue, doubt=False))
        self._monitor.clock_stepped(step.seconds)
        self.timetable.clock_stepped(step.seconds)

    def clock_changed(self) -> None:
        """The clock has become set, or not set."""
        self.timetable.clock_stepped()

    # -- the pump -----------------------------------------------------------------------------------------------

    async def _pump(self) -> None:
        await self._keep_states()
        await self._dues_after_step.move(self.settings.queue)
        self._judge_mode()
        now = self._clock.now()
        for edge in self.timetable.edges(now):
            self._journal.record(edge)
            self._waking.note_all()
        self.calls.openings_are(self.timetable.openings(now))
        self.meter.openings_are(self.timetable.openings(now), is_offline=self._mode[0] != "online")
        if self._conditions.judge(self.timetable.openings(now), self._waiting, now):
            self._waking.note_all()
        items = self._waking.take()
        if items is None:
            self.sessions.clear()
        await self._decide_over(tuple(self._spool.entries) if items is None else tuple(items))
        self._end_what_may_not_go_on()
        self._waking.is_quiet = self._mode[0] != "online" and not self.timetable.openings(now) and not self._wishes
        self.sessions.start()
        self.calls.start()
        self.teller.look()
        may_need_the_line = self._waking.items or self._settler.unsettled or self.teller.is_about_to_tell
        if not self._waking.has_all and not may_need_the_line:
            self.calls.hang_up_idle(self.sessions.is_busy)
        self._waking.arm(self.timetable.orders.mode_until)

    async def _decide_over(self, ids: tuple[str, ...]) -> None:
        situation = self.situation()
        for number, item in enumerate(ids, 1):
            if number % SCAN_SLICE == 0:
                await asyncio.sleep(0)
            entry = self._spool.entries.get(item)
            if entry is None:
                self._wishes.pop(item, None)
                self.sessions.forget(item)
                continue
            if entry.claimed:
                continue
            if entry.deliver_by is not None and situation.clock_why is None:
                if has_passed(entry, situation.now):
                    self._deadlines.passed(item)
                    continue
                self._waking.one_at(entry.deliver_by, item)
            wish = self._wishes.get(item)
            if entry.outside:
                self._offer(facts_of_entry(entry, wish, "outside"), situation)
            if entry.inside:
                self._offer(facts_of_entry(entry, wish, "inside"), situation)

    def _offer(self, message: MessageFacts, situation: Situation) -> None:
        for part in directions(message, situation):
            self._offer_part(part, situation)

    def _offer_part(self, message: MessageFacts, situation: Situation) -> None:
        verdict = decide(message, situation)
        if isinstance(verdict, Go):
            first = fits_no_opening(message, situation, verdict)
            key = order_key(message, starts_first=first, starts_last=message.id in self.sessions.suspects)
            self.sessions.offer(verdict, key, message.id)
        elif isinstance(verdict, Raise):
            self.calls.want(verdict)
        elif verdict.wake is not None:
            if verdict.wake == message.due or message.domain is not None:
                self._waking.one_at(verdict.wake, message.id)
            else:
                self._waking.all_at(verdict.wake)

    def _waiting(self) -> Iterator[MessageFacts]:
        return (self.facts(entry) for entry in self._spool.entries.values() if entry.outside and not entry.claimed)

    def recheck(self, items: Sequence[str], route: Route, way: tuple[str, str]) -> dict[str, Go]:
        """At the moment of sending: which of these may still leave, and which way. `way`: link and relay of the lane that asks;
        of several domains of a message all that go this way go together."""
        going: dict[str, Go] = {}
        if self._stopping:
            return going
        situation = self.situation()
        for item in items:
            entry = self._spool.entries.get(item)
            if entry is None or entry.claimed or not (entry.outside if route == "outside" else entry.inside):
                continue
            facts = facts_of_entry(entry, self._wishes.get(item), route)
            ways = [go for part in directions(facts, situation) if isinstance(go := decide(part, situation), Go)]
            if ways:
                going[item] = together(ways, way)
        return going

    def _wish_is_done(self, item: str) -> None:
        """An operator's wish is for one try: else a relay that puts the message off is asked again and again."""
        self._wishes.pop(item, None)

    # -- what sessions ask ---------------------------------------------------------------------------------------

    def session_over(self, offered: set[str], end: SessionEnd) -> None:
        """An operator's wish ends with the session that tried it; what waits for another session keeps it."""
        waiting = (self.sessions.waiting() | self._waking.items) if self._wishes else set()
        if end.why != "done":
            waiting -= offered
        for item, wish in tuple(self._wishes.items()):
            if item not in waiting and not (wish.may_dial and self.calls.is_calling):
                del self._wishes[item]
                self._waking.note((item,))
        if self._conditions.session_ended():
            self.reconsider()
        self._waking.now()

    def dials(self, link: str) -> int:
        """Calls of this link made since this was asked last."""
        return self.calls.dialler.take_dials(link)

    def window_name(self) -> str | None:
        """The opening in progress, Offline."""
        openings = self.timetable.openings(self._clock.now())
        return openings[0].window.name if openings and self._mode[0] == "offline" else None

    def links_changed(self) -> None:
        """The monitor's word. A link that came back is tried at once by what broke (DESIGN section 8)."""
        self.calls.dialler.link_changed()
        self.meter.links_are(self._monitor.states)
        up = {state.name for state in self._monitor.states if state.up}
        if up - self._links_up:
            if any(state.kind == "dialled" for state in self._monitor.states if state.name in up - self._links_up):
                self.sessions.troubles.another_line()
            self.line_is_back()
        self._links_up = up
        usable = self._usable_links()
        if usable - self._links_usable:
            self.sessions.line_is_usable_again()
        self._links_usable = usable
        self.reconsider()

    def _usable_links(self) -> set[str]:
        return {state.name for state in self._monitor.states if state.kind == "permanent" and state.usable}

    def line_is_back(self) -> None:
        """Said by the kernel, or by a hook where the kernel saw nothing: what broke is tried at once."""
        self.sessions.troubles.line_is_back()
        self.reconsider()

    def _drop_calling_wishes(self) -> None:
        """No second call for what was asked for once."""
        for item in [item for item, wish in self._wishes.items() if wish.may_dial]:
            del self._wishes[item]
            self._waking.note((item,))

    def linger(self, link: str) -> float:
        if self._mode[0] != "online" or self._stopping:
            return 0.0
        kind = next((state.kind for state in self._monitor.states if state.name == link), None)
        return self._linger_seconds if kind == "permanent" else 0.0

    def opportunity(self, go: Go) -> Opportunity:
        if self._mode[0] == "online":
            return Opportunity(uptime=self._uptime.total(self._clock.monotonic()))
        return Opportunity(opens=go.opening.opens if go.opening is not None else None)

    def _end_what_may_not_go_on(self) -> None:
        """Going Offline, stopping, the end of an opening: no new message; what is in flight has its grace."""
        situation = self.situation()
        may_go_on = situation.mode == "online" or (
            situation.mode == "offline"
            and (bool(situation.open) or bool(self._wishes) or situation.clock_why is not None)
        )
        if may_go_on:
            self.sessions.let_go_on()
        else:
            self.sessions.let_finish(inside_too=situation.mode == "stopped")

    # -- mode and orders ----------------------------------------------------------------------------------------

    async def _keep_states(self) -> None:
        """Orders that are over are dropped; what was ordered, measured and seen is on disk."""
        self.timetable.settle()
        await self.keeper.keep()

    def _judge_mode(self) -> None:
        self._mode = mode, why = judge_mode(self.timetable.orders.mode, self._monitor.states)
        counting = mode == "online" and any(link.up for link in self._monitor.states)
        self._uptime.count(counting, self._clock.monotonic())
        if self._mode_known is None or self._mode_known[0] != mode:
            self.mode_since = self._clock.now()
            if mode == "online":
                self._opportunity_since = self._clock.now()  # every waiting message becomes ASAP
            self._journal.record(ModeChanged(mode, self.timetable.orders.mode, why))
            self._waking.note_all()
        self._mode_known = self._mode

    @property
    def mode(self) -> tuple[Mode, str]:
        """The mode in force, and why."""
        return self._mode
