"""Direct delivery decided: which mail goes to its domain by itself, when a relay takes it, and what waits for whom."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.config.settings import QueueSettings, RelaySettings, Settings
from gateway.control.rows import DirectRow
from gateway.desk.status import direct_row
from gateway.desk.view import explanation
from gateway.dispatch.clockstep import waiting_too_long, with_sooner_tries
from gateway.dispatch.crowd import FEWEST, MOST, at_once, next_domains, others_wait
from gateway.dispatch.decide import decide
from gateway.dispatch.ends import has_expired
from gateway.dispatch.facts import Check, Go, MessageFacts, NextTry, RelayTrouble, Situation, Wait, directions, facts_of
from gateway.dispatch.lane import Lane
from gateway.dispatch.order import order_key
from gateway.dispatch.retry import BREAK_CEILING, Opportunity, apply_outcomes, next_trouble
from gateway.dispatch.troubles import MOST_KEPT, Troubles
from gateway.dispatch.way import direct_to
from gateway.mail.outcome import Deferred, Delivered, Outcome, Reply, Unconfirmed
from gateway.spool.entry import MOST_DOMAINS, Entry
from gateway.spool.record import RecipientRecord, Record, decode_record, encode_record
from tests.support.situations import HQ, ISP, message, settings, situation

QUEUE = QueueSettings(retry_interval=1800.0, retry_ceiling=7200.0)
BUSY = Deferred("451 4.7.1 greylisted", Reply(451, "4.7.1 greylisted"))
TAKEN = Delivered(Reply(250, "2.0.0 taken"))
ONE = "direct:one.example"


def direct(*relays: RelaySettings) -> Settings:
    return replace(settings(), relays=relays, delivery_online="direct")


def online(*relays: RelaySettings, **changes: object) -> Situation:
    return situation(mode="online", settings=direct(*relays), **changes)


def letter(*domains: str, **changes: object) -> MessageFacts:
    return message(domains=domains or ("one.example",), **changes)


def trouble(s: Situation, why: str = "no way in", **changes: object) -> RelayTrouble:
    return replace(RelayTrouble(s.now + 600, s.now - 60, why), **changes)  # type: ignore[arg-type]  # fields, by name


def way(decision: object) -> str:
    assert isinstance(decision, Go), decision
    return decision.relay.name


def record(*addresses: str) -> Record:
    recipients = [RecipientRecord(address=address) for address in addresses]
    return Record(id="k7qx0000001", created=0.0, reverse_path="s@b.example", recipients=recipients, size=1, sha256="0")


def apply(item: Record, now: float, domain: str, *outcomes: Outcome) -> None:
    apply_outcomes(
        item,
        outcomes,
        relay="mx.example",
        now=now,
        queue=QUEUE,
        opportunity=Opportunity(),
        domains=frozenset({domain}),
    )


def test_online_mail_goes_to_its_domain_and_explain_names_the_setting() -> None:
    checks: list[Check] = []
    verdict = decide(letter(), online(ISP), checks)
    assert isinstance(verdict, Go)
    assert (verdict.relay, verdict.domains) == (direct_to("one.example"), frozenset({"one.example"}))
    assert ("direct", "one.example, by its MX (delivery.online: direct)") in [(c.name, c.text) for c in checks]


def test_offline_mail_goes_through_the_relay_whatever_the_setting() -> None:
    offline = situation(mode="offline", settings=direct(ISP))
    assert way(decide(letter(), offline)) == "isp"
    assert len(directions(letter("one.example", "two.example"), offline)) == 1


def test_online_it_needs_no_relay_but_for_an_address_without_a_domain() -> None:
    assert way(decide(letter(), online())) == ONE
    nowhere = decide(letter(""), online())
    assert isinstance(nowhere, Wait)
    assert (nowhere.next_try.kind, nowhere.why) == ("never", "no relay configured")
    assert way(decide(letter(""), online(ISP))) == "isp"


def test_a_domain_in_trouble_has_its_mail_taken_by_the_relays_in_order() -> None:
    s = online(ISP, HQ)
    s = replace(s, troubles={ONE: trouble(s)})
    verdict = decide(letter(), s)
    assert isinstance(verdict, Go)
    assert (verdict.relay.name, verdict.domains) == ("isp", frozenset({"one.example"}))
    assert way(decide(letter(), replace(s, troubles={**s.troubles, "isp": trouble(s)}))) == "hq"
    assert way(decide(letter(push="force"), s)) == ONE
    assert way(decide(letter("two.example"), s)) == "direct:two.example"


def test_a_domain_in_trouble_waits_where_there_is_no_relay_or_the_trouble_is_its_own() -> None:
    s = online()
    waits = decide(letter(), replace(s, troubles={ONE: trouble(s)}))
    assert waits == Wait(NextTry("time", s.now + 600), waits.why if isinstance(waits, Wait) else "", s.now + 600)
    s = online(ISP)
    assert isinstance(decide(letter(), replace(s, troubles={ONE: trouble(s, keeps=True)})), Wait)


def test_a_relay_that_broke_still_hands_on_to_the_next() -> None:
    s = situation(mode="online", settings=settings(ISP, HQ))
    assert way(decide(message(), replace(s, troubles={"isp": trouble(s, keeps=True)}))) == "hq"


def test_of_several_domains_the_one_that_can_leave_speaks_and_explain_asks_for_each() -> None:
    s = online()
    s = replace(s, troubles={ONE: trouble(s)})
    checks: list[Check] = []
    assert way(decide(letter("one.example", "two.example"), s, checks)) == "direct:two.example"
    assert [c.text for c in checks if c.name == "to"] == [
        "for its recipients at one.example",
        "for its recipients at two.example",
    ]


def test_each_domain_has_a_next_try_of_its_own() -> None:
    item = record("a@one.example", "b@two.example", "c@one.example")
    s = online(ISP)
    apply(item, s.now, "one.example", BUSY, TAKEN)
    facts = facts_of(item)
    assert [(part.domain, part.due) for part in directions(facts, s)] == [
        ("one.example", s.now + 1800),
        ("two.example", None),
    ]
    assert item.due is None
    assert way(decide(facts, s)) == "direct:two.example"
    assert facts_of(decode_record(encode_record(item))) == facts


def test_the_interval_of_a_domain_doubles_by_its_own_tries() -> None:
    item = record("a@one.example", "b@two.example")
    for now in (1000.0, 5000.0):
        apply(item, now, "one.example", BUSY)
    apply(item, 6000.0, "two.example", BUSY)
    assert [r.due for r in item.recipients] == [5000.0 + 3600, 6000.0 + 1800]
    assert [r.attempts for r in item.recipients] == [2, 1]
    assert item.attempts == 2


def test_real_attempts_of_one_domain_end_nothing_of_another() -> None:
    queue = QueueSettings(max_attempts=2)
    item = record("a@one.example", "b@two.example")
    for now in (1000.0, 5000.0):
        apply(item, now, "one.example", BUSY)
    assert has_expired(item, queue, item.recipients[0].attempts) is not None
    assert has_expired(item, queue, item.recipients[1].attempts) is None


def test_what_is_in_doubt_at_its_domain_waits_its_ten_minutes_for_a_relay_too() -> None:
    item = record("a@one.example")
    apply(item, 1000.0, "one.example", Unconfirmed("the line broke"))
    assert item.due == item.recipients[0].due == 1600.0


def test_a_step_of_the_clock_moves_the_next_try_of_a_domain_too() -> None:
    item = record("a@one.example", "b@two.example")
    apply(item, 100_000.0, "two.example", BUSY)
    assert waiting_too_long([Entry(item)], 5000.0, QUEUE, at_start=False) == [item.id]
    with_sooner_tries(5000.0, QUEUE)(item)
    assert item.recipients[1].due == 5000.0 + QUEUE.retry_interval
    assert waiting_too_long([Entry(item)], 5000.0, QUEUE, at_start=False) == []


def test_the_queue_view_says_that_it_leaves_directly_and_status_names_domains_in_trouble() -> None:
    item = record("a@one.example")
    s = online(ISP)
    assert explanation(item, s).verdict == "It leaves now, to one.example directly over dsl."
    assert direct_row(s) == DirectRow(in_trouble=0, domains=[])
    s = replace(s, troubles={ONE: trouble(s), "isp": trouble(s), "direct:over.example": trouble(s, until=s.now - 1)})
    row = direct_row(s)
    assert row is not None
    assert (row.in_trouble, [(d.name, d.trouble) for d in row.domains]) == (1, [("one.example", "no way in")])
    assert direct_row(situation(mode="offline", settings=direct(ISP))) is None


def test_the_index_keeps_so_many_domains_of_a_message_and_the_rest_have_their_turn() -> None:
    item = record(*(f"a@d{n}.example" for n in range(MOST_DOMAINS + 5)))
    entry = Entry(item)
    assert len(entry.domains) == MOST_DOMAINS
    for recipient in item.recipients[:10]:
        recipient.standing = "delivered"
    entry.follow(item)
    assert len(entry.domains) == MOST_DOMAINS - 5
    assert entry.domains[-1] == f"d{MOST_DOMAINS + 4}.example"


def test_messages_to_the_same_domains_share_their_names_in_memory() -> None:
    assert Entry(record("a@one.example")).domains is Entry(record("B@ONE.example")).domains


@pytest.mark.parametrize(
    ("kind", "times", "keeps"), [("names", 1, True), ("names", 2, False), ("unreachable", 1, False)]
)
def test_a_relay_is_asked_when_the_name_service_failed_twice(kind: str, times: int, keeps: bool) -> None:
    count = made = None
    for _ in range(times):
        count, made = next_trouble(count, kind, "why", 0.0, QUEUE)  # type: ignore[arg-type]  # a kind of trouble
    assert made is not None
    assert made.keeps is keeps


def test_a_line_that_breaks_is_the_domains_own_trouble_for_a_minute_and_a_loop_for_ever() -> None:
    count, intervals = None, []
    for _ in range(6):
        count, made = next_trouble(count, "broken", "why", 0.0, QUEUE)
        if made.keeps:
            intervals.append(made.until)
    assert intervals == [5.0, 10.0, 20.0, 40.0]
    assert count is not None
    assert count.interval == BREAK_CEILING
    for _ in range(6):
        count, made = next_trouble(count, "loop", "why", 0.0, QUEUE)
        assert (made.keeps, made.stubborn) == (True, True)


def test_troubles_of_domains_are_remembered_within_a_bound() -> None:
    troubles = Troubles()
    for n in range(MOST_KEPT + 1):
        troubles.failed(f"direct:d{n}.example", "unreachable", "why", float(n), QUEUE)
    assert len(troubles.now) == MOST_KEPT + 1 - MOST_KEPT // 2
    assert "direct:d0.example" not in troubles.now
    assert f"direct:d{MOST_KEPT}.example" in troubles.now


@pytest.mark.parametrize(
    ("speed", "sessions"), [(None, MOST), (33_600.0, FEWEST), (256_000.0, 4), (100_000_000.0, MOST)]
)
def test_a_line_bears_so_many_sessions_at_once(speed: float | None, sessions: int) -> None:
    assert at_once(speed) == sessions


def test_domains_have_their_turn_by_their_first_message_and_as_many_as_the_line_bears() -> None:
    lanes = [Lane("dsl", direct_to(f"d{n}.example")) for n in range(5)]
    for n, lane in enumerate(lanes):
        lane.offer(order_key(message(created=100.0 - n)), f"m{n}")
    assert next_domains(lanes, "dsl", 33_600.0) == [lanes[4], lanes[3]]
    assert others_wait(lanes, lanes[0])
    lanes[4].tasks.update({object(), object()})  # type: ignore[arg-type]  # two sessions, only counted
    assert next_domains(lanes, "dsl", 33_600.0) == []
    assert next_domains(lanes, "modem", None) == []
