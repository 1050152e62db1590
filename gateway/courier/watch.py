"""Notices that a relay has gone silent. One timer a session, whatever the number of messages.

What counts is progress: an answer, or an acknowledgement of octets that we sent. While some of ours are not
acknowledged the time for a block runs; then the time for the answer that is due next (RFC 5321 4.5.3.2).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.courier.wire import Wire

_MAX_INTERVAL = 15.0


class Watch:
    """`answer_limit` gives the seconds for the answer due next. Gives the wire up when nothing moves any more."""

    def __init__(self, wire: Wire, block_limit: float, answer_limit: Callable[[], float]) -> None:
        self._wire = wire
        self._block_limit = block_limit
        self._answer_limit = answer_limit
        self._loop = asyncio.get_running_loop()
        self._moved = self._loop.time()
        self._acked = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._timer = self._loop.call_later(self._interval, self._look)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    @property
    def _interval(self) -> float:
        return min(_MAX_INTERVAL, max(0.005, min(self._block_limit, self._answer_limit()) / 8))

    def _look(self) -> None:
        wire = self._wire
        if wire.lost is not None:
            return
        now = self._loop.time()
        traffic = wire.traffic()
        is_sending = not wire.is_writable
        if traffic is not None:
            is_sending = is_sending or traffic.written > traffic.acked
            if traffic.acked != self._acked:
                self._acked = traffic.acked
                self._moved = now
        self._moved = max(self._moved, wire.last_heard)
        if not wire.outstanding and not is_sending:
            self._moved = now
        # One interval more: what is awaited may have been sent at any moment since the last look.
        limit = (self._block_limit if is_sending else self._answer_limit()) + self._interval
        if now - self._moved > limit:
            wire.give_up("no longer takes what we send" if is_sending else "does not answer")
            return
        self._timer = self._loop.call_later(self._interval, self._look)
