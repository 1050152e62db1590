"""The queue counted for the console: by state, by Next Try, what needs a person, what the next opening takes.

Every message is asked by the decision that sends. A short queue is counted at each look; a long one in slices, so that mail
is not kept waiting, and what was counted is shown until the next count is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Literal

from gateway.clock import Clock
from gateway.control.console_rows import GroupRow, QueueCount
from gateway.desk.by_age import ByAge
from gateway.desk.status import forecast_row
from gateway.desk.view import iso, next_try_of, next_try_row
from gateway.dispatch.decide import decide
from gateway.dispatch.dispatcher import Dispatcher
from gateway.dispatch.facts import Decision, MessageFacts, NextTry, Situation
from gateway.dispatch.forecast import Forecast, Foresight
from gateway.spool.entry import Entry
from gateway.spool.spool import Spool

SHORT = 2000
"""Messages up to which a queue is counted at once."""

SLICE = 100
"""Messages judged before the event loop gets its turn."""

PAUSE = 0.003
"""Seconds that a long count then rests, so that whoever asks something meanwhile is not kept waiting by it."""

BEFORE = 2.0
"""Seconds before a long count begins: the page that wanted it comes first, and after a start the scan of what may leave."""

SHARE = 20
"""A count that took so long is shown for so many times as long before the next, and at least KEEP seconds."""

KEEP = 5.0
ROUGH_KEEP = 1.0
"""Seconds for which is shown what stands in for a count while the first one is made."""

MOST_GROUPS = 100
MANY_TRIES = 3

TryKind = Literal["asap", "time", "window", "released", "never"]


class Census:
    """`count` gives the newest that is known; `is_complete` is False until a long queue was counted for the first time."""

    def __init__(self, dispatcher: Dispatcher, spool: Spool, by_age: ByAge, clock: Clock) -> None:
        self._dispatcher, self._spool, self._by_age, self._clock = dispatcher, spool, by_age, clock
        self._known: QueueCount | None = None
        self.planned: Mapping[str, int] | None = None  # by the last whole count; see Forecast
        self._known_at = 0.0
        self._roughly: tuple[float, QueueCount] | None = None
        self._took = 0.0
        self._counted_under: tuple[object, ...] = ()
        self._counting: asyncio.Task[None] | None = None

    async def count(self) -> QueueCount:
        if len(self._spool.entries) <= SHORT:
            await self._count()
            assert self._known is not None
            return self._known
        age = self._clock.monotonic() - self._known_at
        is_old = self._known is None or age > max(KEEP, SHARE * self._took) or self._counted_under != self._now_under()
        if self._counting is None and is_old:
            self._counting = asyncio.create_task(self._count(BEFORE, PAUSE), name="census")
            self._counting.add_done_callback(self._counted)
        if self._known is not None:
            return self._known
        if self._roughly is None or self._clock.monotonic() > self._roughly[0] + ROUGH_KEEP:
            self._roughly = self._clock.monotonic(), self._rough()
        return self._roughly[1]

    def _now_under(self) -> tuple[object, ...]:
        """What makes nearly every verdict another one when it changes."""
        return self._dispatcher.mode.now, self._dispatcher.director.window_name(), self._dispatcher.clock_why

    def _counted(self, task: asyncio.Task[None]) -> None:
        self._counting = None
        if not task.cancelled():
            task.exception()  # a count that failed is made again at the next look

    async def close(self) -> None:
        if self._counting is not None:
            self._counting.cancel()
            await asyncio.gather(self._counting, return_exceptions=True)

    def _rough(self) -> QueueCount:
        """What can be said without asking the decision, in few looks at each message: somebody waits for the first page."""
        tally = _Tally(self._dispatcher.situation())
        entries = self._by_age.entries()
        tally.messages, tally.octets = len(entries), self._by_age.octets
        tally.oldest = entries[0].created if entries else None
        told = [entry for entry in entries if entry.claimed or entry.held or entry.tries]
        tally.states["waiting"] = len(entries) - len(told)
        for entry in told:
            tally.states[_state(entry)] += 1
        return tally.report(is_complete=False)

    async def _count(self, before: float = 0.0, pause: float = 0.0) -> None:
        await asyncio.sleep(before)
        since = self._clock.monotonic()
        situation = self._dispatcher.situation()
        self._counted_under = self._now_under()
        tally = _Tally(situation)
        foresight = Foresight(situation)
        entries = tuple(self._spool.entries.values())
        for number, entry in enumerate(entries, 1):
            if number % SLICE == 0:
                await asyncio.sleep(pause)
            if entry.id not in self._spool.entries:
                continue
            facts = self._dispatcher.facts(entry)
            tally.weigh(entry)
            tally.judge(entry, facts, decide(facts, situation))
            foresight.add(facts)
        forecast = foresight.result()
        self.planned = None if forecast is None else forecast.planned
        self._known = tally.report(is_complete=True, forecast=forecast)
        self._known_at = self._clock.monotonic()
        self._took = self._known_at - since


class _Tally:
    def __init__(self, situation: Situation) -> None:
        self._s = situation
        self._zone = situation.calendar.file.timezone
        self.messages = self.octets = self.look = 0
        self.oldest: float | None = None
        self.states = {"waiting": 0, "deferred": 0, "held": 0, "sending": 0}
        self.groups: dict[tuple[TryKind, str | None, float | None], list[int]] = {}

    def weigh(self, entry: Entry) -> None:
        self.messages += 1
        self.octets += entry.size
        if self.oldest is None or entry.created < self.oldest:
            self.oldest = entry.created
        self.states[_state(entry)] += 1

    def judge(self, entry: Entry, facts: MessageFacts, verdict: Decision) -> None:
        next_try = next_try_of(verdict, entry.claimed)
        if not (entry.claimed or entry.held or entry.tries) and next_try.kind == "time":
            self.states["waiting"] -= 1
            self.states["deferred"] += 1
        self.look += needs_a_look(facts, next_try, self._s)
        key = (next_try.kind, next_try.window, next_try.at if next_try.kind == "window" else None)
        if key not in self.groups and len(self.groups) >= MOST_GROUPS:
            key = (next_try.kind, next_try.window, None)
        counts = self.groups.setdefault(key, [0, 0])
        counts[0] += 1
        counts[1] += entry.size

    def report(self, *, is_complete: bool, forecast: Forecast | None = None) -> QueueCount:
        return QueueCount(
            messages=self.messages,
            octets=self.octets,
            oldest=None if self.oldest is None else iso(self.oldest, self._zone),
            by_state=self.states,
            groups=list(self._groups()),
            look=self.look,
            forecast=forecast_row(forecast, self._zone),
            counted_at=iso(self._s.now, self._zone),
            is_complete=is_complete,
        )

    def _groups(self) -> Iterable[GroupRow]:
        for (kind, window, at), (messages, octets) in sorted(
            self.groups.items(), key=lambda item: (item[0][2] is None, item[0][2] or 0.0, item[0][0])
        ):
            yield GroupRow(
                next_try=next_try_row(NextTry(kind, at, window), self._zone), messages=messages, octets=octets
            )


def _state(entry: Entry) -> str:
    """As far as the entry alone tells."""
    return "sending" if entry.claimed else "held" if entry.held else "deferred" if entry.tries else "waiting"


def needs_a_look(facts: MessageFacts, next_try: NextTry, s: Situation) -> bool:
    """Must a person look at it? It may have arrived twice; nothing would ever send it; or it fails again and again."""
    if facts.held or facts.claimed:
        return False
    if facts.doubt:
        return True
    if next_try.kind == "never":
        return s.mode != "stopped" and bool(s.settings.relays)
    return facts.tries >= MANY_TRIES and s.now - facts.created > s.settings.queue.warn_after
