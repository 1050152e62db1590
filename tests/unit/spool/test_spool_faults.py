"""Full disks, dying disks, read-only disks: what was accepted stays, what is promised is kept, service comes back (P10)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
import time
from pathlib import Path

import pytest

from gateway.errors import ContentDamaged, NotNow, SpoolError, SpoolFull
from gateway.events import Alarm, Event, Remark
from gateway.spool.draft import Drafts
from gateway.spool.ledger import Pace
from gateway.spool.notes import PAGE
from tests.support.clock import FakeClock
from tests.support.faultydisk import FaultyDisk
from tests.support.spools import SMALL_MAIL, a_spool, deliver, kill, names, open_spool, put, say_delivered, until
from tests.support.spools import whole_content as read

LARGE = b"x" * 200_000


def test_below_the_reserve_a_draft_is_refused_at_once_and_welcome_when_room_is_back(tmp_path: Path) -> None:
    async def scene() -> None:
        disk, clock = FaultyDisk(free=100_000), FakeClock()
        async with a_spool(tmp_path / "spool", disk=disk, clock=clock, reserve=200_000) as spool:
            with pytest.raises(SpoolFull):
                await put(spool)
            disk.free = 10_000_000
            clock.advance(1.1)
            await put(spool)

    asyncio.run(scene())


def test_content_that_would_touch_the_reserve_is_refused_while_it_comes_and_leaves_no_file(tmp_path: Path) -> None:
    async def scene() -> None:
        disk = FaultyDisk(free=250_000)
        async with a_spool(tmp_path / "spool", disk=disk, reserve=100_000) as spool:
            with pytest.raises(SpoolFull):
                await put(spool, LARGE)
            assert names(tmp_path / "spool" / "incoming") == set()
            assert not spool.entries

    asyncio.run(scene())


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["open", "write", "fsync", "fsync_dir"])
def test_large_content_that_finds_the_disk_full_at_any_step_leaves_nothing(
    tmp_path: Path, call: str, error: int
) -> None:
    async def scene() -> None:
        disk = FaultyDisk()
        async with a_spool(tmp_path / "spool", disk=disk) as spool:
            disk.fail(call, error=error, path="incoming")
            with pytest.raises(SpoolFull):
                await put(spool, LARGE)
            assert names(tmp_path / "spool" / "incoming") == set()
            disk.heal()
            entry = await put(spool, LARGE)
            assert (await read(spool, entry.id)).endswith(LARGE)

    asyncio.run(scene())


def test_a_failed_flush_of_content_is_not_repeated_on_that_file(tmp_path: Path) -> None:
    async def scene() -> None:
        disk = FaultyDisk()
        async with a_spool(tmp_path / "spool", disk=disk) as spool:
            fault = disk.fail("fsync", path="incoming")
            with pytest.raises(SpoolError):
                await put(spool, LARGE)
            assert fault.hits == 1
            assert names(tmp_path / "spool" / "incoming") == set()

    asyncio.run(scene())


def test_a_failed_flush_of_the_journal_refuses_the_mail_and_gives_the_file_up(tmp_path: Path) -> None:
    async def scene() -> None:
        disk = FaultyDisk()
        root = tmp_path / "spool"
        spool = await open_spool(root, disk=disk)
        kept = await put(spool)
        fault = disk.fail("fdatasync", path="journal", times=1)
        with pytest.raises(SpoolError):
            await put(spool, b"refused\r\n")
        assert fault.hits == 1
        after = await put(spool)
        flushed = [call for call in disk.calls if call.startswith("fdatasync")]
        assert flushed[-1] != flushed[0], "another file of the journal took over"
        await kill(spool)
        async with a_spool(root) as again:
            assert set(again.entries) == {kept.id, after.id}, "what was refused does not come back"

    asyncio.run(scene())


def test_refused_mail_never_becomes_a_pair_though_the_next_checkpoint_hears_of_the_same_error(tmp_path: Path) -> None:
    """syncfs(2) reports what a file's own flush has reported already, so that all pairs are made anew from the journal."""

    async def scene() -> None:
        root, events, disk = tmp_path / "spool", list[Event](), FaultyDisk()
        async with a_spool(root, events, disk=disk) as spool:
            disk.fail("fdatasync", times=1)
            saving = disk.fail("sync_all", times=1)
            with pytest.raises(SpoolError):
                await put(spool)
            await until(lambda: saving.hits == 1 and not spool._ledger.is_full and not spool._ledger.pending)
            assert names(root / "queue") == set()
        async with a_spool(root, events, disk=disk) as spool:
            assert not spool.entries
        assert names(root / "set-aside") == set()

    asyncio.run(scene())


def test_pairs_that_cannot_be_made_stay_in_the_journal_and_are_made_when_the_disk_allows(tmp_path: Path) -> None:
    async def scene() -> None:
        disk, events = FaultyDisk(), list[Event]()
        root = tmp_path / "spool"
        async with a_spool(root, events, disk=disk) as spool:
            disk.fail("open", error=errno.ENOSPC, path="queue")
            entry = await put(spool)
            await until(lambda: any(isinstance(event, Alarm) for event in events))
            assert names(root / "queue") == set()
            with pytest.raises(SpoolFull):
                await put(spool)
            assert (await read(spool, entry.id)).endswith(SMALL_MAIL)
            other = await spool.claim(entry.id)
            spool.give_back(other)
            disk.heal()
            await until(lambda: len(names(root / "queue")) == 2 and not spool._ledger.is_full)
            await put(spool)
        assert sum(isinstance(event, Alarm) for event in events) == 1

    asyncio.run(scene())


def test_an_outcome_that_cannot_be_written_is_kept_and_the_message_is_not_sent_again(tmp_path: Path) -> None:
    async def scene() -> None:
        disk = FaultyDisk()
        root = tmp_path / "spool"
        async with a_spool(root, disk=disk) as spool:
            entry = await put(spool)
            claim = await spool.claim(entry.id)
            disk.fail(error=errno.EROFS)
            await spool.mark_on_wire([entry.id])
            say_delivered(claim)
            with pytest.raises(SpoolError):
                await spool.settle([claim])
            with pytest.raises(NotNow):
                await spool.claim(entry.id)
            disk.heal()
            await until(lambda: not spool.entries)
        async with a_spool(root) as again:
            assert not again.entries

    asyncio.run(scene())


def test_with_sixty_four_outcomes_owed_nothing_more_is_given_out(tmp_path: Path) -> None:
    async def scene() -> None:
        disk = FaultyDisk()
        async with a_spool(tmp_path / "spool", disk=disk) as spool:
            entries = [await put(spool) for _ in range(65)]
            claims = [await spool.claim(entry.id) for entry in entries[:64]]
            disk.fail(error=errno.EROFS)
            for claim in claims:
                say_delivered(claim)
            with pytest.raises(SpoolError):
                await spool.settle(claims)
            with pytest.raises(NotNow):
                await spool.claim(entries[64].id)
            disk.heal()
            await until(lambda: len(spool.entries) == 1)
            await deliver(spool, entries[64].id)

    asyncio.run(scene())


def test_a_failed_flush_of_pairs_makes_all_of_them_anew(tmp_path: Path) -> None:
    async def scene() -> None:
        disk = FaultyDisk()
        root = tmp_path / "spool"
        spool = await open_spool(root, disk=disk)
        await put(spool)
        await until(lambda: len(names(root / "queue")) == 2)
        disk.fail("sync_all", times=1)
        assert not await spool._ledger.checkpoint()
        assert await spool._ledger.checkpoint()
        opened = [call for call in disk.calls if call.startswith("open") and call.endswith(".eml")]
        assert len(opened) == 2, "written again into a new file"
        await spool.close()

    asyncio.run(scene())


class Gate(FaultyDisk):
    """Holds a flush of all, and then one of the journal, until they are let go; both fail."""

    def __init__(self) -> None:
        super().__init__()
        self.is_armed = False
        self.at_all, self.at_journal = threading.Event(), threading.Event()
        self.lets_all_go, self.lets_journal_go = threading.Event(), threading.Event()

    def sync_all(self, path: str) -> None:
        if self.is_armed and not self.at_all.is_set():
            self._hold(self.at_all, self.lets_all_go)
        super().sync_all(path)

    def fdatasync(self, descriptor: int) -> None:
        if self.at_all.is_set() and not self.at_journal.is_set():
            self._hold(self.at_journal, self.lets_journal_go)
        super().fdatasync(descriptor)

    def _hold(self, reached: threading.Event, goes_on: threading.Event) -> None:
        reached.set()
        assert goes_on.wait(10)
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_pairs_are_made_anew_from_what_is_flushed_not_from_what_may_yet_fail(tmp_path: Path) -> None:
    async def scene() -> None:
        root, disk = tmp_path / "spool", Gate()
        async with a_spool(root, disk=disk) as spool:
            item = (await put(spool)).id
            await until(lambda: not spool._ledger.pending)
            disk.is_armed = True
            checkpoint = asyncio.create_task(spool._ledger.checkpoint())
            await until(disk.at_all.is_set)
            removing = asyncio.create_task(spool.remove([item], by="operator"))
            await until(disk.at_journal.is_set)
            disk.lets_all_go.set()
            assert not await checkpoint
            disk.lets_journal_go.set()
            with pytest.raises(SpoolError):
                await removing
            await until(lambda: not spool._ledger.is_full and not spool._ledger.pending)
            assert (names(root / "queue"), names(root / "removed")) == ({f"{item}.eml", f"{item}.env"}, set())
            await deliver(spool, item)

    asyncio.run(scene())


class SlowToRead(FaultyDisk):
    """Holds the first flush of all, which fails, and then what is read of the journal, until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.is_armed = False
        self.at_all, self.at_read = threading.Event(), threading.Event()
        self.lets_all_go, self.lets_read_go = threading.Event(), threading.Event()

    def sync_all(self, path: str) -> None:
        if self.is_armed:
            self.is_armed = False
            self.at_all.set()
            assert self.lets_all_go.wait(10)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync_all(path)

    def read(self, descriptor: int, count: int, offset: int) -> bytes:
        if self.at_all.is_set() and "/journal/" in self._paths[descriptor]:
            self.at_read.set()
            assert self.lets_read_go.wait(10)
        return super().read(descriptor, count, offset)


def test_what_ends_while_pairs_are_made_anew_gets_none(tmp_path: Path) -> None:
    async def scene() -> None:
        root, disk = tmp_path / "spool", SlowToRead()
        async with a_spool(root, disk=disk, pace=Pace(follow=3600.0, checkpoint=3600.0, retry=3600.0)) as spool:
            await put(spool)
            disk.is_armed = True
            checkpoint = asyncio.create_task(spool._ledger.checkpoint())
            await until(disk.at_all.is_set)
            item = (await put(spool)).id
            disk.lets_all_go.set()
            await until(disk.at_read.is_set)
            await deliver(spool, item)
            disk.lets_read_go.set()
            assert not await checkpoint
            assert await spool._ledger.checkpoint()
            assert f"{item}.env" not in names(root / "queue")

    asyncio.run(scene())


def test_pairs_are_made_anew_though_the_journal_could_not_be_opened_at_once(tmp_path: Path) -> None:
    async def scene() -> None:
        root, disk = tmp_path / "spool", FaultyDisk()
        async with a_spool(root, disk=disk) as spool:
            item = (await put(spool)).id
            await until(lambda: not spool._ledger.pending)
            disk.fail("sync_all", times=1)
            disk.fail("read", path="journal", error=errno.EMFILE)
            assert not await spool._ledger.checkpoint()
            disk.heal()
            disk.calls.clear()
            assert await spool._ledger.checkpoint()
            assert f"unlink {root}/queue/{item}.eml" in disk.calls, "the old one was in the way of a new one"
            assert spool._ledger._held == 0

    asyncio.run(scene())


def test_every_call_failing_for_a_while_costs_no_accepted_mail(tmp_path: Path) -> None:
    async def scene() -> None:
        disk = FaultyDisk()
        root = tmp_path / "spool"
        kept: set[str] = set()
        async with a_spool(root, disk=disk) as spool:
            for error in (errno.EIO, errno.ENOSPC, errno.EROFS):
                for call in (
                    "open",
                    "write",
                    "fsync",
                    "fdatasync",
                    "fsync_dir",
                    "sync_all",
                    "rename",
                    "link",
                    "unlink",
                ):
                    disk.fail(call, error=error)
                    for content in (SMALL_MAIL, LARGE):
                        with contextlib.suppress(SpoolError):
                            kept.add((await put(spool, content)).id)
                    await spool._ledger.checkpoint()
                    disk.heal()
                    assert await spool._ledger.checkpoint()
            assert set(spool.entries) == kept
        async with a_spool(root) as again:
            assert set(again.entries) == kept
            for item in kept:
                again.give_back(await again.claim(item))

    asyncio.run(scene())


def test_content_that_somebody_took_away_does_not_stop_the_rest(tmp_path: Path) -> None:
    async def scene() -> None:
        root, events = tmp_path / "spool", list[Event]()
        slow = Pace(follow=3600.0, checkpoint=3600.0)
        async with a_spool(root, events, pace=slow) as spool:
            lost, kept = await put(spool, LARGE), await put(spool, LARGE)
            (root / "incoming" / f"{lost.id}.eml").unlink()
            assert await spool._ledger.checkpoint()
            assert [event.what for event in events if isinstance(event, Alarm)] != []
            with pytest.raises(ContentDamaged):
                await spool.claim(lost.id)
            spool.give_back(await spool.claim(kept.id))
        async with a_spool(root) as again:
            assert set(again.entries) == {kept.id}

    asyncio.run(scene())


def test_a_folder_that_is_missing_for_a_while_costs_no_mail(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        async with a_spool(root) as spool:
            (root / "queue").rename(root / "elsewhere")
            entry = await put(spool)
            assert not await spool._ledger.checkpoint()
            (root / "elsewhere").rename(root / "queue")
            assert await spool._ledger.checkpoint()
            assert (root / "queue" / f"{entry.id}.eml").exists()

    asyncio.run(scene())


def test_sectors_that_cannot_be_read_cost_no_start(tmp_path: Path) -> None:
    class Rotten(FaultyDisk):
        """Gives back nothing of one page of each journal file, of the counter and of the list of the ended."""

        def read(self, descriptor: int, count: int, offset: int) -> bytes:
            path = self._paths[descriptor]
            if path.endswith(("ids", "ended")) or ("journal" in path and offset <= 2 * PAGE < offset + count):
                raise OSError(errno.EIO, "Input/output error")
            return FaultyDisk.read(self, descriptor, count, offset)

    async def scene() -> None:
        root, events = tmp_path / "spool", list[Event]()
        slow = Pace(follow=3600.0, checkpoint=3600.0)
        spool = await open_spool(root, pace=slow)
        ids = [(await put(spool)).id for _ in range(4)]
        await deliver(spool, ids[3])
        await kill(spool)
        async with a_spool(root, events, disk=Rotten()) as again:
            assert set(again.entries) == set(ids[:3]) - {ids[1]}
            assert any(isinstance(event, Remark) and "pages of the journal" in event.what for event in events)

    asyncio.run(scene())


def test_large_commits_at_once_share_the_flush_of_their_folder_and_its_failure(tmp_path: Path) -> None:
    waiting: list[Drafts] = []

    class Slow(FaultyDisk):
        def fsync_dir(self, path: str) -> None:
            """Not before others wait for this flush, too."""
            end = time.monotonic() + 10
            while waiting and path.endswith("incoming") and waiting[0]._named < 4 and time.monotonic() < end:
                time.sleep(0.001)
            super().fsync_dir(path)

    async def scene() -> None:
        root, disk = tmp_path / "spool", Slow()
        async with a_spool(root, disk=disk) as spool:
            before = sum("fsync_dir" in call and "incoming" in call for call in disk.calls)
            waiting.append(spool._accepting.drafts)
            await asyncio.gather(*[put(spool, LARGE) for _ in range(12)])
            flushes = sum("fsync_dir" in call and "incoming" in call for call in disk.calls) - before
            assert flushes < 12
            await spool._ledger.checkpoint()
            disk.fail("fsync_dir", path="incoming", times=1)
            outcomes = await asyncio.gather(*[put(spool, LARGE) for _ in range(6)], return_exceptions=True)
            refused = [outcome for outcome in outcomes if isinstance(outcome, SpoolError)]
            assert refused
            await spool._ledger.checkpoint()
            assert len(spool.entries) == 18 - len(refused)
            assert names(root / "incoming") == set()

    asyncio.run(scene())
