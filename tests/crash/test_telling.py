"""Failures of several messages, their one report and their end: stopped after each step on the disk in turn, started again.

No failure is unreported (P2): after the restart each message waits still, or a report in the queue names it, or it was gone
because one did. A stop costs one report too many at most.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from gateway.errors import GatewayError
from gateway.mail.outcome import Deferred
from gateway.spool.ledger import Pace
from tests.support.faultydisk import FaultyDisk
from tests.support.spools import a_spool, kill, open_spool
from tests.support.telling import QUOTA, Telling

STRIDE = 1 if os.environ.get("TIDEGATE_LONG") else 2
LAZY = Pace(follow=3600.0, checkpoint=3600.0, retry=3600.0)


async def prepare(root: Path) -> tuple[list[str], str]:
    """Three messages of one sender, one of them with a second recipient."""
    spool = await open_spool(root, pace=LAZY)
    house = Telling(spool)
    sent = [await house.hand_in(f"order {n}") for n in range(2)]
    both = await house.hand_in("both", ["a@dest.test", "b@dest.test"])
    await kill(spool)
    return sent, both


async def live(root: Path, disk: FaultyDisk, sent: list[str], both: str) -> None:
    spool = await open_spool(root, disk=disk, pace=LAZY)
    try:
        house = Telling(spool)
        for item in sent:
            await house.settle(item, QUOTA)
        await house.settle(both, QUOTA, Deferred("450 later"))
        await house.teller._tell()
        assert await spool._ledger.checkpoint()
    finally:
        await kill(spool)


async def judge(root: Path, sent: list[str], both: str, *, is_whole: bool) -> None:
    async with a_spool(root) as spool:
        house = Telling(spool)
        house.teller.note_all()
        await house.teller._tell()
        reports = [(record.report_for or "").split() for record, _ in await house.reports()]
        named = [item for report in reports for item in report]
        assert len(reports) <= (1 if is_whole else 2)
        for item in (*sent, both):
            assert named.count(item) <= (1 if is_whole else 2)
        for item in sent:
            if item in spool.entries:
                assert spool.entries[item].outside, "not known to have failed: it is tried again"
                assert not is_whole
            else:
                assert item in named
        first, second = (await spool.record(both)).recipients
        assert second.standing == "pending"
        assert (first.standing, both in named) in (("failed", True), ("pending", False))
        assert not first.untold


async def one(root: Path, stop_after: int | None) -> int:
    sent, both = await prepare(root)
    disk = FaultyDisk(stop_after=stop_after)
    try:
        await live(root, disk, sent, both)
    except (GatewayError, AssertionError):
        assert disk.is_off, "nothing but the stop goes wrong"
    await judge(root, sent, both, is_whole=stop_after is None)
    return disk.done


@pytest.mark.timeout(120)
def test_a_stop_after_any_step_leaves_no_failure_unreported(tmp_path: Path) -> None:
    steps = asyncio.run(one(tmp_path / "whole", None))
    assert steps > 20
    for step in range(0, steps, STRIDE):
        asyncio.run(one(tmp_path / str(step), step))
