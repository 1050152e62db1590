"""What the end of a session shows: alone, and in a dispatcher over a fake courier."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from gateway.config.settings import QueueSettings, RelaySettings, Settings
from gateway.connectivity.monitor import Monitor
from gateway.courier.capabilities import Capabilities
from gateway.courier.contract import Feed, SessionEnd, Why
from gateway.dispatch.experience import OFTEN, Experience
from gateway.dispatch.facts import Wait
from gateway.dispatch.lane import Lane, LaneFeed, SessionRecord
from gateway.dispatch.order import Key
from gateway.events import Alarm, Event, Journal, Remark
from gateway.mail.outcome import Interrupted
from tests.support.clock import FakeClock
from tests.support.house import DONE, ISP, OFFERS, TAKEN, FakeCourier, House, take_all

QUEUE = QueueSettings(retry_interval=1800.0, retry_ceiling=7200.0)
FIRST: Key = (1, 0, 0.0, 0.0, "m1")
DOMAIN = RelaySettings("direct:hq.example", "hq.example", 25, tls="opportunistic", direct=True)


@dataclass
class FakeFeed:
    """As a session left it."""

    taken: int = 1
    interrupted: bool = False
    is_done: bool = False
    put_off: Collection[str] = ()
    record: SessionRecord = field(default_factory=lambda: SessionRecord("dsl", "isp", 0.0, None))


class Ends:
    """An `Experience` of its own, and what it told others: the monitor (`told`), the journal, the waker (`asked`)."""

    def __init__(self, saved_speeds: bytes | None = None, relays: tuple[RelaySettings, ...] = (ISP,)) -> None:
        self.told: list[tuple[object, ...]] = []
        self.events: list[Event] = []
        self.asked: list[str] = []
        self.clock = FakeClock()
        journal = Journal()
        journal.subscribe(self.events.append)
        settings = Settings(None, "gw.branch.example", Path("/nowhere"), relays=relays, queue=QUEUE)
        self.experience = Experience(
            saved_speeds,
            cast(Monitor, self),
            lambda: settings,
            clock=self.clock,
            journal=journal,
            reconsider=lambda: self.asked.append("all"),
            item_changed=self.asked.append,
        )

    def session_succeeded(self, link: str, relay: str) -> None:
        self.told.append(("succeeded", link, relay))

    def session_failed(self, link: str, relay: str, why: str, try_again_at: float | None) -> None:
        self.told.append(("failed", link, relay, why))

    def session_doubted(self, link: str, relay: str) -> None:
        self.told.append(("doubted", link, relay))

    def after(self, end: SessionEnd, lane: Lane | None = None, feed: FakeFeed | None = None) -> None:
        lane = lane if lane is not None else Lane("dsl", ISP)
        self.experience.session_over(lane, cast(LaneFeed, feed if feed is not None else FakeFeed()), end)


def ended(why: Why, *, took: int = 0, alarm: bool = False, line_works: bool = False) -> SessionEnd:
    return SessionEnd(why, f"it was {why}", reached=True, took=took, alarm=alarm, line_works=line_works)


@pytest.mark.parametrize(
    ("why", "told"),
    [
        ("done", ("succeeded", "dsl", "isp")),
        ("unreachable", ("failed", "dsl", "isp", "it was unreachable")),
        ("broken", ("failed", "dsl", "isp", "it was broken")),
        ("tls", ("doubted", "dsl", "isp")),
        ("auth", ("succeeded", "dsl", "isp")),
        ("refused", ("succeeded", "dsl", "isp")),
    ],
)
def test_the_link_is_believed_by_what_a_session_met_over_it(why: Why, told: tuple[str, ...]) -> None:
    ends = Ends()
    ends.after(ended(why))
    assert ends.told == [told]
    assert ("isp" in ends.experience.troubles.now) is (why != "done")
    assert ends.asked == ([] if why == "done" else ["all"])


def test_a_further_connection_that_is_refused_is_no_trouble_of_the_relay() -> None:
    ends, lane = Ends(), Lane("dsl", ISP)
    lane.tasks.add(object())  # type: ignore[arg-type]  # a session, only counted
    ends.after(ended("refused"), lane)
    assert not ends.experience.troubles.now
    assert ends.told == []
    assert lane.alone_until == ends.clock.monotonic() + QUEUE.retry_interval


def test_only_once_in_a_row_a_dead_connection_costs_no_pause() -> None:
    ends = Ends()
    ends.after(ended("broken", line_works=True))
    assert not ends.experience.troubles.now
    assert ends.asked == ["all"]
    ends.after(ended("broken", line_works=True))
    assert ends.experience.troubles.now["isp"].why == "it was broken"


def test_a_relay_that_slowly_goes_on_is_left_alone_for_no_longer_each_time() -> None:
    ends = Ends()
    for _ in range(5):
        ends.after(ended("slow", took=3))
    until = ends.experience.troubles.now["isp"].until
    assert until == ends.clock.now() + QUEUE.retry_interval
    ends.after(ended("slow"))
    assert ends.experience.troubles.now["isp"].until > until


def test_one_success_frees_a_relay_of_trouble_and_all_that_waited_is_asked_again() -> None:
    ends = Ends()
    ends.after(ended("auth"))
    ends.asked.clear()
    ends.after(DONE)
    assert not ends.experience.troubles.now
    assert ends.asked == ["all"]


def test_a_relays_alarm_and_its_offers_are_kept_and_a_domains_are_not() -> None:
    ends = Ends()
    for lane in (Lane("dsl", ISP), Lane("dsl", DOMAIN)):
        end = SessionEnd("auth", "no such user", reached=True, alarm=True, offers=Capabilities(smtputf8=True))
        ends.after(end, lane)
    assert [event.about for event in ends.events if isinstance(event, Alarm)] == ["isp"]
    assert list(ends.experience.offers) == ["isp"]


@pytest.mark.parametrize(("relays", "told"), [((ISP,), Remark), ((), Alarm)])
def test_a_domains_trouble_says_nothing_against_the_link_and_its_mail_is_asked_about(
    relays: tuple[RelaySettings, ...], told: type[Event]
) -> None:
    ends, lane = Ends(relays=relays), Lane("dsl", DOMAIN)
    lane.offer(FIRST, "m1")
    ends.after(SessionEnd("unreachable", "no way into hq.example", alarm=True), lane)
    assert ends.told == []
    assert ends.asked == ["m1"]
    assert not lane.heap
    assert [type(event) for event in ends.events] == [told]


def test_messages_refused_for_our_set_up_are_suspects_until_they_end() -> None:
    ends = Ends()
    ends.after(ended("setup"), feed=FakeFeed(put_off={"m1", "m2"}))
    ends.experience.forget("m1")
    assert ends.experience.suspects == {"m2"}


def test_breaks_are_counted_anew_for_a_message_that_comes_back() -> None:
    experience = Ends().experience
    said = [experience.broken_in("m1") for _ in range(OFTEN)]
    assert said[:-1] == [None] * (OFTEN - 1)
    assert said[-1] is not None
    experience.forget("m1")
    assert experience.broken_in("m1") is None


def test_a_measured_speed_is_saved_once_and_known_after_a_restart() -> None:
    experience = Ends().experience
    experience.measured("dsl", 100_000, 10.0)
    assert experience.speed_of("dsl") == 80_000.0
    saved = experience.take_unsaved_speeds()
    assert experience.take_unsaved_speeds() is None
    assert Ends(saved).experience.known_speeds() == {"dsl": 80_000.0}


def test_a_session_that_takes_nothing_while_mail_waits_is_not_repeated_at_once(tmp_path: Path) -> None:
    async def greet_and_close(number: int, feed: Feed) -> SessionEnd:
        return DONE

    async def check() -> None:
        async with House(tmp_path, FakeCourier(greet_and_close)) as house:
            item = await house.message("one")
            house.run()
            await house.until(lambda: "isp" in house.dispatcher.experience.troubles.now)
            verdict = house.dispatcher.verdict(house.spool.entries[item], None)
            assert isinstance(verdict, Wait)
            assert verdict.next_try.kind == "time"
            assert house.courier.started == 1

    asyncio.run(check())


def test_a_session_told_to_end_before_it_took_anything_is_no_fault_of_the_relay(tmp_path: Path) -> None:
    """The line fell while it connected, and was back before it had ended."""
    release = asyncio.Event()

    async def first_waits(number: int, feed: Feed) -> SessionEnd:
        if number == 1:
            await release.wait()
        return await take_all(number, feed)

    async def check() -> None:
        async with House(tmp_path, FakeCourier(first_waits)) as house:
            await house.message("one")
            house.run()
            await house.until(lambda: house.has_started(1))
            for mode in ("offline", "online"):
                house.dispatcher.timetable.set_mode(mode)  # type: ignore[arg-type]  # mypy takes the loop's texts for any text
                await house.until(lambda mode=mode: house.dispatcher.mode.now == mode)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                await house.dispatcher.settled()
            release.set()
            await house.until(lambda: not house.spool.entries)
            assert house.dispatcher.experience.troubles.now == {}

    asyncio.run(check())


def test_a_line_that_breaks_often_in_the_same_message_lets_the_others_go_first(tmp_path: Path) -> None:
    order: list[str] = []
    first = ""

    async def breaking(number: int, feed: Feed) -> SessionEnd:
        while (shipment := await feed.take(OFFERS)) is not None:
            if shipment.id == first and number <= 3:
                feed.progress(shipment.id, "content", 5000)
                feed.settle(shipment.id, [Interrupted("the line broke")])
                return SessionEnd("broken", "the line broke", reached=True)
            order.append(shipment.id)
            feed.settle(shipment.id, [TAKEN])
        return DONE

    async def check() -> None:
        nonlocal first
        async with House(tmp_path, FakeCourier(breaking)) as house:
            first = await house.message("first")
            second = await house.message("second")
            house.run()
            status: list[str | None] = []
            for number in (2, 3, 4):
                # Its outcome is on disk before the next session, else the second would go for want of the first.
                await house.until(
                    lambda: house.dispatcher.experience.troubles.now and not house.spool.entries[first].claimed
                )
                status.append((await house.spool.record(first)).status)
                house.dispatcher.lines.is_back()
                await house.until(partial(house.has_started, number))
            await house.until(lambda: not house.spool.entries)
            assert order == [second, first]
            assert status[1] == "the line broke"
            assert status[2] == (
                "the line broke 3 times in the middle of it: perhaps it is up too short for this message"  # CASES C27
            )

    asyncio.run(check())


def test_a_dead_connection_on_a_line_that_works_is_replaced_without_a_pause(tmp_path: Path) -> None:
    async def dead_once(number: int, feed: Feed) -> SessionEnd:
        if number == 1:
            shipment = await feed.take(OFFERS)
            assert shipment is not None
            feed.settle(shipment.id, [Interrupted("the connection was dead")])
            return SessionEnd("broken", "the connection was dead", reached=True, line_works=True)
        return await take_all(number, feed)

    async def check() -> None:
        async with House(tmp_path, FakeCourier(dead_once)) as house:
            await house.message("one")
            house.run()
            await house.until(lambda: not house.spool.entries)
            assert not house.dispatcher.experience.troubles.now
            assert house.courier.started == 2

    asyncio.run(check())


def test_a_session_that_met_another_certificate_makes_the_monitor_look_at_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def meets_a_portal(number: int, feed: Feed) -> SessionEnd:
        return SessionEnd("tls", "127.0.0.1 shows another certificate", reached=True, alarm=True)

    async def check() -> None:
        async with House(tmp_path, FakeCourier(meets_a_portal)) as house:
            told: list[tuple[str, str]] = []
            monkeypatch.setattr(house.monitor, "session_doubted", lambda *which: told.append(which))
            await house.message("one")
            house.run()
            await house.until(lambda: told)
            assert told == [("default", "isp")]
            await house.until(lambda: "isp" in house.dispatcher.experience.troubles.now)
            assert house.courier.started == 1
            house.dispatcher.lines.changed()  # something else of a line that was usable all the time
            await house.until(lambda: not house.dispatcher._waking.has_all)
            assert house.courier.started == 1
            house.dispatcher.lines._usable.clear()  # the portal was seen
            house.dispatcher.lines.changed()  # usable: whoever looked at the certificate is satisfied with it
            await house.until(lambda: house.has_started(2))

    asyncio.run(check())
