"""The decision asked about messages that wait, and what it says passed on: to a lane, to a call, or to the time to ask again.

When, and about which, is the dispatcher's; what is asked at the moment of sending is the director's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gateway.dispatch.calls import Calls
from gateway.dispatch.deadlines import Deadlines, has_passed
from gateway.dispatch.decide import decide, fits_no_opening
from gateway.dispatch.ends import untried_late_from
from gateway.dispatch.experience import Experience
from gateway.dispatch.facts import Decision, Go, MessageFacts, Raise, Situation, Wait, directions, facts_of_entry
from gateway.dispatch.openings import FORESIGHT
from gateway.dispatch.order import order_key
from gateway.dispatch.sessions import Sessions
from gateway.dispatch.waking import Waking
from gateway.dispatch.wishes import Wishes
from gateway.spool.spool import Spool

SLICE = 100
"""Messages decided over before the event loop gets its turn: a millisecond."""

REST = 0.003
"""Seconds that a turn then rests if somebody waits for a file: a thread gives the interpreter away at each system call and has
it back only when the loop rests, so that a page of a hundred records would take as long as the scan of a long queue."""


class Scan:
    """`over` starts no session and no call: it says what may go and what is to be called."""

    def __init__(
        self,
        spool: Spool,
        wishes: Wishes,
        deadlines: Deadlines,
        sessions: Sessions,
        experience: Experience,
        calls: Calls,
        waking: Waking,
        situation: Callable[[], Situation],
        on_late: Callable[[str], None] = lambda item: None,
    ) -> None:
        """`on_late(id)`: it waits, and is later than its plan; again at each asking until its record says so."""
        self._spool, self._wishes, self._deadlines = spool, wishes, deadlines
        self._sessions, self._experience, self._calls = sessions, experience, calls
        self._waking, self._situation, self._on_late = waking, situation, on_late
        self._unasked: Sequence[str] = ()

    @property
    def under_way(self) -> set[str]:
        """Messages of the present turn, of which some are not offered yet; empty between turns."""
        return set(self._unasked)

    async def over(self, ids: Sequence[str]) -> None:
        """Decide over these, all in one situation. What has ended meanwhile is forgotten; what is being sent is passed over."""
        self._unasked = ids
        try:
            await self._over(ids, self._situation())
        finally:
            self._unasked = ()

    async def _over(self, ids: Sequence[str], situation: Situation) -> None:
        for number, item in enumerate(ids, 1):
            if number % SLICE == 0:
                await asyncio.sleep(REST if self._spool.is_at_files else 0)
            entry = self._spool.entries.get(item)
            if entry is None:
                self._wishes.forget(item)
                self._experience.forget(item)
                continue
            if entry.claimed:
                continue
            if entry.deliver_by is not None and situation.clock_why is None:
                if has_passed(entry, situation.now):
                    self._deadlines.passed(item)
                    continue
                if entry.deliver_by > situation.now:  # else it is held: its release is a change of it
                    self._waking.one_at(entry.deliver_by, item)
            wish = self._wishes.of(item)
            goes = entry.outside and self._offer(facts_of_entry(entry, wish, "outside"), situation)
            if entry.inside:
                goes = self._offer(facts_of_entry(entry, wish, "inside"), situation) or goes
            if wish is not None and not goes and not (wish.may_dial and self._calls.is_calling):
                self._wishes.forget(
                    item
                )  # what it was for has passed (a line that fell): it must not leave at some later time
                self._waking.for_one(item, can_wait=False)

    def _offer(self, message: MessageFacts, situation: Situation) -> bool:
        """Does any of it leave now, or is a line called for it?"""
        verdicts = [self._offer_part(part, situation) for part in directions(message, situation)]
        return any(isinstance(verdict, Go | Raise) for verdict in verdicts)

    def _offer_part(self, message: MessageFacts, situation: Situation) -> Decision:
        verdict = decide(message, situation)
        if isinstance(verdict, Go):
            first = fits_no_opening(message, situation, verdict)
            key = order_key(message, starts_first=first, starts_last=message.id in self._experience.suspects)
            self._sessions.offer(verdict, key, message.id)
        elif isinstance(verdict, Raise):
            self._calls.want(verdict)
        else:
            self._wait(message, verdict, situation)
        return verdict

    def _wait(self, message: MessageFacts, verdict: Wait, situation: Situation) -> None:
        if verdict.wake is not None:
            if verdict.wake == message.due or message.domain is not None:
                self._waking.one_at(verdict.wake, message.id)
            else:
                self._waking.all_at(verdict.wake)
        if self._spool.entries[message.id].warned:
            return
        late = untried_late_from(message, verdict, situation)
        if late is None:
            return
        if situation.now > late:
            self._on_late(message.id)
        elif late < situation.now + FORESIGHT:
            self._waking.one_at(late + 1.0, message.id)
