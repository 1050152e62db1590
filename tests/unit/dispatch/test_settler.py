"""Outcomes are written in groups while more is under way, and at once when nothing more is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.config.settings import Settings
from gateway.dispatch import settler as settling
from gateway.dispatch.retry import Opportunity
from gateway.dispatch.settler import GATHERED, Settlement, Settler
from gateway.events import DeliveredTo, Event, Journal
from gateway.mail.outcome import Delivered, Reply
from gateway.spool.spool import Claim
from tests.support.clock import FakeClock
from tests.support.spools import a_spool, put, until

TAKEN = Delivered(Reply(250, "2.0.0 taken"))


@pytest.mark.parametrize(
    ("answered", "under_way", "groups"),
    [(GATHERED, 3 * GATHERED, [GATHERED]), (1, 1, [1]), (3, 3, [3]), (2, 3 * GATHERED, [2])],
    ids=["enough", "the only one", "all there are", "the rest takes longer"],
)
def test_outcomes_share_a_flush(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answered: int, under_way: int, groups: list[int]
) -> None:
    if answered < min(GATHERED, under_way):
        monkeypatch.setattr(settling, "GATHER", 0.01)
    else:
        monkeypatch.setattr(settling, "GATHER", 3600.0)  # it must not be time that ends the wait

    async def check() -> None:
        settings = Settings(None, "gw.branch.example", tmp_path / "spool")
        events: list[Event] = []
        journal = Journal()
        journal.subscribe(events.append)
        async with a_spool(tmp_path / "spool") as spool:
            sizes: list[int] = []
            settle = spool.settle

            async def counted(claims: list[Claim]) -> None:
                sizes.append(len(claims))
                await settle(claims)

            monkeypatch.setattr(spool, "settle", counted)
            settler = Settler(spool, lambda: settings, FakeClock(), journal, lambda item: None, lambda record: None)
            settler.unsettled = under_way
            running = asyncio.create_task(settler.run())
            claims = [await spool.claim((await put(spool)).id) for _ in range(answered)]
            for claim in claims:
                settler.put(Settlement(claim, (TAKEN,), "isp", Opportunity()))
                await asyncio.sleep(0)
            await until(lambda: len([e for e in events if isinstance(e, DeliveredTo)]) == answered)
            assert sizes == groups
            assert settler.unsettled == under_way - answered
            running.cancel()

    asyncio.run(check())
