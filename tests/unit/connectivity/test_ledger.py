"""What the lines have carried and cost, by a clock that may be wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.settings import BudgetSettings, TariffSettings
from gateway.connectivity.ledger import (
    MAX_ACCOUNTS,
    PERS,
    Ledger,
    Moment,
    account_of_link,
    account_of_window,
    cost,
    wire_octets,
)
from gateway.connectivity.periods import Per

PRAGUE = ZoneInfo("Europe/Prague")
LTE = account_of_link("lte")
NIGHT = account_of_window("Night")
MB = 1_000_000


def moment(text: str, *, is_set: bool = True) -> Moment:
    return Moment(datetime.fromisoformat(text).replace(tzinfo=PRAGUE).timestamp(), PRAGUE, is_set)


def restarted(ledger: Ledger) -> Ledger:
    saved = ledger.take_unsaved()
    return Ledger(saved)


def test_what_is_used_counts_for_its_day_week_and_month() -> None:
    ledger = Ledger()
    ledger.charge([LTE, NIGHT], moment("2026-11-30 23:50"), octets=5 * MB, sessions=1)
    ledger.charge([LTE], moment("2026-12-01 00:10"), octets=3 * MB, sessions=1)
    now = moment("2026-12-01 00:20")
    assert ledger.used(LTE, "day", now).octets == 3 * MB
    assert ledger.used(LTE, "week", now).octets == 8 * MB
    assert ledger.used(LTE, "month", now).octets == 3 * MB
    assert ledger.used(LTE, "week", now).sessions == 2
    assert ledger.used(NIGHT, "day", now).octets == 0
    assert ledger.used("link unheard of", "day", now).octets == 0


def test_a_month_of_budget_is_kept_over_reboots_dst_and_a_clock_from_1970() -> None:
    ledger = Ledger()
    used = 0
    for day in range(1, 32):  # October: the night of the 25th has an hour twice
        for hour in (1, 2, 3, 12):
            now = moment(f"2026-10-{day:02}T{hour:02}:30")
            ledger.charge([LTE], now, octets=MB)
            used += MB
            ledger = restarted(ledger)  # the power fails; the box wakes in 1970 and goes on sending
            ledger.charge([LTE], moment("1970-01-01 01:00", is_set=False), octets=1000)
            used += 1000
            ledger = restarted(ledger)
            assert ledger.used(LTE, "month", now).octets == used
    assert ledger.used(LTE, "month", moment("2026-11-01 00:01")).octets == 0


def test_a_clock_that_was_a_year_ahead_does_not_block_the_year() -> None:
    ledger = Ledger()
    ledger.charge([LTE], moment("2027-11-05 12:00"), octets=9 * MB)
    assert ledger.used(LTE, "month", moment("2026-11-05 12:00")).octets == 9 * MB  # put right: the count comes along
    assert ledger.used(LTE, "month", moment("2026-12-01 12:00")).octets == 0


def test_what_was_used_before_the_clock_was_ever_set_belongs_to_the_first_period() -> None:
    ledger = Ledger()
    ledger.charge([LTE], moment("1970-01-01 01:00", is_set=False), octets=MB)
    ledger = restarted(ledger)
    assert ledger.used(LTE, "day", moment("2026-11-05 12:00")).octets == MB
    assert ledger.used(LTE, "day", moment("2026-11-06 12:00")).octets == 0


BUDGET = BudgetSettings(10 * MB, "day")


def used_of_budget(octets: int, budget: BudgetSettings = BUDGET) -> tuple[str, int]:
    ledger = Ledger()
    now = moment("2026-11-05 12:00")
    ledger.charge([LTE], now, octets=octets)
    state = ledger.state(LTE, budget, now)
    return state.stop, state.left


def test_a_budget_stops_softly_before_it_stops_hard() -> None:
    assert used_of_budget(0) == ("none", 10 * MB)
    assert used_of_budget(9 * MB - 1) == ("none", MB + 1)
    assert used_of_budget(9 * MB) == ("soft", MB)
    assert used_of_budget(10 * MB - 1) == ("soft", 1)
    assert used_of_budget(10 * MB) == ("hard", 0)
    assert used_of_budget(50 * MB) == ("hard", 0)


def test_a_budget_says_when_it_begins_anew() -> None:
    now = moment("2026-11-05 12:00")
    ends: dict[Per, str] = {"day": "2026-11-06 00:00", "week": "2026-11-09 00:00", "month": "2026-12-01 00:00"}
    for per, renews in ends.items():
        assert Ledger().state(LTE, BudgetSettings(MB, per), now).renews == moment(renews).now


def test_a_budget_for_a_session_counts_the_session() -> None:
    budget = BudgetSettings(10 * MB, "session")
    ledger = Ledger()
    now = moment("2026-11-05 12:00")
    ledger.charge([LTE], now, octets=500 * MB)
    assert ledger.state(LTE, budget, now, in_session=2 * MB).left == 8 * MB
    assert ledger.state(LTE, budget, now, in_session=11 * MB).stop == "hard"
    assert ledger.state(LTE, budget, now).renews is None


def test_what_would_burst_the_budget_waits_and_what_is_larger_than_all_of_it_goes_first() -> None:
    ledger = Ledger()
    now = moment("2026-11-05 12:00")
    fresh = ledger.state(LTE, BUDGET, now)
    assert fresh.admits(10 * MB, urgent=False)
    assert fresh.admits(30 * MB, urgent=False)
    ledger.charge([LTE], now, octets=4 * MB)
    half = ledger.state(LTE, BUDGET, now)
    assert half.admits(6 * MB, urgent=False)
    assert not half.admits(7 * MB, urgent=True)
    assert not half.admits(30 * MB, urgent=True)
    soft = replace(half, used=9 * MB, stop="soft")
    assert soft.admits(1000, urgent=True)
    assert not soft.admits(1000, urgent=False)
    hard = replace(half, used=10 * MB, stop="hard")
    assert not hard.admits(1, urgent=True)


@pytest.mark.parametrize(
    ("tariff", "seconds", "octets", "money"),
    [
        (TariffSettings(per_minute=0.05), 1, 0, 0.05),
        (TariffSettings(per_minute=0.05), 60, 0, 0.05),
        (TariffSettings(per_minute=0.05), 60.0000001, 0, 0.05),
        (TariffSettings(per_minute=0.05), 61, 0, 0.10),
        (TariffSettings(per_minute=0.05), 0, 0, 0.0),
        (TariffSettings(per_minute=0.06, rounding=10), 61, 0, 0.07),
        (TariffSettings(per_mb=2.0), 500, 1_500_000, 3.0),
        (TariffSettings(per_minute=1.0, per_mb=2.0), 90, MB, 4.0),
        (TariffSettings(), 90, MB, 0.0),
    ],
)
def test_a_tariff_gives_money(tariff: TariffSettings, seconds: float, octets: int, money: float) -> None:
    assert cost(tariff, seconds, octets) == money


def test_money_adds_up_without_a_rest() -> None:
    ledger = Ledger()
    now = moment("2026-11-05 12:00")
    for _ in range(1000):
        ledger.charge([LTE], now, money=0.1)
    assert ledger.used(LTE, "day", now).money == 100 * 1_000_000


def test_octets_on_the_line_are_payload_and_a_header_for_each_segment() -> None:
    assert wire_octets(10_000, 8) == 10_000 + 8 * 52
    assert wire_octets(10_000, 8, 6) == 10_000 + 8 * 72


def test_nothing_new_is_nothing_to_write() -> None:
    ledger = Ledger()
    assert ledger.take_unsaved() is None
    now = moment("2026-11-05 12:00")
    ledger.charge([LTE], now, octets=7)
    assert ledger.unsaved_octets == 7
    assert ledger.take_unsaved() is not None
    assert ledger.unsaved_octets == 0
    assert ledger.take_unsaved() is None
    ledger.used(LTE, "day", now)
    assert ledger.take_unsaved() is None
    ledger.used(LTE, "day", moment("2026-11-06 12:00"))  # a period turned by being looked at
    assert ledger.take_unsaved() is not None


def test_the_accounts_of_links_and_windows_that_are_gone_are_forgotten_in_the_end() -> None:
    ledger = Ledger()
    now = moment("2026-11-05 12:00")
    ledger.charge([LTE], now, octets=1)
    for number in range(MAX_ACCOUNTS + 50):
        ledger.charge([f"window {number}"], now, octets=1)
        ledger.charge([LTE], now, octets=1)
    assert ledger.used(LTE, "day", now).octets == MAX_ACCOUNTS + 51
    assert ledger.used("window 0", "day", now).octets == 0
    assert ledger.used(f"window {MAX_ACCOUNTS + 49}", "day", now).octets == 1


@given(st.binary(max_size=60))
def test_any_state_is_read_to_an_end(octets: bytes) -> None:
    Ledger(octets).charge([LTE], moment("2026-11-05 12:00"), octets=1)


@given(st.lists(st.tuples(st.floats(-1e7, 1e7), st.integers(0, 10**9), st.booleans()), max_size=20))
def test_what_was_used_is_never_less_than_what_the_period_shows(steps: list[tuple[float, int, bool]]) -> None:
    ledger, total, now = Ledger(), 0, moment("2026-11-05 12:00").now
    for step, octets, is_set in steps:
        now += step
        ledger.charge([LTE], Moment(now, PRAGUE, is_set), octets=octets)
        total += octets
        ledger = restarted(ledger)
        for per in PERS:
            assert octets <= ledger.used(LTE, per, Moment(now, PRAGUE, is_set)).octets <= total
