from __future__ import annotations

import pytest

from gateway.config.settings import QueueSettings
from gateway.dispatch.retry import (
    DAY,
    DOUBT_WAIT,
    Opportunity,
    TroubleCount,
    apply_outcomes,
    next_trouble,
)
from gateway.mail.outcome import Deferred, Delivered, Failed, Interrupted, Outcome, Reply, Unconfirmed
from gateway.spool.record import RecipientRecord, Record

NOW = 1_780_000_000.0
QUEUE = QueueSettings(retry_interval=1800.0, retry_ceiling=7200.0)
OK = Reply(250, "2.0.0 taken")
BUSY = Reply(451, "4.3.2 busy")
GONE = Reply(550, "5.1.1 nobody")


def record(*addresses: str) -> Record:
    recipients = [RecipientRecord(address=address) for address in addresses or ("a@hq.example",)]
    return Record(
        id="k7qx0000001", created=NOW - 60, reverse_path="s@b.example", recipients=recipients, size=10, sha256="0" * 64
    )


def apply(item: Record, *outcomes: Outcome, now: float = NOW, opportunity: Opportunity | None = None) -> None:
    apply_outcomes(
        item, outcomes, relay="isp", now=now, queue=QUEUE, opportunity=opportunity or Opportunity(uptime=0.0)
    )


def test_each_recipient_gets_its_own_standing_and_reply() -> None:
    item = record("a@x.example", "b@x.example", "c@x.example")
    applied = apply_outcomes(
        item,
        [Delivered(OK), Deferred("451 4.3.2 busy", BUSY), Failed(GONE)],
        relay="isp",
        now=NOW,
        queue=QUEUE,
        opportunity=Opportunity(),
    )
    assert [r.standing for r in item.recipients] == ["delivered", "pending", "failed"]
    assert [r.reply for r in item.recipients] == [str(OK), str(BUSY), str(GONE)]
    assert [r.address for r, _ in applied.failed] == ["c@x.example"]
    assert [r.address for r in item.pending] == ["b@x.example"]


def test_the_retry_interval_doubles_up_to_its_ceiling() -> None:
    item, intervals = record(), []
    for _ in range(4):
        apply(item, Deferred("busy", BUSY))
        assert item.due is not None
        intervals.append(item.due - NOW)
    assert intervals == [1800.0, 3600.0, 7200.0, 7200.0]
    assert (item.attempts, item.tries) == (4, 4)


def test_an_attempt_that_reached_nobody_moves_next_try_and_counts_nothing() -> None:
    item = record()
    apply(item, Deferred("does not answer", None, is_real=False))
    assert (item.attempts, item.tries, item.due, item.interval) == (0, 1, NOW + 1800.0, None)


def test_in_doubt_waits_ten_minutes_and_then_the_normal_retry_each_time_counted() -> None:
    item = record()
    apply(item, Unconfirmed("line lost"))
    assert item.doubt is not None
    assert (item.due, item.doubt.count) == (NOW + DOUBT_WAIT, 1)
    apply(item, Unconfirmed("line lost"))
    assert (item.due, item.doubt.count, item.attempts) == (NOW + 1800.0, 2, 2)


def test_an_interrupted_message_is_due_again_at_once_and_nothing_counts() -> None:
    item = record()
    apply(item, Interrupted("line lost"))
    assert (item.due, item.attempts, item.doubt) == (None, 0, None)


def test_a_courier_that_loses_count_marks_nobody() -> None:
    item = record("a@x.example", "b@x.example")
    with pytest.raises(ValueError, match="1 outcomes for 2 recipients"):
        apply(item, Delivered(OK))
    assert [r.standing for r in item.recipients] == ["pending", "pending"]


def test_offline_opportunity_is_the_time_between_tried_openings_at_most_a_day_each() -> None:
    item = record()
    apply(item, Deferred("busy", BUSY), opportunity=Opportunity(opens=NOW))
    assert item.opportunity == 0.0
    apply(item, Deferred("busy", BUSY), opportunity=Opportunity(opens=NOW + 3600))
    assert item.opportunity == 3600.0
    apply(item, Deferred("busy", BUSY), opportunity=Opportunity(opens=NOW + 40 * DAY))
    assert item.opportunity == 3600.0 + DAY


def test_online_opportunity_is_the_time_its_link_was_up_between_real_attempts() -> None:
    item = record()
    apply(item, Deferred("busy", BUSY), opportunity=Opportunity(uptime=100.0))
    apply(item, Deferred("busy", BUSY), opportunity=Opportunity(uptime=700.0))
    assert item.opportunity == 600.0
    apply(item, Deferred("busy", BUSY), opportunity=Opportunity(uptime=5.0))  # a new run of the gateway counts from 0
    assert item.opportunity == 600.0


def test_a_broken_line_is_tried_after_five_seconds_doubling_to_a_minute() -> None:
    count, waits = None, []
    for _ in range(6):
        count, trouble = next_trouble(count, "broken", "line lost", NOW, QUEUE)
        waits.append(trouble.until - NOW)
    assert waits == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_a_line_that_broke_and_is_still_away_stays_in_the_short_rhythm() -> None:
    count, _ = next_trouble(None, "broken", "line lost", NOW, QUEUE)
    count, trouble = next_trouble(count, "unreachable", "no answer", NOW, QUEUE)
    assert trouble.until == NOW + 10.0
    assert count.kind == "broken"


def test_an_unreachable_relay_is_tried_at_the_retry_interval_doubling_to_the_ceiling() -> None:
    count, waits = None, []
    for _ in range(4):
        count, trouble = next_trouble(count, "unreachable", "no answer", NOW, QUEUE)
        waits.append(trouble.until - NOW)
    assert waits == [1800.0, 3600.0, 7200.0, 7200.0]


def test_a_refused_login_is_stubborn_and_grows_to_an_hour_at_most() -> None:
    count: TroubleCount | None = None
    for _ in range(4):
        count, trouble = next_trouble(count, "stubborn", "535 refused", NOW, QUEUE)
        assert trouble.stubborn
    assert trouble.until == NOW + 3600.0
