"""A short life of the spool, stopped after each of its steps on the disk, in turn; then started again. Needs no root.

What was done before the stop is really there (as after `kill -9`); which of it a power cut may take is `test_explore`'s matter.
A stop in a start is among the steps too, since each life begins with what a killed one left.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from gateway.errors import GatewayError
from gateway.events import Event, SetAside
from gateway.spool.ledger import Pace
from gateway.spool.spool import Spool
from tests.support.faultydisk import FaultyDisk
from tests.support.spools import a_spool, kill, open_spool, put, say_delivered, whole_content

STRIDE = 1 if os.environ.get("TIDEGATE_LONG") else 3
LAZY = Pace(follow=3600.0, checkpoint=3600.0, retry=3600.0)


class Promises:
    """What the spool said, and what it was asked when it could not say it any more."""

    def __init__(self) -> None:
        self.accepted: set[str] = set()
        self.ending: set[str] = set()
        self.ended: set[str] = set()
        self.held: set[str] = set()


async def prepare(root: Path, promises: Promises) -> None:
    """What a killed gateway left: mail in the journal alone, large mail, a removal, a mark on the wire."""
    spool = await open_spool(root, pace=LAZY)
    for content in (b"a", b"b" * 70_000, b"c", b"d"):
        promises.accepted.add((await put(spool, content)).id)
    items = sorted(promises.accepted)
    await spool.remove([items[2]], by="operator")
    await spool.claim(items[3])
    await spool.mark_on_wire([items[3]])
    await kill(spool)


async def live(root: Path, disk: FaultyDisk, promises: Promises) -> None:
    spool = await open_spool(root, disk=disk, pace=LAZY)
    try:
        await _live(spool, promises)
    finally:
        await kill(spool)


async def _live(spool: Spool, promises: Promises) -> None:
    first, large = sorted(promises.accepted)[:2]
    await spool.undo()
    new = (await put(spool, b"e" * 1000)).id
    promises.accepted.add(new)
    big = (await put(spool, b"f" * 70_000)).id
    promises.accepted.add(big)
    await spool.update([first], lambda record: setattr(record, "held", True))
    promises.held.add(first)
    for item in (new, large):
        claim = await spool.claim(item)
        await spool.mark_on_wire([item])
        say_delivered(claim)
        promises.ending.add(item)
        await spool.settle([claim])
        promises.ended.add(item)
    assert await spool._ledger.checkpoint()
    await spool.remove([big], by="operator")
    promises.ending.add(big)
    await spool.finish_removals([big])
    promises.ended.add(big)
    assert await spool._ledger.checkpoint()


async def judge(root: Path, promises: Promises) -> None:
    events: list[Event] = []
    async with a_spool(root, events) as spool:
        removed = {record.id for record in await spool.removed()}
        present = set(spool.entries) | removed
        assert promises.accepted - promises.ending <= present, "lost"
        assert not present & promises.ended, "came back"
        for item in present & promises.accepted:
            assert (await whole_content(spool, item)).startswith(f"Received: by gw.test id {item}\r\n".encode())
            if item in spool.entries:
                spool.give_back(await spool.claim(item))
        for item in promises.held:
            assert spool.entries[item].held
        assert not [event for event in events if isinstance(event, SetAside)]
    async with a_spool(root) as again:
        assert set(again.entries) | {record.id for record in await again.removed()} == present


async def one(root: Path, stop_after: int | None) -> FaultyDisk:
    promises, disk = Promises(), FaultyDisk(stop_after=stop_after)
    await prepare(root, promises)
    try:
        await live(root, disk, promises)
    except (GatewayError, AssertionError):
        assert disk.is_off, "nothing but the stop goes wrong"
    await judge(root, promises)
    return disk


@pytest.mark.timeout(300)
def test_a_stop_after_any_step_loses_nothing_and_brings_nothing_back(tmp_path: Path) -> None:
    steps = asyncio.run(one(tmp_path / "whole", None)).done
    assert steps > 80
    for step in range(0, steps, STRIDE):
        asyncio.run(one(tmp_path / str(step), step))
