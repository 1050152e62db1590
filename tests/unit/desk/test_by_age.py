from __future__ import annotations

import asyncio
import random
from pathlib import Path

from gateway.desk.by_age import ByAge
from tests.support.clock import FakeClock
from tests.support.spools import a_spool, deliver, put


def test_what_appears_changes_and_ends_keeps_the_order_of_age_and_the_octets(tmp_path: Path) -> None:
    async def scene() -> None:
        clock = FakeClock()
        async with a_spool(tmp_path / "spool", clock=clock) as spool:
            await put(spool)
            by_age = ByAge(spool)
            steps = random.Random(6)
            for _ in range(12):
                clock.step(steps.choice((0.0, 5.0, -7.0)))  # also mail of one moment, and of before a step back
                item = (await put(spool)).id
                if steps.random() < 0.3:
                    await spool.update([item], lambda record: setattr(record, "held", True))
                if steps.random() < 0.3:
                    await deliver(spool, steps.choice(sorted(spool.entries)))
                if steps.random() < 0.3:
                    await spool.remove([steps.choice(sorted(spool.entries))], by="test")
                    await spool.undo()
                there = by_age.entries()
                assert sorted(entry.id for entry in there) == sorted(spool.entries)
                assert [entry.created for entry in there] == sorted(e.created for e in spool.entries.values())
                assert by_age.octets == sum(entry.size for entry in spool.entries.values())
            by_age.close()

    asyncio.run(scene())
