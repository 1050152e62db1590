"""A clock that jumps, and one that cannot be right: what waits, what goes, and that nothing waits for years (P7)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gateway.config.rules import ScheduleFile
from gateway.config.settings import QueueSettings, RelaySettings, Settings
from gateway.connectivity import clockset
from gateway.connectivity.clockwatch import ClockStep, ClockWatch
from gateway.connectivity.monitor import Monitor
from gateway.courier.contract import Feed, SessionEnd
from gateway.dispatch import orders
from gateway.dispatch.clockstep import latest_due
from gateway.dispatch.conditions import is_met
from gateway.dispatch.decide import decide
from gateway.dispatch.dispatcher import Dispatcher
from gateway.dispatch.facts import Check, Go, NextTry, Wait
from gateway.dispatch.timetable import Timetable
from gateway.events import Journal
from gateway.mail.envelope import Envelope, Peer, Recipient
from gateway.mail.outcome import Deferred, Reply
from gateway.spool.entry import Entry
from gateway.spool.spool import Spool
from tests.support.clock import FakeClock
from tests.support.house import DONE, OFFERS, FakeCourier
from tests.support.situations import LINE, OFFICE, at, message, schedule, situation
from tests.unit.connectivity.test_clockwatch import FakeHost

DAY = 86400.0
UNSET = "the clock is not set: it shows 1970-01-01T00:01:00Z, before this program was made"
BUSY = Deferred("450 4.3.2 busy", Reply(450, "4.3.2 busy"), True)


# -- not set ------------------------------------------------------------------------------------------------------


def test_offline_windows_wait_for_a_clock_that_is_not_set_and_explain_says_so() -> None:
    checks: list[Check] = []
    verdict = decide(message(), situation(open=(), clock_why=UNSET), checks)
    assert isinstance(verdict, Wait)
    assert verdict.next_try == NextTry("never")
    assert verdict.why.startswith("the clock is not set")
    assert (checks[-1].name, checks[-1].state) == ("clock", "wait")


def test_class_urgent_goes_over_a_link_that_is_up_anyway_and_waits_where_none_is() -> None:
    urgent = message(message_class="urgent")
    assert isinstance(decide(urgent, situation(open=(), clock_why=UNSET)), Go)
    down = replace(LINE, up=False)
    assert isinstance(decide(urgent, situation(open=(), clock_why=UNSET, links=(down,))), Wait)


def test_urgent_mail_that_failed_waits_for_its_next_try_whatever_the_clock_shows() -> None:
    s = situation(open=(), clock_why=UNSET)
    verdict = decide(message(message_class="urgent", tries=1, last_try=s.now + DAY, due=s.now + 600), s)
    assert isinstance(verdict, Wait)
    assert verdict.next_try == NextTry("time", s.now + 600)


def test_online_sends_as_ever_while_the_clock_is_not_set() -> None:
    assert isinstance(decide(message(), situation(mode="online", clock_why=UNSET)), Go)


def test_only_what_was_opened_by_hand_is_open_while_the_clock_is_not_set() -> None:
    clock, is_set = FakeClock(at("2026-11-24 12:00")), True

    async def check() -> None:
        nonlocal is_set
        timetable = Timetable(schedule(OFFICE), "offline", None, clock, lambda: None, lambda: is_set)
        assert [o.window.name for o in timetable.openings(clock.now())] == ["Day"]
        is_set = False
        timetable.clock_stepped()
        assert timetable.openings(clock.now()) == ()
        timetable.open_now(60)
        assert [o.once for o in timetable.openings(clock.now())] == [True]

    asyncio.run(check())


# -- steps --------------------------------------------------------------------------------------------------------


def test_mail_of_a_time_to_come_is_old_enough_for_only_if() -> None:
    text = "timezone: UTC\nwindows:\n  - {name: W, open: 00:00-24:00, only_if: oldest over 2 h}\n"
    window = schedule(text).windows[0]
    now = at("2026-11-24 12:00")
    assert is_met(window, [message(created=now + 365 * DAY)], now)
    assert not is_met(window, [message(created=now + 1)], now)


def test_an_order_for_two_hours_lasts_two_hours_whichever_way_the_clock_is_set() -> None:
    now = 1_780_000_000.0
    made = orders.with_once(
        orders.with_mode(orders.Orders(), "offline", now, 7200.0), [(now, now + 600), (now + 7200, now + 9000)]
    )
    back = orders.stepped(made, -30 * DAY, now - 30 * DAY)
    assert back.mode_until == now - 30 * DAY + 7200
    assert back.once[0] == (now - 30 * DAY, now - 30 * DAY + 600)
    forward = orders.stepped(made, 5 * DAY, now + 5 * DAY)
    assert forward.mode_until == now + 5 * DAY + 7200
    assert forward.once == ((now + 5 * DAY, now + 5 * DAY + 600), (now + 7200, now + 9000))


def test_an_order_that_another_clock_gave_is_not_carried_into_the_next_century() -> None:
    now = 1_780_000_000.0
    made = orders.with_mode(orders.Orders(), "offline", now, 7200.0)
    assert orders.stepped(made, now + 60 - 100.0, now + 60).mode_until == now + 7200  # from 1970 into its own time


def test_nothing_is_given_up_while_the_clock_is_not_set(tmp_path: Path) -> None:
    async def check() -> None:
        async with Office(tmp_path, QueueSettings(max_attempts=1), floor=2_000_000_000.0) as office:
            await office.deferred()
            assert len(office.spool.entries) == 1

    asyncio.run(check())


def test_a_step_back_moves_next_try_to_at_most_the_retry_interval_and_no_tried_message_is_tried_in_a_loop(
    tmp_path: Path,
) -> None:
    asyncio.run(_step(tmp_path, lambda office: office.clock.step(-400 * DAY), -400 * DAY))


def test_starting_with_a_clock_behind_the_last_try_moves_next_try_too(tmp_path: Path) -> None:
    asyncio.run(_step(tmp_path, None, -400 * DAY))


async def _step(folder: Path, step: Callable[[Office], None] | None, seconds: float) -> None:
    """One message, deferred; then the clock goes back, in front of our eyes or while we are away."""
    office = Office(folder)
    async with office:
        entry = await office.deferred()
        if step is not None:
            step(office)
            office.dispatcher.clock_stepped(ClockStep(seconds, 0.0))
            await office.until(lambda: (entry.due or 0) <= office.clock.now() + 1800)
            await asyncio.sleep(0)
            assert office.courier.started == 1
            assert office.retried_after(1801)
            await office.until(lambda: office.courier.started == 2)
            return
    office.clock.step(seconds)
    async with office:
        entry = next(iter(office.spool.entries.values()))
        office.start()
        await office.until(lambda: (entry.due or 0) <= office.clock.now() + 1800)


class Office:
    """A dispatcher Online by a clock of the test's, over a relay that is always busy."""

    def __init__(self, folder: Path, queue: QueueSettings | None = None, floor: float | None = None) -> None:
        self.clock = FakeClock()
        self.saved = clockset.encode(clockset.Standing(floor=floor))
        self.courier = FakeCourier(self._busy)
        self.settings = Settings(
            None,
            "gw.branch.example",
            folder / "spool",
            mode="online",
            queue=queue or QueueSettings(),
            relays=(RelaySettings("isp", "127.0.0.1", 2525, tls="none"),),
        )

    async def _busy(self, number: int, feed: Feed) -> SessionEnd:
        while (shipment := await feed.take(OFFERS)) is not None:
            feed.settle(shipment.id, [BUSY])
        return DONE

    async def __aenter__(self) -> Office:
        journal = Journal()
        self.spool = await Spool.open(self.settings.spool, clock=self.clock, journal=journal, reserve=0)
        self.monitor = Monitor(self.settings, clock=self.clock, journal=journal, on_change=lambda: None)
        await self.monitor.start()
        self.dispatcher = Dispatcher(
            self.settings,
            ScheduleFile(),
            self.spool,
            self.monitor,
            self.courier,
            clock=self.clock,
            journal=journal,
            linger=0.0,
            clock_watch=ClockWatch(
                self.clock,
                self.saved,
                journal=journal,
                on_step=lambda _: None,
                on_change=lambda: None,
                host=FakeHost(self.clock),
            ),
        )
        return self

    def start(self) -> None:
        self.running = asyncio.create_task(self.dispatcher.run())

    async def __aexit__(self, *_: object) -> None:
        self.dispatcher.stop(0.1)
        await self.running
        await self.monitor.stop()
        await self.spool.close()

    async def deferred(self) -> Entry:
        draft = self.spool.draft([lambda item: b"Received: by gw\r\n"])
        await draft.write(b"Subject: one\r\n\r\nx\r\n")
        envelope = Envelope("anna@branch.example", (Recipient("ops@hq.example"),))
        entry = await self.spool.commit(draft, envelope, message_class="normal", peer=Peer())
        self.start()
        await self.until(lambda: entry.due is not None and not entry.claimed)
        return entry

    def retried_after(self, seconds: float) -> bool:
        self.clock.advance(seconds)
        self.dispatcher.reconsider()
        return True

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.005)


def test_a_message_in_doubt_keeps_its_ten_minutes() -> None:
    assert latest_due(0.0, QueueSettings(retry_interval=1.0), doubt=True) == 600.0
    assert latest_due(0.0, QueueSettings(retry_interval=4 * 3600.0), doubt=False) == 3600.0
