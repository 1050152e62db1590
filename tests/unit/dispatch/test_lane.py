"""What a session takes and what it leaves: what may no longer go is asked again, in time, and no budget is spent twice."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.config.settings import BudgetSettings, LinkSettings
from gateway.courier.contract import Feed, SessionEnd
from gateway.dispatch import director
from gateway.dispatch.lane import MOST_ASKED
from gateway.dispatch.meter import estimate
from gateway.errors import SpoolError
from gateway.events import Alarm, Received
from gateway.spool.claims import Claim
from tests.support.house import DONE, LATER, OFFERS, TAKEN, FakeCourier, House, take_all

DAY = 86400.0


async def use_the_line(number: int, feed: Feed) -> SessionEnd:
    octets = 0
    while (shipment := await feed.take(OFFERS)) is not None:
        octets += shipment.content.size
        feed.settle(shipment.id, [TAKEN])
    return replace(DONE, octets_out=octets)


def with_budget(house: House, octets: int, per: str) -> House:
    budget = BudgetSettings(octets, per)  # type: ignore[arg-type]  # the words of the parameters
    house.settings = replace(house.settings, links=(LinkSettings(speed=1e9, budget=budget),))
    return house


def test_what_a_budget_keeps_back_in_the_middle_of_a_session_leaves_when_there_is_budget_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        async with with_budget(House(tmp_path, FakeCourier(use_the_line)), 100_000, "day") as house:
            for n in range(3):
                await house.message(f"No. {n}", size=40_000)
            house.run()
            await house.until(lambda: len(house.spool.entries) == 1 and not house.courier.running)
            await house.until(lambda: not house.dispatcher._waking.items)
            now = time.time() + DAY  # it becomes tomorrow
            monkeypatch.setattr(SystemClock, "now", lambda self: now)
            house.dispatcher.wake()
            await house.until(lambda: not house.spool.entries)

    asyncio.run(check())


def test_the_sender_of_what_a_budget_keeps_back_hears_of_it_once_when_it_is_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        async with with_budget(House(tmp_path, FakeCourier(use_the_line)), 100_000, "month") as house:
            for n in range(3):
                await house.message(f"No. {n}", size=40_000)
            house.run()
            await house.until(lambda: len(house.spool.entries) == 1 and house.dispatcher._waking._dues)
            [large] = house.spool.entries
            warn_after = house.settings.queue.warn_after
            [(rings, item)] = house.dispatcher._waking._dues
            assert item == large
            assert rings == pytest.approx(time.time() + warn_after, abs=60)
            assert not house.spool.entries[large].warned
            for _ in range(2):
                now = time.time() + warn_after + 90
                monkeypatch.setattr(SystemClock, "now", lambda self, now=now: now)
                house.dispatcher.wake()
                await house.until(lambda: house.spool.entries[large].warned and not house.dispatcher._waking.items)
                await house.until(lambda: not house.dispatcher.teller.is_about_to_tell)
            assert [event.service for event in house.events if isinstance(event, Received)].count("report") == 1

    asyncio.run(check())


def test_what_a_session_did_not_use_of_a_budget_is_there_for_others_at_once(tmp_path: Path) -> None:
    async def break_first(number: int, feed: Feed) -> SessionEnd:
        if number > 1:
            return await use_the_line(number, feed)
        while (shipment := await feed.take(OFFERS)) is not None:
            feed.settle(shipment.id, [LATER])
        return DONE

    async def check() -> None:
        async with with_budget(House(tmp_path, FakeCourier(break_first)), 100_000, "day") as house:
            first = await house.message("first", size=60_000)
            await house.message("second", size=60_000)
            house.run()
            await house.until(lambda: list(house.spool.entries) == [first])

    asyncio.run(check())


def test_what_just_fits_once_the_estimate_of_a_session_is_put_right_leaves_at_once(tmp_path: Path) -> None:
    sizes: list[int] = []

    async def use_less(number: int, feed: Feed) -> SessionEnd:
        while (shipment := await feed.take(OFFERS)) is not None:
            sizes.append(shipment.content.size)
            feed.settle(shipment.id, [TAKEN])
        await asyncio.sleep(0.1)  # QUIT and its answer: meanwhile the decision is asked about what was not taken
        return replace(DONE, octets_out=sizes[-1] - 2_000)  # a little less than was thought

    async def check() -> None:
        budget = estimate(40_000) + estimate(40_100) - 1_000
        async with with_budget(House(tmp_path, FakeCourier(use_less)), budget, "day") as house:
            await house.message("first", size=40_000)
            await house.message("second", size=40_000)
            house.run()
            await house.until(lambda: not house.spool.entries)
            assert house.courier.started == 2  # the first session had no room for it

    asyncio.run(check())


def test_where_each_session_has_its_budget_the_next_one_takes_what_this_one_could_not(tmp_path: Path) -> None:
    async def check() -> None:
        async with with_budget(House(tmp_path, FakeCourier(take_all)), 100_000, "session") as house:
            for n in range(5):
                await house.message(f"No. {n}", size=40_000)
            house.run()
            await house.until(lambda: not house.spool.entries)
            assert house.courier.started == 3

    asyncio.run(check())


def test_what_a_used_up_budget_keeps_is_asked_by_the_hundred_and_others_get_their_turn(tmp_path: Path) -> None:
    async def check() -> None:
        async with with_budget(House(tmp_path, FakeCourier(take_all)), 100_000, "day") as house:
            for n in range(1000):
                await house.message(f"No. {n}", size=6_000)
            asked: list[int] = []
            turns: list[int] = []
            recheck = house.dispatcher.director.recheck

            def counted(items, route, way):  # type: ignore[no-untyped-def]
                asked.append(len(items))
                asyncio.get_running_loop().call_soon(lambda: turns.append(len(asked)))
                return recheck(items, route, way)

            house.dispatcher.director.recheck = counted  # type: ignore[method-assign]
            house.run()
            await house.until(lambda: house.courier.started and not house.courier.running)
            taken = 1000 - len(house.spool.entries)
            assert 5 < taken < 20
            assert max(asked) == MOST_ASKED
            assert len(asked) < taken + 25
            assert len(set(turns)) > 10

    asyncio.run(check())


def test_two_sessions_at_once_do_not_both_spend_what_is_left_of_a_budget(tmp_path: Path) -> None:
    sizes: list[int] = []
    both = asyncio.Event()

    async def script(number: int, feed: Feed) -> SessionEnd:
        if number == 2:
            both.set()
        while (shipment := await feed.take(OFFERS)) is not None:
            sizes.append(shipment.content.size)
            feed.settle(shipment.id, [TAKEN])
            await both.wait()
        return replace(DONE, octets_out=sum(sizes))

    async def check() -> None:
        async with with_budget(House(tmp_path, FakeCourier(script, useful=2)), 130_000, "day") as house:
            claim_some = house.spool.claim_some

            async def slowly(ids: list[str]) -> list[Claim | Exception]:
                await asyncio.sleep(0.05)  # the disk's time, in which the other session asks
                return await claim_some(ids)  # type: ignore[return-value]

            house.spool.claim_some = slowly  # type: ignore[assignment,method-assign]
            await house.message("small")
            await house.message("large", size=70_000)
            await house.message("as large", size=70_000)
            house.run()
            await house.until(lambda: house.courier.started >= 2 and not house.courier.running)
            assert len([size for size in sizes if size > 70_000]) == 1

    asyncio.run(check())


def test_what_was_to_be_charged_and_is_not_claimed_is_not_charged(tmp_path: Path) -> None:
    async def check() -> None:
        async with with_budget(House(tmp_path, FakeCourier(take_all)), 100_000, "day") as house:
            item = await house.message("removed while it is claimed", size=50_000)
            claim_some = house.spool.claim_some

            async def too_late(ids: list[str]) -> object:
                if item in ids:
                    house.spool.claim_some = claim_some  # type: ignore[method-assign]
                    await house.spool.remove([item], by="the operator")
                return await claim_some(ids)

            house.spool.claim_some = too_late  # type: ignore[assignment,method-assign]
            used: list[int] = []
            ended = house.dispatcher.meter.ended

            def looked_at(session, end):  # type: ignore[no-untyped-def]
                used.append(session.octets)
                return ended(session, end)

            house.dispatcher.meter.ended = looked_at  # type: ignore[method-assign]
            house.run()
            await house.until(lambda: used)
            assert used == [0]

    asyncio.run(check())


def test_what_the_disk_does_not_give_out_is_asked_for_again_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(director, "UNREADABLE", 0.05)

    async def check() -> None:
        async with House(tmp_path, FakeCourier(take_all)) as house:
            await house.message("on a bad sector")
            claim_some = house.spool.claim_some

            async def refused(ids: list[str]) -> list[Exception]:
                house.spool.claim_some = claim_some  # type: ignore[method-assign]
                return [SpoolError("Input/output error") for _ in ids]

            house.spool.claim_some = refused  # type: ignore[assignment,method-assign]
            house.run()
            await house.until(lambda: not house.spool.entries)
            assert [event.what for event in house.events if isinstance(event, Alarm)]

    asyncio.run(check())
