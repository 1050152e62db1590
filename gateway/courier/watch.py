"""Notices that a relay has gone silent, and that a connection is dead although the line is not.

What counts is progress: an answer, or an acknowledgement of octets that we sent. While some of ours are not
acknowledged the time for a block runs; then the time for the answer that is due next (RFC 5321 4.5.3.2). An answer that comes
octet by octet and never ends has twice that time.

A cut of the line may kill a connection without a word: the address changed, a NAT forgot. Waiting for it takes minutes.
So when nothing comes for a while, or at word that a link changed, a second connection is tried: as soon as one comes about
the line works, and the first has a few round trips to show that it lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

from gateway.courier import kernel
from gateway.courier.contract import Timers
from gateway.courier.wire import Wire

_INTERVAL = 1.0
_BETWEEN_TRIES = 0.5
_UNKNOWN_BACKOFF = 8.0
_PROBE_LIMIT = 2.0

Probe = Callable[[], Awaitable[bool]]
"""Tries a connection to the relay's address and ends it; True if anything answered."""


class Watch:
    """`answer_limit` gives the seconds for the answer due next. Gives the wire up when nothing moves any more."""

    def __init__(self, wire: Wire, timers: Timers, answer_limit: Callable[[], float], probe: Probe) -> None:
        self._wire = wire
        self._timers = timers
        self._answer_limit = answer_limit
        self._probe = probe
        self._loop = asyncio.get_running_loop()
        self._moved = self._loop.time()
        self._asked = self._moved  # since when an answer is awaited, or something of ours was acknowledged
        traffic = wire.traffic()
        self._acked = traffic.acked if traffic is not None else 0
        self._rtt = traffic.rtt if traffic is not None else 0.0
        self._patience = timers.suspicion
        self._timer: asyncio.TimerHandle | None = None
        self._probing: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._timer = self._loop.call_later(self._interval, self._look)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._probing is not None:
            self._probing.cancel()

    def suspect(self) -> None:
        """A link changed: find out now whether this connection survived it."""
        if self._wire.lost is None and self._probing is None and self._is_waiting:
            self._probing = self._loop.create_task(self._find_out())

    @property
    def _interval(self) -> float:
        return min(_INTERVAL, max(0.005, min(self._timers.block, self._timers.silence, self._answer_limit()) / 8))

    @property
    def _is_waiting(self) -> bool:
        return bool(self._wire.outstanding) or self._is_sending

    @property
    def _is_sending(self) -> bool:
        traffic = self._wire.traffic()
        return not self._wire.is_writable or (traffic is not None and traffic.written > traffic.acked)

    def _look(self) -> None:
        wire = self._wire
        if wire.lost is not None:
            return
        now = self._loop.time()
        self._measure(now)
        is_sending = self._is_sending
        if not wire.outstanding and not is_sending:
            self._moved = self._asked = now
        silent = now - self._moved
        # One interval more: what is awaited may have been sent at any moment since the last look.
        if silent > (self._timers.block if is_sending else self._answer_limit()) + self._interval:
            wire.give_up("no longer takes what we send" if is_sending else "does not answer")
            return
        if not is_sending and now - max(self._asked, wire.last_answered) > 2 * self._answer_limit() + self._interval:
            wire.give_up("does not come to the end of its answer")
            return
        if silent > max(self._patience, 4 * self._rtt):
            self.suspect()
        self._timer = self._loop.call_later(self._interval, self._look)

    def _measure(self, now: float) -> None:
        before = self._moved
        traffic = self._wire.traffic()
        if traffic is not None and traffic.acked != self._acked:
            self._acked = traffic.acked
            self._rtt = traffic.rtt
            self._moved = self._asked = now
        self._moved = max(self._moved, self._wire.last_heard)
        if self._moved > before:
            self._patience = self._timers.suspicion

    async def _find_out(self) -> None:
        tcp = self._wire.tcp
        is_quick = kernel.limit_backoff(tcp, 2 * self._rtt)
        kernel.keep_asking(tcp, True)
        began = self._loop.time()
        try:
            if await self._line_is_back(began):
                back = self._loop.time()
                # A kernel that cannot be told to retransmit sooner may be in the middle of a long pause.
                pause = 0.0 if is_quick else min(_UNKNOWN_BACKOFF, back - self._moved)
                await asyncio.sleep(self._timers.silence + 4 * self._rtt + pause)
                if not self._shows_life(began) and self._is_waiting and self._wire.lost is None:
                    self._wire.line_works = True
                    self._wire.give_up("does not know this connection any more: the line was cut")
            # A relay that thinks is not asked all the time.
            self._patience = max(self._timers.suspicion, 2 * (self._loop.time() - self._moved))
        finally:
            kernel.keep_asking(tcp, False)
            kernel.limit_backoff(tcp, None)
            self._probing = None

    def _shows_life(self, since: float) -> bool:
        """True if anything came over this connection, be it only an acknowledgement."""
        now = self._loop.time()
        self._measure(now)
        traffic = self._wire.traffic()
        return self._moved > since or traffic is None or now - traffic.ack_age > since

    async def _line_is_back(self, began: float) -> bool:
        """Until another connection comes about: True; or until this one shows life of itself: False."""
        while True:
            if await self._probe():
                return True
            if self._shows_life(began):
                return False
            await asyncio.sleep(_BETWEEN_TRIES)


def probe_of(wire: Wire, interface: str | None, limit: float) -> Probe:
    """Tries the address that the wire is connected to, for `limit` seconds or a little less."""
    peer = wire.transport.get_extra_info("peername") if wire.transport is not None else None

    async def probe() -> bool:
        return peer is not None and await try_connection(peer, interface, min(limit, _PROBE_LIMIT), wire.count_aside)

    return probe


async def try_connection(
    peer: tuple[object, ...],
    interface: str | None,
    limit: float,
    count: Callable[[int, int], None] = lambda segments_out, segments_in: None,
) -> bool:
    """A Probe's work: a connection to the address, ended at once. A refusal is an answer too. `count` gets the segments that it
    cost."""
    family = socket.AF_INET6 if ":" in str(peer[0]) else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    except OSError:  # no descriptor left, say
        return False
    try:
        if interface is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        async with asyncio.timeout(limit):
            await asyncio.get_running_loop().sock_connect(sock, peer)
        return True
    except ConnectionRefusedError:
        return True
    except OSError:  # and TimeoutError
        return False
    finally:
        if (traffic := kernel.traffic(sock)) is not None:
            count(traffic.segments_out, traffic.segments_in)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # no FIN to wait for
        sock.close()
