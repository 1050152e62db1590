"""One session with one relay: get in, send what the feed gives, say QUIT, and tell in one sentence how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

from gateway.config.settings import RelaySettings
from gateway.courier.capabilities import Capabilities
from gateway.courier.contract import Feed, SessionEnd, Timers, Why
from gateway.courier.entry import Door, NoEntry
from gateway.courier.exchange import Exchange
from gateway.courier.kernel import Traffic
from gateway.courier.memory import RelayMemory
from gateway.courier.tls import remember_session
from gateway.courier.watch import probe_of
from gateway.courier.wire import Wire
from gateway.mail.outcome import Reply

_FAREWELL = 0.5
"""Seconds from the answer to QUIT to the relay's closing, which the same packet or the next brings."""


class Nudge:
    """Where word of links comes in: `poke` it at each event, and sessions that run find out whether they live."""

    def __init__(self) -> None:
        self._listeners: set[Callable[[], None]] = set()

    def poke(self) -> None:
        for listener in tuple(self._listeners):
            listener()

    @contextlib.contextmanager
    def telling(self, listener: Callable[[], None]) -> Iterator[None]:
        self._listeners.add(listener)
        try:
            yield
        finally:
            self._listeners.discard(listener)


async def run_session(
    relay: RelaySettings,
    feed: Feed,
    *,
    hostname: str,
    timers: Timers,
    interface: str | None = None,
    stop: asyncio.Event | None = None,
    memory: RelayMemory | None = None,
    credentials: Path | None = None,
    nudge: Nudge | None = None,
) -> SessionEnd:
    """Raises nothing but CancelledError. However it ends, every shipment taken is settled when it returns.

    `interface`: bind to this device. `stop`: when set, nothing new is taken, what is under way finishes. `memory`: what
    is kept of this relay between sessions; without it, everything is learned anew. `credentials`: systemd's folder.
    `nudge`: poked when a link changes.
    """
    memory = memory if memory is not None else RelayMemory()
    door = Door(relay, memory, hostname=hostname, timers=timers, interface=interface, credentials=credentials)
    return await run_through(None, iter((door,)), feed, timers=timers, interface=interface, stop=stop, nudge=nudge)


async def run_through(
    domain: str | None,
    doors: Iterator[Door],
    feed: Feed,
    *,
    timers: Timers,
    interface: str | None = None,
    stop: asyncio.Event | None = None,
    nudge: Nudge | None = None,
) -> SessionEnd:
    """`run_session` behind the first of the doors that lets us in; the next is asked for only when one did not. `domain`:
    whose doors they are, None where there is one and it is that of a relay."""
    clock = asyncio.get_running_loop().time
    started = clock()
    closed: list[NoEntry] = []
    end = SessionEnd("unreachable", f"{domain} has no host")
    for door in doors:
        end = await _behind(door, feed, closed, domain, timers, interface, stop, nudge)
        if end.offers is not None or not closed or (stop is not None and stop.is_set()):
            break
    if domain is not None and closed and end.offers is None:
        end = _all_closed(domain, closed, end)
    return dataclasses.replace(end, seconds=clock() - started)


async def _behind(
    door: Door,
    feed: Feed,
    closed: list[NoEntry],
    domain: str | None,
    timers: Timers,
    interface: str | None,
    stop: asyncio.Event | None,
    nudge: Nudge | None,
) -> SessionEnd:
    """One door; a NoEntry is added to `closed`."""
    host, memory = door.relay.host, door.memory
    offers: Capabilities | None = None
    exchange: Exchange | None = None
    memory.open_sessions += 1
    try:
        with nudge.telling(door.suspect) if nudge is not None else contextlib.nullcontext():
            wire, offers = await door.enter()
        if domain is not None:
            offers = dataclasses.replace(offers, peer=host)
        exchange = Exchange(wire, feed, offers, memory, timers, stop, probe_of(wire, interface, timers.connect))
        with nudge.telling(exchange.suspect) if nudge is not None else contextlib.nullcontext():
            await exchange.run()
        exchange.learn()
        why, text, reply, alarm = _judge_end(host, exchange, wire)
        if wire.lost is None:
            await _quit(wire, timers.quit)
        reached = True
    except NoEntry as exc:
        closed.append(exc)
        why, text, reply, alarm, reached = exc.why, str(exc), exc.reply, exc.alarm, exc.reached
    except Exception as exc:  # the top of a session: what nobody foresaw must not stop the sending for good
        why, text, reply, alarm = (
            "broken",
            f"the session with {host} failed ({type(exc).__name__}: {exc})",
            None,
            True,
        )
        reached = door.wire is not None
    finally:
        memory.open_sessions -= 1
        _leave(door.wire, memory)
    traffic = door.wire.last_traffic if door.wire is not None else None
    counted = traffic or Traffic(0, 0, 0, 0, 0.0)
    aside = door.wire.segments_aside if door.wire is not None else (0, 0)
    return SessionEnd(
        why=why,
        text=text,
        reply=reply,
        reached=reached,
        took=exchange.accepted if exchange is not None else 0,
        octets_out=counted.sent,
        octets_in=counted.received,
        alarm=alarm,
        offers=offers,
        line_works=door.wire is not None and door.wire.line_works,
        segments_out=counted.segments_out + aside[0],
        segments_in=counted.segments_in + aside[1],
        resent=counted.resent,
        ip_version=6 if door.wire is not None and door.wire.is_ipv6 else 4,
    )


def _all_closed(domain: str, closed: list[NoEntry], last: SessionEnd) -> SessionEnd:
    """No host of the domain let us in. A stranger's trouble is no matter for an alarm."""
    told = list(dict.fromkeys(str(exc) for exc in closed))
    more = f"; and {len(told) - 2} more" if len(told) > 2 else ""
    answered = [exc for exc in closed if exc.why != "unreachable"]
    worst = answered[0] if answered else closed[0]
    return dataclasses.replace(
        last,
        why=worst.why,
        text=f"no way into {domain}: {'; '.join(told[:2])}{more}",
        reply=worst.reply,
        reached=any(exc.reached for exc in closed),
        alarm=False,
    )


def _judge_end(host: str, exchange: Exchange, wire: Wire) -> tuple[Why, str, Reply | None, bool]:
    if exchange.setup is not None and not exchange.accepted:
        return "setup", f"{host} takes no mail from us ({exchange.setup})", exchange.setup, True
    if exchange.trouble is not None:
        return "broken", exchange.trouble, None, True
    if exchange.damaged:
        names = ", ".join(exchange.damaged[:3])
        return "damaged", f"the content of {names} is damaged; it was not sent to {host}", None, True
    if exchange.slow is not None:
        return "slow", f"{host} asks us to send less ({exchange.slow})", exchange.slow, False
    if exchange.closing is not None:
        if exchange.was_idle:
            return "done", f"{host} closed the idle session ({exchange.closing})", exchange.closing, False
        return "busy", f"{host} is busy ({exchange.closing})", exchange.closing, False
    if wire.lost is not None:
        if exchange.was_idle:
            return "done", f"{host} {wire.lost} while there was nothing to send", None, False
        return "broken", f"{host} {wire.lost}", None, False
    return "done", f"{host} took {exchange.accepted} message{'' if exchange.accepted == 1 else 's'}", None, False


async def _quit(wire: Wire, limit: float) -> None:
    """All is settled: whatever becomes of QUIT no longer matters. The relay closes behind its answer, and so do we then: a
    reset that came before would stand in its log as a fault."""
    gone = asyncio.Event()
    wire.on_lost = gone.set
    with contextlib.suppress(OSError):  # and TimeoutError
        await wire.execute_command(b"QUIT", timeout=limit)
        async with asyncio.timeout(min(limit, _FAREWELL)):
            await gone.wait()


def _leave(wire: Wire | None, memory: RelayMemory) -> None:
    if wire is None:
        return
    transport = wire.transport
    if transport is not None:
        remember_session(memory, transport.get_extra_info("ssl_object"))
    wire.give_up("closed by us")
