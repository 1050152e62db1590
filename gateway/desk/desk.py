"""The operations of the control socket (DESIGN section 10), one function each. The same set serves every front."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from gateway.clock import Clock
from gateway.config.settings import ModeName
from gateway.connectivity.monitor import Monitor
from gateway.control.rows import QueueRow
from gateway.desk import schedule_file, status
from gateway.desk.arguments import number, one_text, texts
from gateway.desk.console_reads import ConsoleReads
from gateway.desk.filter import Filter, parse_filter
from gateway.desk.pushing import push
from gateway.desk.queue_pages import TOGETHER
from gateway.desk.view import explanation, iso, queue_row, sending_row, state_of
from gateway.dispatch.decide import decide
from gateway.dispatch.dispatcher import Dispatcher
from gateway.dispatch.facts import Situation, Wish
from gateway.dispatch.forecast import Foresight
from gateway.dispatch.words import count_words
from gateway.errors import NoSuchItem, NotNow, UsageError
from gateway.events import Event, HeldItem, Journal, ReleasedItem, RemovedItem, RestoredItem, WindowEdge
from gateway.maillog import render
from gateway.reception.users import load_users
from gateway.spool.record import Record
from gateway.spool.spool import Spool

MODES: tuple[ModeName, ...] = ("auto", "online", "offline", "stopped")

WATCH_BUFFER = 1000
"""Events kept for a `watch` that reads slowly; beyond that the oldest are dropped, and it is told how many."""

SLICE = 100
"""Messages judged before the event loop gets its turn."""

LEAVE_GRACE = 10.0
"""Seconds that what is in flight has when an operator puts a link down."""

Answer = AsyncIterator[Any]


class Desk:
    """`reload` reads both files and raises ConfigurationError if there are mistakes.

    `take_dropped` takes in what lies in the drop folder and returns the new IDs.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        spool: Spool,
        monitor: Monitor,
        clock: Clock,
        journal: Journal,
        reload: Callable[[], None],
        take_dropped: Callable[[], Awaitable[list[str]]] | None = None,
    ) -> None:
        self._dispatcher, self._spool, self._monitor = dispatcher, spool, monitor
        self._clock, self._journal, self._reload = clock, journal, reload
        self._take_dropped = take_dropped
        self._trial = schedule_file.Trial()
        self.console = ConsoleReads(dispatcher, spool, monitor, clock, journal, self._chosen, reload)

    async def handle(self, operation: str, arguments: dict[str, Any]) -> Answer:
        """Results of one operation; raises GatewayError for a refusal."""
        name = "op_" + operation.replace(" ", "_")
        function = (getattr(self, name, None) or getattr(self.console, name, None)) if operation.isascii() else None
        if function is None:
            raise UsageError(f'the gateway has no operation "{operation[:40]}"')
        async for result in function(arguments):
            yield result

    # -- reading ------------------------------------------------------------------------------------------------

    async def op_status(self, arguments: dict[str, Any]) -> Answer:
        del arguments
        states = Counter[str]()
        situation = self._dispatcher.situation()
        foresight = Foresight(situation)
        for count, entry in enumerate(tuple(self._spool.entries.values()), 1):
            if count % SLICE == 0:
                await asyncio.sleep(0)
            facts = self._dispatcher.facts(entry)
            states[state_of(facts, decide(facts, situation), entry.claimed)] += 1
            foresight.add(facts)
        now = self._clock.now()
        yield status.report(self._dispatcher, self._spool, now, dict(states), foresight.result())

    async def op_queue(self, arguments: dict[str, Any]) -> Answer:
        wanted = parse_filter(one_text(arguments, "filter", ""))
        async for row in self._rows(wanted):
            yield row

    async def op_sending(self, arguments: dict[str, Any]) -> Answer:
        del arguments
        now = self._clock.now()
        for sending in list(self._dispatcher.sessions.sending.values()):
            yield sending_row(sending, now)

    async def op_show(self, arguments: dict[str, Any]) -> Answer:
        record = await self._record(one_text(arguments, "id"))
        shown = msgspec.to_builtins(record)
        content = await self._spool.content(record.id)
        try:
            head = await content.read(0, min(content.size, 65536))
        finally:
            content.close()
        shown["header"] = head.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
        yield shown

    async def op_explain(self, arguments: dict[str, Any]) -> Answer:
        record = await self._record(one_text(arguments, "id"))
        yield explanation(
            record, self._dispatcher.situation(), sending=self._dispatcher.sessions.sending.get(record.id)
        )

    async def op_watch(self, arguments: dict[str, Any]) -> Answer:
        """Events as they happen, until the client hangs up."""
        del arguments
        waiting: deque[Event] = deque(maxlen=WATCH_BUFFER)
        arrived = asyncio.Event()
        dropped = 0

        def listen(event: Event) -> None:
            nonlocal dropped
            if len(waiting) == WATCH_BUFFER:
                dropped += 1
            waiting.append(event)
            arrived.set()

        stop = self._journal.subscribe(listen)
        try:
            yield {"kind": "watching", "line": "watching", "at": self._iso(self._clock.now())}
            while True:
                await arrived.wait()
                arrived.clear()
                if dropped:
                    yield {"kind": "missed", "line": f"missed {count_words(dropped, 'event')}", "at": None}
                    dropped = 0
                while waiting:
                    event = waiting.popleft()
                    fields = msgspec.to_builtins(event)
                    fields |= {"kind": event.kind, "line": render(event), "at": self._iso(self._clock.now())}
                    yield fields
        finally:
            stop()

    async def op_link(self, arguments: dict[str, Any]) -> Answer:
        del arguments
        situation = self._dispatcher.situation()
        for state in self._monitor.states:
            yield status.link_row(state, situation, self._dispatcher.meter)

    async def op_link_event(self, arguments: dict[str, Any]) -> Answer:
        """A hook's word on an interface: the links over it, as they are after it."""
        interface, state = one_text(arguments, "interface"), one_text(arguments, "state")
        if state not in ("up", "down"):
            raise UsageError(f'"{state}" is not the state of a line; it is up or down')
        concerned = self._monitor.link_event(interface, "up" if state == "up" else "down")
        if state == "up" and concerned:
            self._dispatcher.lines.is_back()
        situation = self._dispatcher.situation()
        for link in self._monitor.states:
            if link.name in concerned:
                yield status.link_row(link, situation)

    async def op_link_up(self, arguments: dict[str, Any]) -> Answer:
        """Call a dialled link; it stays up until `link down`."""
        name = self._link(arguments)
        await self._dispatcher.calls.raise_by_hand(name)
        yield self._link_row(name)

    async def op_link_down(self, arguments: dict[str, Any]) -> Answer:
        """Put down a link that we raised; what is in flight has its grace."""
        name = self._link(arguments)
        await self._dispatcher.calls.put_down_by_hand(name, partial(self._dispatcher.sessions.leave, grace=LEAVE_GRACE))
        yield self._link_row(name)

    def _link(self, arguments: dict[str, Any]) -> str:
        name = one_text(arguments, "name")
        names = [link.name for link in self._dispatcher.settings.links]
        if name not in names:
            raise NoSuchItem(f'there is no link "{name[:40]}"; links are {", ".join(names)}')
        return name

    def _link_row(self, name: str) -> Any:
        situation = self._dispatcher.situation()
        meter = self._dispatcher.meter
        return next(status.link_row(link, situation, meter) for link in situation.links if link.name == name)

    # -- sending ------------------------------------------------------------------------------------------------

    async def op_send(self, arguments: dict[str, Any]) -> Answer:
        """`now` may dial; `force`: class, size and Next Try do not count."""
        wish = Wish("force" if arguments.get("force") else "send", bool(arguments.get("now")))
        ids = [entry.id for entry in list(self._spool.entries.values()) if not entry.held]
        yield await self._pushed(ids, wish, len(self._spool.entries))

    async def op_try(self, arguments: dict[str, Any]) -> Answer:
        ids = [await self._known(item) for item in dict.fromkeys(texts(arguments, "ids"))]
        held = [item for item in ids if self._spool.entries[item].held]
        if held:
            raise NotNow(f"{held[0]} is held; release it first")
        yield await self._pushed(ids, Wish("force", bool(arguments.get("now"))), len(ids))

    async def _pushed(self, ids: list[str], wish: Wish, asked: int) -> dict[str, Any]:
        if not asked:
            raise NotNow("the queue is empty")
        if not ids:
            raise NotNow("every message is held")
        return await push(self._dispatcher, self._spool, ids, wish)

    # -- holding and removing -----------------------------------------------------------------------------------

    async def op_hold(self, arguments: dict[str, Any]) -> Answer:
        note = one_text(arguments, "note", "") or None

        def hold(record: Record) -> None:
            record.held, record.hold_note = True, note

        for item in await self._spool.update(await self._chosen(arguments), hold):
            self._journal.record(HeldItem(item, note))
            yield {"id": item, "result": "held"}

    async def op_release(self, arguments: dict[str, Any]) -> Answer:
        def release(record: Record) -> None:
            record.held, record.hold_note = False, None

        ids = [item for item in await self._chosen(arguments) if self._spool.entries[item].held]
        for item in await self._spool.update(ids, release):
            self._journal.record(ReleasedItem(item))
            yield {"id": item, "result": "released"}

    async def op_remove(self, arguments: dict[str, Any]) -> Answer:
        ids = await self._chosen(arguments)
        results = await self._spool.remove(ids, by="operator", tell_sender=bool(arguments.get("tell_senders")))
        self._dispatcher.removals.changed()
        for item in ids:
            if results.get(item) == "removed":
                self._journal.record(RemovedItem(item, "operator"))
            yield {"id": item, "result": results.get(item, "unknown")}

    async def op_undo(self, arguments: dict[str, Any]) -> Answer:
        del arguments
        for item in await self._spool.undo():
            self._journal.record(RestoredItem(item))
            yield {"id": item, "result": "restored"}
        self._dispatcher.removals.changed()

    # -- mode and schedule --------------------------------------------------------------------------------------

    async def op_mode(self, arguments: dict[str, Any]) -> Answer:
        mode = arguments.get("mode")
        if mode is not None:
            if mode not in MODES:
                raise UsageError(f'"{mode}" is not a mode; modes are {", ".join(MODES)}')
            self._dispatcher.timetable.set_mode(mode, number(arguments, "for"))
            await self._dispatcher.settled()
        yield status.mode_row(self._dispatcher)

    async def op_open(self, arguments: dict[str, Any]) -> Answer:
        seconds = number(arguments, "seconds")
        if seconds is None or not 1 <= seconds <= 7 * 86400:
            raise UsageError("an opening lasts from 1 s to 7 days")
        opening = self._dispatcher.timetable.open_now(seconds)
        await self._dispatcher.settled()
        yield {"window": opening.window.name, "opens": self._iso(opening.opens), "closes": self._iso(opening.closes)}

    async def op_skip(self, arguments: dict[str, Any]) -> Answer:
        del arguments
        opening = self._dispatcher.timetable.skip_next()
        if opening is None:
            raise NotNow("the schedule has no opening ahead")
        self._journal.record(WindowEdge(opening.window.name, "skipped", opening.closes, "skipped by an operator"))
        await self._dispatcher.settled()
        yield {"window": opening.window.name, "opens": self._iso(opening.opens), "closes": self._iso(opening.closes)}

    async def op_clock_accept(self, arguments: dict[str, Any]) -> Answer:
        """The operator says that the clock is right."""
        del arguments
        watch = self._dispatcher.clock_watch
        if watch is None:
            raise NotNow("nobody watches the clock")
        watch.accept()
        await self._dispatcher.settled()
        yield {"clock": self._iso(self._clock.now()), "is_set": watch.is_set}

    async def op_simulate(self, arguments: dict[str, Any]) -> Answer:
        """When would the waiting messages leave under another schedule file?"""
        changed = schedule_file.read(Path(one_text(arguments, "file")), self._dispatcher.settings)
        situation = schedule_file.under(self._dispatcher.situation(), changed)
        async for row in self._rows(situation=situation):
            yield row

    async def op_apply(self, arguments: dict[str, Any]) -> Answer:
        """Put another schedule file in force; with `confirm` seconds, go back unless it is said again within them."""
        path = Path(one_text(arguments, "file"))
        yield await self._trial.apply(
            path, self._dispatcher.settings, number(arguments, "confirm"), self._reload, self._journal
        )

    async def op_reload(self, arguments: dict[str, Any]) -> Answer:
        del arguments
        self._reload()
        await self._dispatcher.settled()
        waiting = [*self._dispatcher.settings.not_in_force, *self._dispatcher.timetable.schedule.not_in_force]
        yield {"result": "reloaded", "not_in_force": [str(key) for key in waiting]}

    async def op_users(self, arguments: dict[str, Any]) -> Answer:
        """The file of users was changed: can we read it? A login looks for itself; this tells the one who changed it."""
        del arguments
        path = self._dispatcher.settings.accept.users
        yield {"users": None if path is None else len(await asyncio.to_thread(load_users, path))}

    async def op_drop(self, arguments: dict[str, Any]) -> Answer:
        """A program put a message into the drop folder: take it in now."""
        del arguments
        for item in await self._take_dropped() if self._take_dropped is not None else []:
            yield {"id": item}

    # -- parts --------------------------------------------------------------------------------------------------

    async def _rows(self, wanted: Filter | None = None, situation: Situation | None = None) -> AsyncIterator[QueueRow]:
        """The queue, oldest first. Rows are made a few at a time: memory does not grow with the queue."""
        situation = situation if situation is not None else self._dispatcher.situation()
        entries = sorted(self._spool.entries.values(), key=lambda entry: (entry.created, entry.id))
        for at in range(0, len(entries), TOGETHER):
            for record in await self._spool.records([entry.id for entry in entries[at : at + TOGETHER]]):
                if record is None:
                    continue  # it ended while we were looking
                sending = self._dispatcher.sessions.sending.get(record.id)
                row = queue_row(record, situation, claimed=sending is not None, sending=sending)
                if wanted is None or wanted.matches(row, situation.now):
                    yield row

    async def _record(self, item: str) -> Record:
        return await self._spool.record(await self._known(item))

    async def _known(self, item: str) -> str:
        if item not in self._spool.entries:
            raise NoSuchItem(f"there is no message {item[:40]} in the queue")
        return item

    async def _chosen(self, arguments: dict[str, Any]) -> list[str]:
        """The messages that an operator named: IDs, a filter, or all."""
        ids, match, everything = texts(arguments, "ids"), arguments.get("match"), bool(arguments.get("all"))
        if (bool(ids), match is not None, everything).count(True) != 1:
            raise UsageError("name messages by ID, or by --match FILTER, or say --all")
        if ids:
            return [await self._known(item) for item in dict.fromkeys(ids)]
        if everything:
            return list(self._spool.entries)
        wanted = parse_filter(str(match))
        if not wanted.tests:
            raise UsageError("an empty filter matches everything: say --all if that is meant")
        return [row.id async for row in self._rows(wanted)]

    def _iso(self, instant: float) -> str:
        return iso(instant, self._dispatcher.timetable.schedule.timezone)
