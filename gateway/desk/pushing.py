"""`send` and `try` over a queue of any length: the dispatcher is asked a slice at a time, and what it said is one answer.

Whether a message can leave is the dispatcher's to say; here is only that nobody else waits long for the event loop meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

from gateway.dispatch.decide import decide
from gateway.dispatch.dispatcher import Dispatcher
from gateway.dispatch.facts import Decision, Go, Raise, Situation, Wish, facts_of_entry
from gateway.dispatch.way import through
from gateway.dispatch.words import count_words, size_words
from gateway.errors import NotNow
from gateway.mail.envelope import CLASSES
from gateway.spool.entry import Entry
from gateway.spool.spool import Spool

SLICE = 250
"""Messages pushed before the event loop gets its turn: a few milliseconds."""

RANKED_SLICE = 10_000
"""Messages put in order before it does."""

ASKED_WHY = 1000
"""Messages whose reasons are counted where none can leave."""


async def push(dispatcher: Dispatcher, spool: Spool, ids: Sequence[str], wish: Wish) -> dict[str, Any]:
    """What went of these, as `send` answers it; NotNow with the commonest reason where nothing did and nothing is being sent.

    `ids` and the way named are in the order asked; each is named once. The more urgent classes are pushed first: a session may
    begin before the last slice. The wish is in memory only; whoever breaks it off has pushed what was reached until then.
    """
    ranked: dict[str, list[str]] = {name: [] for name in CLASSES}
    async for some in _slices(ids, RANKED_SLICE):
        for item in some:
            if (entry := spool.entries.get(item)) is not None:
                ranked[entry.message_class].append(item)
    going: dict[str, Go | Raise] = {}
    relays: set[str] = set()
    sending = octets = 0
    for same_class in ranked.values():
        async for some in _slices(same_class, SLICE):
            sending += sum(1 for item in some if (entry := spool.entries.get(item)) is not None and entry.claimed)
            pushed = dispatcher.wishes.push(some, wish)
            going.update(pushed)
            relays.update(way.relay.name for _, way in pushed if isinstance(way, Go))
            octets += sum(spool.entries[item].size for item, _ in pushed)
    if not going and not sending:
        raise NotNow(_why_not(dispatcher, spool, ids, wish))
    asked = [item for item in ids if item in going]
    way = going[asked[0]] if asked else None
    text = f"sending {count_words(len(going))}, {size_words(octets)}"
    if isinstance(way, Raise):
        text = f"{way.link} is called; then {text}"
    elif way is not None:
        text += f", {_ways(relays)} over {way.link}"
    if sending:
        text += f"; {count_words(sending)} already being sent"
    return {
        "messages": len(going),
        "octets": octets,
        "ids": asked,
        "relay": way.relay.name if isinstance(way, Go) else None,
        "link": way.link if way is not None else None,
        "text": text,
    }


def would(entry: Entry, wish: Wish, situation: Situation) -> Decision:
    """What the decision says of one message if an operator wished this for it."""
    return decide(facts_of_entry(entry, wish, "outside" if entry.outside else "inside"), situation)


async def _slices(ids: Sequence[str], length: int) -> AsyncIterator[Sequence[str]]:
    """So many at a time, and a turn for everybody else after each."""
    for at in range(0, len(ids), length):
        yield ids[at : at + length]
        await asyncio.sleep(0)


def _why_not(dispatcher: Dispatcher, spool: Spool, ids: Sequence[str], wish: Wish) -> str:
    """The commonest reason among those that cannot leave."""
    situation = dispatcher.situation()
    reasons: Counter[str] = Counter()
    for item in ids[:ASKED_WHY]:
        if (entry := spool.entries.get(item)) is not None:
            verdict = would(entry, wish, situation)
            if not isinstance(verdict, Go):
                reasons[verdict.why] += 1
    return f"nothing can leave now: {reasons.most_common(1)[0][0]}" if reasons else "nothing can leave now"


def _ways(relays: set[str]) -> str:
    """`through hq`, `to one.example directly`, `in 5 ways`."""
    return through(next(iter(relays))) if len(relays) == 1 else f"in {len(relays)} ways"
