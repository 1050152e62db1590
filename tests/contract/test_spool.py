"""What reception relies on, of the spool on disk and of the one in memory that its tests use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import SpoolFull
from gateway.mail.envelope import Envelope, Peer, Recipient
from tests.support.fakespool import FakeSpool
from tests.support.faultydisk import FaultyDisk
from tests.support.spools import a_spool, whole_content

ENVELOPE = Envelope("a@branch.test", (Recipient("b@dest.test"), Recipient("c@dest.test", "NEVER")))


class OnDisk:
    """The spool itself. `full` makes its disk full."""

    def __init__(self, spool: Any, disk: FaultyDisk) -> None:
        self.spool, self._disk = spool, disk

    def full(self) -> None:
        self._disk.free = 0

    async def content(self, item: str) -> bytes:
        return await whole_content(self.spool, item)


class InMemory:
    def __init__(self) -> None:
        self.spool: Any = FakeSpool()

    def full(self) -> None:
        self.spool.fail["draft"] = SpoolFull("full")

    async def content(self, item: str) -> bytes:
        stored: bytes = self.spool.entries[item].content
        return stored


Made = Callable[[Path], AbstractAsyncContextManager[OnDisk | InMemory]]


@asynccontextmanager
async def on_disk(folder: Path) -> AsyncIterator[OnDisk]:
    disk = FaultyDisk()
    async with a_spool(folder / "spool", disk=disk, reserve=1000) as spool:
        yield OnDisk(spool, disk)


@asynccontextmanager
async def in_memory(folder: Path) -> AsyncIterator[InMemory]:
    del folder
    yield InMemory()


@pytest.fixture(params=[on_disk, in_memory])
def made(request: pytest.FixtureRequest) -> Made:
    chosen: Made = request.param
    return chosen


def heads(item: str) -> bytes:
    return f"Received: id {item}\r\n".encode()


@pytest.mark.parametrize("size", [0, 100, 100_000])
def test_a_committed_message_has_its_head_and_its_content(tmp_path: Path, made: Made, size: int) -> None:
    async def scene() -> None:
        async with made(tmp_path) as it:
            draft = it.spool.draft([heads])
            for at in range(0, size, 1000):
                await draft.write(memoryview(b"x" * min(1000, size - at)))
            assert draft.size == len(heads(draft.id)) + size
            entry = await it.spool.commit(draft, ENVELOPE, message_class="normal", peer=Peer())
            assert (entry.id, entry.size, entry.message_class) == (draft.id, draft.size, "normal")
            assert await it.content(entry.id) == heads(draft.id) + b"x" * size
            assert set(it.spool.entries) == {entry.id}
            await draft.abort()
            assert set(it.spool.entries) == {entry.id}

    asyncio.run(scene())


def test_every_draft_has_an_id_of_its_own(tmp_path: Path, made: Made) -> None:
    async def scene() -> None:
        async with made(tmp_path) as it:
            drafts = [it.spool.draft([heads]) for _ in range(100)]
            assert len({draft.id for draft in drafts}) == 100
            assert all(0 < len(draft.id) <= 16 and draft.id.isalnum() and draft.id.islower() for draft in drafts)
            for draft in drafts:
                await draft.abort()
                await draft.abort()
            assert not it.spool.entries

    asyncio.run(scene())


def test_a_cancelled_caller_does_not_cancel_the_commit(tmp_path: Path, made: Made) -> None:
    async def scene() -> None:
        async with made(tmp_path) as it:
            draft = it.spool.draft([heads])
            await draft.write(b"x")
            task = asyncio.create_task(it.spool.commit(draft, ENVELOPE, message_class="bulk", peer=Peer()))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with asyncio.timeout(10):
                while draft.id not in it.spool.entries:
                    await asyncio.sleep(0.001)

    asyncio.run(scene())


def test_a_full_disk_refuses_the_draft(tmp_path: Path, made: Made) -> None:
    async def scene() -> None:
        async with made(tmp_path) as it:
            it.full()
            with pytest.raises(SpoolFull):
                it.spool.draft([heads])

    asyncio.run(scene())


def test_room_and_state(tmp_path: Path, made: Made) -> None:
    async def scene() -> None:
        async with made(tmp_path) as it:
            free, reserve = it.spool.room()
            assert free > reserve > 0
            assert it.spool.load_state("x") is None
            await it.spool.save_state("x", b"1")
            assert it.spool.load_state("x") == b"1"

    asyncio.run(scene())
