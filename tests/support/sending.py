"""One session with a scripted relay, in one call."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.config.settings import RelaySettings
from gateway.courier import Nudge, RelayMemory, SessionEnd, Shipment, Timers, run_session
from tests.support.relay import Relay
from tests.support.shipping import ListFeed

QUICK = Timers(
    connect=2.0,
    resolve=2.0,
    greeting=2.0,
    ehlo=2.0,
    tls=2.0,
    auth=2.0,
    mail=2.0,
    rcpt=2.0,
    data=2.0,
    block=2.0,
    final=2.0,
    quit=0.3,
    hangup=0.3,
    suspicion=2.0,
    silence=0.3,
)

BDAT = ("PIPELINING", "CHUNKING", "ENHANCEDSTATUSCODES")
DATA = ("PIPELINING", "ENHANCEDSTATUSCODES")
PLAIN = ("ENHANCEDSTATUSCODES",)
MANNERS = {"bdat": BDAT, "data": DATA, "lock-step": PLAIN}


async def send(
    relay: Relay | int,
    *shipments: Shipment,
    feed: ListFeed | None = None,
    timers: Timers = QUICK,
    memory: RelayMemory | None = None,
    stop: asyncio.Event | None = None,
    interface: str | None = None,
    nudge: Nudge | None = None,
    **settings: Any,
) -> tuple[SessionEnd, ListFeed]:
    """How it ended, and the feed with the outcomes. `settings` are RelaySettings'; `tls` is none unless given."""
    feed = feed if feed is not None else ListFeed(shipments)
    port = relay if isinstance(relay, int) else relay.port
    host = "127.0.0.1" if isinstance(relay, int) else relay.host
    target = RelaySettings(**({"name": "isp", "host": host, "port": port, "tls": "none"} | settings))
    async with asyncio.timeout(30):
        end = await run_session(
            target, feed, hostname="gw.test", timers=timers, memory=memory, stop=stop, interface=interface, nudge=nudge
        )
    assert feed.taken == len(feed.outcomes), "a shipment taken was not settled"
    return end, feed
