"""What an operator wants sent now is tried once: how a wish begins, and how it ends."""

from __future__ import annotations

import asyncio
from collections import Counter as Count
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from gateway.courier.contract import Feed, SessionEnd
from gateway.dispatch.facts import Go, Raise, Situation, Wish
from gateway.dispatch.order import Key
from gateway.dispatch.scan import SLICE
from gateway.dispatch.waking import Waking
from gateway.dispatch.wishes import Wishes
from gateway.spool.entry import Entry
from gateway.spool.spool import Spool
from tests.support.clock import FakeClock
from tests.support.house import DONE, LATER, OFFERS, FakeCourier, House, take_all
from tests.support.situations import situation
from tests.unit.dispatch.test_dialling import branch
from tests.unit.dispatch.test_ends import record

FORCE, DIAL = Wish("force"), Wish("send", may_dial=True)


class Counter:
    """Wishes over the messages `a`, `b` and `c` in this situation; the third is being sent."""

    def __init__(self, s: Situation) -> None:
        self.entries = {item: Entry(record(id=item)) for item in "abc"}
        self.entries["c"].claimed = True
        self.waking = Waking(FakeClock())
        self.waking.take()
        self.waived: list[str] = []
        spool = cast(Spool, SimpleNamespace(entries=self.entries))
        self.wishes = Wishes(spool, self.waking, lambda: s, self.waived.append)

    def has(self) -> str:
        return "".join(item for item in "abc" if self.wishes.of(item) is not None)


def test_what_can_leave_is_wished_for_and_asked_again_and_its_relay_gets_a_chance() -> None:
    counter = Counter(situation())
    going = counter.wishes.push(["a", "c", "gone"], FORCE)
    assert [(item, isinstance(way, Go)) for item, way in going] == [("a", True)]
    assert (counter.has(), counter.waived, counter.waking.items) == ("a", ["isp"], {"a"})


def test_what_cannot_leave_is_not_wished_for_later() -> None:
    counter = Counter(situation(mode="stopped"))
    assert counter.wishes.push("ab", FORCE) == []
    assert (bool(counter.wishes), counter.waived, counter.waking.items) == (False, [], frozenset())


def test_a_wish_ends_with_the_session_that_tried_it_unless_another_will() -> None:
    counter = Counter(situation())
    counter.wishes.push("ab", FORCE)
    counter.waking.take()
    counter.wishes.session_over({"b"}, is_calling=True)
    assert (counter.has(), counter.waking.items) == ("b", {"a"})


def test_a_wish_that_calls_a_line_lasts_while_it_is_called_and_no_longer_than_the_call() -> None:
    counter = Counter(branch())
    assert all(isinstance(way, Raise) for _, way in counter.wishes.push("ab", DIAL))
    counter.waking.take()
    counter.wishes.session_over({"b"}, is_calling=True)
    assert counter.has() == "ab"
    counter.wishes.session_over({"b"}, is_calling=False)
    assert counter.has() == "b"
    counter.wishes.call_over()
    assert (counter.has(), counter.waking.items) == ("", {"a", "b"})


def test_what_an_operator_sends_and_the_relay_puts_off_is_tried_once(tmp_path: Path) -> None:
    tried: list[int] = []

    async def put_off(number: int, feed: Feed) -> SessionEnd:
        while (shipment := await feed.take(OFFERS)) is not None and len(tried) < 5:
            tried.append(number)
            feed.settle(shipment.id, [LATER])
            await house.until(lambda: house.spool.entries[item].tries == len(tried))
            await house.until(lambda: not house.dispatcher._waking.items)
        return DONE

    async def check() -> None:
        nonlocal house, item
        async with House(tmp_path, FakeCourier(put_off)) as house:
            item = await house.message("greylisted")
            house.run()
            await house.until(lambda: house.courier.started == 1 and not house.courier.running)
            assert house.dispatcher.wishes.push([item], FORCE)
            await house.until(lambda: house.courier.started == 2 and not house.courier.running)
            await house.until(lambda: not house.dispatcher.wishes and not house.dispatcher._waking.items)
            assert tried == [1, 2]

    house: House
    item = ""
    asyncio.run(check())


def test_a_wish_is_not_forgotten_because_a_session_ends_while_it_is_about_to_be_offered(tmp_path: Path) -> None:
    tried: Count[str] = Count()

    async def put_off(number: int, feed: Feed) -> SessionEnd:
        while (shipment := await feed.take(OFFERS)) is not None:
            tried[shipment.id] += 1
            feed.settle(shipment.id, [LATER])
        return DONE

    async def check() -> None:
        async with House(tmp_path, FakeCourier(put_off)) as house:
            items = [await house.message(f"No. {n}") for n in range(3 * SLICE)]
            house.run()
            await house.until(lambda: len(tried) == len(items) and not house.courier.running)
            await house.until(lambda: not house.dispatcher._waking.items and not house.dispatcher._settler.unsettled)
            offer, offered = house.dispatcher.sessions.offer, 0

            def offered_at_last(go: Go, key: Key, item: str) -> None:
                nonlocal offered
                offered += 1
                if offered == SLICE:  # the event loop gets its turn now, in which a session of another line ends
                    loop = asyncio.get_running_loop()
                    loop.call_soon(lambda: house.dispatcher.director.session_over(set(), DONE, more_budget=False))
                offer(go, key, item)

            house.dispatcher.sessions.offer = offered_at_last  # type: ignore[method-assign]
            assert len(house.dispatcher.wishes.push(items, FORCE)) == len(items)
            await house.until(lambda: house.courier.started > 1 and not house.courier.running)
            await house.until(lambda: not house.dispatcher.wishes)
            assert set(tried.values()) == {2}

    asyncio.run(check())


def test_a_wish_whose_line_falls_before_its_session_does_not_wait_for_the_line_to_come_back(tmp_path: Path) -> None:
    async def check() -> None:
        async with House(tmp_path, FakeCourier(take_all)) as house:
            house.dispatcher.timetable.set_mode("offline")
            item = await house.message("one")
            house.run()
            await house.until(lambda: house.dispatcher.mode.why != "starting" and not house.dispatcher._waking.items)
            seen = house.dispatcher.calls.seen
            assert house.dispatcher.wishes.push([item], FORCE)
            house.dispatcher.calls.seen = lambda links: tuple(  # type: ignore[method-assign]
                replace(link, up=False, usable=False) for link in seen(links)
            )
            await house.until(lambda: not house.dispatcher.wishes)
            house.dispatcher.calls.seen = seen  # type: ignore[method-assign]
            house.dispatcher.reconsider()
            await asyncio.sleep(0.1)
            assert (house.courier.started, list(house.spool.entries)) == (0, [item])

    asyncio.run(check())
