"""Starting a spool: alone, in folders of its own, also where the disk refuses."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from gateway.errors import SpoolError, SpoolFull, SpoolLocked
from gateway.events import Alarm, Event, InDoubt
from gateway.spool import starting
from tests.support.faultydisk import FaultyDisk
from tests.support.spools import SMALL_MAIL, a_spool, kill, names, open_spool, put, until
from tests.support.spools import whole_content as read


def test_two_gateways_never_share_a_spool(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        async with a_spool(root):
            with pytest.raises(SpoolLocked, match=str(os.getpid())):
                await open_spool(root)
        async with a_spool(root):
            pass

    asyncio.run(scene())


def test_folders_are_for_us_alone(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        async with a_spool(root) as spool:
            entry = await put(spool)
            await until(lambda: (root / "queue" / f"{entry.id}.env").exists())
        for path in [root, *root.rglob("*")]:
            assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path

    asyncio.run(scene())


def test_a_start_on_a_full_disk_keeps_what_the_journal_holds(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        spool = await open_spool(root)
        ids = [(await put(spool)).id for _ in range(3)]
        await kill(spool)
        disk = FaultyDisk()
        disk.fail("open", "allocate", "link", error=errno.ENOSPC, path="queue|journal")
        async with a_spool(root, disk=disk) as again:
            assert sorted(again.entries) == ids
            assert (await read(again, ids[0])).endswith(SMALL_MAIL)
            with pytest.raises(SpoolFull):
                await put(again)
            disk.heal()
            await until(lambda: len(names(root / "queue")) == 6 and not again._ledger.is_full)
            await put(again)

    asyncio.run(scene())


def test_what_cannot_be_a_spool_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "queue").write_bytes(b"a file in the place of a folder")

    with pytest.raises(SpoolError, match=f"the spool {tmp_path}/spool cannot be used: File exists"):
        asyncio.run(open_spool(tmp_path / "spool"))


def test_a_start_that_fails_gives_the_lock_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async def scene() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(starting, "recover", unreadable)
            with pytest.raises(SpoolError, match="cannot be used: Input/output error"):
                await open_spool(tmp_path / "spool")
        async with a_spool(tmp_path / "spool"):
            pass

    asyncio.run(scene())


def test_a_doubt_that_cannot_be_noted_is_told_and_stops_no_start(tmp_path: Path) -> None:
    async def scene() -> None:
        root, events, disk = tmp_path / "spool", list[Event](), FaultyDisk()
        spool = await open_spool(root)
        item = (await put(spool)).id
        await spool.claim(item)
        await spool.mark_on_wire([item])
        await kill(spool)
        disk.fail("write", path="journal")
        async with a_spool(root, events, disk=disk) as again:
            assert again.in_doubt_at_start == (item,)
            told = [event.what for event in events if isinstance(event, Alarm)]
            assert told[0].startswith("what was in doubt is not on disk yet: ")
            assert [(event.id, event.to) for event in events if isinstance(event, InDoubt)] == [
                (item, ("b@dest.test",))
            ]
            disk.heal()

    asyncio.run(scene())
