"""When a group of notes begins: on a slow disk it waits for those who were there the last time, on a fast one for nobody."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.spool.grouppace import MOST, SLOW, GroupPace
from tests.support.spools import a_spool, put, until


def after(seconds: float, commits: int, waiting: int) -> GroupPace:
    pace = GroupPace()
    pace.written(seconds, commits, waiting)
    return pace


def test_the_first_group_waits_for_nobody() -> None:
    assert GroupPace().wait(1) == 0


def test_on_a_fast_disk_nobody_waits() -> None:
    assert after(SLOW / 2, 5, 5).wait(1) == 0


def test_one_client_alone_never_waits() -> None:
    assert after(0.012, 1, 0).wait(1) == 0


def test_two_cohorts_become_one() -> None:
    pace = after(0.012, 5, 5)
    assert pace.wait(5) == pytest.approx(0.006)
    assert not pace.is_complete(9)
    assert pace.is_complete(10)
    pace.written(0.012, 10, 0)
    assert pace.wait(1) > 0
    assert pace.wait(10) == 0


def test_those_who_do_not_come_again_are_waited_for_once() -> None:
    pace = after(0.012, 10, 0)
    assert pace.wait(2) > 0
    pace.written(0.012, 2, 0)
    assert pace.wait(2) == 0


def test_the_wait_is_bounded_however_slow_the_disk() -> None:
    assert after(5.0, 10, 0).wait(1) == MOST


def test_a_commit_waits_for_the_others_and_anything_else_ends_the_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with a_spool(tmp_path / "spool") as spool:
            known = await put(spool)
            monkeypatch.setattr(GroupPace, "is_complete", lambda self, commits: commits >= 2)
            monkeypatch.setattr(GroupPace, "wait", lambda self, commits: 0.0 if commits >= 2 else 3600.0)
            first = asyncio.create_task(put(spool))
            await until(lambda: spool._ledger._groups.is_gathering)
            assert not first.done()
            await asyncio.wait_for(asyncio.gather(first, put(spool)), 10)
            third = asyncio.create_task(put(spool))
            await until(lambda: spool._ledger._groups.is_gathering)
            await asyncio.wait_for(spool.update([known.id], lambda record: None), 10)
            await asyncio.wait_for(third, 10)

    asyncio.run(scene())
