"""Pages of the queue for the console, single rows as they change, and what an action would do before it is done.

What the index knows is taken from the index: the first page of a long queue costs a hundred reads, not a read a message.
Filters and some orders need every record; they are read a slice at a time, and reading ends when whoever asked hangs up.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Any, Protocol, TypeVar

from msgspec.structs import replace

from gateway.clock import Clock
from gateway.connectivity.ledger import cost
from gateway.connectivity.monitor import Monitor
from gateway.control.console_rows import GoneRow, PageReport, Preview
from gateway.control.rows import QueueRow
from gateway.desk.arguments import one_of, one_text, texts, whole_number
from gateway.desk.by_age import ByAge
from gateway.desk.census import needs_a_look
from gateway.desk.filter import parse_filter
from gateway.desk.pushing import would
from gateway.desk.twins import Twins
from gateway.desk.view import next_try_of, queue_row
from gateway.dispatch.decide import decide
from gateway.dispatch.dispatcher import Dispatcher
from gateway.dispatch.facts import Go, Raise, Situation, Wish
from gateway.dispatch.openings import seconds_needed
from gateway.spool.entry import Entry
from gateway.spool.spool import Spool

MOST_ROWS = 500
SLICE = 200
TOGETHER = 100
"""Records read in one visit to the disk."""
SORTS = ("created", "id", "size", "next", "from", "to", "status")
INDEXED = ("created", "id", "size")
"""Orders that the index alone can give."""

SHOWS = ("all", "look", "waiting", "deferred", "held", "sending", "window", "asap", "time", "never")

Answer = AsyncIterator[Any]
Key = tuple[Any, str]
T = TypeVar("T")


class Choose(Protocol):
    """The messages that an operator named: IDs, a filter, or all."""

    async def __call__(self, arguments: dict[str, Any]) -> list[str]: ...


class QueuePages:
    """`choose` is the desk's."""

    def __init__(self, dispatcher: Dispatcher, spool: Spool, monitor: Monitor, clock: Clock, choose: Choose) -> None:
        self._dispatcher, self._spool, self._monitor = dispatcher, spool, monitor
        self._clock, self._choose = clock, choose
        self._by_age = ByAge(spool)
        self._twins = Twins(spool, self._by_age)

    # -- the queue ----------------------------------------------------------------------------------------------

    async def op_page(self, arguments: dict[str, Any]) -> Answer:
        """`filter`, `show` (a group of SHOWS; with `window` also its name), `sort`, `order`, `offset`, `limit`."""
        sort = one_of(arguments, "sort", SORTS, "created")
        show = one_of(arguments, "show", SHOWS, "all")
        offset, limit = (
            whole_number(arguments, "offset", 0, 10_000_000),
            whole_number(arguments, "limit", 100, MOST_ROWS),
        )
        descending = one_of(arguments, "order", ("asc", "desc"), "desc") == "desc"
        wanted = parse_filter(one_text(arguments, "filter", ""))
        situation = self._dispatcher.situation()
        entries = self._by_age.entries()
        octets = self._by_age.octets
        if wanted.tests or show != "all" or sort not in INDEXED:
            entries = tuple(entries)  # others may have their turn before we are through
        if show != "all":
            entries = await self._shown(entries, show, one_text(arguments, "window", ""), situation)
            octets = _octets(entries)
        if not wanted.tests and sort in INDEXED:
            if sort == "created":
                cut = entries[max(0, len(entries) - offset - limit) : max(0, len(entries) - offset)][::-1]
                cut = cut if descending else entries[offset : offset + limit]
            else:
                cut = _cut(entries, attrgetter(sort), offset, limit, descending=descending)
            yield await self._page(cut, len(entries), octets, offset, situation)
            return
        if wanted.tests or sort in ("from", "to", "status"):
            keyed = []
            async for entry, row in self._read(entries, situation):
                if wanted.matches(row, situation.now):
                    keyed.append((_row_key(row, sort, entry), entry))
        else:
            keyed = [(await self._next_key(entry, situation, n), entry) for n, entry in enumerate(entries, 1)]
        cut = [entry for _, entry in _cut(keyed, itemgetter(0), offset, limit, descending=descending)]
        yield await self._page(cut, len(keyed), _octets(entry for _, entry in keyed), offset, situation)

    async def _page(self, cut: Sequence[Entry], total: int, octets: int, offset: int, s: Situation) -> PageReport:
        twins = await self._twins.of(cut)
        return PageReport(
            rows=[_beside(row, twins) async for _, row in self._read(cut, s)],
            total=total,
            octets=octets,
            offset=offset,
            messages=len(self._spool.entries),
        )

    async def op_rows(self, arguments: dict[str, Any]) -> Answer:
        """`ids`: each as it is now, or that it is gone."""
        ids = texts(arguments, "ids")[:MOST_ROWS]
        entries = [entry for item in ids if (entry := self._spool.entries.get(item)) is not None]
        twins = await self._twins.of(entries)
        found = self._read(entries, self._dispatcher.situation())
        rows = {entry.id: _beside(row, twins) async for entry, row in found}
        for item in ids:
            yield rows.get(item) or GoneRow(id=item)

    async def _shown(self, entries: Iterable[Entry], show: str, window: str, s: Situation) -> list[Entry]:
        shown = []
        for count, entry in enumerate(entries, 1):
            if count % SLICE == 0:
                await asyncio.sleep(0)
            if show == "held":
                fits = entry.held and not entry.claimed
            elif show == "sending":
                fits = entry.claimed
            else:
                facts = self._dispatcher.facts(entry)
                next_try = next_try_of(decide(facts, s), entry.claimed)
                failed = bool(entry.tries) or next_try.kind == "time"
                match show:
                    case "look":
                        fits = needs_a_look(facts, next_try, s)
                    case "deferred":
                        fits = failed and not (entry.held or entry.claimed)
                    case "waiting":
                        fits = not (failed or entry.held or entry.claimed)
                    case _:
                        fits = next_try.kind == show and (not window or next_try.window == window)
            if fits:
                shown.append(entry)
        return shown

    async def _next_key(self, entry: Entry, s: Situation, count: int) -> Key:
        if count % SLICE == 0:
            await asyncio.sleep(0)
        next_try = next_try_of(decide(self._dispatcher.facts(entry), s), entry.claimed)
        order = {"asap": 0, "window": 1, "time": 1, "released": 2, "never": 3}[next_try.kind]
        return (order, next_try.at or 0.0), entry.id

    async def _read(self, entries: Iterable[Entry], s: Situation) -> AsyncIterator[tuple[Entry, QueueRow]]:
        """Several records at once: each read is a way to another thread and back."""
        waiting = iter(entries)
        sending = self._dispatcher.sessions.sending
        while batch := list(islice(waiting, TOGETHER)):
            for entry, record in zip(batch, await self._spool.records([entry.id for entry in batch]), strict=True):
                if record is not None:  # else it ended while we were looking
                    now = sending.get(entry.id)
                    yield entry, queue_row(record, s, claimed=now is not None, sending=now)

    async def op_preview(self, arguments: dict[str, Any]) -> Answer:
        """What `action` (send, try, remove, hold, release) would do now with the messages named."""
        action = one_of(arguments, "action", ("send", "try", "remove", "hold", "release"), None)
        named = {key: arguments[key] for key in ("ids", "match", "all") if arguments.get(key)}
        ids = await self._choose(named or {"all": True})
        entries = [entry for item in ids if (entry := self._spool.entries.get(item)) is not None]
        octets = sum(entry.size for entry in entries)
        if action not in ("send", "try"):
            yield Preview(
                messages=len(entries),
                octets=octets,
                going=len(entries),
                going_octets=octets,
                seconds=None,
                link=None,
                kind=None,
                relay=None,
                why=None,
            )
            return
        is_forced = action == "try" or bool(arguments.get("force"))
        wish = Wish("force" if is_forced else "send", bool(arguments.get("now")))
        yield await self._sending_preview(entries, octets, wish)

    async def _sending_preview(self, entries: list[Entry], octets: int, wish: Wish) -> Preview:
        going = going_octets = 0
        way: Go | Raise | None = None
        why: str | None = None
        situation = self._dispatcher.situation()  # once: to gather it for each of 100,000 takes longer than to decide
        for count, entry in enumerate(entries, 1):
            if count % SLICE == 0:
                await asyncio.sleep(0)
            verdict = would(entry, wish, situation)
            if isinstance(verdict, Go | Raise):
                going, going_octets, way = going + 1, going_octets + entry.size, way or verdict
            elif why is None:
                why = verdict.why
        speed = None if way is None else situation.speed.get(way.link)
        seconds = seconds_needed(going_octets, speed) if going else None
        kinds = {state.name: state.kind for state in self._monitor.states}
        return Preview(
            messages=len(entries),
            octets=octets,
            going=going,
            going_octets=going_octets,
            seconds=seconds,
            link=None if way is None else way.link,
            kind=None if way is None else kinds.get(way.link),
            relay=way.relay.name if isinstance(way, Go) else None,
            why=why,
            calls=isinstance(way, Raise),
            money=None if way is None else self._price(way.link, seconds, going_octets),
        )

    def _price(self, link: str, seconds: float | None, octets: int) -> float | None:
        """By the tariff that a use of the link is charged with; None where there is none, or the time is not known."""
        tariff = next((known.tariff for known in self._dispatcher.settings.links if known.name == link), None)
        if tariff is None or (tariff.per_minute is not None and seconds is None):
            return None
        return round(cost(tariff, seconds or 0.0, octets), 6)


def _beside(row: QueueRow, twins: dict[str, str]) -> QueueRow:
    """The row; where the same message lies in the queue twice, its status says so."""
    twin = twins.get(row.id)
    return row if twin is None else replace(row, status=f"{row.status}; twin of {twin}")


def _cut(items: Sequence[T], key: Callable[[T], Any], offset: int, limit: int, *, descending: bool) -> list[T]:
    """One page in order. Of a long queue only what comes before its end is put in order; equals stay as they lie."""
    end = offset + limit
    if end * 20 < len(items):
        pick = heapq.nlargest if descending else heapq.nsmallest
        return pick(end, items, key=key)[offset:]
    return sorted(items, key=key, reverse=descending)[offset:end]


def _octets(entries: Iterable[Entry]) -> int:
    return sum(map(attrgetter("size"), entries))


def _row_key(row: QueueRow, sort: str, entry: Entry) -> Key:
    match sort:
        case "from":
            return row.sender.casefold(), row.id
        case "to":
            return (row.to[0].casefold() if row.to else ""), row.id
        case "status":
            return row.status.casefold(), row.id
        case "next":
            order = {"asap": 0, "window": 1, "time": 1, "released": 2, "never": 3}[row.next_try.kind]
            return (order, row.next_try.at or ""), row.id
        case _:
            return _entry_key(entry, sort)


def _entry_key(entry: Entry, sort: str) -> Key:
    match sort:
        case "size":
            return entry.size, entry.id
        case "id":
            return entry.id, entry.id
        case _:
            return entry.created, entry.id
