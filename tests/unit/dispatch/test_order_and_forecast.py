from __future__ import annotations

from gateway.dispatch.order import order_key
from gateway.dispatch.words import size_words, span_words, time_words
from tests.support.situations import at, forecast, message, schedule, situation

MB = 1_000_000
NOON = at("2026-11-24 12:00")


def test_urgent_mail_goes_before_older_normal_mail_and_bulk_last() -> None:
    old, urgent, bulk = (
        message(id="a", created=NOON - 9000),
        message(id="b", message_class="urgent"),
        message(id="c", message_class="bulk", created=NOON - 90_000),
    )
    assert sorted([bulk, old, urgent], key=order_key) == [urgent, old, bulk]


def test_small_mail_passes_a_large_one_of_its_age_which_does_not_starve() -> None:
    large, small = message(id="a", size=10 * MB, created=NOON - 60), message(id="b", created=NOON)
    assert sorted([large, small], key=order_key) == [small, large]
    later = message(id="c", created=NOON + 4 * 3600)
    assert sorted([later, large], key=order_key) == [large, later]


def test_what_fits_no_opening_leads_its_class() -> None:
    large, small = message(id="a", size=50 * MB), message(id="b")
    assert order_key(large, starts_first=True) < order_key(small)
    assert order_key(message(message_class="urgent")) < order_key(large, starts_first=True)


def test_the_forecast_counts_what_the_next_opening_takes_and_what_stays() -> None:
    queue = [message(id="a"), message(id="b", size=3 * MB), message(id="c", held=True)]
    expected = forecast(queue, situation(now="2026-11-24 07:00", speed={"dsl": 32_000.0}))
    assert expected is not None
    assert (expected.opening.window.name, expected.messages, expected.octets) == ("Day", 1, 4000)
    assert (expected.seconds, expected.staying, expected.staying_octets) == (1.0, 2, 3 * MB + 4000)


def test_without_an_opening_ahead_there_is_no_forecast() -> None:
    assert forecast([message()], situation("timezone: UTC\n")) is None


def test_sizes_spans_and_times_in_words() -> None:
    assert [size_words(n) for n in (512, 4000, 2_100_000, 99_949_000, 25_000_000_000)] == [
        "512 B",
        "4 kB",
        "2.1 MB",
        "100 MB",
        "25 GB",
    ]
    assert [span_words(s) for s in (20, 540, 7500, 259_200)] == ["20 s", "9 min", "2 h 5 min", "3 days"]
    zone = schedule("timezone: Europe/Prague\n").timezone
    assert time_words(at("2026-11-24 12:30"), NOON, zone) == "12:30"
    assert time_words(at("2026-11-26 12:30"), NOON, zone) == "Thu 12:30"
    assert time_words(at("2026-12-24 12:30"), NOON, zone) == "2026-12-24 12:30"


def test_a_deadline_goes_before_age_and_behind_class() -> None:
    old, soon, later, urgent = (
        message(id="a", created=NOON - 9000),
        message(id="b", deliver_by=NOON + 600),
        message(id="c", deliver_by=NOON + 60),
        message(id="d", message_class="urgent"),
    )
    assert sorted([old, soon, later, urgent], key=order_key) == [urgent, later, soon, old]
