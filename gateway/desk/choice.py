"""Which messages an operation is about: the queue row by row, and those that an operator named."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from gateway.control.rows import QueueRow
from gateway.desk.arguments import texts
from gateway.desk.filter import Filter, parse_filter
from gateway.desk.queue_pages import TOGETHER
from gateway.desk.view import queue_row
from gateway.dispatch.dispatcher import Dispatcher
from gateway.dispatch.facts import Situation
from gateway.errors import NoSuchItem, UsageError
from gateway.spool.record import Record
from gateway.spool.spool import Spool


class Choice:
    """Raises NoSuchItem for what is not in the queue."""

    def __init__(self, dispatcher: Dispatcher, spool: Spool) -> None:
        self._dispatcher, self._spool = dispatcher, spool

    async def rows(self, wanted: Filter | None = None, situation: Situation | None = None) -> AsyncIterator[QueueRow]:
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

    async def record(self, item: str) -> Record:
        return await self._spool.record(self.known(item))

    def known(self, item: str) -> str:
        if item not in self._spool.entries:
            raise NoSuchItem(f"there is no message {item[:40]} in the queue")
        return item

    async def chosen(self, arguments: dict[str, Any]) -> list[str]:
        """The messages that an operator named: IDs, a filter, or all."""
        ids, match, everything = texts(arguments, "ids"), arguments.get("match"), bool(arguments.get("all"))
        if (bool(ids), match is not None, everything).count(True) != 1:
            raise UsageError("name messages by ID, or by --match FILTER, or say --all")
        if ids:
            return [self.known(item) for item in dict.fromkeys(ids)]
        if everything:
            return list(self._spool.entries)
        wanted = parse_filter(str(match))
        if not wanted.tests:
            raise UsageError("an empty filter matches everything: say --all if that is meant")
        return [row.id async for row in self.rows(wanted)]
