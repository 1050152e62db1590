from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from msgspec import structs

from gateway.config.settings import BudgetSettings, QueueSettings
from gateway.connectivity.ledger import BudgetState
from gateway.dispatch import sentences
from gateway.dispatch.decide import decide
from gateway.dispatch.ends import has_expired, is_late, planned, untried_late_from, will_retry_until
from gateway.dispatch.facts import MessageFacts, Situation, Wait, facts_of
from gateway.spool.record import RecipientRecord, Record
from tests.support.situations import LINE, OFFICE, at, message, situation

DAY = 86400.0
QUEUE = QueueSettings()


def record(created: str = "2026-11-24 11:59", **changes: object) -> Record:
    item = Record(
        id="k7qx0000001",
        created=at(created),
        reverse_path="anna@branch.example",
        recipients=[RecipientRecord(address="ops@hq.example")],
        size=4000,
        sha256="0" * 64,
    )
    for name, value in changes.items():
        setattr(item, name, value)
    return item


@pytest.mark.parametrize(
    ("attempts", "opportunity", "ends"),
    [(2, 30 * DAY, False), (3, 5 * DAY - 1, False), (3, 5 * DAY, True), (50, 1 * DAY, False)],
)
def test_it_ends_after_its_opportunity_and_three_real_attempts(attempts: int, opportunity: float, ends: bool) -> None:
    assert (has_expired(record(attempts=attempts, opportunity=opportunity), QUEUE) is not None) is ends


def test_a_month_without_a_line_ends_nothing_whatever_the_wall_clock_says() -> None:
    old = record(created="2026-10-01 08:00", tries=900, attempts=0, opportunity=0.0)
    assert has_expired(old, QUEUE) is None
    assert has_expired(old, replace(QUEUE, max_attempts=5)) is None


def test_max_attempts_counts_real_attempts_only() -> None:
    queue = replace(QUEUE, max_attempts=2)
    assert has_expired(record(attempts=1, tries=9), queue) is None
    assert has_expired(record(attempts=2, tries=2), queue) == "given up after 2 attempts"


def test_the_plan_is_the_first_opening_since_it_came_that_takes_it() -> None:
    at_noon = situation(now="2026-11-24 12:00")
    assert planned(facts_of(record()), at_noon) == at("2026-11-24 11:59")
    evening = record(created="2026-11-24 19:00")
    assert planned(facts_of(evening), situation(now="2026-11-25 09:00")) == at("2026-11-24 22:00")


def test_mail_that_waits_as_planned_is_never_late() -> None:
    saturday = "timezone: Europe/Prague\nwindows:\n  - {name: W, days: sat, open: 08:00-12:00}\n"
    tuesday = record(created="2026-11-24 11:59")
    assert not is_late(tuesday, facts_of(tuesday), situation(saturday, now="2026-11-28 07:59"))
    assert not is_late(tuesday, facts_of(tuesday), situation(saturday, now="2026-11-28 11:59"))
    assert is_late(tuesday, facts_of(tuesday), situation(saturday, now="2026-11-28 12:01"))


def test_no_opening_within_fourteen_days_is_late_at_once() -> None:
    text = OFFICE.replace("send: urgent, normal", "send: urgent").replace(
        "open: 22:00-05:00", "open: 22:00-05:00\n    send: urgent"
    )
    item = record()
    assert is_late(item, facts_of(item), situation(text))


def test_a_sender_is_told_once() -> None:
    item = record(created="2026-11-20 11:59", warned=at("2026-11-21 12:00"))
    assert not is_late(item, facts_of(item), situation())


def test_online_lateness_counts_from_when_it_could_have_left() -> None:
    item = record(created="2026-11-24 06:00")
    online = situation(mode="online", opportunity_since=at("2026-11-24 11:00"))
    assert not is_late(item, facts_of(item), online)
    assert is_late(item, facts_of(item), replace(online, opportunity_since=at("2026-11-24 07:00")))


def test_the_earliest_end_is_what_is_left_of_its_opportunity() -> None:
    assert will_retry_until(record(opportunity=4 * DAY), 1000.0, QUEUE) == 1000.0 + DAY


@pytest.mark.parametrize("created", ["2027-03-01 12:00", "1970-01-01 12:00"])
def test_what_came_by_a_clock_that_was_wrong_is_not_late_for_that(created: str) -> None:
    item = record(created=created)
    assert not is_late(item, facts_of(item), situation(now="2026-11-24 12:00"))
    assert not is_late(item, facts_of(item), situation(now="2026-11-24 12:00", mode="online"))


FRIDAY = "timezone: Europe/Prague\nwindows:\n  - {name: W, days: fri, open: 08:00-12:00, send: urgent}\n"


def untried(facts: MessageFacts, s: Situation) -> float | None:
    verdict = decide(facts, s)
    assert isinstance(verdict, Wait)
    return untried_late_from(facts, verdict, s)


def test_what_no_opening_takes_for_two_weeks_is_late_at_once_though_it_was_never_tried() -> None:
    bulk, urgent = message(message_class="bulk"), message(message_class="urgent")
    assert untried(bulk, situation(FRIDAY)) == -inf
    assert untried(urgent, situation(FRIDAY)) is None
    dialled = replace(LINE, kind="dialled", up=False, usable=False)
    assert untried(bulk, situation(FRIDAY, mode_set="auto", links=(dialled,))) == -inf
    far = "timezone: UTC\nwindows: []\nexceptions:\n  - {name: X, dates: 2026-12-20, extra: [{open: 08:00-12:00}]}\n"
    assert untried(bulk, situation(far)) == -inf
    near = far.replace("12-20", "12-05")
    assert untried(bulk, situation(near)) is None


def test_it_is_not_where_that_passes_or_an_operator_wants_it_so() -> None:
    bulk = message(message_class="bulk")
    assert untried(structs.replace(bulk, held=True), situation(FRIDAY)) is None
    assert untried(bulk, situation(FRIDAY, mode="stopped")) is None
    assert untried(bulk, situation(FRIDAY, clock_why="the clock is not set", open=())) is None
    assert untried(bulk, situation(FRIDAY, mode_set="auto")) is None, "a permanent line may come back"
    assert untried(bulk, situation(FRIDAY, mode_passes=True)) is None, "what was before comes back"
    assert untried(bulk, situation("timezone: UTC\nwindows: []\n")) is None, "it waits for an operator's send"
    assert untried(bulk, situation(FRIDAY, mode="online", links=(replace(LINE, up=False),))) is None


def test_what_a_budget_keeps_back_is_late_when_its_opening_is_long_past() -> None:
    spent = {"dsl": BudgetState(BudgetSettings(10**7, "month"), 10**7, "hard", at("2026-12-01 00:00"))}
    s = situation(now="2026-11-24 12:00", link_budgets=spent)
    yesterday = structs.replace(message(), created=at("2026-11-23 19:00"))
    assert untried(yesterday, s) == at("2026-11-23 22:00") + 4 * 3600
    today = structs.replace(message(), created=at("2026-11-24 09:00"))
    assert untried(today, s) == at("2026-11-24 13:00")
    assert untried(today, situation(now="2026-11-24 12:00", links=(replace(LINE, up=False),))) is None, "for a line"


def test_the_sender_of_what_an_operator_holds_or_stops_hears_nothing_of_it_nor_of_his_note() -> None:
    late = record(created="2026-11-23 09:00", held=True, hold_note="looks like Anna's resignation, ask the boss")
    noon = situation(now="2026-11-24 12:00")
    assert sentences.late(late, noon) is None
    late.held, late.hold_note = False, None
    assert sentences.late(late, noon) is not None
    assert sentences.late(late, replace(noon, mode="stopped")) is None
