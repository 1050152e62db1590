"""What reception asks of a spool, held by the real one and by the fake that its tests use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from gateway.clock import SystemClock
from gateway.errors import SpoolFull
from gateway.events import Journal
from gateway.mail.envelope import Envelope, Peer, Recipient
from gateway.spool.spool import Spool
from tests.support.fakespool import FakeSpool

ENVELOPE = Envelope("a@b.c", (Recipient("d@e.f", "NEVER", "rfc822;D@e.f"),), ret="HDRS", envid="x")
PEER = Peer(address="192.0.2.1", helo="client.example", user="brno", tls=True)

Body = Callable[[Spool], Awaitable[None]]
Run = Callable[[Body], None]


@asynccontextmanager
async def real(folder: Path) -> AsyncIterator[Spool]:
    spool = await Spool.open(folder, clock=SystemClock(), journal=Journal(), reserve=0)
    try:
        yield spool
    finally:
        await spool.close()


@pytest.fixture(params=["real", "fake"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    def runs(body: Body) -> None:
        async def with_spool() -> None:
            if request.param == "real":
                async with real(tmp_path) as spool:
                    await body(spool)
            else:
                await body(cast("Spool", FakeSpool()))

        asyncio.run(with_spool())

    return runs


def head(text: str) -> Callable[[str], bytes]:
    return lambda id: f"Received: {text} id {id}\r\n".encode()


async def content(spool: Spool, id: str) -> bytes:
    either: object = spool
    if isinstance(either, FakeSpool):
        return either.entries[id].content
    stored = await spool.content(id)
    try:
        return await stored.read(0, stored.size)
    finally:
        stored.close()


@pytest.mark.parametrize("pieces", [[], [b"x\r\n"], [b"a\r\n", b"b\r\n"], [b"y" * 50_000 + b"\r\n"] * 5])
@pytest.mark.parametrize("chosen", [0, 1])
def test_what_is_committed_is_the_chosen_head_and_all_pieces(run: Run, pieces: list[bytes], chosen: int) -> None:
    async def body(spool: Spool) -> None:
        draft = spool.draft([head("one"), head("two")])
        for piece in pieces:
            await draft.write(piece)
        size = draft.size
        entry = await spool.commit(draft, ENVELOPE, message_class="urgent", peer=PEER, head=chosen)
        expected = f"Received: {('one', 'two')[chosen]} id {draft.id}\r\n".encode() + b"".join(pieces)
        assert await content(spool, entry.id) == expected
        assert (entry.id, entry.size, entry.message_class) == (draft.id, size, "urgent")
        assert entry.id in spool.entries

    run(body)


def test_every_message_has_an_id_of_its_own(run: Run) -> None:
    async def body(spool: Spool) -> None:
        drafts = [spool.draft([head("x")]) for _ in range(50)]
        assert len({draft.id for draft in drafts}) == 50
        assert all(draft.id.isalnum() and draft.id == draft.id.lower() and len(draft.id) <= 16 for draft in drafts)
        for draft in drafts:
            await draft.abort()

    run(body)


@pytest.mark.parametrize("octets", [0, 10, 300_000])
def test_an_aborted_draft_leaves_nothing_and_may_be_aborted_again(run: Run, octets: int) -> None:
    async def body(spool: Spool) -> None:
        draft = spool.draft([head("x")])
        await draft.write(b"z" * octets)
        await draft.abort()
        await draft.abort()
        assert not spool.entries

    run(body)


def test_abort_after_a_commit_does_no_harm(run: Run) -> None:
    async def body(spool: Spool) -> None:
        draft = spool.draft([head("x")])
        entry = await spool.commit(draft, ENVELOPE, message_class="normal", peer=PEER)
        await draft.abort()
        assert entry.id in spool.entries

    run(body)


def test_a_commit_goes_on_when_its_caller_is_cancelled(run: Run) -> None:
    async def body(spool: Spool) -> None:
        draft = spool.draft([head("x")])
        await draft.write(b"x" * 200_000)
        caller = asyncio.ensure_future(spool.commit(draft, ENVELOPE, message_class="normal", peer=PEER))
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        async with asyncio.timeout(10):
            while draft.id not in spool.entries:  # the two have no event in common
                await asyncio.sleep(0.002)

    run(body)


def test_small_state_is_kept_by_name(run: Run) -> None:
    async def body(spool: Spool) -> None:
        assert spool.load_state("token") is None
        await spool.save_state("token", b"abc")
        assert spool.load_state("token") == b"abc"

    run(body)


def test_room_is_told_in_octets(run: Run) -> None:
    async def body(spool: Spool) -> None:
        free, reserve = spool.room()
        assert free > reserve >= 0

    run(body)


def test_below_the_reserve_no_draft_is_begun(tmp_path: Path) -> None:
    async def body() -> None:
        spool = await Spool.open(tmp_path, clock=SystemClock(), journal=Journal(), reserve=1 << 60)
        with pytest.raises(SpoolFull):
            spool.draft([head("x")])
        await spool.close()

    asyncio.run(body())
