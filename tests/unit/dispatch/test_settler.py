"""Outcomes are written in groups while more is under way, and at once when nothing more is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.config.settings import Settings
from gateway.dispatch import settler as settling
from gateway.dispatch.retry import Opportunity
from gateway.dispatch.settler import GATHERED, Settlement, Settler
from gateway.events import Alarm, DeliveredTo, Event, Journal
from gateway.mail.outcome import Delivered, Reply
from gateway.spool.spool import Claim, Spool
from tests.support.clock import FakeClock
from tests.support.house import LATER
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


def settler_of(spool: Spool, folder: Path, events: list[Event]) -> Settler:
    journal = Journal()
    journal.subscribe(events.append)
    settings = Settings(None, "gw.branch.example", folder / "spool")
    return Settler(spool, lambda: settings, FakeClock(), journal, lambda item: None, lambda record: None)


def test_what_is_being_settled_when_the_gateway_stops_is_settled_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        begun, may_go_on = asyncio.Event(), asyncio.Event()
        async with a_spool(tmp_path / "spool") as spool:
            settler = settler_of(spool, tmp_path, [])

            async def tell(*args: object) -> None:
                begun.set()
                await may_go_on.wait()

            monkeypatch.setattr(settler._reporter, "tell", tell)
            settler.unsettled = 1
            running = asyncio.create_task(settler.run())
            settler.put(Settlement(await spool.claim((await put(spool)).id), (TAKEN,), "isp", Opportunity()))
            await begun.wait()
            running.cancel()
            await asyncio.wait([running])
            may_go_on.set()
            await settler.drain()
            assert not spool.entries

    asyncio.run(check())


def test_a_fault_of_ours_in_one_settlement_keeps_no_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        events: list[Event] = []
        async with a_spool(tmp_path / "spool") as spool:
            settler = settler_of(spool, tmp_path, events)

            async def tell(*args: object) -> None:
                raise RuntimeError("a fault of ours")

            monkeypatch.setattr(settler._reporter, "tell", tell)
            settler.unsettled = 2
            settler.put(Settlement(await spool.claim((await put(spool)).id), (TAKEN,), "isp", Opportunity()))
            later = (await put(spool)).id
            settler.put(Settlement(await spool.claim(later), (LATER,), "isp", Opportunity()))
            await settler.drain()
            assert list(spool.entries) == [later]
            assert not spool.entries[later].claimed
            assert [event.what for event in events if isinstance(event, Alarm)]

    asyncio.run(check())
