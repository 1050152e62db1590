"""What came of each parcel goes back to the caller, exactly once."""

from __future__ import annotations

from collections.abc import Callable

from gateway.courier.contract import Feed
from gateway.courier.transaction import Parcel
from gateway.mail.outcome import Deferred, Delivered, Interrupted, Outcome, Reply


class Settling:
    """`unsettled`: shipments taken and not settled. `accepted`: messages that the relay took, for one recipient at least.

    `on_settled()` is called after each, `on_trouble(text)` when the caller could not take one down.
    """

    def __init__(self, feed: Feed, on_settled: Callable[[], None], on_trouble: Callable[[str], None]) -> None:
        self.unsettled = 0
        self.accepted = 0
        self._feed = feed
        self._on_settled = on_settled
        self._on_trouble = on_trouble

    def take(self) -> None:
        """One more shipment is ours."""
        self.unsettled += 1

    def end(self, parcel: Parcel) -> None:
        """Nothing more happens to this parcel."""
        unsent = Interrupted("the session ended before it was sent")
        outcomes: list[Outcome] = [
            outcome or parcel.put_off.get(index, unsent) for index, outcome in enumerate(parcel.outcomes)
        ]
        if any(isinstance(outcome, Delivered) for outcome in outcomes):
            self.accepted += 1
        try:
            self._feed.settle(parcel.shipment.id, outcomes)
        except Exception as exc:  # the caller's trouble ends the session, not the program
            self._on_trouble(f"what became of {parcel.shipment.id} cannot be recorded ({exc})")
        finally:
            self.unsettled -= 1
            self._on_settled()


def one_too_many(outcome: Outcome) -> Reply | None:
    """The reply, if it is 452 4.5.3: too many recipients for one message; the rest may follow at once in another."""
    if not isinstance(outcome, Deferred) or outcome.reply is None or outcome.reply.code != 452:
        return None
    return outcome.reply if outcome.reply.enhanced in (None, "4.5.3") else None
