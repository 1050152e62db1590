"""Takes from the feed while the session may go on and has room, and lays ready what is to be written next.

Room is bounded twice: 64 shipments not yet settled, and the octets not yet answered, so that a cut of the line leaves
few messages in doubt. Writing, and what comes of it, is the exchange's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from gateway.courier.capabilities import Capabilities
from gateway.courier.commands import refuse_beforehand
from gateway.courier.content import BLOCK
from gateway.courier.contract import Feed
from gateway.courier.memory import RelayMemory
from gateway.courier.pace import LEAST_AHEAD, MOST_UNANSWERED, Pace
from gateway.courier.settling import Settling
from gateway.courier.transaction import Parcel, Transaction
from gateway.courier.wire import Wire

MAX_UNSETTLED = 64


class Taker:
    """`ready`: transactions not begun, in order. `has_more`: the feed may give more. `room` is set whenever something changed
    that a waiting taker may wait for.

    `work` is set for the writer; `on_trouble(text)` is called when the feed failed: what is taken is sent all the same.
    """

    def __init__(
        self,
        wire: Wire,
        feed: Feed,
        offers: Capabilities,
        memory: RelayMemory,
        pace: Pace,
        settling: Settling,
        stop: asyncio.Event | None,
        *,
        pipelines: bool,
        room: asyncio.Event,
        work: asyncio.Event,
        on_trouble: Callable[[str], None],
    ) -> None:
        self.ready: deque[Transaction] = deque()
        self.has_more = True
        self.room = room
        self._wire = wire
        self._feed = feed
        self._offers = offers
        self._memory = memory
        self._pace = pace
        self._settling = settling
        self._stop = stop
        self._pipelines = pipelines
        self._work = work
        self._on_trouble = on_trouble
        self._loop = asyncio.get_running_loop()
        self._taken = 0
        self._unanswered = 0
        self._take_limit: asyncio.Timeout | None = None

    async def run(self) -> None:
        """Returns when nothing more is to be taken. A wait for the feed is given up when it is ended, or `stop` is set."""
        stopping = self._loop.create_task(self._await_stop(self._stop)) if self._stop is not None else None
        try:
            while self._may_take:
                if not self._has_room:
                    self.room.clear()
                    await self.room.wait()
                    continue
                try:
                    async with asyncio.timeout(None) as self._take_limit:
                        shipment = await self._feed.take(self._offers)
                except TimeoutError:
                    break  # by `end`
                except Exception as exc:  # the caller's trouble ends the session, not the program
                    self._on_trouble(f"the next message cannot be read ({exc})")
                    break
                finally:
                    self._take_limit = None
                if shipment is None:
                    break
                self._taken += 1
                self._settling.take()
                size = shipment.content.size
                self.lay_ready(Parcel(shipment, refuse_beforehand(shipment.envelope, size, self._offers)))
        finally:
            if stopping is not None:
                stopping.cancel()
            self.has_more = False
            self._work.set()

    def end(self) -> None:
        """Nothing more is taken; what is ready stays."""
        self.has_more = False
        self.room.set()
        self._work.set()
        limit, self._take_limit = self._take_limit, None
        if limit is not None:  # once: a feed may take its time to come back from being given up
            limit.reschedule(self._loop.time())

    def lay_ready(self, parcel: Parcel) -> None:
        """The next transaction of a parcel, for as many recipients as the relay takes at once; where there is nothing left to
        do, the parcel is settled."""
        indices = parcel.open_indices
        if not indices:
            self._settling.end(parcel)
            return
        most = min(self._offers.rcpt_max or len(indices), self._memory.rcpt_max or len(indices))
        transaction = Transaction(parcel, indices[: max(1, most)])
        transaction.cost = min(parcel.shipment.content.size, BLOCK)
        self._unanswered += transaction.cost
        self.ready.append(transaction)  # first: should the feed fail now, it is settled with the rest
        self._feed.progress(parcel.shipment.id, "waiting", 0)
        self._work.set()

    def release(self, transaction: Transaction) -> None:
        """Its octets no longer count as unanswered. Said twice, it counts once."""
        self._unanswered -= transaction.cost
        transaction.cost = 0
        self.room.set()

    async def _await_stop(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.end()

    @property
    def _may_take(self) -> bool:
        return (
            self.has_more
            and self._wire.lost is None  # perhaps before anybody listened for it
            and not (self._stop is not None and self._stop.is_set())
            and (self._offers.mail_max is None or self._taken < self._offers.mail_max)
        )

    @property
    def _has_room(self) -> bool:
        if not self._pipelines:
            return not self._settling.unsettled
        if self._settling.unsettled >= MAX_UNSETTLED or self._unanswered >= MOST_UNANSWERED:
            return False
        # On a thin line the next is taken when the last is on its way: something urgent may come meanwhile.
        return self._pace.is_near or (
            self._wire.is_writable and sum(transaction.cost for transaction in self.ready) < LEAST_AHEAD
        )
