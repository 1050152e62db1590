"""What an operator orders for messages: sent now, held, released, removed, put back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from gateway.desk.arguments import one_text, texts
from gateway.desk.choice import Choice
from gateway.desk.pushing import push
from gateway.dispatch.dispatcher import Dispatcher
from gateway.dispatch.facts import Wish
from gateway.errors import NotNow
from gateway.events import HeldItem, Journal, ReleasedItem, RemovedItem, RestoredItem
from gateway.spool.record import Record
from gateway.spool.spool import Spool

Answer = AsyncIterator[Any]


class MailOrders:
    """Each order is on disk when it is answered; a wish to send is in memory only."""

    def __init__(self, dispatcher: Dispatcher, spool: Spool, journal: Journal, choice: Choice) -> None:
        self._dispatcher, self._spool, self._journal, self._choice = dispatcher, spool, journal, choice

    # -- sending ------------------------------------------------------------------------------------------------

    async def op_send(self, arguments: dict[str, Any]) -> Answer:
        """`now` may dial; `force`: class, size and Next Try do not count."""
        wish = Wish("force" if arguments.get("force") else "send", bool(arguments.get("now")))
        ids = [entry.id for entry in list(self._spool.entries.values()) if not entry.held]
        yield await self._pushed(ids, wish, len(self._spool.entries))

    async def op_try(self, arguments: dict[str, Any]) -> Answer:
        ids = [self._choice.known(item) for item in dict.fromkeys(texts(arguments, "ids"))]
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

        for item in await self._spool.update(await self._choice.chosen(arguments), hold):
            self._journal.record(HeldItem(item, note))
            yield {"id": item, "result": "held"}

    async def op_release(self, arguments: dict[str, Any]) -> Answer:
        def release(record: Record) -> None:
            record.held, record.hold_note = False, None

        ids = [item for item in await self._choice.chosen(arguments) if self._spool.entries[item].held]
        for item in await self._spool.update(ids, release):
            self._journal.record(ReleasedItem(item))
            yield {"id": item, "result": "released"}

    async def op_remove(self, arguments: dict[str, Any]) -> Answer:
        ids = await self._choice.chosen(arguments)
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
