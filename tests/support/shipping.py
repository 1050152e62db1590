"""A feed for the courier: hands out what a test gave it and keeps what came back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.courier import Capabilities, Phase, Shipment
from gateway.mail.envelope import Envelope, Recipient
from gateway.mail.outcome import Outcome

SMALL = 64 * 1024


class MemoryContent:
    """Content from memory; over 64 KiB it is given only in pieces, as from disk."""

    def __init__(self, octets: bytes) -> None:
        self.size = len(octets)
        self.octets = octets if len(octets) <= SMALL else None
        self._all = octets

    async def read(self, offset: int, count: int) -> bytes:
        await asyncio.sleep(0)
        return self._all[offset : offset + count]


def shipment(
    name: str,
    octets: bytes = b"Subject: x\r\n\r\nhello\r\n",
    to: Sequence[str | Recipient] = ("b@dest.test",),
    sender: str = "a@branch.test",
    **envelope: object,
) -> Shipment:
    recipients = tuple(r if isinstance(r, Recipient) else Recipient(r) for r in to)
    return Shipment(
        name,
        Envelope(sender, recipients, **envelope),  # type: ignore[arg-type]  # the fields of Envelope, by name
        MemoryContent(octets),
    )


class ListFeed:
    """Gives the shipments in order. `lingers`: when they are out, wait until `close` is set instead of None."""

    def __init__(self, shipments: Sequence[Shipment], *, lingers: bool = False) -> None:
        self.waiting = list(shipments)
        self.outcomes: dict[str, list[Outcome]] = {}
        self.marked: list[list[str]] = []
        self.phases: list[tuple[str, str, int]] = []
        self.offers: Capabilities | None = None
        self.taken = 0
        self.most_unsettled = 0
        self.close = asyncio.Event()
        self.settled = asyncio.Event()
        self.awaiting_answer = asyncio.Event()
        self._lingers = lingers
        self._marks: list[tuple[int, asyncio.Event]] = []

    async def reached(self, octets: int) -> None:
        """Wait until so many octets of a large message are under way."""
        mark = asyncio.Event()
        self._marks.append((octets, mark))
        await mark.wait()

    async def take(self, offers: Capabilities) -> Shipment | None:
        self.offers = offers
        if not self.waiting:
            if self._lingers:
                await self.close.wait()
            return None
        self.taken += 1
        self.most_unsettled = max(self.most_unsettled, self.taken - len(self.outcomes))
        return self.waiting.pop(0)

    async def on_wire(self, ids: Sequence[str]) -> None:
        await asyncio.sleep(0)
        self.marked.append(list(ids))

    def settle(self, id: str, outcomes: Sequence[Outcome]) -> None:
        assert id not in self.outcomes, "settled twice"
        self.outcomes[id] = list(outcomes)
        self.settled.set()

    def progress(self, id: str, phase: Phase, octets: int) -> None:
        self.phases.append((id, phase, octets))
        for least, mark in self._marks:
            if phase == "content" and octets >= least:
                mark.set()
        if phase == "answer":
            self.awaiting_answer.set()

    def kinds(self, id: str) -> list[str]:
        """The outcomes of a message by the names of their classes."""
        return [type(outcome).__name__ for outcome in self.outcomes[id]]
