"""Sessions over a fake courier: how many at once, who goes first, what is cut off, what leads back to us."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.config.rules import ScheduleFile
from gateway.config.settings import RelaySettings
from gateway.courier.contract import Feed, SessionEnd
from gateway.dispatch.facts import Wait
from gateway.events import Alarm, HeldItem, ModeChanged
from gateway.mail.outcome import Deferred, Interrupted, Reply
from tests.support.house import DONE, ISP, OFFERS, TAKEN, FakeCourier, House, take_all


def test_one_session_takes_the_whole_queue(tmp_path: Path) -> None:
    async def check() -> None:
        async with House(tmp_path, FakeCourier(take_all)) as house:
            for n in range(20):
                await house.message(f"No. {n}")
            house.run()
            await house.until(lambda: not house.spool.entries)
            assert (house.courier.started, house.courier.most) == (1, 1)
            assert [event.mode for event in house.events if isinstance(event, ModeChanged)] == ["online"]

    asyncio.run(check())


def test_further_sessions_join_after_the_first_success_and_no_item_is_handed_out_twice(tmp_path: Path) -> None:
    taken: list[str] = []

    async def slowly(number: int, feed: Feed) -> SessionEnd:
        while (shipment := await feed.take(OFFERS)) is not None:
            taken.append(shipment.id)
            feed.settle(shipment.id, [TAKEN])
            await asyncio.sleep(0.01)
        return DONE

    async def check() -> None:
        async with House(tmp_path, FakeCourier(slowly, useful=3)) as house:
            for n in range(30):
                await house.message(f"No. {n}")
            house.run()
            await house.until(lambda: not house.spool.entries)
            assert house.courier.most == 3
            assert len(taken) == len(set(taken)) == 30

    asyncio.run(check())


def test_an_urgent_message_passes_a_large_one_by_a_second_connection(tmp_path: Path) -> None:
    order: list[str] = []
    large_may_end = asyncio.Event()

    async def script(number: int, feed: Feed) -> SessionEnd:
        while (shipment := await feed.take(OFFERS)) is not None:
            if shipment.content.size > 100_000:
                feed.progress(shipment.id, "content", 1000)
                await large_may_end.wait()
            order.append(shipment.id)
            feed.settle(shipment.id, [TAKEN])
        return DONE

    async def check() -> None:
        async with House(tmp_path, FakeCourier(script)) as house:
            large = await house.message("large", "bulk", 1_000_000)
            house.run()
            await house.until(lambda: house.dispatcher.sessions.sending)
            small = await house.message("small")
            urgent = await house.message("urgent", "urgent")
            await house.until(lambda: urgent not in house.spool.entries)
            assert large in house.spool.entries
            large_may_end.set()
            await house.until(lambda: not house.spool.entries)
            assert order[0] == urgent
            assert set(order) == {urgent, small, large}

    asyncio.run(check())


def test_what_is_in_flight_is_not_cut_off_when_mail_may_leave_again(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def slowly(number: int, feed: Feed) -> SessionEnd:
        shipment = await feed.take(OFFERS)
        assert shipment is not None
        await release.wait()
        feed.settle(shipment.id, [TAKEN])
        return DONE

    async def check() -> None:
        async with House(tmp_path, FakeCourier(slowly), grace=0.2) as house:
            await house.message("one")
            house.run()
            await house.until(lambda: house.dispatcher.sessions.sending)
            house.dispatcher.timetable.set_mode("offline")
            await house.until(lambda: house.dispatcher.mode.now == "offline")
            house.dispatcher.timetable.set_mode("online")
            await house.until(lambda: house.dispatcher.mode.now == "online")
            await house.dispatcher.settled()
            await asyncio.sleep(0.3)  # the grace is the loop's time
            release.set()
            await house.until(lambda: not house.spool.entries)
            assert house.courier.started == 1

    asyncio.run(check())


def test_c26_what_comes_straight_back_is_held_and_its_relay_gets_nothing_more(tmp_path: Path) -> None:
    back = "451 4.4.6 this message has just left this gateway"
    house: House

    async def lead_back(number: int, feed: Feed) -> SessionEnd:
        while (shipment := await feed.take(OFFERS)) is not None:
            assert house.dispatcher.sessions.looped(shipment.id)
            feed.settle(shipment.id, [Deferred(back, Reply(451, back[4:]))])
        return DONE

    async def check() -> None:
        nonlocal house
        async with House(tmp_path, FakeCourier(lead_back)) as house:
            first, second = await house.message("first"), await house.message("second")
            house.run()
            await house.until(lambda: any(isinstance(e, HeldItem) for e in house.events))
            await house.until(lambda: house.dispatcher.experience.troubles.now)
            record = await house.spool.record(first)
            why = "mail loop: the relay isp (127.0.0.1:2525) is this gateway itself"
            assert record.hold_note == why
            assert record.recipients[0].standing == "pending"
            assert [event.id for event in house.events if isinstance(event, HeldItem)] == [first]
            assert [event.what for event in house.events if isinstance(event, Alarm)] == [why]
            assert house.dispatcher.experience.troubles.now["isp"].stubborn
            waits = house.dispatcher.verdict(house.spool.entries[second], None)
            assert isinstance(waits, Wait)
            assert waits.why.startswith(why)
            assert house.spool.entries[second].tries == 0
            assert not house.dispatcher.sessions.looped(second)
            assert house.courier.started == 1

    asyncio.run(check())


def test_a_relay_that_a_reload_has_changed_gets_its_mail_by_a_new_session_and_no_blame_for_the_old_one(
    tmp_path: Path,
) -> None:
    hosts: list[str] = []

    async def script(number: int, feed: Feed) -> SessionEnd:
        if number == 1:
            await asyncio.sleep(3600)  # it connects to a host that is no more
        return await take_all(number, feed)

    class Noted(FakeCourier):
        async def __call__(self, relay: RelaySettings, feed: Feed, **how: Any) -> SessionEnd:
            hosts.append(relay.host)
            return await super().__call__(relay, feed, **how)

    async def check() -> None:
        async with House(tmp_path, Noted(script)) as house:
            await house.message("one")
            house.run()
            await house.until(lambda: house.courier.running)
            moved = replace(house.settings, relays=(replace(ISP, host="127.0.0.9"),))
            house.dispatcher.replace(moved, ScheduleFile())
            await house.until(lambda: not house.spool.entries)
            assert hosts == ["127.0.0.1", "127.0.0.9"]

    asyncio.run(check())


def test_what_fails_with_the_old_settings_of_a_relay_says_nothing_against_the_new_ones(tmp_path: Path) -> None:
    reloaded = asyncio.Event()

    async def script(number: int, feed: Feed) -> SessionEnd:
        if number > 1:
            return await take_all(number, feed)
        shipment = await feed.take(OFFERS)
        assert shipment is not None
        await reloaded.wait()
        feed.settle(shipment.id, [Interrupted("no answer")])
        return SessionEnd("unreachable", "no answer")

    async def check() -> None:
        async with House(tmp_path, FakeCourier(script)) as house:
            await house.message("one")
            house.run()
            await house.until(lambda: house.dispatcher.sessions.sending)
            house.dispatcher.replace(replace(house.settings, relays=(replace(ISP, tls="required"),)), ScheduleFile())
            await house.dispatcher.settled()
            reloaded.set()
            await house.until(lambda: not house.spool.entries)
            assert not house.dispatcher.experience.troubles.now

    asyncio.run(check())
