"""Days, weeks and months by a clock that may be wrong."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.connectivity.periods import Per, period_ends, period_of, turn

PRAGUE = ZoneInfo("Europe/Prague")


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=PRAGUE).timestamp()


@pytest.mark.parametrize(
    ("instant", "per", "first", "ends"),
    [
        ("2026-11-25 12:00", "day", "2026-11-25", "2026-11-26 00:00"),
        ("2026-11-25 12:00", "week", "2026-11-23", "2026-11-30 00:00"),
        ("2026-11-23 00:00", "week", "2026-11-23", "2026-11-30 00:00"),
        ("2026-11-22 23:59", "week", "2026-11-16", "2026-11-23 00:00"),
        ("2026-11-25 12:00", "month", "2026-11-01", "2026-12-01 00:00"),
        ("2026-12-31 23:59", "month", "2026-12-01", "2027-01-01 00:00"),
        ("2028-02-29 12:00", "month", "2028-02-01", "2028-03-01 00:00"),
    ],
)
def test_a_period_begins_and_ends_at_midnight_of_the_zone(instant: str, per: Per, first: str, ends: str) -> None:
    assert period_of(at(instant), per, PRAGUE) == first
    assert period_ends(at(instant), per, PRAGUE) == at(ends)


def test_days_of_the_odd_nights_have_23_and_25_hours() -> None:
    spring, autumn = at("2026-03-29 00:00"), at("2026-10-25 00:00")
    assert period_ends(spring, "day", PRAGUE) - spring == 23 * 3600
    assert period_ends(autumn, "day", PRAGUE) - autumn == 25 * 3600


@given(st.floats(0, 4e9), st.sampled_from(["day", "week", "month"]))
def test_a_period_lasts_until_the_next_and_no_longer(now: float, per: Per) -> None:
    ends = period_ends(now, per, PRAGUE)
    assert ends > now
    assert period_of(ends - 0.01, per, PRAGUE) == period_of(now, per, PRAGUE) < period_of(ends, per, PRAGUE)


def test_a_later_period_begins_a_new_count() -> None:
    assert turn("2026-11-01", "2026-12-01", trusted=True) == ("2026-12-01", True)
    assert turn("2026-11-01", "2026-11-01", trusted=True) == ("2026-11-01", False)


def test_a_clock_that_is_not_set_ends_no_period_and_begins_none() -> None:
    assert turn("2026-11-01", "1970-01-01", trusted=False) == ("2026-11-01", False)
    assert turn("2026-11-01", "2099-01-01", trusted=False) == ("2026-11-01", False)
    assert turn("", "1970-01-01", trusted=False) == ("", False)
    assert turn("", "2026-11-01", trusted=True) == ("2026-11-01", False)  # what was counted meanwhile belongs to it


def test_a_clock_that_was_put_back_takes_its_count_along() -> None:
    assert turn("2099-01-01", "2026-11-01", trusted=True) == ("2026-11-01", False)
