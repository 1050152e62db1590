"""The loop around the decision: gathers the facts, starts and ends sessions, and wakes only when something can change.

What wakes it: a message that appears or changes, an edge of the schedule, a link, an order of the operator, a Next Try that
comes due, the end of a session. A change of the situation asks for every message again; a change of one message only for it.

The parts it builds answer for the rest: what an operator wants sent (`wishes`), the orders that last (`timetable`), what
sessions ask (`director`) and what they showed (`experience`), the mode in force (`mode`), lines that come back (`lines`),
messages decided over (`scan`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from gateway.clock import Clock
from gateway.config.rules import ScheduleFile
from gateway.config.settings import Settings
from gateway.connectivity import clockset, ledger
from gateway.connectivity.clockwatch import ClockStep, ClockWatch
from gateway.connectivity.monitor import Monitor
from gateway.dispatch import clockstep, sentences
from gateway.dispatch import orders as standing
from gateway.dispatch.calls import STATE as CALLED
from gateway.dispatch.calls import make_calls
from gateway.dispatch.conditions import Conditions
from gateway.dispatch.deadlines import Deadlines
from gateway.dispatch.decide import GRACE, decide
from gateway.dispatch.director import LINGER, SessionDirector
from gateway.dispatch.experience import Experience
from gateway.dispatch.facts import (
    Decision,
    MessageFacts,
    OpenWindow,
    Situation,
    Wish,
    facts_of_entry,
)
from gateway.dispatch.keeping import StateKeeper
from gateway.dispatch.lines import Lines
from gateway.dispatch.meter import Meter
from gateway.dispatch.mode import ModeInForce
from gateway.dispatch.removals import Removals
from gateway.dispatch.reports import Reporter
from gateway.dispatch.scan import Scan
from gateway.dispatch.sessions import RunSession, Sessions
from gateway.dispatch.settler import Settler
from gateway.dispatch.speed import SpeedBook
from gateway.dispatch.stamps import Stamps
from gateway.dispatch.telling import Teller
from gateway.dispatch.timetable import Timetable
from gateway.dispatch.waking import Waking
from gateway.dispatch.wishes import Wishes
from gateway.events import Journal
from gateway.mail.envelope import Class
from gateway.spool.entry import Entry
from gateway.spool.record import Route
from gateway.spool.spool import Spool

MOMENT = 0.05
"""Seconds for which what holds is not looked at again for the words behind a 250, unless it is known to have changed."""


class Dispatcher:
    """Builds the parts of dispatch and hands them to each other; gathers the situation; owns the loop."""

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
        self.timetable = Timetable(
            schedule,
            settings.mode,
            spool.load_state(standing.STATE),
            clock,
            self.reconsider,
            lambda: not self.clock_why,
        )
        self.mode = ModeInForce(clock, journal)
        self.experience = Experience(
            spool.load_state(SpeedBook.STATE),
            monitor,
            lambda: self.settings,
            clock=clock,
            journal=journal,
            reconsider=self.reconsider,
            item_changed=self.item_changed,
        )
        self.wishes = Wishes(spool, self._waking, self.situation, self.experience.troubles.waive)
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
            on_tried=self.wishes.forget,
        )
        self.removals = Removals(spool, reporter, clock, journal)
        self._deadlines = deadlines = Deadlines(spool, reporter, clock, journal)
        self.meter = Meter(
            spool.load_state(ledger.STATE),
            settings,
            schedule,
            clock=clock,
            clock_is_set=lambda: not self.clock_why,
            on_unsaved=self.wake,
        )
        self.meter.links_are(monitor.states)
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
            on_over=self.wishes.call_over,
        )
        self._conditions = Conditions(clock)
        self.director = SessionDirector(
            settings,
            spool,
            monitor,
            self.timetable,
            self.mode,
            self._conditions,
            self.calls,
            self.wishes,
            self._waking,
            clock=clock,
            linger=linger,
            situation=self.situation,
            waiting=lambda: self.sessions.waiting() | self._scan.under_way,
            item_changed=self.item_changed,
        )
        self.sessions = Sessions(
            self.director, spool, self._settler, self.experience, run_session, clock, journal, grace, self.meter
        )
        self._scan = Scan(
            spool,
            self.wishes,
            deadlines,
            self.sessions,
            self.experience,
            self.calls,
            self._waking,
            self.situation,
            self.teller.note_late,
        )
        self.lines = Lines(monitor, self.calls, self.meter, self.experience, self._waking)
        self._stopping = False
        self._lately: tuple[float, Situation] | None = None
        self._dues_after_step = clockstep.DueMover(spool, clock, journal)
        self._stamps = Stamps(settings)
        self.keeper = StateKeeper(spool, journal)
        self.keeper.add(standing.STATE, self.timetable.take_unsaved)
        self.keeper.add(SpeedBook.STATE, self.experience.take_unsaved_speeds)
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
        self.director.stop()
        self._waking.now()
        self.sessions.end_all(grace)

    def replace(self, settings: Settings, schedule: ScheduleFile) -> None:
        """A reload: the new files are in force from here. Troubles of relays that changed are forgotten."""
        changed = {relay.name for relay in self.settings.relays} - {
            relay.name for relay in settings.relays if relay in self.settings.relays
        }
        for name in changed:
            self.experience.troubles.forget(name)
        self.settings = self.director.settings = settings
        self._lately = None
        self._stamps = Stamps(settings)
        self.timetable.replace(schedule, settings.mode)
        self.calls.dialler.replace(settings.links, schedule.timezone)
        self.meter.replace(settings, schedule)

    def files_changed(self) -> list[str]:
        """Files of the configuration that differ on disk from what is in force."""
        return self._stamps.changed()

    async def settled(self) -> None:
        """Orders just given are judged and on disk."""
        self._judge_mode()
        self._lately = None
        await self._keep_states()
        self._waking.now()

    def verdict(self, entry: Entry, wish: Wish | None) -> Decision:
        """What the decision says now, with or without an operator's wish."""
        return decide(facts_of_entry(entry, wish, "outside" if entry.outside else "inside"), self.situation())

    def leaves(self, entry: Entry) -> str | None:
        """See `sentences.leaves`. Many who hand in mail at the same moment are told by one look at what holds then."""
        now = self._clock.monotonic()
        if self._lately is None or now - self._lately[0] > MOMENT:
            self._lately = now, self.situation()
        situation = self._lately[1]
        route: Route = "outside" if entry.outside else "inside"
        return sentences.leaves(decide(facts_of_entry(entry, None, route), situation), situation)

    def refuses(self, message_class: Class, size: int) -> str | None:
        """See `sentences.refuses`."""
        mode = self.timetable.orders.mode
        return sentences.refuses(message_class, size, mode, self.timetable.calendar, self.situation)

    # -- facts --------------------------------------------------------------------------------------------------

    def situation(self) -> Situation:
        """What holds for every message at this moment."""
        now = self._clock.now()
        openings = self.timetable.openings(now)
        return Situation(
            now=now,
            settings=self.settings,
            calendar=self.timetable.calendar,
            mode=self.mode.now,
            mode_set=self.timetable.orders.mode,
            mode_why=self.mode.why,
            open=tuple(OpenWindow(opening, self._conditions.met(opening)) for opening in openings),
            links=self.calls.seen(self._monitor.states),
            opportunity_since=self.mode.opportunity_since,
            troubles=self.experience.troubles.now,
            speed=self.experience.known_speeds(),
            clock_why=self.clock_why,
            calls=self.calls.states(),
            link_budgets=self.meter.link_budgets(),
            window_budgets=self.meter.window_budgets() if not self.mode.is_online else {},
            mode_passes=self.timetable.orders.mode_until is not None,
        )

    @property
    def clock_why(self) -> str | None:
        """Why the clock is *not set*; None while it is."""
        watch = self.clock_watch
        return None if watch is None or watch.is_set else watch.why

    def facts(self, entry: Entry) -> MessageFacts:
        return facts_of_entry(entry, self.wishes.of(entry.id), "outside" if entry.outside else "inside")

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
            self.wishes.forget(item)
            self.experience.forget(item)
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
        self.mode.clock_stepped(step.seconds)
        if step.seconds < -clockstep.SLIGHT:
            self._dues_after_step.stepped_back()
            self.experience.troubles.clock_stepped_back(clockstep.latest_due(now, self.settings.queue, doubt=False))
        self._monitor.clock_stepped(step.seconds)
        self.timetable.clock_stepped(step.seconds)

    def clock_changed(self) -> None:
        """The clock has become set, or not set."""
        self.timetable.clock_stepped()

    # -- the pump -----------------------------------------------------------------------------------------------

    async def _pump(self) -> None:
        self._lately = None
        await self._keep_states()
        await self._dues_after_step.move(self.settings.queue)
        self._judge_mode()
        now = self._clock.now()
        for edge in self.timetable.edges(now):
            self._journal.record(edge)
            self._waking.note_all()
        self.calls.openings_are(self.timetable.openings(now))
        self.meter.openings_are(self.timetable.openings(now), is_offline=not self.mode.is_online)
        if self._conditions.judge(self.timetable.openings(now), self._waiting, now):
            self._waking.note_all()
        items = self._waking.take()
        if items is None:
            self.sessions.clear()
        await self._scan.over(tuple(self._spool.entries) if items is None else tuple(items))
        self._end_what_may_not_go_on()
        self._waking.is_quiet = not self.mode.is_online and not self.timetable.openings(now) and not self.wishes
        self.sessions.start()
        self.calls.start()
        self.teller.look()
        may_need_the_line = self._waking.items or self._settler.unsettled or self.teller.is_about_to_tell
        if not self._waking.has_all and not may_need_the_line:
            self.calls.hang_up_idle(self.sessions.is_busy)
        moments = (self.timetable.orders.mode_until, self._conditions.again_at)
        self._waking.arm(min((moment for moment in moments if moment is not None), default=None))

    def _waiting(self) -> Iterator[MessageFacts]:
        return (self.facts(entry) for entry in self._spool.entries.values() if entry.outside and not entry.claimed)

    def _end_what_may_not_go_on(self) -> None:
        """Going Offline, stopping, the end of an opening: no new message; what is in flight has its grace."""
        situation = self.situation()
        may_go_on = situation.mode == "online" or (
            situation.mode == "offline"
            and (bool(situation.open) or bool(self.wishes) or situation.clock_why is not None)
        )
        if may_go_on:
            self.sessions.let_go_on()
        else:
            self.sessions.let_finish(inside_too=situation.mode == "stopped")

    async def _keep_states(self) -> None:
        """Orders that are over are dropped; what was ordered, measured and seen is on disk."""
        self.timetable.settle()
        await self.keeper.keep()

    def _judge_mode(self) -> None:
        if self.mode.judge(self.timetable.orders.mode, self._monitor.states):
            self._waking.note_all()
