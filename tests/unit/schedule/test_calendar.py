"""When windows open and close: one test a rule of DESIGN section 5, and one a trap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from gateway.config.rules import DateRange, ExceptionRule, ScheduleFile, Span, WindowRule
from gateway.schedule.calendar import BY_HAND, HORIZON, Calendar, Once, Opening, Skip

PRAGUE = ZoneInfo("Europe/Prague")
ALL_DAYS = frozenset(range(7))
WORKDAYS = frozenset(range(5))
WEEKEND = frozenset({5, 6})
ALL_DAY = Span(0, 1440)


def span(text: str) -> Span:
    start, end = (int(part[:2]) * 60 + int(part[3:]) for part in text.split("-"))
    return Span(start, end)


def minute(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def window(
    *spans: str,
    days: frozenset[int] | None = ALL_DAYS,
    name: str = "W",
    every: int | None = None,
    longest: int = 15,
    at: Sequence[str] = (),
    enabled: bool = True,
    **more: object,
) -> WindowRule:
    """`every` and `longest` in minutes."""
    return WindowRule(
        name,
        days,
        open=tuple(span(s) for s in spans),
        at=tuple(minute(a) for a in at),
        every=None if every is None else every * 60.0,
        longest=longest * 60.0,
        enabled=enabled,
        **more,
    )


def dates(text: str) -> DateRange:
    first, last = text.split("..") if ".." in text else (text, text)
    if len(first) == 5:
        return DateRange(date.fromisoformat(f"2000-{first}"), date.fromisoformat(f"2000-{last}"), yearly=True)
    return DateRange(date.fromisoformat(first), date.fromisoformat(last))


def exception(
    *on: str, like: int | None = None, closed: Sequence[str] = (), extra: Sequence[WindowRule] = (), name: str = "E"
) -> ExceptionRule:
    shut = tuple(ALL_DAY if c == "all day" else span(c) for c in closed)
    return ExceptionRule(name, tuple(dates(d) for d in on), like=like, closed=shut, extra=tuple(extra))


def calendar(
    *rules: WindowRule | ExceptionRule, zone: ZoneInfo = PRAGUE, **more: Sequence[Once] | Sequence[Skip]
) -> Calendar:
    windows = tuple(r for r in rules if isinstance(r, WindowRule))
    exceptions = tuple(r for r in rules if isinstance(r, ExceptionRule))
    return Calendar(ScheduleFile(timezone=zone, windows=windows, exceptions=exceptions), **more)


def instant(text: str, zone: ZoneInfo = PRAGUE, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def walls(openings: Sequence[Opening], zone: ZoneInfo = PRAGUE) -> list[str]:
    """`Tue 08:00-Tue 18:00` each."""
    return [
        "-".join(f"{datetime.fromtimestamp(i, zone):%a %H:%M}" for i in (opening.opens, opening.closes))
        for opening in openings
    ]


def within(cal: Calendar, after: str, until: str) -> list[str]:
    zone = cal.file.timezone
    return walls(list(cal.openings(instant(after, zone), instant(until, zone))), zone)


# ---- days, ranges, midnight


def test_days_are_those_on_which_a_window_begins() -> None:
    cal = calendar(window("22:00-05:00", days=frozenset({4})))
    assert within(cal, "2026-11-23T00:00", "2026-12-05T00:00") == ["Fri 22:00-Sat 05:00", "Fri 22:00-Sat 05:00"]


def test_the_end_is_exclusive() -> None:
    cal = calendar(window("08:00-18:00"))
    assert cal.open_at(instant("2026-11-24T08:00"))
    assert cal.open_at(instant("2026-11-24T17:59:59"))
    assert not cal.open_at(instant("2026-11-24T18:00"))
    assert not cal.open_at(instant("2026-11-24T07:59:59"))


def test_an_opening_that_ends_at_after_is_over() -> None:
    cal = calendar(window("08:00-18:00"))
    assert within(cal, "2026-11-24T18:00", "2026-11-25T08:00") == []
    assert within(cal, "2026-11-24T17:59", "2026-11-25T08:01") == ["Tue 08:00-Tue 18:00", "Wed 08:00-Wed 18:00"]


def test_twenty_four_hundred_is_midnight() -> None:
    cal = calendar(window("22:00-24:00", days=frozenset({1})))
    (opening,) = cal.openings(instant("2026-11-24T00:00"), instant("2026-11-28T00:00"))
    assert opening.closes == instant("2026-11-25T00:00")


def test_a_window_of_several_ranges_has_several_openings() -> None:
    cal = calendar(window("06:00-07:30", "22:00-06:00"))
    # 22:00-06:00 touches 06:00-07:30 of the next day: one opening
    assert within(cal, "2026-11-24T12:00", "2026-11-25T12:00") == ["Tue 22:00-Wed 07:30"]


def test_overlapping_ranges_of_one_window_are_one_opening() -> None:
    cal = calendar(window("08:00-12:00", "11:00-14:00"))
    assert within(cal, "2026-11-24T00:00", "2026-11-25T00:00") == ["Tue 08:00-Tue 14:00"]


def test_touching_days_of_one_window_are_one_opening() -> None:
    cal = calendar(window("00:00-24:00", days=WEEKEND))
    assert within(cal, "2026-11-24T00:00", "2026-11-30T00:00") == ["Sat 00:00-Mon 00:00"]


def test_openings_of_two_windows_stay_two_in_file_order() -> None:
    cal = calendar(window("08:00-18:00", name="A"), window("08:00-10:00", name="B"), window("07:00-09:00", name="C"))
    found = cal.openings(instant("2026-11-24T06:00"), instant("2026-11-25T00:00"))
    assert [o.window.name for o in found] == ["C", "A", "B"]
    assert [o.window.name for o in cal.open_at(instant("2026-11-24T08:30"))] == ["A", "B", "C"]


def test_an_opening_in_progress_comes_with_its_true_beginning() -> None:
    cal = calendar(window("22:00-05:00"))
    (opening,) = cal.openings(instant("2026-11-25T03:00"), instant("2026-11-25T04:00"))
    assert opening.opens == instant("2026-11-24T22:00")


def test_an_opening_of_many_days_comes_with_its_true_beginning() -> None:
    closing = exception("2026-06-01", "2027-02-01", closed=["all day"])
    cal = calendar(window("00:00-24:00"), closing)
    for after in ("2026-06-02T00:00", "2026-06-02T00:01", "2026-11-24T12:00", "2027-01-31T23:59"):
        opening = next(cal.openings(instant(after)))
        assert (opening.opens, opening.closes) == (instant("2026-06-02T00:00"), instant("2027-02-01T00:00"))


def test_a_window_that_never_closes_is_open_at_any_time_and_has_no_edge() -> None:
    cal = calendar(window("00:00-24:00"))
    now = instant("2026-11-24T12:00")
    (opening,) = cal.openings(now)
    assert opening.opens <= now - HORIZON + 86400
    assert opening.closes >= now + HORIZON - 86400
    assert cal.open_at(now) == (opening,)
    assert cal.next_edge(now) is None
    assert [o.opens for o in cal.openings(now + 60)] == [opening.opens]  # stands still for a day


def test_a_disabled_window_does_not_open() -> None:
    cal = calendar(window("08:00-18:00", enabled=False))
    assert list(cal.openings(instant("2026-11-24T00:00"))) == []
    assert not cal.has_windows()
    assert calendar(exception("12-24", extra=[window("08:00-09:00", days=None)])).has_windows()


# ---- exceptions


def test_the_last_like_that_names_a_date_counts() -> None:
    cal = calendar(
        window("08:00-09:00", days=WORKDAYS, name="Work"),
        window("10:00-11:00", days=frozenset({5}), name="Saturday"),
        window("12:00-13:00", days=frozenset({6}), name="Sunday"),
        exception("2026-11-24..2026-11-26", like=5),
        exception("2026-11-25", like=6),
    )
    assert within(cal, "2026-11-24T00:00", "2026-11-28T00:00") == [
        "Tue 10:00-Tue 11:00",
        "Wed 12:00-Wed 13:00",
        "Thu 10:00-Thu 11:00",
        "Fri 08:00-Fri 09:00",
    ]


def test_like_concerns_what_begins_on_its_date_and_not_what_runs_into_it() -> None:
    cal = calendar(window("22:00-05:00", days=WORKDAYS), exception("2026-11-25", like=6))
    assert within(cal, "2026-11-24T12:00", "2026-11-27T00:00") == ["Tue 22:00-Wed 05:00", "Thu 22:00-Fri 05:00"]


def test_closed_cuts_into_the_window_of_the_evening_before() -> None:
    cal = calendar(window("22:00-05:00"), exception("2026-11-25", closed=["03:00-24:00"]))
    assert within(cal, "2026-11-24T12:00", "2026-11-26T12:00") == ["Tue 22:00-Wed 03:00", "Thu 00:00-Thu 05:00"]


def test_a_window_whose_beginning_is_closed_opens_when_that_ends() -> None:
    cal = calendar(
        window("22:00-05:30", days=frozenset({6, 0, 1, 2, 3})), exception("2026-11-26", closed=["22:00-24:00"])
    )
    assert within(cal, "2026-11-26T12:00", "2026-11-28T12:00") == ["Fri 00:00-Fri 05:30"]


def test_a_closed_that_crosses_midnight_belongs_to_the_date_it_begins_on() -> None:
    cal = calendar(window("00:00-24:00"), exception("2026-11-24", closed=["23:00-01:00"]))
    assert not cal.open_at(instant("2026-11-25T00:59"))
    assert cal.open_at(instant("2026-11-25T01:00"))
    assert cal.open_at(instant("2026-11-24T00:30"))
    assert cal.open_at(instant("2026-11-25T23:30"))


def test_closed_in_the_middle_makes_two_openings() -> None:
    cal = calendar(window("08:00-18:00"), exception("2026-11-24", closed=["12:00-13:00"]))
    assert within(cal, "2026-11-24T00:00", "2026-11-25T00:00") == ["Tue 08:00-Tue 12:00", "Tue 13:00-Tue 18:00"]


def test_closed_wins_over_an_extra_of_the_same_and_of_another_exception() -> None:
    extra = window("08:00-18:00", days=None, name="X")
    cal = calendar(
        exception("2026-11-24", extra=[extra], closed=["09:00-10:00"]), exception("2026-11-24", closed=["17:00-24:00"])
    )
    assert within(cal, "2026-11-24T00:00", "2026-11-26T00:00") == ["Tue 08:00-Tue 09:00", "Tue 10:00-Tue 17:00"]


def test_closed_cuts_into_an_extra_that_began_the_evening_before() -> None:
    extra = window("20:00-08:00", days=None, name="X")
    cal = calendar(exception("2026-11-24", extra=[extra]), exception("2026-11-25", closed=["00:00-07:00"]))
    assert within(cal, "2026-11-24T00:00", "2026-11-27T00:00") == ["Tue 20:00-Wed 00:00", "Wed 07:00-Wed 08:00"]


def test_an_extra_is_added_to_the_windows_of_its_date() -> None:
    cal = calendar(
        window("09:00-09:30", days=WEEKEND), exception("2026-11-28", extra=[window("14:00-18:00", days=None, name="X")])
    )
    assert within(cal, "2026-11-28T00:00", "2026-11-30T00:00") == [
        "Sat 09:00-Sat 09:30",
        "Sat 14:00-Sat 18:00",
        "Sun 09:00-Sun 09:30",
    ]


def test_dates_of_every_year_come_every_year_also_across_new_year() -> None:
    cal = calendar(window("08:00-09:00"), exception("12-24..01-02", closed=["all day"]))
    found = [datetime.fromtimestamp(o.opens, PRAGUE).date() for o in cal.openings(instant("2026-12-20T00:00"))]
    assert date(2026, 12, 23) in found
    assert not [d for d in found if date(2026, 12, 24) <= d <= date(2027, 1, 2)]
    assert date(2027, 1, 3) in found
    assert date(2027, 12, 23) in found
    assert date(2027, 12, 24) not in found


def test_the_leap_day_exists_in_leap_years_only() -> None:
    cal = calendar(exception("02-29", extra=[window("08:00-09:00", days=None, name="X")]))
    assert list(cal.openings(instant("2026-06-01T00:00"))) == []
    (opening,) = cal.openings(instant("2027-06-01T00:00"))
    assert datetime.fromtimestamp(opening.opens, PRAGUE) == datetime(2028, 2, 29, 8, tzinfo=PRAGUE)


def test_a_yearly_range_over_the_end_of_february_holds_in_every_year() -> None:
    cal = calendar(window("08:00-09:00"), exception("02-28..03-01", closed=["all day"]))
    assert within(cal, "2027-02-27T12:00", "2027-03-03T00:00") == ["Tue 08:00-Tue 09:00"]
    assert within(cal, "2028-02-27T12:00", "2028-03-03T00:00") == ["Thu 08:00-Thu 09:00"]


# ---- at, every, for


def test_each_at_is_an_opening_of_at_most_for() -> None:
    cal = calendar(window(at=["11:30", "14:00"], longest=10))
    assert within(cal, "2026-11-24T00:00", "2026-11-25T00:00") == ["Tue 11:30-Tue 11:40", "Tue 14:00-Tue 14:10"]


def test_marks_count_from_the_written_start_of_open() -> None:
    cal = calendar(window("08:10-09:45", every=30, longest=5))
    assert within(cal, "2026-11-24T00:00", "2026-11-25T00:00") == [
        "Tue 08:10-Tue 08:15",
        "Tue 08:40-Tue 08:45",
        "Tue 09:10-Tue 09:15",
        "Tue 09:40-Tue 09:45",
    ]


def test_the_last_mark_is_cut_at_the_end_of_open_and_none_begins_there() -> None:
    cal = calendar(window("08:00-09:00", every=50, longest=30))
    assert within(cal, "2026-11-24T00:00", "2026-11-25T00:00") == ["Tue 08:00-Tue 08:30", "Tue 08:50-Tue 09:00"]
    cal = calendar(window("08:00-09:00", every=60, longest=30))
    assert within(cal, "2026-11-24T00:00", "2026-11-25T00:00") == ["Tue 08:00-Tue 08:30"]


def test_marks_closer_than_for_are_one_opening() -> None:
    cal = calendar(window("08:00-10:00", every=30, longest=45))
    assert within(cal, "2026-11-24T00:00", "2026-11-25T00:00") == ["Tue 08:00-Tue 10:00"]
    cal = calendar(window(at=["08:00", "08:10"], longest=15))
    assert within(cal, "2026-11-24T00:00", "2026-11-25T00:00") == ["Tue 08:00-Tue 08:25"]


def test_marks_run_on_past_midnight() -> None:
    cal = calendar(window("23:00-01:00", every=45, longest=5, days=frozenset({1})))
    assert within(cal, "2026-11-24T00:00", "2026-11-26T00:00") == [
        "Tue 23:00-Tue 23:05",
        "Tue 23:45-Tue 23:50",
        "Wed 00:30-Wed 00:35",
    ]


def test_an_at_near_midnight_runs_into_the_next_day() -> None:
    cal = calendar(window(at=["23:50"], longest=30, days=frozenset({1})))
    assert within(cal, "2026-11-24T00:00", "2026-11-27T00:00") == ["Tue 23:50-Wed 00:20"]


def test_what_closed_leaves_of_an_at_stands() -> None:
    whole = window(at=["08:00"], longest=60)
    for closed, left in (
        ("08:15-09:30", ["Tue 08:00-Tue 08:15"]),
        ("07:00-08:15", ["Tue 08:15-Tue 09:00"]),
        ("08:15-08:30", ["Tue 08:00-Tue 08:15", "Tue 08:30-Tue 09:00"]),
        ("08:00-09:00", []),
    ):
        cal = calendar(whole, exception("2026-11-24", closed=[closed]))
        assert within(cal, "2026-11-24T00:00", "2026-11-25T00:00") == left


def test_closed_does_not_move_the_marks_of_every() -> None:
    cal = calendar(window("08:00-10:00", every=30, longest=10), exception("2026-11-24", closed=["08:05-09:05"]))
    assert within(cal, "2026-11-24T00:00", "2026-11-25T00:00") == [
        "Tue 08:00-Tue 08:05",
        "Tue 09:05-Tue 09:10",
        "Tue 09:30-Tue 09:40",
    ]


# ---- the two odd nights


def test_a_night_lasts_an_hour_less_and_an_hour_more() -> None:
    cal = calendar(window("22:00-06:00"))
    spring, autumn = (next(cal.openings(instant(text))) for text in ("2026-03-28T12:00", "2026-10-24T12:00"))
    assert spring.closes - spring.opens == 7 * 3600
    assert autumn.closes - autumn.opens == 9 * 3600


def test_in_the_skipped_hour_a_window_has_no_length() -> None:
    cal = calendar(window("02:00-03:00"))
    assert within(cal, "2026-03-28T12:00", "2026-03-30T12:00") == ["Mon 02:00-Mon 03:00"]
    cal = calendar(window("02:15-02:45", every=10, longest=5))
    assert within(cal, "2026-03-28T12:00", "2026-03-29T12:00") == []


def test_a_window_half_in_the_skipped_hour_keeps_its_other_half() -> None:
    cal = calendar(window("01:30-02:30"))
    (opening,) = cal.openings(instant("2026-03-28T12:00"), instant("2026-03-29T12:00"))
    assert (opening.opens, opening.closes) == (utc("2026-03-29T00:30"), utc("2026-03-29T01:00"))
    cal = calendar(window("02:30-03:30"))
    (opening,) = cal.openings(instant("2026-03-28T12:00"), instant("2026-03-29T12:00"))
    assert (opening.opens, opening.closes) == (utc("2026-03-29T01:00"), utc("2026-03-29T01:30"))


def test_a_window_in_the_repeated_hour_falls_into_two() -> None:
    cal = calendar(window("02:15-02:45"))
    found = [(o.opens, o.closes) for o in cal.openings(instant("2026-10-24T12:00"), instant("2026-10-25T12:00"))]
    assert found == [
        (utc("2026-10-25T00:15"), utc("2026-10-25T00:45")),
        (utc("2026-10-25T01:15"), utc("2026-10-25T01:45")),
    ]


def test_the_whole_repeated_hour_is_one_opening_of_two_hours() -> None:
    cal = calendar(window("02:00-03:00"))
    (opening,) = cal.openings(instant("2026-10-24T12:00"), instant("2026-10-25T12:00"))
    assert (opening.opens, opening.closes) == (utc("2026-10-25T00:00"), utc("2026-10-25T02:00"))


def test_an_at_in_the_skipped_hour_runs_at_its_end_and_coinciding_ones_once() -> None:
    cal = calendar(window(at=["02:10", "02:30", "03:00"], longest=5))
    (opening,) = cal.openings(instant("2026-03-28T12:00"), instant("2026-03-29T12:00"))
    assert (opening.opens, opening.closes) == (utc("2026-03-29T01:00"), utc("2026-03-29T01:05"))


def test_an_at_in_the_repeated_hour_runs_the_first_time_only() -> None:
    cal = calendar(window(at=["02:30"], longest=5))
    (opening,) = cal.openings(instant("2026-10-24T12:00"), instant("2026-10-25T12:00"))
    assert opening.opens == utc("2026-10-25T00:30")


def test_for_is_elapsed_time() -> None:
    cal = calendar(window(at=["01:30"], longest=120))
    spring = next(cal.openings(instant("2026-03-28T12:00")))
    autumn = next(cal.openings(instant("2026-10-24T12:00")))
    assert spring.closes - spring.opens == autumn.closes - autumn.opens == 7200


def test_marks_in_the_skipped_hour_coincide_at_its_end() -> None:
    cal = calendar(window("01:00-04:00", every=30, longest=5))
    found = [o.opens for o in cal.openings(instant("2026-03-28T12:00"), instant("2026-03-29T12:00"))]
    assert found == [utc(f"2026-03-29T{t}") for t in ("00:00", "00:30", "01:00", "01:30")]


def test_marks_in_the_repeated_hour_run_the_first_time_only() -> None:
    cal = calendar(window("01:00-04:00", every=30, longest=5))
    found = [o.opens for o in cal.openings(instant("2026-10-24T12:00"), instant("2026-10-25T12:00"))]
    expected = ["2026-10-24T23:00", "2026-10-24T23:30", "2026-10-25T00:00", "2026-10-25T00:30"]
    assert found == [utc(t) for t in (*expected, "2026-10-25T02:00", "2026-10-25T02:30")]


def test_closed_in_the_repeated_hour_closes_both_times() -> None:
    cal = calendar(window("00:00-06:00"), exception("2026-10-25", closed=["02:00-02:30"]))
    found = [(o.opens, o.closes) for o in cal.openings(instant("2026-10-24T12:00"), instant("2026-10-25T12:00"))]
    assert found == [
        (utc("2026-10-24T22:00"), utc("2026-10-25T00:00")),
        (utc("2026-10-25T00:30"), utc("2026-10-25T01:00")),
        (utc("2026-10-25T01:30"), utc("2026-10-25T05:00")),
    ]


def test_a_change_by_half_an_hour_is_half_an_hour() -> None:
    lord_howe = ZoneInfo("Australia/Lord_Howe")
    cal = calendar(window("00:00-06:00"), zone=lord_howe)
    spring = next(cal.openings(instant("2026-10-03T12:00", lord_howe)))
    autumn = next(cal.openings(instant("2026-04-04T12:00", lord_howe)))
    assert spring.closes - spring.opens == 5.5 * 3600
    assert autumn.closes - autumn.opens == 6.5 * 3600


def test_a_change_at_midnight_takes_the_first_hour_of_the_day() -> None:
    beirut = ZoneInfo("Asia/Beirut")  # 2026-03-29 00:00 is 01:00
    cal = calendar(window("22:00-00:30"), zone=beirut)
    found = list(cal.openings(instant("2026-03-28T12:00", beirut), instant("2026-03-29T12:00", beirut)))
    assert [(o.closes - o.opens) for o in found] == [2 * 3600]


def test_a_date_that_a_zone_left_out_has_no_opening() -> None:
    apia = ZoneInfo("Pacific/Apia")  # went from 29 to 31 December 2011
    cal = calendar(window("08:00-09:00"), zone=apia)
    found = cal.openings(instant("2011-12-29T00:00", apia), instant("2012-01-01T00:00", apia))
    assert walls(list(found), apia) == ["Thu 08:00-Thu 09:00", "Sat 08:00-Sat 09:00"]


# ---- once and skip


def test_an_opening_by_hand_admits_everything_and_comes_first() -> None:
    now = instant("2026-11-24T12:00")
    cal = calendar(
        window("08:00-18:00", send=("urgent",), max_message=1000),
        exception("2026-11-24", closed=["13:00-24:00"]),
        once=[Once(now, now + 7200)],
    )
    by_hand, regular = cal.open_at(now)
    assert (by_hand.window.name, by_hand.once, regular.once) == (BY_HAND, True, False)
    assert by_hand.window.admits("bulk", 10**9)
    assert cal.open_at(now + 5400) == (by_hand,)  # closed, but not for an operator
    assert cal.next_admitting("bulk", 10**9, now) == by_hand
    assert cal.next_edge(now) == now + 3600
    assert cal.next_edge(now + 3600) == now + 7200


def test_a_skipped_opening_does_not_take_place_and_the_next_does() -> None:
    skip = Skip("W", instant("2026-11-24T08:00"))
    cal = calendar(window("08:00-18:00"), skips=[skip])
    assert within(cal, "2026-11-24T00:00", "2026-11-26T00:00") == ["Wed 08:00-Wed 18:00"]
    assert cal.open_at(instant("2026-11-24T12:00")) == ()
    assert cal.next_edge(instant("2026-11-24T12:00")) == instant("2026-11-25T08:00")
    other = calendar(window("08:00-18:00", name="Other"), skips=[skip])
    assert other.open_at(instant("2026-11-24T12:00"))


def test_of_a_window_that_never_closes_the_rest_of_today_is_skipped() -> None:
    now = instant("2026-11-24T12:00")
    always = window("00:00-24:00")
    (present,) = calendar(always).open_at(now)
    cal = calendar(always, skips=[Skip("W", present.opens)])
    midnight = instant("2026-11-25T00:00")
    assert cal.open_at(now) == ()
    assert cal.next_edge(now) == midnight
    found = cal.next_admitting("normal", 1, now)
    assert found is not None
    assert found.opens == midnight
    assert cal.open_at(midnight)


# ---- what is asked of it all the time


def test_the_next_edge_is_strictly_after() -> None:
    cal = calendar(window("08:00-18:00"), window("10:00-18:00", name="B"))
    edges, now = [], instant("2026-11-24T00:00")
    for _ in range(4):
        edge = cal.next_edge(now)
        assert edge is not None
        edges.append(f"{datetime.fromtimestamp(edge, PRAGUE):%H:%M}")
        now = edge
    assert edges == ["08:00", "10:00", "18:00", "08:00"]


def test_the_first_opening_that_admits_is_found_one_in_progress_included() -> None:
    small = window("08:00-18:00", name="Small", max_message=1000, send=("urgent", "normal"))
    night = window("22:00-05:00", name="Night")
    cal = calendar(small, night)
    now = instant("2026-11-24T12:00")
    for message_class, size, name in (("normal", 1000, "Small"), ("normal", 1001, "Night"), ("bulk", 1, "Night")):
        found = cal.next_admitting(message_class, size, now)
        assert found is not None
        assert found.window.name == name


def test_what_no_window_admits_has_no_opening() -> None:
    cal = calendar(window("08:00-18:00", max_message=1000))
    now = instant("2026-11-24T12:00")
    assert cal.next_admitting("normal", 1001, now) is None
    assert cal.next_admitting("normal", 1001, now + 10) is None
    assert calendar().next_admitting("normal", 1, now) is None


def test_a_remembered_answer_ends_with_its_opening_and_does_not_hold_for_the_past() -> None:
    cal = calendar(window("08:00-18:00"))

    def opens(text: str) -> str:
        found = cal.next_admitting("normal", 1, instant(text))
        assert found is not None
        return f"{datetime.fromtimestamp(found.opens, PRAGUE):%a}"

    asked = ["2026-11-24T12:00", "2026-11-24T17:59", "2026-11-24T18:00", "2026-11-25T07:00", "2026-11-24T12:00"]
    assert [opens(text) for text in asked] == ["Tue", "Tue", "Wed", "Wed", "Tue"]
    (present,) = cal.open_at(instant("2026-11-25T09:00"))
    assert cal.open_at(instant("2026-11-24T09:00")) != (present,)


def test_many_messages_of_few_kinds_cost_few_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    cal = calendar(window("08:00-18:00", max_message=1000), window("22:00-05:00", name="B", max_message=5000))
    searches = []
    search = Calendar._first
    monkeypatch.setattr(Calendar, "_first", lambda self, *a: searches.append(a) or search(self, *a))
    now = instant("2026-11-24T12:00")
    for size in range(0, 10_000, 10):
        cal.next_admitting("normal", size, now + size / 1000)
        cal.next_admitting("bulk", size, now + size / 1000)
    assert len(searches) == 3  # both windows, the larger alone, none


def test_the_search_ends_after_four_hundred_days() -> None:
    far = exception("2028-01-01", extra=[window("08:00-09:00", days=None, name="X")])
    cal = calendar(far)
    now = instant("2026-11-24T12:00")
    assert list(cal.openings(now)) == []
    assert cal.next_edge(now) is None
    assert cal.next_admitting("normal", 1, now) is None
    assert len(list(cal.openings(instant("2026-12-01T00:00")))) == 1


def test_openings_are_computed_as_they_are_asked_for() -> None:
    busy = calendar(replace(window("00:00-24:00", every=1), longest=30.0))
    days: list[int] = []
    begun_on = busy.begun_on
    busy.begun_on = lambda course, day: days.append(day) or begun_on(course, day)
    assert len(list(islice(busy.openings(instant("2026-11-24T12:00")), 10))) == 10
    assert len(days) < 10


@pytest.mark.parametrize("text", ["0001-01-01T00:00", "1970-01-01T00:00", "9999-12-31T23:59"])
def test_any_clock_gets_an_answer(text: str) -> None:
    cal = calendar(window("08:00-18:00"), window("00:00-24:00", name="B"), exception("12-24", closed=["all day"]))
    now = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    cal.open_at(now)
    cal.next_edge(now)
    cal.next_admitting("normal", 1, now)
    list(islice(cal.openings(now), 5))


def test_an_hour_on_the_wall_is_found_again_in_every_zone_of_the_tests() -> None:
    for name in ("Europe/Prague", "America/New_York", "Australia/Lord_Howe", "UTC", "Africa/Nairobi", "Asia/Kathmandu"):
        zone = ZoneInfo(name)
        cal = calendar(window("08:00-18:00"), zone=zone)
        opening = next(cal.openings(instant("2026-07-01T00:00", zone)))
        assert datetime.fromtimestamp(opening.opens, zone).strftime("%H:%M") == "08:00"
        assert opening.closes - opening.opens == timedelta(hours=10).total_seconds()
