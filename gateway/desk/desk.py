"""The operations of the control socket (DESIGN section 10), one function each. The same set serves every front.

Here are those that look, and those of links. Orders for messages are in `mail_orders`, orders for all mail in `plan_orders`;
what the console asks beside them is in `console_reads`.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import msgspec

from gateway.clock import Clock
from gateway.connectivity.monitor import Monitor
from gateway.desk import status
from gateway.desk.arguments import one_text
from gateway.desk.choice import Choice
from gateway.desk.console_reads import ConsoleReads
from gateway.desk.filter import parse_filter
from gateway.desk.mail_orders import MailOrders
from gateway.desk.plan_orders import PlanOrders
from gateway.desk.view import explanation, iso, sending_row, state_of
from gateway.dispatch.decide import decide
from gateway.dispatch.dispatcher import Dispatcher
from gateway.dispatch.forecast import Foresight
from gateway.dispatch.words import count_words
from gateway.errors import NoSuchItem, UsageError
from gateway.events import Event, Journal
from gateway.maillog import render
from gateway.reception.users import load_users
from gateway.spool.spool import Spool

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
        self._clock, self._journal = clock, journal
        self._take_dropped = take_dropped
        self._choice = choice = Choice(dispatcher, spool)
        self.console = ConsoleReads(dispatcher, spool, monitor, clock, journal, choice.chosen, reload)
        self._parts = (
            self,
            MailOrders(dispatcher, spool, journal, choice),
            PlanOrders(dispatcher, clock, journal, choice, reload),
            self.console,
        )

    async def handle(self, operation: str, arguments: dict[str, Any]) -> Answer:
        """Results of one operation; raises GatewayError for a refusal."""
        name = "op_" + operation.replace(" ", "_")
        parts = self._parts if operation.isascii() else ()
        function = next((found for part in parts if (found := getattr(part, name, None)) is not None), None)
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
        async for row in self._choice.rows(wanted):
            yield row

    async def op_sending(self, arguments: dict[str, Any]) -> Answer:
        del arguments
        now = self._clock.now()
        for sending in list(self._dispatcher.sessions.sending.values()):
            yield sending_row(sending, now)

    async def op_show(self, arguments: dict[str, Any]) -> Answer:
        record = await self._choice.record(one_text(arguments, "id"))
        shown = msgspec.to_builtins(record)
        content = await self._spool.content(record.id)
        try:
            head = await content.read(0, min(content.size, 65536))
        finally:
            content.close()
        shown["header"] = head.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
        yield shown

    async def op_explain(self, arguments: dict[str, Any]) -> Answer:
        record = await self._choice.record(one_text(arguments, "id"))
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

    # -- what was put down for us --------------------------------------------------------------------------------

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

    def _iso(self, instant: float) -> str:
        return iso(instant, self._dispatcher.timetable.schedule.timezone)
