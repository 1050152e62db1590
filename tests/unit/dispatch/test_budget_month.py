"""A month of budgets through the dispatcher by a clock of ours: both nights on which the clocks change, power cuts, and boxes
that wake in 1970. What the ledger says is compared with a count that the test keeps by the calendar on the wall."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.config.settings import BudgetSettings, LinkSettings, RelaySettings, Settings
from gateway.connectivity import clockset
from gateway.connectivity.clockwatch import ClockStep, ClockWatch
from gateway.connectivity.monitor import Monitor
from gateway.courier.contract import Feed, SessionEnd
from gateway.dispatch.dispatcher import Dispatcher
from gateway.dispatch.facts import Go
from gateway.dispatch.meter import used_octets
from gateway.events import Journal
from gateway.spool.spool import Spool
from tests.support.clock import FakeClock
from tests.support.fakekernel import FakeKernel
from tests.support.house import OFFERS, TAKEN, FakeCourier
from tests.support.situations import schedule
from tests.support.spools import put
from tests.unit.connectivity.test_clockwatch import FakeHost

PRAGUE = ZoneInfo("Europe/Prague")
A_DAY, A_MONTH = 100_000, 3_100_000
ALWAYS = "timezone: Europe/Prague\nwindows:\n  - {name: Always, open: '00:00-24:00', budget: 100 kB per day}\n"
MAIL = b"Subject: one\r\n\r\n" + b"x" * 30_000


class Branch:
    """A dispatcher Offline over a metered link, by a clock of ours, and what went over the line by date."""

    def __init__(self, folder: Path, begins: datetime) -> None:
        self.clock = FakeClock(begins.timestamp())
        self.courier = FakeCourier(self._take)
        self.by_date: Counter[date] = Counter()
        self.steps: list[ClockStep] = []
        self.settings = Settings(
            None,
            "gw.branch.example",
            folder / "spool",
            mode="offline",
            relays=(RelaySettings("isp", "192.0.2.25", tls="none"),),
            links=(LinkSettings("lte", "wwan0", "metered", budget=BudgetSettings(A_MONTH, "month")),),
        )

    async def _take(self, number: int, feed: Feed) -> SessionEnd:
        octets = 0
        while (shipment := await feed.take(OFFERS)) is not None:
            await feed.on_wire([shipment.id])
            octets += shipment.content.size
            feed.settle(shipment.id, [TAKEN])
        packets = octets // 1400 + 8
        end = SessionEnd(
            "done", "", octets_out=octets, octets_in=900, segments_out=packets, segments_in=packets // 2, reached=True
        )
        self.by_date[self.today] += sum(used_octets(end))
        return end

    @property
    def today(self) -> date:
        return datetime.fromtimestamp(self.clock.now(), PRAGUE).date()

    async def switch_on(self) -> None:
        journal, kernel = Journal(), FakeKernel()
        kernel.add("wwan0", "10.64.0.2")
        self.host = FakeHost(self.clock)
        self.spool = await Spool.open(self.settings.spool, clock=self.clock, journal=journal, reserve=0)
        self.monitor = Monitor(
            self.settings,
            clock=self.clock,
            journal=journal,
            on_change=lambda: None,
            kernel=kernel,
            events=kernel.events,
        )
        await self.monitor.start()
        self.watch = ClockWatch(
            self.clock,
            self.spool.load_state(clockset.STATE),
            journal=journal,
            on_step=lambda step: self.dispatcher.clock_stepped(step),
            on_change=lambda: self.dispatcher.clock_changed(),
            host=self.host,
        )
        self.dispatcher = Dispatcher(
            self.settings,
            schedule(ALWAYS),
            self.spool,
            self.monitor,
            self.courier,
            clock=self.clock,
            journal=journal,
            linger=0.0,
            clock_watch=self.watch,
        )
        self.running = asyncio.create_task(self.dispatcher.run())

    async def switch_off(self) -> None:
        self.dispatcher.stop(0.1)
        await self.running
        await self.monitor.stop()
        await self.spool.close()

    async def quiet(self) -> None:
        """Until nothing more may go."""
        self.dispatcher.reconsider()
        async with asyncio.timeout(20):
            while self.courier.running or any(
                entry.claimed or isinstance(self.dispatcher.verdict(entry, None), Go)
                for entry in self.spool.entries.values()
            ):
                await asyncio.sleep(0.001)

    def agrees(self) -> None:
        """The ledger says what the test counted, and no budget was overdrawn by more than an estimate may be wrong."""
        month = sum(
            octets for day, octets in self.by_date.items() if (day.year, day.month) == self.today.timetuple()[:2]
        )
        day = self.dispatcher.meter.window_budgets()["Always"]
        assert day.used == self.by_date[self.today] <= 1.01 * A_DAY
        assert day.renews == datetime.combine(self.today + timedelta(days=1), time(), PRAGUE).timestamp()
        assert self.dispatcher.meter.link_budgets()["lte"].used == month <= 1.01 * A_MONTH

    async def wake_in_1970(self) -> None:
        """A power cut; the box has no battery. Before the time is right nothing leaves and nothing is forgotten."""
        right = self.clock.now()
        before = self.dispatcher.meter.link_budgets()["lte"].used
        await self.switch_off()
        self.clock.step(60 - right)
        await self.switch_on()
        started = self.courier.started
        await put(self.spool, MAIL)
        await self.quiet()
        assert self.dispatcher.clock_why is not None
        assert self.dispatcher.meter.link_budgets()["lte"].used == before
        assert self.courier.started == started
        self.clock.step(right + 600 - self.clock.now())
        self.watch.look()
        assert self.dispatcher.clock_why is None


@pytest.mark.parametrize(
    ("first", "change"),
    [(date(2026, 10, 1), date(2026, 10, 25)), (date(2027, 3, 1), date(2027, 3, 28))],
    ids=["the night of 25 hours", "the night of 23 hours"],
)
def test_a_month_of_budgets_holds_over_reboots_a_changing_clock_and_one_from_1970(
    tmp_path: Path, first: date, change: date
) -> None:
    async def check() -> None:
        branch = Branch(tmp_path, datetime(first.year, first.month, first.day, 0, 30, tzinfo=PRAGUE))
        await branch.switch_on()
        reboots = {first + timedelta(days=3), change - timedelta(days=1), change}
        while branch.today < (first + timedelta(days=32)).replace(day=2):
            if branch.today in reboots:
                reboots.discard(branch.today)
                await branch.wake_in_1970()
            await put(branch.spool, MAIL)
            await branch.quiet()
            branch.agrees()
            branch.clock.advance(3600 if branch.today == change else 6 * 3600)
        days = {day.day: octets for day, octets in branch.by_date.items() if day.month == first.month}
        assert days[change.day] > 0.8 * A_DAY  # as much as on any day: neither twice its budget nor none
        assert len(branch.spool.entries) > 0
        assert 28 < max(days) < 31  # the month's budget was used up before its end
        assert branch.by_date[(first + timedelta(days=32)).replace(day=1)] > 0  # and the next month began anew
        await branch.switch_off()

    asyncio.run(check())
