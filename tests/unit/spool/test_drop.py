"""The drop folder: what is written into it is safe, and becomes mail once, whatever fails on the way."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.durable import Disk
from gateway.errors import SpoolError, SpoolFull
from gateway.events import Alarm, Event, Journal, Received, SetAside
from gateway.mail.envelope import Class, Envelope
from gateway.spool.drop import STRAY_SECONDS, DropFolder, Dropped
from gateway.spool.dropfile import NoSpool, write_drop
from gateway.spool.spool import Spool
from tests.support.clock import FakeClock
from tests.support.faultydisk import FaultyDisk

CONTENT = b"From: a@b.example\r\nSubject: s\r\n\r\nbody\r\n"


def hand_in(root: Path, content: bytes = CONTENT, disk: Disk | None = None, **more: object) -> str:
    arguments: dict[str, object] = {"reverse_path": "a@b.example", "recipients": [{"address": "c@d.example"}]}
    return write_drop(disk or Disk(), str(root), content, user="anna", **(arguments | more))  # type: ignore[arg-type]  # by name


@dataclass(frozen=True)
class Rig:
    spool: Spool
    folder: DropFolder
    events: list[Event]


def with_drop(root: Path, work: Callable[[Rig], Awaitable[None]], disk: Disk | None = None) -> None:
    """Run `work` over an open spool and its drop folder."""

    async def run() -> None:
        events: list[Event] = []
        journal = Journal()
        journal.subscribe(events.append)
        spool = await Spool.open(root, clock=FakeClock(), journal=journal, reserve=0, durable=disk)
        folder = DropFolder(root, spool, journal=journal, head=head, classify=classify, disk=disk)
        try:
            await work(Rig(spool, folder, events))
        finally:
            await folder.stop()
            await spool.close()

    asyncio.run(run())


def head(item: str, dropped: Dropped) -> bytes:
    return f"Received: by gw.example id {item} (from user {dropped.user})\r\n".encode()


def classify(envelope: Envelope, header: bytes) -> Class:
    assert envelope.recipients
    return "urgent" if b"Subject: urgent" in header else "normal"


def files(root: Path) -> list[str]:
    return sorted(os.listdir(root / "drop"))


def test_what_was_handed_in_becomes_a_message_with_its_envelope_and_class(tmp_path: Path) -> None:
    content = CONTENT.replace(b"Subject: s", b"Subject: urgent")
    hand_in(
        tmp_path,
        content,
        recipients=[{"address": "c@d.example", "notify": "NEVER"}, {"address": "e@f.example"}],
        ret="HDRS",
        envid="x1",
        body="8BITMIME",
    )

    async def work(rig: Rig) -> None:
        [item] = await rig.folder.take()
        record = await rig.spool.record(item)
        assert [(to.address, to.notify) for to in record.recipients] == [
            ("c@d.example", "NEVER"),
            ("e@f.example", None),
        ]
        assert (record.reverse_path, record.ret, record.envid, record.body) == ("a@b.example", "HDRS", "x1", "8BITMIME")
        assert (record.service, record.user, record.message_class) == ("sendmail", "anna", "urgent")
        stored = await rig.spool.content(item)
        octets = await stored.read(0, stored.size)
        stored.close()
        assert octets == f"Received: by gw.example id {item} (from user anna)\r\n".encode() + content
        assert [event.id for event in rig.events if isinstance(event, Received)] == [item]
        assert files(tmp_path) == []
        assert await rig.folder.take() == []

    with_drop(tmp_path, work)


def test_files_are_taken_in_the_order_in_which_they_came_and_large_ones_whole(tmp_path: Path) -> None:
    contents = [b"Subject: %d\r\n\r\n" % n + b"x" * 998 * n + b"\r\n" for n in (1, 300, 2)]
    for content in contents:
        hand_in(tmp_path, content)

    async def work(rig: Rig) -> None:
        items = await rig.folder.take()
        top = len(f"Received: by gw.example id {items[0]} (from user anna)\r\n")
        sizes = [(await rig.spool.record(item)).size - top for item in items]
        assert sizes == [len(content) for content in contents]

    with_drop(tmp_path, work)


def test_the_file_and_its_folder_are_the_owner_s_alone(tmp_path: Path) -> None:
    path = Path(hand_in(tmp_path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_without_a_spool_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(NoSpool, match="there is no spool"):
        hand_in(tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename", "mkdir"])
def test_a_disk_that_fails_leaves_nothing_and_is_told(tmp_path: Path, call: str) -> None:
    disk = FaultyDisk()
    disk.fail(call, error=errno.ENOSPC, path="drop")
    with pytest.raises(SpoolFull, match="cannot be written"):
        hand_in(tmp_path, disk=disk)
    assert not (tmp_path / "drop").exists() or files(tmp_path) == []


def test_no_success_is_told_when_the_folder_could_not_be_flushed(tmp_path: Path) -> None:
    disk = FaultyDisk()
    disk.fail("fsync_dir", path="drop")
    with pytest.raises(SpoolError):
        hand_in(tmp_path, disk=disk)


def test_the_reserve_of_the_disk_is_respected(tmp_path: Path) -> None:
    disk = FaultyDisk(free=1000)
    with pytest.raises(SpoolFull, match="reserve"):
        hand_in(tmp_path, disk=disk, reserve=990)
    hand_in(tmp_path, disk=FaultyDisk(free=10_000), reserve=990)


def test_what_cannot_be_stored_now_stays_is_told_once_and_is_taken_later(tmp_path: Path) -> None:
    hand_in(tmp_path)
    disk = FaultyDisk()

    async def work(rig: Rig) -> None:
        disk.fail("open", path=r"drop/.*\.mail$", error=errno.EIO)
        disk.fail("read", path=r"drop/.*\.mail$", error=errno.EIO)
        assert await rig.folder.take() == []
        assert await rig.folder.take() == []
        assert len([event for event in rig.events if isinstance(event, Alarm)]) == 1
        assert len(files(tmp_path)) == 1
        disk.heal()
        assert len(await rig.folder.take()) == 1
        assert files(tmp_path) == []

    with_drop(tmp_path, work, disk)


def test_a_file_that_cannot_be_read_keeps_no_other_waiting(tmp_path: Path) -> None:
    bad = os.path.basename(hand_in(tmp_path))
    hand_in(tmp_path)
    disk = FaultyDisk()

    async def work(rig: Rig) -> None:
        disk.fail("read", path=bad)
        assert len(await rig.folder.take()) == 1
        assert files(tmp_path) == [bad]
        assert await rig.folder.take() == []
        [alarm] = [event for event in rig.events if isinstance(event, Alarm)]
        assert f"{bad} cannot be read" in alarm.what
        disk.heal()
        assert len(await rig.folder.take()) == 1

    with_drop(tmp_path, work, disk)


def test_a_message_that_is_too_large_for_the_disk_keeps_no_smaller_one_waiting(tmp_path: Path) -> None:
    large = os.path.basename(hand_in(tmp_path, CONTENT + b"x" * 600_000))
    larger = os.path.basename(hand_in(tmp_path, CONTENT + b"x" * 700_000))
    hand_in(tmp_path)
    disk = FaultyDisk()

    async def work(rig: Rig) -> None:
        disk.fail("write", "open", "fsync", path=r"incoming/", error=errno.ENOSPC)  # where large content goes
        assert len(await rig.folder.take()) == 1
        assert files(tmp_path) == [large, larger]
        disk.heal()
        assert len(await rig.folder.take()) == 2

    with_drop(tmp_path, work, disk)


def test_a_cut_between_commit_and_unlink_costs_one_extra_copy_and_no_loss(tmp_path: Path) -> None:
    hand_in(tmp_path)
    disk = FaultyDisk()

    async def cut(rig: Rig) -> None:
        disk.fail("unlink", path="drop")
        await rig.folder.take()
        await rig.folder.take()  # it is known, and only the unlinking is tried again
        assert len(rig.spool.entries) == 1
        disk.heal()

    with_drop(tmp_path, cut, disk)

    async def again(rig: Rig) -> None:
        await rig.folder.take()
        assert len(rig.spool.entries) == 2
        await rig.folder.take()
        assert len(rig.spool.entries) == 2

    with_drop(tmp_path, again)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda octets: b"",
        lambda octets: octets[:-1],
        lambda octets: octets + b"x",
        lambda octets: octets.replace(b"body", b"bods"),
        lambda octets: b"no json\n" + octets,
        lambda octets: octets.replace(b'"drop": 1', b'"drop": 2'),
        lambda octets: octets.replace(b"c@d.example", b"c d.example"),
        lambda octets: octets.replace(b'"user"', b'"loser"'),
        lambda octets: octets.replace(b'[{"address": "c@d.example"}]', b"[]"),
        lambda octets: b"{" * 100_000 + octets,
    ],
)
def test_what_is_no_message_is_set_aside_and_stops_no_other(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    path = Path(hand_in(tmp_path))
    path.write_bytes(spoil(path.read_bytes()))
    hand_in(tmp_path)

    async def work(rig: Rig) -> None:
        assert len(await rig.folder.take()) == 1
        assert [event.name for event in rig.events if isinstance(event, SetAside)] == [path.name]
        assert (tmp_path / "set-aside" / path.name).exists()
        assert files(tmp_path) == []

    with_drop(tmp_path, work)


def test_links_folders_and_pipes_under_such_a_name_are_set_aside_unread(tmp_path: Path) -> None:
    (tmp_path / "drop").mkdir()
    (tmp_path / "drop" / "1.mail").symlink_to("/etc/passwd")
    (tmp_path / "drop" / "2.mail").mkdir()
    os.mkfifo(tmp_path / "drop" / "3.mail")

    async def work(rig: Rig) -> None:
        assert await rig.folder.take() == []
        assert len([event for event in rig.events if isinstance(event, SetAside)]) == 3
        assert not [event for event in rig.events if isinstance(event, Alarm)]
        assert files(tmp_path) == []

    with_drop(tmp_path, work)


def test_old_strays_are_swept_and_those_being_written_are_left(tmp_path: Path) -> None:
    (tmp_path / "drop").mkdir()
    for name, age in (("old.mail.new", STRAY_SECONDS + 60), ("young.mail.new", 1.0), ("other.txt", 9999.0)):
        path = tmp_path / "drop" / name
        path.write_bytes(b"half")
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))

    async def work(rig: Rig) -> None:
        assert await rig.folder.take() == []
        assert files(tmp_path) == ["other.txt", "young.mail.new"]

    with_drop(tmp_path, work)


def test_a_caller_that_goes_away_does_not_make_a_second_copy(tmp_path: Path) -> None:
    for _ in range(5):
        hand_in(tmp_path)

    async def work(rig: Rig) -> None:
        asked = asyncio.create_task(rig.folder.take())
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await rig.folder.take()
        assert len(rig.spool.entries) == 5

    with_drop(tmp_path, work)
