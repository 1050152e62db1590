"""Every power cut that a recorded life of the spool could have met, on the disk that keeps no more than it must.

The run accepts, delivers, defers, delivers in part, holds, removes, brings back, ends removals and has a pair put back by hand;
crashlab records each step of the disk. Then every disk that a cut after every step may leave is started once more and asked:
is all mail that was promised there and whole, does nothing come back that had ended, is nothing set aside that no person made.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.durable import Disk
from gateway.events import Event, SetAside
from gateway.spool.ledger import Pace
from gateway.spool.reader import read_queue
from gateway.spool.spool import Claim, Spool
from tests.support.labs import require
from tests.support.spools import a_spool, kill, open_spool, put, say_delivered, until, whole_content

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

LONG = bool(os.environ.get("TIDEGATE_LONG"))
DISTINCT = None if LONG else 600
DICE = 6 if LONG else 2
JOURNAL = 48 * 1024
TWO = ("b@dest.test", "c@dest.test")


class LabDisk(Disk):
    """The lab sees no syncfs(2): its command `sync` stands for it where `has_sync`; without, each file is flushed, as the
    gateway does by itself on FUSE. `lies`: which call is left out, to see the test fail."""

    __slots__ = ("has_sync", "lies", "mark")

    def __init__(self, mark: Callable[[str], object], has_sync: bool, lies: str = "") -> None:
        self.mark, self.has_sync, self.lies = mark, has_sync, lies

    def saves_all(self, path: str) -> bool:
        assert not Disk.saves_all(self, path)
        return self.has_sync

    def sync_all(self, path: str) -> None:
        del path
        if self.lies != "sync_all":
            self.mark("sync")

    def fdatasync(self, descriptor: int) -> None:
        if self.lies != "fdatasync":
            super().fdatasync(descriptor)

    def fsync_dir(self, path: str) -> None:
        if self.lies != "fsync_dir":
            super().fsync_dir(path)

    def fsync(self, descriptor: int) -> None:
        if self.lies != "fsync":
            super().fsync(descriptor)

    def allocate(self, descriptor: int, octets: int) -> None:
        os.ftruncate(descriptor, octets)  # reserving room is no business of this disk's


async def life(root: Path, lab: Callable[[str], object], has_sync: bool, lies: str = "") -> None:
    """One life of a spool, each promise noted the moment it was made and each doubt before it begins."""
    disk = LabDisk(lab, has_sync, lies)
    pace = Pace(follow=0.01, checkpoint=0.2, retry=0.05)

    def note(text: str) -> None:
        lab(f"mark {text}")

    async with a_spool(root, disk=disk, pace=pace, journal_octets=JOURNAL) as spool:

        async def accept(content: bytes, to: tuple[str, ...] = ("b@dest.test",)) -> str:
            entry = await put(spool, content, to)
            note(f"ack {entry.id}")
            return entry.id

        async def settle(claim: Claim) -> None:
            note(f"settling {claim.record.id}")
            await spool.settle([claim])

        async def send(item: str, *delivered: str) -> Claim:
            claim = await spool.claim(item)
            await spool.mark_on_wire([item])
            note(f"wire {item}")
            say_delivered(claim, *delivered)
            return claim

        first = await accept(b"one\r\n" * 100)
        several = await asyncio.gather(*[accept(b"%d\r\n" % n * 300, TWO) for n in range(4)])
        large = await accept(b"large\r\n" * 20_000)
        await until(lambda: (root / "queue" / f"{large}.env").exists())

        note(f"sent {first}")
        await settle(await send(first))
        note(f"gone {first}")

        at_once = await accept(b"delivered before its files exist\r\n")
        note(f"sent {at_once}")
        await settle(await send(at_once))
        note(f"gone {at_once}")

        note(f"parting {several[0]}")
        claim = await send(several[0], "b@dest.test")
        claim.record.due, claim.record.status = 1_780_000_100.0, "451 later"
        await settle(claim)
        note(f"part {several[0]}")

        await spool.update([several[1], large], partial(_hold, on=True))
        note(f"held {several[1]}")
        note(f"held {large}")

        note(f"leaving {several[2]}")
        note(f"leaving {large}")
        await spool.remove([several[2], large], by="operator")
        note(f"removed {several[2]}")
        note(f"removed {large}")
        await until(lambda: not (root / "incoming" / f"{large}.eml").exists())  # a checkpoint has passed

        note(f"returning {several[2]}")
        note(f"returning {large}")
        await spool.undo()
        note(f"back {several[2]}")
        note(f"back {large}")

        note(f"leaving {several[3]}")
        await spool.remove([several[3]], by="operator", tell_sender=True)
        note(f"removed {several[3]}")
        note(f"ending {several[3]}")
        await spool.finish_removals([several[3]])
        note(f"gone {several[3]}")

        note(f"sent {large}")
        await spool.update([large], partial(_hold, on=False))
        await settle(await send(large))
        note(f"gone {large}")
        for n in range(3):  # the journal turns to another file by itself
            await accept(b"x" * 16_000 + b"%d\r\n" % n)
        kept = [root / "queue" / f"{several[1]}.{kind}" for kind in ("eml", "env")]
        await until(lambda: all(path.exists() for path in kept))
        for path in kept:
            shutil.copyfile(path, root.parent / path.name)
        note(f"sent {several[1]}")
        await settle(await send(several[1]))
        note(f"gone {several[1]}")

    note(f"putting {several[1]}")
    for kind in ("eml", "env"):
        shutil.move(root.parent / f"{several[1]}.{kind}", root / "queue" / f"{several[1]}.{kind}")
    lab("sync")
    note(f"putback {several[1]}")
    # A gateway that is killed in the middle of everything, and the start after it, which a cut may meet too.
    slow = Pace(follow=3600.0, checkpoint=3600.0, retry=3600.0)
    spool = await open_spool(root, disk=disk, pace=slow, journal_octets=JOURNAL)
    small, doubtful, ended, removed = [(await put(spool, b"%d" % n * 700)).id for n in range(4)]
    large = (await put(spool, b"large\r\n" * 20_000)).id
    for item in (small, doubtful, ended, removed, large):
        note(f"ack {item}")
    note(f"leaving {removed}")
    await spool.remove([removed], by="operator")
    note(f"removed {removed}")
    claims = [await spool.claim(item) for item in (doubtful, ended)]
    await spool.mark_on_wire([doubtful, ended])
    note(f"wire {doubtful}")
    note(f"sent {ended}")
    say_delivered(claims[1])
    await spool.settle(claims[1:])
    note(f"gone {ended}")
    await kill(spool)
    async with a_spool(root, disk=disk, pace=pace, journal_octets=JOURNAL) as spool:
        await put(spool)


class SlowLabDisk(LabDisk):
    """A card that takes its time for a flush. `at_once`: the most flushes that were under way together."""

    __slots__ = ("_under_way", "at_once")

    def __init__(self, mark: Callable[[str], object], has_sync: bool, lies: str = "") -> None:
        super().__init__(mark, has_sync, lies)
        self._under_way = self.at_once = 0

    def fdatasync(self, descriptor: int) -> None:
        self._under_way += 1
        self.at_once = max(self.at_once, self._under_way)
        time.sleep(0.005)
        super().fdatasync(descriptor)
        self._under_way -= 1


async def rush(root: Path, lab: Callable[[str], object], has_sync: bool, lies: str = "") -> None:
    """Many at once on a slow disk, so that several flushes of the journal are under way together."""
    disk = SlowLabDisk(lab, has_sync, lies)

    async with a_spool(root, disk=disk, pace=Pace(follow=0.01, checkpoint=0.2), journal_octets=JOURNAL) as spool:

        async def office(number: int) -> None:
            await asyncio.sleep(0.002 * number)  # else all of them share each flush
            for letter in range(4):
                entry = await put(spool, b"%d %d\r\n" % (number, letter) * 200)
                lab(f"mark ack {entry.id}")
                if letter == 1:
                    await spool.update([entry.id], partial(_hold, on=True))
                    lab(f"mark held {entry.id}")
                elif letter == 2:
                    claim = await spool.claim(entry.id)
                    await spool.mark_on_wire([entry.id])
                    lab(f"mark wire {entry.id}")
                    say_delivered(claim)
                    lab(f"mark sent {entry.id}")
                    await spool.settle([claim])
                    lab(f"mark gone {entry.id}")

        await asyncio.gather(*(office(number) for number in range(5)))
    assert disk.at_once > 1, "no flushes overlapped"


def _hold(record: Any, *, on: bool) -> None:
    record.held = on


def check(directory: str, marks: list[str]) -> list[str]:
    """Start what the cut left, twice; complaints, each with its kind first."""
    root = Path(directory) / "spool"
    if not root.exists() and not marks:
        return []
    return asyncio.run(_check(root, marks))


async def _check(root: Path, marks: list[str]) -> list[str]:
    said: dict[str, list[str]] = {}
    for mark in marks:
        word, _, item = mark.partition(" ")
        said.setdefault(item, []).append(word)
    before = {record.id for record in read_queue(root)} if (root / "queue").is_dir() else set()
    events: list[Event] = []
    complaints: list[str] = []
    async with a_spool(root, events, journal_octets=JOURNAL) as spool:
        complaints += await _ask(spool, root, said)
        complaints += [f"reader: {item}" for item in before ^ set(spool.entries)]
        first = set(spool.entries)
    put_back = {item for item, words in said.items() if "putting" in words}
    for event in events:
        if isinstance(event, SetAside) and event.name.partition(".")[0] not in put_back:
            complaints.append(f"set aside: {event.name} {event.reason}")
    async with a_spool(root, journal_octets=JOURNAL) as spool:
        if set(spool.entries) != first:
            complaints.append(f"second start: {sorted(first ^ set(spool.entries))}")
    return complaints


async def _ask(spool: Spool, root: Path, said: dict[str, list[str]]) -> list[str]:
    complaints: list[str] = []
    removed = {record.id: record for record in await spool.removed()}
    for item, words in said.items():
        last = words[-1]
        here, away = item in spool.entries, item in removed
        if "gone" in words:
            if here or away:
                complaints.append(f"returned: {item}")
            if last == "putback":
                aside = [path for path in (root / "set-aside").glob(f"{item}.*") if path.stat().st_size]
                if len(aside) < 2:
                    complaints.append(f"put back and not set aside: {item}")
            continue
        if here and away:
            complaints.append(f"twice: {item}")
        may_have_ended = "sent" in words or "ending" in words
        if not here and not away:
            if not may_have_ended:
                complaints.append(f"lost: {item}")
            continue
        if away and last in ("ack", "wire", "held", "part", "back", "settling"):
            complaints.append(f"removed by nobody: {item}")
        if here and last == "removed":
            complaints.append(f"not removed: {item}")
        try:
            record = await spool.record(item)
            content = await whole_content(spool, item)
            if here:
                spool.give_back(await spool.claim(item))
        except Exception as exc:
            complaints.append(f"damaged: {item} {exc!r}")
            continue
        if not content.startswith(f"Received: by gw.test id {item}\r\n".encode()):
            complaints.append(f"other content: {item}")
        if "part" in words and record.recipients[0].standing != "delivered":
            complaints.append(f"outcome forgotten: {item}")
        if "held" in words and "sent" not in words and not record.held:
            complaints.append(f"hold forgotten: {item}")
        if last == "wire" and here and record.doubt is None:
            complaints.append(f"doubt forgotten: {item}")
    return complaints


def explore(
    tmp_path: Path,
    rules: str,
    has_sync: bool,
    lies: str = "",
    limit: int | None = DISTINCT,
    story: Callable[..., Coroutine[Any, Any, None]] = life,
) -> dict[str, Any]:
    folder = require("crashlab", "/dev/fuse")
    sys.path.insert(0, str(folder))
    try:
        lab_module, explore_module = importlib.import_module("lab"), importlib.import_module("explore")
    finally:
        sys.path.remove(str(folder))
    trace = tmp_path / f"{rules}.trace"
    with lab_module.Lab(rules, trace=str(trace)) as lab, lab.proc.stdout:
        asyncio.run(story(Path(lab.mnt) / "spool", lab, has_sync, lies))
    steps = sum(1 for _ in explore_module.steps(str(trace)))
    every = 1 if limit is None else max(1, steps * 8 // limit)
    stats: dict[str, Any] = explore_module.explore(str(trace), check, rules=rules, dice=DICE, every=every)
    print(f"{rules}: {steps} steps, {stats['disks']} disks, {stats['distinct']} distinct, {stats['found']}")
    return stats


@pytest.mark.parametrize("checkpoint", ["syncfs", "fsync"])
@pytest.mark.parametrize("rules", ["strict", "journal"])
def test_no_cut_loses_or_brings_back_mail(tmp_path: Path, rules: str, checkpoint: str) -> None:
    stats = explore(tmp_path, rules, checkpoint == "syncfs")
    assert stats["found"] == {}
    assert stats["distinct"] > 200


@pytest.mark.parametrize("rules", ["strict", "journal"])
def test_flushes_that_overlap_lose_nothing_either(tmp_path: Path, rules: str) -> None:
    stats = explore(tmp_path, rules, True, limit=400 if DISTINCT else None, story=rush)
    assert stats["found"] == {}
    assert stats["distinct"] > 100


def test_overlapping_flushes_that_do_not_flush_are_caught(tmp_path: Path) -> None:
    stats = explore(tmp_path, "strict", True, "fdatasync", limit=250, story=rush)
    assert stats["bad"] > 0


@pytest.mark.parametrize("lies", ["fdatasync", "sync_all", "fsync_dir", "fsync"])
def test_a_spool_without_one_of_its_flushes_is_caught(tmp_path: Path, lies: str) -> None:
    stats = explore(tmp_path, "strict", True, lies, limit=250)
    assert stats["bad"] > 0
