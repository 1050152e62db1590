"""Thirty days without a line, then the line: dispatcher, spool, schedule and monitor as they are, over a clock and a kernel of
ours and a courier that does as told. Nothing is bounced, nothing is called late, and everything leaves in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from pathlib import Path

import pytest

from gateway.config.settings import LinkSettings, RelaySettings, Settings
from gateway.connectivity.monitor import Monitor
from gateway.courier.contract import Feed, SessionEnd
from gateway.dispatch import scan
from gateway.dispatch.dispatcher import Dispatcher
from gateway.dispatch.lane import MOST_UNSETTLED
from gateway.events import DeliveredTo, Event, FailedTo, Journal, Received
from gateway.mail.envelope import Class, Envelope, Peer, Recipient
from gateway.mail.outcome import Deferred, Delivered, Reply
from gateway.spool import grouppace
from gateway.spool.ledger import Pace
from gateway.spool.spool import Spool
from tests.support.clock import FakeClock
from tests.support.fakekernel import FakeKernel
from tests.support.house import DONE, OFFERS, FakeCourier
from tests.support.situations import at, schedule

DAY, HOUR = 86400, 3600
RANK = {"urgent": 0, "normal": 1, "bulk": 2}
RELAY = RelaySettings("isp", "192.0.2.25", tls="none")
TAKEN = Delivered(Reply(250, "2.0.0 taken"))
LATER = Deferred("451 4.7.1 greylisted", Reply(451, "4.7.1 greylisted"))
SILENT = SessionEnd("unreachable", "192.0.2.25 does not answer")
WINDOWS = """\
timezone: Europe/Prague
windows:
  - {name: Working hours, days: mon-fri, open: 08:00-18:00, every: 30 min, for: 5 min, send: "urgent, normal"}
  - {name: Night, open: 22:00-05:00}
"""
MAIL: tuple[tuple[int, Class, int], ...] = (  # what comes each day: hour, class, octets
    (8, "normal", 4000),
    (9, "urgent", 2000),
    (11, "bulk", 1000),
    (13, "normal", 60_000),  # with a deadline in forty days
    (15, "normal", 4000),
)


class ClockLoop(asyncio.SelectorEventLoop):
    """Its timers ring by the clock of the test."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.time = clock.monotonic  # type: ignore[method-assign]  # that is the point


class Branch:
    """A gateway that may be started again over the same spool. `sent`: (ID, session) in the order in which it was taken."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock, self.kernel = folder, FakeClock(at("2026-11-01 00:00")), FakeKernel()
        self.kernel.add("eth0", "192.168.7.2", carrier=False)
        self.events: list[Event] = []
        self.journal = Journal()
        self.journal.subscribe(self.events.append)
        self.settings = Settings(
            None, "gw.branch.example", folder / "spool", relays=(RELAY,), links=(LinkSettings("dsl", "eth0"),)
        )
        self.file = schedule(WINDOWS)
        self.kept: dict[str, tuple[int, float, float]] = {}  # class, deadline, age with small before large
        self.sent: list[tuple[str, int]] = []
        self.greylisted: set[str] = set()
        self.most_before_success = 0
        self.courier = FakeCourier(self.session, useful=3)

    async def start(self) -> None:
        self.spool = await Spool.open(
            self.settings.spool, clock=self.clock, journal=self.journal, reserve=0, pace=Pace(DAY, DAY, DAY)
        )
        self.monitor = Monitor(
            self.settings,
            clock=self.clock,
            journal=self.journal,
            on_change=lambda: self.dispatcher.lines.changed() if hasattr(self, "dispatcher") else None,
            kernel=self.kernel,
            events=self.kernel.events,
        )
        await self.monitor.start()
        self.dispatcher = Dispatcher(
            self.settings,
            self.file,
            self.spool,
            self.monitor,
            self.courier,
            clock=self.clock,
            journal=self.journal,
            linger=0.0,
        )
        self.running = asyncio.create_task(self.dispatcher.run())

    async def stop(self) -> None:
        self.dispatcher.stop(1.0)
        await self.running
        await self.monitor.stop()
        await self.spool.close()

    async def session(self, number: int, feed: Feed) -> SessionEnd:
        """The relay is silent but over a line that leads to it."""
        if not self.leads_somewhere:
            return SILENT
        while (shipment := await feed.take(OFFERS)) is not None:
            if not self.sent:
                self.most_before_success = self.courier.running
                self.greylisted.add(shipment.id)
            is_first_try = shipment.id not in {item for item, _ in self.sent}
            self.sent.append((shipment.id, number))
            await feed.on_wire([shipment.id])
            feed.settle(shipment.id, [LATER if is_first_try and shipment.id in self.greylisted else TAKEN])
        return DONE

    leads_somewhere = False

    async def arrive(self, message_class: Class, size: int) -> None:
        draft = self.spool.draft([lambda item: b"Received: by gw\r\n"])
        await draft.write(b"Subject: x\r\n\r\n" + b"x" * size)
        deadline = self.clock.now() + 40 * DAY if size == 60_000 else None
        envelope = Envelope("anna@branch.example", (Recipient("ops@hq.example"),), deliver_by=deadline)
        entry = await self.spool.commit(draft, envelope, message_class=message_class, peer=Peer())
        self.kept[entry.id] = (RANK[message_class], deadline or inf, entry.created + entry.size / 1000)

    async def hours(self, count: int) -> None:
        """Time passes; the edge of a window is at its end, so that the gateway looks as if woken by it."""
        self.clock.advance(count * HOUR)
        self.dispatcher.reconsider()
        for _ in range(20):
            await asyncio.sleep(0)

    async def day(self) -> None:
        """From midnight to midnight, by way of each arrival and the beginning of the night's window."""
        now = 0
        for hour, message_class, size in MAIL:
            await self.hours(hour - now)
            await self.arrive(message_class, size)
            now = hour
        await self.hours(22 - now)
        await self.hours(2)

    async def until(self, condition: Callable[[], bool]) -> None:
        """What threads of the spool do takes real time."""
        for _ in range(200_000):
            if condition():
                return
            await asyncio.sleep(0)
        raise AssertionError("never came true")


def delivered(branch: Branch) -> list[str]:
    return [event.id for event in branch.events if isinstance(event, DeliveredTo)]


def test_a_month_without_a_line_ends_in_no_report_and_an_orderly_flush(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouppace, "LONGEST", 0.0)  # milliseconds of a clock that goes by the hour
    monkeypatch.setattr(scan, "REST", 0.0)

    async def month(branch: Branch) -> None:
        await branch.start()
        for day in range(30):
            if day == 10:
                branch.kernel.carrier("eth0", True)  # a line that leads nowhere: sessions are tried and reach nobody
            if day == 20:
                assert branch.courier.started > 20, "it was tried"
                branch.kernel.carrier("eth0", False)
                await branch.stop()
                await branch.start()
            await branch.day()

        assert set(branch.spool.entries) == set(branch.kept)
        assert len(branch.kept) == 30 * len(MAIL)
        assert not [e for e in branch.events if isinstance(e, FailedTo | Received | DeliveredTo)]
        for item in branch.kept:
            record = await branch.spool.record(item)
            assert (record.attempts, record.opportunity, record.warned) == (0, 0.0, None)
        before = branch.courier.started

        branch.leads_somewhere = True
        branch.kernel.carrier("eth0", True)
        await branch.until(lambda: len(branch.spool.entries) == 1)
        assert branch.most_before_success == 1, "one connection goes first"
        assert 1 < branch.courier.most <= 3, "more once it pays"
        assert branch.courier.started - before <= 3
        place = {item: number for number, item in enumerate(sorted(branch.kept, key=branch.kept.__getitem__))}
        assert {item for item, _ in branch.sent} == set(place)
        for session in {number for _, number in branch.sent}:
            order = [place[item] for item, number in branch.sent if number == session]
            assert order == sorted(order), "class, then deadline, then age with small before large"
        assert max(abs(place[item] - number) for number, (item, _) in enumerate(branch.sent)) <= MOST_UNSETTLED

        await branch.hours(1)
        await branch.until(lambda: len(delivered(branch)) >= len(branch.kept))
        assert sorted(delivered(branch)) == sorted(branch.kept), "each once"
        assert not branch.spool.entries
        assert not [e for e in branch.events if isinstance(e, FailedTo | Received)], "no report, of failure or delay"
        await branch.stop()

    branch = Branch(tmp_path)
    with asyncio.Runner(loop_factory=lambda: ClockLoop(branch.clock)) as runner:
        runner.run(month(branch))
