"""How far a session claims ahead of what it sends: by the pace at which the relay takes mail, and never past a budget."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from gateway.config.settings import RelaySettings
from gateway.courier.capabilities import Capabilities
from gateway.dispatch.facts import Go
from gateway.dispatch.lane import AT_ONCE, MOST_AHEAD, STALE, Lane, LaneFeed, SessionRecord
from gateway.dispatch.retry import Opportunity
from gateway.dispatch.settler import Settlement, Settler
from gateway.events import Alarm, Event, Journal
from gateway.spool.spool import Spool
from tests.support.clock import FakeClock
from tests.support.spools import a_spool, put

ISP = RelaySettings("isp", "127.0.0.1", 2525, tls="none")
OFFERS = Capabilities(pipelining=True)


class Settled:
    """Counts what is under way, as the settler does, and settles nothing."""

    def __init__(self) -> None:
        self.unsettled = 0

    async def room_for_one(self, limit: int) -> None:
        assert self.unsettled < limit

    def put(self, settlement: Settlement) -> None:
        raise AssertionError("nothing was sent")


class Scene:
    """A lane with so many messages, and the feed of one session over it."""

    def __init__(self, spool: Spool, *, most_ahead: int = MOST_AHEAD) -> None:
        self.spool, self.clock = spool, FakeClock()
        self.lane = Lane("line", ISP)
        self.go = Go("line", ISP, None)
        self.charged = 0
        self.asked: list[int] = []
        self.forbidden: set[str] = set()
        self.events: list[Event] = []
        journal = Journal()
        journal.subscribe(self.events.append)
        self.feed = LaneFeed(
            self.lane,
            spool,
            cast(Settler, Settled()),
            self.clock,
            journal,
            self.recheck,
            lambda: 0.0,
            lambda go: Opportunity(),
            {},
            SessionRecord("line", "isp", 0.0, None),
            lambda: None,
            lambda item: None,
            self.charge,
            most_ahead=most_ahead,
        )

    async def fill(self, number: int) -> list[str]:
        items = [(await put(self.spool)).id for _ in range(number)]
        await self.spool._ledger.follow(items)
        for place, item in enumerate(items):
            self.lane.offer((1, 1, float(place), item), item)
        return items

    def recheck(self, items: Sequence[str]) -> dict[str, Go]:
        self.asked.append(len(items))
        return {item: self.go for item in items if item not in self.forbidden}

    def charge(self, size: int, go: Go) -> None:
        self.charged += size

    async def take(self, number: int, seconds: float) -> list[str]:
        """So many, one every so many seconds."""
        taken = []
        for _ in range(number):
            shipment = await self.feed.take(OFFERS)
            assert shipment is not None
            taken.append(shipment.id)
            self.clock.advance(seconds)
        return taken

    @property
    def claimed(self) -> set[str]:
        return {item for item, entry in self.spool.entries.items() if entry.claimed}


def test_a_thin_line_claims_one_message_at_a_time(tmp_path: Path) -> None:
    async def check() -> None:
        async with a_spool(tmp_path / "spool") as spool:
            scene = Scene(spool)
            items = await scene.fill(5)
            assert await scene.take(3, 2 * AT_ONCE) == items[:3]
            assert scene.claimed == set(items[:3])
            assert scene.asked == [1, 1, 1]

    asyncio.run(check())


def test_a_fast_relay_gets_its_mail_from_ever_larger_visits_to_the_disk_in_order(tmp_path: Path) -> None:
    async def check() -> None:
        async with a_spool(tmp_path / "spool") as spool:
            scene = Scene(spool)
            items = await scene.fill(40)
            assert await scene.take(40, 0.0) == items
            assert scene.asked == [1, 2, 4, 8, 16, 9]
            assert await scene.feed.take(OFFERS) is None

    asyncio.run(check())


def test_where_a_budget_has_a_say_it_is_asked_before_each_message(tmp_path: Path) -> None:
    async def check() -> None:
        async with a_spool(tmp_path / "spool") as spool:
            scene = Scene(spool, most_ahead=1)
            await scene.fill(4)
            await scene.take(4, 0.0)
            assert scene.asked == [1, 1, 1, 1]

    asyncio.run(check())


def test_what_may_not_go_any_more_is_left_out(tmp_path: Path) -> None:
    async def check() -> None:
        async with a_spool(tmp_path / "spool") as spool:
            scene = Scene(spool)
            items = await scene.fill(6)
            scene.forbidden = {items[0], items[2]}
            assert await scene.take(4, 0.0) == [items[1], *items[3:]]
            assert not {items[0], items[2]} & scene.claimed

    asyncio.run(check())


def test_what_was_claimed_ahead_and_not_sent_goes_back_uncharged_at_the_end(tmp_path: Path) -> None:
    async def check() -> None:
        async with a_spool(tmp_path / "spool") as spool:
            scene = Scene(spool)
            items = await scene.fill(7)
            await scene.take(4, 0.0)  # 1, 2 and the first of four
            assert scene.claimed == set(items)
            sizes = sum(spool.entries[item].size for item in items[:4])
            scene.feed._taken.clear()
            scene.feed.abandon()
            assert scene.claimed == set(items[:4])
            assert scene.charged == sizes

    asyncio.run(check())


def test_what_was_claimed_ahead_too_long_ago_is_decided_over_anew_in_its_place(tmp_path: Path) -> None:
    async def check() -> None:
        async with a_spool(tmp_path / "spool") as spool:
            scene = Scene(spool)
            items = await scene.fill(9)
            await scene.take(4, 0.0)
            scene.clock.advance(STALE + 0.1)
            scene.forbidden = {items[5]}
            assert await scene.take(4, 0.0) == [items[4], *items[6:]]
            assert items[5] not in scene.claimed

    asyncio.run(check())


def test_what_was_claimed_ahead_of_a_change_is_not_offered_any_more(tmp_path: Path) -> None:
    async def check() -> None:
        async with a_spool(tmp_path / "spool") as spool:
            scene = Scene(spool)
            await scene.fill(7)
            await scene.take(4, 0.0)
            scene.lane.clear()  # the situation changed: all of them are asked again
            scene.feed._taken.clear()
            scene.feed.abandon()
            assert not scene.lane.heap

    asyncio.run(check())


def test_a_stopped_lane_gives_nothing_more_even_of_what_is_claimed(tmp_path: Path) -> None:
    async def check() -> None:
        async with a_spool(tmp_path / "spool") as spool:
            scene = Scene(spool)
            await scene.fill(7)
            await scene.take(4, 0.0)
            scene.lane.stop.set()
            assert await scene.feed.take(OFFERS) is None

    asyncio.run(check())


def test_one_that_cannot_be_read_is_told_and_the_others_go(tmp_path: Path) -> None:
    async def check() -> None:
        async with a_spool(tmp_path / "spool") as spool:
            scene = Scene(spool)
            items = await scene.fill(4)
            (tmp_path / "spool" / "queue" / f"{items[1]}.eml").write_bytes(b"something else")
            assert await scene.take(3, 0.0) == [items[0], *items[2:]]
            assert [event.about for event in scene.events if isinstance(event, Alarm)] == ["spool"]

    asyncio.run(check())
