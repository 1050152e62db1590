"""CASES section 5: what other systems fell into when sending, as far as one part alone does not show it.

Elsewhere: long outages and lifetimes in `test_a_month_without_a_line`, attempts that reached nobody in `test_ends`, order in
`test_order_and_forecast`, notices of delay in `test_telling`, limits by session in `test_cases_of_the_client`, answers without
end in the courier's `test_watch`, queue IDs and removals in the spool's tests.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.courier.contract import Feed, SessionEnd, Why
from gateway.dispatch.facts import Wait, Wish
from gateway.events import DeliveredTo
from gateway.mail.outcome import Deferred, Delivered, Reply
from tests.support.branch import a_branch
from tests.support.clock import FakeClock
from tests.support.house import DONE, OFFERS, FakeCourier, take_all
from tests.support.situations import at, schedule

LATER = Deferred("450 4.2.1 later", Reply(450, "4.2.1 later"))
TAKEN = Delivered(Reply(250, "2.0.0 taken"))


def test_mail_queued_for_an_old_relay_goes_to_the_new_one(tmp_path: Path) -> None:
    """OpenSMTPD#275: a relay written into the envelope."""

    async def only_the_new(number: int, feed: Feed) -> SessionEnd:
        if branch.dispatcher.settings.relays[0].host == "127.0.0.1":
            return SessionEnd("unreachable", "the old one does not answer")
        return await take_all(number, feed)

    async def check() -> None:
        nonlocal branch
        async with a_branch(tmp_path, courier=FakeCourier(only_the_new)) as branch:
            item = await branch.hand_in()
            branch.start()
            await branch.until(lambda: branch.dispatcher.experience.troubles.now)
            assert item in branch.spool.entries
            branch.reload(host="127.0.0.2")
            await branch.empty()

    branch = None  # type: ignore[assignment]  # set before the first session
    asyncio.run(check())


@pytest.mark.parametrize("why", ["unreachable", "busy"])
def test_one_success_wakes_older_mail_for_the_same_relay(tmp_path: Path, why: Why) -> None:
    """masqmail: new mail on a live link leaves the older where it is."""
    works = False

    async def script(number: int, feed: Feed) -> SessionEnd:
        return await take_all(number, feed) if works else SessionEnd(why, "not now")

    async def check() -> None:
        nonlocal works
        async with a_branch(tmp_path, courier=FakeCourier(script)) as branch:
            old = [await branch.hand_in() for _ in range(3)]
            branch.start()
            await branch.until(lambda: branch.dispatcher.experience.troubles.now)
            new = await branch.hand_in()
            works = True
            branch.dispatcher.wishes.push([new], Wish("send"))
            await branch.empty()
            delivered = [event.id for event in branch.events if isinstance(event, DeliveredTo)]
            assert sorted(delivered) == sorted([*old, new])
            assert branch.clock.now() == FakeClock().now(), "no time had to pass"

    asyncio.run(check())


def test_urgent_mail_does_not_drag_the_queue_along(tmp_path: Path) -> None:
    """Kerio and VPOP3: one urgent message, and everything leaves over the dear line."""
    file = schedule("timezone: UTC\nwindows:\n  - {name: Alarms, open: 00:00-24:00, send: urgent}\n")

    async def check() -> None:
        clock = FakeClock(at("2026-11-24 12:00"))
        courier = FakeCourier(take_all)
        async with a_branch(tmp_path, courier=courier, mode="offline", schedule=file, clock=clock) as branch:
            waiting = {await branch.hand_in() for _ in range(3)} | {await branch.hand_in(message_class="bulk")}
            branch.start()
            await branch.until(lambda: branch.dispatcher.mode.why != "starting")
            urgent = await branch.hand_in(message_class="urgent")
            await branch.until(lambda: urgent not in branch.spool.entries)
            await branch.later(3600)
            await branch.settled(1)
            assert waiting <= set(branch.spool.entries)
            reports = [await branch.spool.record(item) for item in set(branch.spool.entries) - waiting]
            told = [item for report in reports for item in (report.report_for or "").split()]
            assert sorted(told) == sorted(waiting), "no window sends them: their sender knows at once, and once"
            assert courier.started == 1

    asyncio.run(check())


def test_c22_a_refused_login_is_tried_once_an_interval_that_grows_to_an_hour(tmp_path: Path) -> None:
    refused = SessionEnd("auth", "the relay refuses our login (535 5.7.8 wrong)", reached=True, alarm=True)

    async def script(number: int, feed: Feed) -> SessionEnd:
        return refused

    async def check() -> None:
        courier = FakeCourier(script)
        async with a_branch(tmp_path, courier=courier) as branch:
            for _ in range(5):
                await branch.hand_in()
            branch.start()
            await branch.settled(1)
            tries = []
            for minute in range(6 * 60):
                before = courier.started
                await branch.later(60)
                if courier.started > before:
                    tries.append(minute + 1)
                    await branch.settled(courier.started)
                if minute == 100:
                    await branch.hand_in()  # new mail is no reason to ask again
            assert tries == [30, 90, 150, 210, 270, 330]
            for entry in branch.spool.entries.values():
                assert (entry.attempts, entry.tries) == (0, 0)
                waits = branch.dispatcher.verdict(entry, None)
                assert isinstance(waits, Wait)
                assert waits.why.startswith("the relay refuses our login")

    asyncio.run(check())


def test_a_failing_message_does_not_stand_before_the_others(tmp_path: Path) -> None:
    """A head of the queue that is refused for now, hour after hour, while what came later leaves."""

    async def script(number: int, feed: Feed) -> SessionEnd:
        while (shipment := await feed.take(OFFERS)) is not None:
            feed.settle(shipment.id, [LATER if shipment.id == first else TAKEN])
        return DONE

    async def check() -> None:
        nonlocal first
        async with a_branch(tmp_path, courier=FakeCourier(script)) as branch:
            first = await branch.hand_in()
            branch.start()
            await branch.settled(1)
            for _ in range(3):
                other = await branch.hand_in()
                await branch.until(lambda: other not in branch.spool.entries)  # noqa: B023  # waited for in this round
            assert set(branch.spool.entries) == {first}
            assert branch.spool.entries[first].attempts == 1

    first = ""
    asyncio.run(check())


def test_c29_a_relay_that_allows_one_connection_keeps_that_and_is_no_trouble(tmp_path: Path) -> None:
    refused = SessionEnd("busy", "the relay is busy (421 4.7.0 too many connections)", reached=True)

    async def script(number: int, feed: Feed) -> SessionEnd:
        if courier.running > 1:
            return refused
        while (shipment := await feed.take(OFFERS)) is not None:
            await asyncio.sleep(0)
            feed.settle(shipment.id, [TAKEN])
        return DONE

    async def check() -> None:
        async with a_branch(tmp_path, courier=courier) as branch:
            for _ in range(100):
                await branch.hand_in()
            branch.start()
            await branch.empty()
            assert not branch.dispatcher.experience.troubles.now
            assert 1 < courier.started <= 3, "further ones were tried once"

    courier = FakeCourier(script, useful=3)
    asyncio.run(check())
