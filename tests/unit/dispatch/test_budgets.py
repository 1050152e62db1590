"""Budgets in the decision: who may still go, who waits, and until when."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from gateway.config.settings import BudgetSettings
from gateway.connectivity.ledger import BudgetState
from gateway.dispatch.decide import decide
from gateway.dispatch.facts import CallState, Check, Go, NextTry, OpenWindow, Raise, Wait
from tests.support.situations import LINE, at, forecast, message, situation

MB = 1_000_000
MODEM = replace(LINE, name="modem", kind="dialled", interface="ppp0", up=False, usable=False)


def budget(
    used: float,
    octets: float = 10 * MB,
    per: Literal["session", "day", "month"] = "day",
    renews: str = "2026-11-25 00:00",
) -> BudgetState:
    stop: Literal["none", "soft", "hard"] = "hard" if used >= octets else "soft" if used >= 0.9 * octets else "none"
    ends = None if per == "session" else at(renews)
    return BudgetState(BudgetSettings(round(octets), per), round(used), stop, ends)


def waits(verdict: object) -> Wait:
    assert isinstance(verdict, Wait), verdict
    return verdict


def test_a_used_up_budget_of_a_link_stops_everything_in_every_mode_and_says_until_when() -> None:
    checks: list[Check] = []
    verdict = waits(decide(message(), situation(mode="online", link_budgets={"dsl": budget(10 * MB)}), checks))
    assert verdict.next_try == NextTry("time", at("2026-11-25 00:00"))
    assert verdict.why == "the budget of dsl is used up: 10 MB of 10 MB per day used"
    assert (checks[-1].name, checks[-1].state) == ("budget", "wait")
    urgent = message(message_class="urgent")
    assert isinstance(decide(urgent, situation(mode="online", link_budgets={"dsl": budget(10 * MB)})), Wait)


def test_near_its_end_only_class_urgent_goes() -> None:
    s = situation(link_budgets={"dsl": budget(9.5 * MB)})
    assert "only class urgent" in waits(decide(message(), s)).why
    assert isinstance(decide(message(message_class="urgent"), s), Go)


def test_a_message_larger_than_what_is_left_waits_and_a_smaller_one_goes() -> None:
    s = situation("timezone: UTC\nwindows:\n  - {name: W, open: 00:00-24:00}\n", link_budgets={"dsl": budget(7 * MB)})
    assert "more than is left" in waits(decide(message(size=4 * MB), s)).why
    assert isinstance(decide(message(size=MB), s), Go)


def test_offline_it_waits_for_the_opening_in_which_there_is_budget_again() -> None:
    verdict = waits(decide(message(), situation(link_budgets={"dsl": budget(10 * MB)})))
    assert verdict.next_try == NextTry("window", at("2026-11-25 00:00"), "Night")
    month = budget(10 * MB, per="month", renews="2026-12-01 00:00")
    verdict = waits(decide(message(), situation(link_budgets={"dsl": month})))
    assert verdict.next_try == NextTry("window", at("2026-12-01 00:00"), "Night")


def test_a_session_budget_of_a_window_waits_for_its_next_opening_and_another_window_takes_it_first() -> None:
    used = budget(10 * MB, per="session")
    verdict = waits(decide(message(), situation(window_budgets={"Day": used})))
    assert verdict.next_try == NextTry("window", at("2026-11-24 22:00"), "Night")
    text = "timezone: UTC\nwindows:\n  - {name: A, open: 00:00-24:00}\n  - {name: B, open: 00:00-24:00}\n"
    going = decide(message(), situation(text, window_budgets={"A": used}))
    assert isinstance(going, Go)
    assert going.opening is not None
    assert going.opening.window.name == "B"


def test_an_opening_by_hand_and_force_know_no_budget() -> None:
    s = situation(window_budgets={"Day": budget(10 * MB)})
    by_hand = replace(s.open[0].opening, once=True)
    assert isinstance(decide(message(), replace(s, open=(OpenWindow(by_hand),))), Go)
    s = situation(link_budgets={"dsl": budget(10 * MB)})
    assert isinstance(decide(message(push="force"), s), Go)
    assert isinstance(decide(message(push="send"), s), Wait)


def test_another_link_takes_over_when_the_budget_of_the_first_is_used_up() -> None:
    other = replace(LINE, name="lte", kind="metered")
    going = decide(message(), situation(links=(LINE, other), link_budgets={"dsl": budget(10 * MB)}))
    assert isinstance(going, Go)
    assert going.link == "lte"


def test_no_call_without_budget() -> None:
    text = "timezone: UTC\nwindows:\n  - {name: W, open: 00:00-24:00, dial: yes}\n"
    s = situation(text, links=(MODEM,), calls={"modem": CallState()})
    assert isinstance(decide(message(), s), Raise)
    verdict = decide(message(), replace(s, link_budgets={"modem": budget(10 * MB)}))
    assert not isinstance(verdict, Raise)
    assert "used up" in waits(verdict).why


def test_the_forecast_of_a_later_opening_begins_with_a_fresh_budget() -> None:
    s = situation(now="2026-11-24 19:00", window_budgets={"Night": budget(10 * MB, per="session")})
    expected = forecast([message()], s)
    assert expected is not None
    assert expected.messages == 1


def test_the_forecast_ends_where_the_budget_does() -> None:
    s = situation(now="2026-11-24 19:00", link_budgets={"dsl": budget(0, octets=1000_000, per="session")})
    expected = forecast([message(id=f"k7qx000000{n}", size=200_000) for n in range(9)], s)
    assert expected is not None
    assert (expected.messages, expected.staying) == (4, 5)


def test_what_an_operator_sends_in_an_opening_is_within_its_budget_and_what_he_forces_is_not() -> None:
    text = "timezone: UTC\nwindows:\n  - {name: W, open: 00:00-24:00, budget: 10 MB per day}\n"
    s = situation(text, window_budgets={"W": budget(10 * MB)})
    assert "the budget of W is used up" in waits(decide(message(push="send"), s)).why
    assert isinstance(decide(message(push="force"), s), Go)


def test_what_an_operator_sends_is_paid_by_the_window_that_can() -> None:
    text = (
        "timezone: UTC\nwindows:\n"
        "  - {name: W, open: 00:00-24:00, budget: 10 MB per day}\n  - {name: X, open: 00:00-24:00}\n"
    )
    verdict = decide(message(push="send"), situation(text, window_budgets={"W": budget(10 * MB)}))
    assert isinstance(verdict, Go)
    assert verdict.opening is not None
    assert verdict.opening.window.name == "X"
