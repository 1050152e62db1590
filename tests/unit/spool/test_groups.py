"""When a group of notes begins, and when its writer hears of it: on a slow disk several flushes are under way at once."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path

import pytest

from gateway.durable import Disk
from gateway.errors import SpoolError
from gateway.spool.grouppace import (
    GATHERED,
    LATELY,
    LONGEST,
    MOST_UNDER_WAY,
    RECENT,
    SLOW,
    GroupPace,
)
from gateway.spool.groups import Groups
from gateway.spool.journal_state import read_journal
from gateway.spool.notes import Kind, Note, find_files, read_pages, scan
from gateway.spool.writeahead import WriteAhead
from tests.support.spools import until


def after(seconds: float, served: int = 1) -> GroupPace:
    pace = GroupPace()
    pace.begins(100.0, served)
    pace.written(seconds)
    return pace


def test_with_none_under_way_a_group_begins_at_once() -> None:
    assert GroupPace().wait(0, 0.0) == 0
    assert after(1.0).wait(0, 100.0) == 0


def test_who_has_come_waits_a_moment_for_messages_that_are_being_handed_in() -> None:
    pace = after(SLOW / 2)
    assert pace.wait(0, 100.001, waiting=1, since=100.0, coming=3) == pytest.approx(LONGEST - 0.001)
    assert pace.wait(0, 100.001, waiting=GATHERED, since=100.0, coming=3) == 0
    assert pace.wait(0, 101.0, waiting=2, since=100.0, coming=3) == 0
    assert pace.wait(0, 100.001, waiting=1, since=100.0, coming=0) == 0


def test_and_for_as_many_as_came_the_last_time_if_that_was_lately() -> None:
    pace = after(SLOW / 2, served=4)
    assert pace.wait(0, 100.002, waiting=3, since=100.001) == pytest.approx(LONGEST - 0.001)
    assert pace.wait(0, 100.002, waiting=4, since=100.001) == 0
    assert pace.wait(0, 100.0 + 2 * LATELY, waiting=1, since=100.0 + 2 * LATELY) == 0


def test_nobody_waits_twice_for_one_who_is_slow_at_handing_in() -> None:
    pace = after(SLOW / 2)
    pace.begins(200.0, 1, 200.0 - LONGEST, coming=1)
    assert pace.wait(0, 201.0, waiting=1, since=201.0, coming=1) == 0
    assert pace.wait(0, 201.0, waiting=1, since=201.0, coming=2) == pytest.approx(LONGEST), "for another"
    assert pace.wait(0, 202.0, waiting=1, since=202.0, coming=0) == 0, "it has come"
    assert pace.wait(0, 203.0, waiting=1, since=203.0, coming=1) == pytest.approx(LONGEST)


def test_a_disk_is_as_fast_as_its_fastest_flush_of_late() -> None:
    pace = after(0.012)
    assert pace.wait(1, 101.0) == 0
    pace.written(SLOW / 4)
    assert pace.wait(1, 101.0) is None, "the other one was slow for another reason"
    for _ in range(RECENT):
        pace.written(0.012)
    assert pace.wait(1, 101.0) == 0


def test_on_a_slow_disk_nobody_waits_for_others() -> None:
    assert after(0.012, served=5).wait(0, 100.001, waiting=1, since=100.0, coming=3) == 0


def test_on_a_fast_disk_one_ends_before_the_next_begins() -> None:
    assert GroupPace().wait(1, 5.0) is None
    assert after(SLOW / 2).wait(1, 105.0) is None


def test_on_a_slow_disk_they_begin_at_equal_distances_and_never_more_than_a_few() -> None:
    pace = after(0.012)
    assert pace.wait(1, 100.0) == pytest.approx(0.012 / MOST_UNDER_WAY)
    assert pace.wait(1, 100.001) == pytest.approx(0.012 / MOST_UNDER_WAY - 0.001)
    assert pace.wait(2, 101.0) == 0
    assert pace.wait(MOST_UNDER_WAY, 101.0) is None


class SlowDisk(Disk):
    """Each flush of the journal waits until it is let go, by its number; `fails` are those that then fail."""

    def __init__(self) -> None:
        self.flushes: list[tuple[int, threading.Event]] = []
        self.fails: set[int] = set()
        self.is_slow = False

    def fdatasync(self, descriptor: int) -> None:
        if not self.is_slow:
            return
        let_go = threading.Event()
        number = len(self.flushes)
        self.flushes.append((descriptor, let_go))
        assert let_go.wait(10)
        if number in self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


class Scene:
    """A journal of its own on a slow disk, with groups that may overlap. `taken_in`: the IDs, in order."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, size: int = 1 << 20) -> None:
        monkeypatch.setattr(GroupPace, "wait", lambda self, under_way, *_: 0.0 if under_way < MOST_UNDER_WAY else None)
        self.folder, self.disk = folder, SlowDisk()
        self.log = WriteAhead(self.disk, str(folder), size)
        self.taken_in: list[str] = []
        self.failures = 0
        self.on_wire: set[str] = set()
        self.groups = Groups(self.log, lambda: tuple(self.on_wire), self._take_in, self._failed)
        self.disk.is_slow = True

    def _take_in(self, note: Note, number: int) -> None:
        self.taken_in.append(note.id)
        if note.kind is Kind.WIRE:
            self.on_wire.add(note.id)
        else:
            self.on_wire.discard(note.id)

    def _failed(self) -> None:
        self.failures += 1

    def write(self, item: str, octets: int = 10) -> asyncio.Task[int]:
        return self.hand_in(Note(Kind.ACCEPTED, item, b"{}", b"x" * octets))

    def hand_in(self, *notes: Note) -> asyncio.Task[int]:
        async def wait() -> int:
            return await self.groups.write(notes)

        return asyncio.create_task(wait())

    async def flushing(self, count: int) -> None:
        await until(lambda: len(self.disk.flushes) == count)

    def let_go(self, number: int) -> None:
        self.disk.flushes[number][1].set()

    async def close(self) -> None:
        self.disk.is_slow = False
        for _, event in self.disk.flushes:
            event.set()
        await self.groups.close()

    def stored(self) -> list[str]:
        """What a start would find."""
        return [
            note.id
            for file in find_files(self.disk, str(self.folder))[0]
            for note in scan(read_pages(self.disk, file)[0], file.nonce)
        ]


def test_what_comes_during_a_slow_flush_gets_one_of_its_own_and_hears_in_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        scene = Scene(tmp_path, monkeypatch)
        first = scene.write("aaaa0000001")
        await scene.flushing(1)
        second = scene.write("aaaa0000002")
        await scene.flushing(2)
        assert scene.disk.flushes[0][0] != scene.disk.flushes[1][0]  # each its descriptor, so each its error
        scene.let_go(1)
        await until(lambda: scene.groups._under_way[1].has_answer)
        assert not second.done()
        assert scene.taken_in == []
        scene.let_go(0)
        assert await first == await second == 1
        assert scene.taken_in == ["aaaa0000001", "aaaa0000002"]
        assert scene.stored() == ["aaaa0000001", "aaaa0000002"]
        await scene.close()

    asyncio.run(body())


def test_no_more_than_a_few_flushes_are_under_way_and_the_rest_share_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        scene = Scene(tmp_path, monkeypatch)
        writing = []
        for number in range(MOST_UNDER_WAY):
            writing.append(scene.write(f"aaaa000000{number}"))
            await scene.flushing(number + 1)
        writing += [scene.write(f"aaaa000001{number}") for number in range(5)]
        await asyncio.sleep(0)
        assert scene.groups.under_way == MOST_UNDER_WAY
        scene.let_go(0)
        await scene.flushing(MOST_UNDER_WAY + 1)
        for number in range(1, MOST_UNDER_WAY + 1):
            scene.let_go(number)
        await asyncio.gather(*writing)
        assert len(scene.disk.flushes) == MOST_UNDER_WAY + 1
        await scene.close()

    asyncio.run(body())


@pytest.mark.parametrize("failing", [0, 1])
def test_a_flush_that_fails_takes_those_beside_it_along_and_they_are_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """After a failed flush nobody knows which pages of the file are on the disk (P10)."""

    async def body() -> None:
        scene = Scene(tmp_path, monkeypatch)
        scene.disk.fails = {failing}
        writing = [scene.write("aaaa0000001")]
        await scene.flushing(1)
        writing.append(scene.write("aaaa0000002"))
        await scene.flushing(2)
        scene.let_go(failing)
        await until(lambda: scene.groups._under_way[failing].has_answer or scene.groups.under_way < 2)
        scene.let_go(1 - failing)
        outcomes = await asyncio.gather(*writing, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [SpoolError, SpoolError]
        assert scene.taken_in == []
        assert scene.failures == 2
        third = scene.write("aaaa0000003")
        await scene.flushing(3)
        scene.let_go(2)
        assert await third == 2  # another file
        notes = [
            (note.kind, note.id)
            for file in find_files(scene.disk, str(tmp_path))[0]
            if file.number == 2
            for note in scan(read_pages(scene.disk, file)[0], file.nonce)
        ]
        assert notes == [
            (Kind.ENDED, "aaaa0000001"),
            (Kind.ENDED, "aaaa0000002"),
            (Kind.ACCEPTED, "aaaa0000003"),
        ]
        await scene.close()

    asyncio.run(body())


def test_a_flush_that_was_good_before_another_failed_stays_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        scene = Scene(tmp_path, monkeypatch)
        scene.disk.fails = {0}
        first = scene.write("aaaa0000001")
        await scene.flushing(1)
        second = scene.write("aaaa0000002")
        await scene.flushing(2)
        scene.let_go(1)
        await until(lambda: scene.groups._under_way[1].has_answer)
        scene.let_go(0)
        outcomes = await asyncio.gather(first, second, return_exceptions=True)
        assert isinstance(outcomes[0], SpoolError)
        assert outcomes[1] == 1
        await scene.close()

    asyncio.run(body())


def test_a_new_file_is_begun_when_the_full_one_is_complete_and_says_what_is_on_the_wire_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The full one may be let go as soon as a group in the new one is answered: marks and their ends must not go with it."""

    async def body() -> None:
        scene = Scene(tmp_path, monkeypatch, size=64 * 1024)
        scene.on_wire = {"aaaa0000002"}
        first = scene.hand_in(Note(Kind.WIRE, "aaaa0000001"), Note(Kind.RECORD, "aaaa0000002", b"{}"))
        await scene.flushing(1)
        second = scene.write("aaaa0000003", 55_000)
        for _ in range(5):
            await asyncio.sleep(0)
        assert scene.groups.under_way == 1
        scene.let_go(0)
        await scene.flushing(2)
        scene.let_go(1)
        assert (await first, await second) == (1, 2)
        newest = [file for file in find_files(scene.disk, str(tmp_path))[0] if file.number == 2]
        assert list(read_journal(scene.disk, newest).on_wire) == ["aaaa0000001"]
        await scene.close()

    asyncio.run(body())


def test_who_waits_for_the_pace_goes_on_as_soon_as_nothing_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        scene = Scene(tmp_path, monkeypatch)
        monkeypatch.setattr(GroupPace, "wait", lambda self, under_way, *_: 3600.0 if under_way else 0.0)
        first = scene.write("aaaa0000001")
        await scene.flushing(1)
        second = scene.write("aaaa0000002")
        await until(lambda: scene.groups._submitting is not None)
        scene.let_go(0)
        await first
        await scene.flushing(2)
        scene.let_go(1)
        await second
        await scene.close()

    asyncio.run(body())


def test_where_the_system_has_no_more_threads_the_next_group_waits_for_the_one_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        scene = Scene(tmp_path, monkeypatch)
        first = scene.write("aaaa0000001")
        await scene.flushing(1)
        asked = list[int]()

        def no_thread(thread: threading.Thread) -> None:
            asked.append(1)
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", no_thread)
        second = scene.write("aaaa0000002")
        await until(lambda: bool(asked))
        scene.let_go(0)
        await first
        await scene.flushing(2)
        scene.let_go(1)
        await second
        await scene.close()

    asyncio.run(body())


def test_what_failed_is_taken_back_by_the_next_file_though_nobody_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        scene = Scene(tmp_path, monkeypatch)
        scene.disk.fails = {0}
        first = scene.write("aaaa0000001")
        await scene.flushing(1)
        scene.let_go(0)
        with pytest.raises(SpoolError):
            await first
        turned = scene.groups.turn()
        await scene.flushing(2)
        scene.let_go(1)
        assert await turned == 2
        found = read_journal(scene.disk, find_files(scene.disk, str(tmp_path))[0])
        assert [(change.id, change.place) for change in found.changes.values()] == [("aaaa0000001", "gone")]
        assert scene.taken_in == ["aaaa0000001"]  # so that its files go, should a checkpoint have made some
        await scene.close()

    asyncio.run(body())


def test_a_new_file_that_is_asked_for_waits_until_the_old_one_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        scene = Scene(tmp_path, monkeypatch)
        first = scene.write("aaaa0000001")
        await scene.flushing(1)
        turned = scene.groups.turn()
        behind = scene.write("aaaa0000002")
        await asyncio.sleep(0)
        assert len(scene.disk.flushes) == 1
        scene.let_go(0)
        await first
        await scene.flushing(2)
        scene.let_go(1)
        assert await turned == 2
        await scene.flushing(3)
        scene.let_go(2)
        assert await behind == 2
        await scene.close()

    asyncio.run(body())


def test_who_gives_up_waiting_leaves_the_notes_and_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        scene = Scene(tmp_path, monkeypatch)
        written = scene.groups.write([Note(Kind.ACCEPTED, "aaaa0000001", b"{}", b"x")])

        async def wait() -> int:
            return await written

        given_up, patient = asyncio.create_task(wait()), asyncio.create_task(wait())
        await scene.flushing(1)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        scene.let_go(0)
        assert await patient == 1
        assert scene.taken_in == ["aaaa0000001"]
        await scene.close()

    asyncio.run(body())


def test_at_the_end_what_waits_for_others_is_written_all_the_same(tmp_path: Path) -> None:
    async def body() -> None:
        log = WriteAhead(Disk(), str(tmp_path), 1 << 20)
        groups = Groups(log, tuple, lambda note, number: None, lambda: None)
        groups.coming = 1  # and never comes
        written = groups.write([Note(Kind.ACCEPTED, "aaaa0000001", b"{}", b"x")])
        await groups.close()
        assert written.is_done
        found = read_journal(Disk(), find_files(Disk(), str(tmp_path))[0])
        assert list(found.changes) == ["aaaa0000001"]

    asyncio.run(body())
