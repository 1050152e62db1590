from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.clock import FakeClock
from tests.support.spools import a_spool, put


def test_records_are_read_in_one_go_and_what_is_gone_is_none(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        async with a_spool(root) as spool:
            ids = [(await put(spool)).id for _ in range(3)]
        async with a_spool(root) as spool:
            await spool.update(ids[1:2], lambda record: setattr(record, "held", True))
            claim = await spool.claim(ids[2])
            claim.record.status = "being sent"
            found = await spool.records(["nothere", *ids])
            assert [record and (record.id, record.held, record.status) for record in found] == [
                None,
                (ids[0], False, None),
                (ids[1], True, None),
                (ids[2], False, "being sent"),
            ]
            spool.give_back(claim)

    asyncio.run(scene())


def test_a_start_lays_the_index_in_the_order_of_age(tmp_path: Path) -> None:
    async def scene() -> None:
        root, clock = tmp_path / "spool", FakeClock()
        async with a_spool(root, clock=clock) as spool:
            for seconds in (50.0, -30.0, 20.0, -10.0, 5.0):
                clock.step(seconds)
                await put(spool)
        async with a_spool(root) as spool:
            ages = [entry.created for entry in spool.entries.values()]
            assert ages == sorted(ages)

    asyncio.run(scene())
