"""Claims: an attempt's hold on a message, in memory only. A restart frees them all."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Literal

from gateway.spool.content import Content
from gateway.spool.record import Record

Release = Literal["back", "delivered", "ended"]
"""How a claim was let go: the message waits again; it was delivered to somebody and ended; it ended otherwise."""


@dataclass(slots=True, eq=False)
class Claim:
    """`record` is the one living copy while the claim lasts; the holder changes it and settles, or gives the claim back.

    `stored`: the record as it is on disk. `is_settling`: its outcome is on the way there.
    """

    record: Record
    content: Content
    stored: bytes = field(repr=False, default=b"")
    is_settling: bool = False


@dataclass(slots=True)
class Claims:
    """Who is claimed, and who waits for the end of a claim."""

    held: dict[str, Claim] = field(default_factory=dict)
    waiting: dict[str, list[asyncio.Future[Release]]] = field(default_factory=dict)

    def wait(self, item: str) -> asyncio.Future[Release]:
        """Done when the present claim of this message is let go."""
        waiting: asyncio.Future[Release] = asyncio.get_running_loop().create_future()
        self.waiting.setdefault(item, []).append(waiting)
        return waiting

    def released(self, item: str, how: Release) -> None:
        self.held.pop(item, None)
        for waiting in self.waiting.pop(item, ()):
            if not waiting.done():
                waiting.set_result(how)
