"""What happened, for the console: steps of messages, sessions, traffic by the hour. Kept in memory, within bounds.

Sessions are also kept in the spool's state, so that the record of what the line was used for survives a restart; written at
most every SAVE_EVERY seconds and at the end, so that a busy line does not wear a flash card. A crash loses what came since.
Steps are those since the start; what matters of a message after a restart stands in its record.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from datetime import datetime, timedelta, tzinfo

import msgspec

from gateway.clock import Clock
from gateway.control.console_rows import HourRow, StepRow
from gateway.control.rows import SessionRow
from gateway.desk.status import session_row
from gateway.desk.view import iso
from gateway.dispatch.dispatcher import Dispatcher
from gateway.errors import SpoolError
from gateway.events import Event, Journal, RemovedItem, RestoredItem, SessionEnded
from gateway.maillog import render
from gateway.spool.spool import Spool

STATE = "sessions"
SAVE_EVERY = 300.0
MOST_SESSIONS = 500
MOST_ITEMS = 1000
MOST_STEPS = 40
HOURS = 24

_STEPS = frozenset(
    {"received", "attempt", "delivered", "deferred", "failed", "in-doubt", "held", "released", "removed", "restored"}
)


class History:
    """Listens to the journal from the start to `close`."""

    def __init__(self, dispatcher: Dispatcher, spool: Spool, clock: Clock, journal: Journal) -> None:
        self._dispatcher, self._spool, self._clock = dispatcher, spool, clock
        self._steps: OrderedDict[str, deque[tuple[float, Event]]] = OrderedDict()
        self.sessions: deque[SessionRow] = deque(_decode(spool.load_state(STATE)), maxlen=MOST_SESSIONS)
        self._noted: float = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._saving: asyncio.Task[None] | None = None
        self.removed = 0
        self.removed_at: float | None = None
        self._removed_moment = 0.0
        self._stop = journal.subscribe(self._listen)

    async def close(self) -> None:
        """Stop listening; what is not saved yet is saved."""
        self._stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            with contextlib.suppress(SpoolError):
                await self._save()

    # -- listening ----------------------------------------------------------------------------------------------

    def _listen(self, event: Event) -> None:
        now = self._clock.now()
        if isinstance(event, SessionEnded):
            self._note_sessions()
        if isinstance(event, RemovedItem) and not event.final:
            self._note_removal(now)
        elif isinstance(event, RestoredItem):
            self.removed, self.removed_at = 0, None
        item = getattr(event, "id", None)
        if isinstance(item, str) and event.kind in _STEPS:
            steps = self._steps.setdefault(item, deque(maxlen=MOST_STEPS))
            self._steps.move_to_end(item)
            steps.append((now, event))
            while len(self._steps) > MOST_ITEMS:
                self._steps.popitem(last=False)

    def _note_removal(self, now: float) -> None:
        """Messages removed in one go are told one after the other, within a moment."""
        moment = self._clock.monotonic()
        if moment - self._removed_moment > 1.0:
            self.removed = 0
        self.removed += 1
        self.removed_at, self._removed_moment = now, moment

    def _note_sessions(self) -> None:
        zone = self._dispatcher.timetable.schedule.timezone
        latest = self._noted
        for session in self._dispatcher.sessions.records:
            if session.ended is not None and session.ended > self._noted:
                self.sessions.append(session_row(session, zone))
                latest = max(latest, session.ended)
        self._noted = latest
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SAVE_EVERY, self._save_soon)

    def _save_soon(self) -> None:
        self._timer = None
        self._saving = asyncio.create_task(self._save(), name="sessions")
        self._saving.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _save(self) -> None:
        await self._spool.save_state(STATE, msgspec.json.encode(list(self.sessions)))

    # -- telling ------------------------------------------------------------------------------------------------

    def steps(self, item: str, zone: tzinfo) -> list[StepRow]:
        """Oldest first."""
        steps = self._steps.get(item, ())
        return [StepRow(at=iso(at, zone), kind=event.kind, text=render(event)) for at, event in steps]

    def last_contact(self) -> str | None:
        """When a relay last spoke to us, as far as the sessions tell."""
        return next((s.ended for s in reversed(self.sessions) if s.octets_in > 0 and s.ended is not None), None)

    def traffic(self, zone: tzinfo) -> list[HourRow]:
        """The last 24 hours, the present one last; a session counts in the hour in which it began."""
        now = datetime.fromtimestamp(self._clock.now(), zone)
        latest = now.replace(minute=0, second=0, microsecond=0).timestamp()
        hours = [[latest - timedelta(hours=back).total_seconds(), 0, 0, 0] for back in range(HOURS - 1, -1, -1)]
        for session in self.sessions:
            index = int((datetime.fromisoformat(session.started).timestamp() - hours[0][0]) // 3600)
            if 0 <= index < HOURS:
                hours[index][1] += session.octets_out
                hours[index][2] += session.octets_in
                hours[index][3] += session.sent
        return [
            HourRow(begins=iso(at, zone), octets_out=int(o), octets_in=int(i), sent=int(n)) for at, o, i, n in hours
        ]


def _decode(saved: bytes | None) -> list[SessionRow]:
    """What was saved; a file that cannot be read is a record lost, and no reason to stop."""
    if saved is None:
        return []
    try:
        return msgspec.json.decode(saved, type=list[SessionRow])
    except msgspec.MsgspecError:
        return []
