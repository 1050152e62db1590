"""A spool in memory with the same interface and the same promises but one: it forgets at the end of the process.

`fail` makes the next use of a step raise; `gate`, when set, holds every commit until it is opened (a slow disk).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.errors import SpoolError
from gateway.mail.envelope import Class, Envelope, Peer


@dataclass
class Stored:
    """A committed message."""

    id: str
    envelope: Envelope
    content: bytes
    peer: Peer
    message_class: Class
    service: str = "smtp"
    report_for: str | None = None

    @property
    def size(self) -> int:
        return len(self.content)

    @property
    def body(self) -> bytes:
        """The content behind our Received field."""
        assert self.content.startswith(b"Received: ")
        at = self.content.index(b"\r\n")
        while self.content[at + 2 : at + 3] in (b"\t", b" "):
            at = self.content.index(b"\r\n", at + 2)
        return self.content[at + 2 :]

    @property
    def received(self) -> bytes:
        """Our Received field, folded as it was written."""
        return self.content[: len(self.content) - len(self.body)]


class FakeDraft:
    """See Draft of gateway.spool.spool."""

    def __init__(self, spool: FakeSpool, id: str, heads: list[bytes]) -> None:
        assert len({len(head) for head in heads}) == 1, "heads differ in length"
        self.spool = spool
        self.id = id
        self.heads = heads
        self.pieces = bytearray()
        self.largest_piece = 0
        self.is_open = True

    @property
    def size(self) -> int:
        return len(self.heads[0]) + len(self.pieces)

    async def write(self, octets: bytes | memoryview) -> None:
        assert self.is_open
        self.spool.step("write")
        self.largest_piece = max(self.largest_piece, len(octets))
        if self.spool.keeps_content:
            self.pieces += octets

    async def abort(self) -> None:
        if self.is_open:
            self.is_open = False
            self.spool.open_drafts.discard(self)


@dataclass
class FakeSpool:
    """See Spool of gateway.spool.spool."""

    stored: list[Stored] = field(default_factory=list)
    entries: dict[str, Stored] = field(default_factory=dict)
    open_drafts: set[FakeDraft] = field(default_factory=set)
    fail: dict[str, SpoolError] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    committing: int = 0
    keeps_content: bool = True
    free: int = 10**12
    reserve: int = 10**9
    state: dict[str, bytes] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def step(self, name: str) -> None:
        error = self.fail.get(name)
        if error is not None:
            raise error

    def draft(self, heads: Sequence[Callable[[str], bytes]]) -> FakeDraft:
        self.step("draft")
        id = f"fake{next(self._numbers):08d}"
        draft = FakeDraft(self, id, [head(id) for head in heads])
        self.open_drafts.add(draft)
        return draft

    async def commit(
        self,
        draft: FakeDraft,
        envelope: Envelope,
        *,
        message_class: Class,
        peer: Peer,
        service: str = "smtp",
        head: int = 0,
        report_for: str | None = None,
        meanwhile: Callable[[Stored], None] | None = None,
    ) -> Stored:
        async def store() -> Stored:
            self.committing += 1
            try:
                if self.gate is not None:
                    await self.gate.wait()
                self.step("commit")
                content = draft.heads[head] + bytes(draft.pieces)
                item = Stored(draft.id, envelope, content, peer, message_class, service, report_for)
                if meanwhile is not None:
                    meanwhile(item)
                self.stored.append(item)
                self.entries[item.id] = item
                return item
            finally:
                self.committing -= 1
                await draft.abort()

        assert draft.is_open
        return await asyncio.shield(asyncio.ensure_future(store()))

    def room(self) -> tuple[int, int]:
        self.step("room")
        return self.free, self.reserve

    async def save_state(self, name: str, octets: bytes) -> None:
        self.state[name] = octets

    def load_state(self, name: str) -> bytes | None:
        return self.state.get(name)
