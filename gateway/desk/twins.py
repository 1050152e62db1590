"""Which messages of the queue are the same message, handed in twice: a device that lost our 250 sends again (CASES S71).

We cannot know that it did, so both are kept and sent; whoever looks at the queue is told. Compared is what costs little: of the
nearest two of one size the envelopes, and the beginning of the contents behind our own field.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable
from itertools import chain, islice
from operator import attrgetter

from gateway.desk.by_age import ByAge
from gateway.errors import GatewayError
from gateway.spool.entry import Entry
from gateway.spool.record import Record
from gateway.spool.spool import Spool

WITHIN = 86_400.0
"""Seconds between two copies; a device that still tries a day later is rare, and weekly reports look alike."""

REACH = 100
"""Messages that may have come between two copies; further away nobody looks, however long the queue is."""

COMPARED = 16 * 1024
"""Octets of the content: more than any header, with its Date and Message-ID."""

AT_ONCE = 20
"""Pairs that one look at the queue compares; where there are more, the rest is for the next looks."""

REMEMBERED = 4096
"""Pairs compared already; their contents never change."""

_OUR_FIELD = re.compile(rb"Received:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*")
_CREATED = attrgetter("created")

Pair = tuple[str, str]


class Twins:
    """Remembers what it has compared: a page that is looked at again costs no reads."""

    def __init__(self, spool: Spool, by_age: ByAge) -> None:
        self._spool, self._by_age = spool, by_age
        self._known: OrderedDict[Pair, bool] = OrderedDict()

    async def of(self, shown: Iterable[Entry]) -> dict[str, str]:
        """For each of these messages that has a twin in the queue, the twin's ID: the one before it, else the one after."""
        wanted = list(shown)
        pairs = list(dict.fromkeys(chain.from_iterable(self._neighbours(entry) for entry in wanted)))
        await self._compare(list(islice((pair for pair in pairs if pair not in self._known), AT_ONCE)))
        found: dict[str, str] = {}
        for first, second in pairs:
            if self._known.get((first, second)):
                found.setdefault(first, second)
                found[second] = first
        return {entry.id: found[entry.id] for entry in wanted if entry.id in found}

    def _neighbours(self, entry: Entry) -> Iterable[Pair]:
        """This message and the nearest of its size, before and after it."""
        ordered = self._by_age.entries()
        at = bisect_left(ordered, entry.created, key=_CREATED)
        while at < len(ordered) and ordered[at] is not entry and ordered[at].created == entry.created:
            at += 1
        if at >= len(ordered) or ordered[at] is not entry:
            return  # it has just left
        for before in range(at - 1, max(at - 1 - REACH, -1), -1):
            if ordered[before].size == entry.size:
                if entry.created - ordered[before].created <= WITHIN:
                    yield ordered[before].id, entry.id
                break
        for after in range(at + 1, min(at + 1 + REACH, len(ordered))):
            if ordered[after].size == entry.size:
                if ordered[after].created - entry.created <= WITHIN:
                    yield entry.id, ordered[after].id
                break

    async def _compare(self, pairs: list[Pair]) -> None:
        ids = list(dict.fromkeys(chain.from_iterable(pairs)))
        records = dict(zip(ids, await self._spool.records(ids) if ids else (), strict=True))
        beginnings: dict[str, bytes | None] = {}
        for pair in pairs:
            first, second = (records[item] for item in pair)
            if first is None or second is None:
                continue  # one of them has just left
            is_twin = _envelope(first) == _envelope(second)
            if is_twin:
                for item in pair:
                    if item not in beginnings:
                        beginnings[item] = await self._beginning(item)
                one, other = (beginnings[item] for item in pair)
                if one is None or other is None:
                    continue
                is_twin = one == other
            self._known[pair] = is_twin
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)

    async def _beginning(self, item: str) -> bytes | None:
        """None for one that has just left, or cannot be read."""
        try:
            content = await self._spool.content(item)
            try:
                octets = await content.read(0, COMPARED)
            finally:
                content.close()
        except (GatewayError, OSError):
            return None
        return _OUR_FIELD.sub(b"", octets, count=1)


def _envelope(record: Record) -> tuple[object, ...]:
    return record.reverse_path, record.client, record.service, [recipient.address for recipient in record.recipients]
