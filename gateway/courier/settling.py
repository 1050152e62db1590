"""What came of each parcel goes back to the caller, exactly once, several at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.courier.contract import Feed
from gateway.courier.transaction import Parcel
from gateway.mail.outcome import Deferred, Delivered, Interrupted, Outcome, Reply


class Settling:
    """`unsettled`: shipments taken and not settled. `accepted`: messages that the relay took, for one recipient at least.

    `on_settled()` is called after each, `on_trouble(text)` when the caller could not record one.
    """

    def __init__(self, feed: Feed, on_settled: Callable[[], None], on_trouble: Callable[[str], None]) -> None:
        self.unsettled = 0
        self.accepted = 0
        self._feed = feed
        self._on_settled = on_settled
        self._on_trouble = on_trouble
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self) -> None:
        """One more shipment is ours."""
        self.unsettled += 1

    def end(self, parcel: Parcel) -> None:
        """Nothing more happens to this parcel. A task of its own settles it: the caller groups what it writes."""
        unsent = Interrupted("the session ended before it was sent")
        outcomes: list[Outcome] = [
            outcome or parcel.put_off.get(index, unsent) for index, outcome in enumerate(parcel.outcomes)
        ]
        if any(isinstance(outcome, Delivered) for outcome in outcomes):
            self.accepted += 1
        task = asyncio.get_running_loop().create_task(self._settle(parcel.shipment.id, outcomes))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Until all is settled, cancelled or not: each outcome on disk prevents a second copy."""
        cancelled: asyncio.CancelledError | None = None
        while self._tasks:
            try:
                await asyncio.wait(self._tasks)
            except asyncio.CancelledError as exc:
                cancelled = exc
        if cancelled is not None:
            raise cancelled

    async def _settle(self, id: str, outcomes: list[Outcome]) -> None:
        try:
            await self._feed.settle(id, outcomes)
        except Exception as exc:  # the caller's trouble ends the session, not the program
            self._on_trouble(f"what became of {id} cannot be recorded ({exc})")
        finally:
            self.unsettled -= 1
            self._on_settled()


def one_too_many(outcome: Outcome) -> Reply | None:
    """The reply, if it is 452 4.5.3: too many recipients for one message; the rest may follow at once in another."""
    if not isinstance(outcome, Deferred) or outcome.reply is None or outcome.reply.code != 452:
        return None
    return outcome.reply if outcome.reply.enhanced in (None, "4.5.3") else None
