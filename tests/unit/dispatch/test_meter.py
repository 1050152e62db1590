"""The meter: what sessions are charged, who pays, and what a use costs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from gateway.config.settings import BudgetSettings, LinkSettings, Settings, TariffSettings
from gateway.courier.contract import SessionEnd
from gateway.dispatch.meter import Meter, estimate, used_octets
from gateway.schedule.calendar import Calendar
from tests.support.clock import FakeClock
from tests.support.situations import LINE, at, schedule

MB = 1_000_000
TEXT = """\
timezone: Europe/Prague
windows:
  - {name: Day, open: 08:00-18:00, every: 1 h, for: 15 min, budget: 1 MB per session}
  - {name: Night, open: 22:00-05:00, budget: 20 MB per day}
"""
END = SessionEnd("done", "all taken", octets_out=100_000, octets_in=2000, segments_out=100, segments_in=60)
WIRE = 100_000 + 2000 + (103 + 63) * 52


class Line:
    def __init__(self, link: LinkSettings | None = None, saved: bytes | None = None) -> None:
        self.clock = FakeClock(at("2026-11-24 12:00"))
        self.told = 0
        self.is_set = True
        link = link or LinkSettings("modem", "ppp0", "dialled", budget=BudgetSettings(200 * MB, "month"))
        self.settings = Settings(None, "gw.example", Path("spool"), links=(link,))
        self.file = schedule(TEXT)
        self.meter = Meter(
            saved,
            self.settings,
            self.file,
            clock=self.clock,
            clock_is_set=lambda: self.is_set,
            on_unsaved=self.tell,
        )
        self.open_now()

    def tell(self) -> None:
        self.told += 1

    def open_now(self) -> None:
        self.meter.openings_are(Calendar(self.file).open_at(self.clock.now()), is_offline=True)

    @property
    def used(self) -> int:
        return self.meter.link_budgets()["modem"].used

    def window(self, name: str) -> int:
        return self.meter.window_budgets()[name].used


def test_octets_are_those_on_the_line_with_headers_and_what_was_sent_again() -> None:
    assert sum(used_octets(END)) == WIRE
    assert sum(used_octets(replace(END, resent=5000))) == WIRE + 5000
    assert sum(used_octets(replace(END, ip_version=6))) == WIRE + 166 * 20


def test_where_the_kernel_counts_no_segments_they_are_estimated() -> None:
    out, into = used_octets(SessionEnd("done", "", octets_out=1_400_000, octets_in=0))
    assert 1_400_000 + 1000 * 52 < out < 1_400_000 + 1010 * 52
    assert 500 * 52 < into < 510 * 52
    assert sum(used_octets(SessionEnd("unreachable", ""))) < 1000


def test_a_message_is_charged_when_it_is_taken_and_the_end_puts_it_right() -> None:
    line = Line()
    session = line.meter.begun("modem", "Day")
    line.meter.taken(session, 90_000, "Day")
    assert line.used == line.window("Day") == estimate(90_000)
    line.meter.ended(session, END)
    assert line.used == line.window("Day") == WIRE


def test_two_windows_share_what_a_session_used_by_what_they_sent() -> None:
    line = Line()
    session = line.meter.begun("modem", "Day")
    line.meter.taken(session, 30_000, "Day")
    line.meter.taken(session, 60_000, "Night")
    line.meter.ended(session, END)
    assert line.window("Day") + line.window("Night") == WIRE
    assert abs(line.window("Night") - 2 * line.window("Day")) < 3000


def test_a_session_that_sends_nothing_is_paid_by_the_window_for_which_it_began() -> None:
    line = Line()
    line.meter.ended(line.meter.begun("modem", "Day"), replace(END, octets_out=100, segments_out=5))
    assert line.window("Day") == line.used > 0


def test_a_session_budget_of_a_window_is_one_openings() -> None:
    line = Line()
    for _ in range(2):
        session = line.meter.begun("modem", "Day")
        line.meter.taken(session, 90_000, "Day")
        line.meter.ended(session, END)
    assert line.window("Day") == 2 * WIRE
    line.clock.advance(3600)
    line.open_now()
    assert line.window("Day") == 0
    assert line.used == 2 * WIRE


def test_a_session_budget_of_a_link_ends_with_its_call() -> None:
    line = Line(LinkSettings("modem", "ppp0", "dialled", budget=BudgetSettings(MB, "session")))
    for _ in range(2):
        line.meter.raised("modem")
        session = line.meter.begun("modem", None)
        line.meter.taken(session, 90_000, None)
        assert line.used == estimate(90_000)
        line.meter.ended(session, END)
        assert line.used == WIRE
        line.meter.put_down("modem")


def test_a_call_is_one_use_and_costs_its_begun_minutes_once() -> None:
    line = Line(LinkSettings("modem", "ppp0", "dialled", tariff=TariffSettings(per_minute=0.05)))
    line.meter.raised("modem")
    line.clock.advance(10)
    first = line.meter.begun("modem", None)
    line.clock.advance(20)
    assert line.meter.ended(first, END) == 0.05
    second = line.meter.begun("modem", None)
    line.clock.advance(25)
    assert line.meter.ended(second, END) == 0.0  # within the same minute of the same call
    line.clock.advance(10)
    line.meter.put_down("modem")  # 65 s in all
    month = line.meter.month("modem")
    assert month is not None
    assert (month.money, month.sessions, round(month.seconds)) == (100_000, 2, 65)


def test_a_price_per_megabyte_counts_what_was_on_the_line() -> None:
    line = Line(LinkSettings("modem", "lte0", "metered", tariff=TariffSettings(per_mb=1.0)))
    assert line.meter.ended(line.meter.begun("modem", None), END) == round(WIRE / MB, 6)


def test_a_permanent_line_that_costs_nothing_is_not_counted() -> None:
    line = Line(LinkSettings("modem", "eth0"))
    assert line.meter.ended(line.meter.begun("modem", None), END) is None
    assert line.meter.month("modem") is None


def test_what_was_used_survives_a_restart_and_a_clock_from_1970() -> None:
    line = Line()
    session = line.meter.begun("modem", None)
    line.meter.taken(session, 90_000, None)
    line.meter.ended(session, END)
    saved = line.meter.take_unsaved()
    assert saved is not None
    assert json.loads(saved)
    assert line.meter.take_unsaved() is None
    again = Line(saved=saved)
    again.is_set = False
    again.clock.step(-again.clock.now() + 60)
    assert again.used == WIRE
    again.is_set = True
    again.clock.step(at("2026-11-30 12:00") - again.clock.now())
    assert again.used == WIRE
    again.clock.step(at("2026-12-01 12:00") - again.clock.now())
    assert again.used == 0


def test_much_is_written_before_the_session_ends() -> None:
    line = Line()
    session = line.meter.begun("modem", None)
    line.meter.taken(session, 5000, None)
    assert (line.told, line.meter.take_unsaved()) == (0, None)
    line.meter.taken(session, 2 * MB, None)
    assert line.told == 1
    assert line.meter.take_unsaved() is not None


def test_a_reload_keeps_what_was_used() -> None:
    line = Line()
    session = line.meter.begun("modem", None)
    line.meter.taken(session, 90_000, None)
    line.meter.replace(line.settings, line.file)
    line.meter.ended(session, END)
    assert line.used == WIRE


def test_a_probe_is_charged_to_the_link_and_to_no_window_and_is_no_session() -> None:
    line = Line(LinkSettings("modem", "eth0", budget=BudgetSettings(MB, "month"), tariff=TariffSettings(per_mb=2.0)))
    line.meter.probed("modem", 700)
    line.meter.probed("modem", 700)
    month = line.meter.month("modem")
    assert month is not None
    assert (line.used, month.octets, month.sessions, month.money) == (1400, 1400, 0, 2800)
    assert line.window("Day") == 0


def test_probes_of_a_line_that_costs_nothing_are_not_counted_and_a_budget_that_is_used_up_ends_them() -> None:
    free = Line(LinkSettings("modem", "eth0"))
    free.meter.probed("modem", 700)
    assert free.meter.month("modem") is None
    assert free.meter.may_probe("modem")
    line = Line(LinkSettings("modem", "eth0", budget=BudgetSettings(100_000, "day")))
    line.meter.probed("modem", 99_999)
    assert line.meter.may_probe("modem")
    assert line.meter.take_unsaved() is not None  # more than a hundredth of the budget: a cut must not lose it
    assert line.told == 1
    line.meter.probed("modem", 700)
    assert not line.meter.may_probe("modem")
    line.clock.advance(86_400)
    assert line.meter.may_probe("modem")


def test_what_probes_used_is_written_at_the_end() -> None:
    line = Line(LinkSettings("modem", "eth0", budget=BudgetSettings(100 * MB, "day")))
    line.meter.probed("modem", 700)
    assert line.meter.take_unsaved() is None
    line.meter.save_all()
    saved = line.meter.take_unsaved()
    assert Line(line.settings.links[0], saved).used == 700


def test_a_line_that_the_network_manager_calls_metered_is_counted() -> None:
    line = Line(LinkSettings("modem", "eth0"))
    assert line.meter.month("modem") is None
    state = replace(LINE, name="modem", kind="metered", kind_said_by="NetworkManager")
    line.meter.links_are([state])
    line.meter.ended(line.meter.begun("modem", None), END)
    month = line.meter.month("modem")
    assert month is not None
    assert (month.octets, month.sessions) == (WIRE, 1)
