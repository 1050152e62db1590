"""What an operator sees of a schedule: the echo, the grid, JSON, and the comparison of two."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from gateway.config.load import parse_schedule
from gateway.config.rules import Condition, ScheduleFile
from gateway.config.times import parse_conditions
from gateway.schedule.calendar import Calendar, Once
from gateway.schedule.describe import compare, opening_json, summary, week
from gateway.schedule.words import (
    days_words,
    only_if_words,
    rate_words,
    size_words,
    span_words,
)

PRAGUE = ZoneInfo("Europe/Prague")
NOW = datetime(2026, 11, 24, 12, 12, tzinfo=PRAGUE).timestamp()
TEXT = """\
timezone: Europe/Prague
windows:
  - name: Working hours
    days: mon-fri
    open: 08:00-18:00
    every: 30 min
    for: 5 min
    send: urgent, normal
    max_message: 2 MB
    only_if: urgent waiting or more than 1500 kB
  - name: Night
    days: sun-thu
    open: 22:00-05:00
    fetch: all
    via: hq
  - {name: Off, at: 12:00, enabled: no}
exceptions:
  - name: Provider works on the line
    dates: 2026-11-26
    closed: 22:00-24:00
  - name: Stocktaking
    dates: 2026-11-28
    extra: [{open: 14:00-18:00}]
"""


def parse(text: str) -> ScheduleFile:
    file, problems = parse_schedule(text, Path("schedule.yaml"), None)
    assert file is not None, problems
    return file


def test_the_echo_says_what_was_understood() -> None:
    assert summary(parse(TEXT), NOW).splitlines() == [
        "schedule.yaml is valid: 3 windows, 2 exceptions, Europe/Prague (now 12:12).",
        "  Working hours   mon-fri 08:00-18:00, every 30 min for 5 min   next Tue 12:30",
        "  Night           sun-thu 22:00-05:00, ends next morning        next Tue 22:00   "
        "Thu: closed 22:00-24:00 (Provider works on the line)",
        "  Off             daily at 12:00 for 15 min                     switched off",
        "  Stocktaking     extra 14:00-18:00                             next Sat 14:00",
    ]


def test_the_echo_says_until_when_a_window_is_open_and_what_never_opens() -> None:
    text = (
        "timezone: UTC\nwindows:\n  - {name: Day, open: 08:00-18:00}\n  - {name: Always, open: 00:00-24:00}\n"
        "exceptions:\n  - {name: Past, dates: 2020-01-01, extra: [{open: 08:00-09:00}]}\n"
    )
    shown = summary(parse(text), NOW)
    assert "open until Tue 18:00" in shown
    assert "always open" in shown
    assert "never opens" in shown


def test_an_opening_as_json_has_exactly_the_promised_fields() -> None:
    file = parse(TEXT)
    first, *_, night = [o for o in Calendar(file).openings(NOW, NOW + 43200) if o.opens >= NOW]
    assert json.loads(json.dumps(opening_json(first, file.timezone))) == {
        "window": "Working hours",
        "opens": "2026-11-24T12:30:00+01:00",
        "closes": "2026-11-24T12:35:00+01:00",
        "send": ["urgent", "normal"],
        "fetch": [],
        "max_message": 2_000_000,
        "via": None,
        "only_if": "urgent waiting or more than 1.5 MB",
    }
    assert opening_json(night, file.timezone) == {
        "window": "Night",
        "opens": "2026-11-24T22:00:00+01:00",
        "closes": "2026-11-25T05:00:00+01:00",
        "send": "all",
        "fetch": "all",
        "max_message": None,
        "via": "hq",
        "only_if": None,
    }


def test_the_week_is_a_grid_of_eighty_columns() -> None:
    shown = week(Calendar(parse(TEXT)), NOW).splitlines()
    assert all(len(line) <= 80 for line in shown)
    assert shown[0] == "        " + " ".join(f"{hour:02}" for hour in range(24))
    assert shown[1] == "Tue 24  " + "B" * 15 + "." * 9 + "aa." * 10 + "." * 12 + "B" * 6
    thursday = next(line for line in shown if line.startswith("Thu 26*"))
    assert thursday.endswith("." * 12 + "x" * 6)
    saturday = next(line for line in shown if line.startswith("Sat 28*"))
    assert saturday[8:] == "." * 42 + "C" * 12 + "." * 18
    assert "  A  Working hours: 08:00-18:00, every 30 min for 5 min" in shown
    assert "  *  Thu 26: Provider works on the line (closed 22:00-24:00)" in shown
    assert not any("Off" in line for line in shown)


def test_the_week_of_a_change_leaves_the_skipped_hour_blank() -> None:
    file = parse("timezone: Europe/Prague\nwindows:\n  - {name: Always, open: 00:00-24:00}\n")
    shown = week(Calendar(file), datetime(2026, 3, 28, 12, tzinfo=PRAGUE).timestamp()).splitlines()
    assert shown[2] == "Sun 29  " + "A" * 6 + "   " + "A" * 63


def test_a_narrow_week_has_fewer_signs_an_hour() -> None:
    shown = week(Calendar(parse(TEXT)), NOW, width=40).splitlines()
    assert len(shown[1]) == 8 + 24
    assert all(len(line) <= 40 for line in shown)


def test_the_week_shows_what_was_opened_by_hand() -> None:
    shown = week(Calendar(parse(TEXT), once=[Once(NOW, NOW + 3600)]), NOW)
    assert "!!" in shown
    assert "opened by hand" in shown


def test_equal_schedules_differ_in_nothing() -> None:
    assert compare(parse(TEXT), parse(TEXT), NOW) == ["Nothing changes in 14 days."]


def test_a_longer_day_is_told_for_each_weekday() -> None:
    new = TEXT.replace("open: 22:00-05:00", "open: 21:00-05:00")
    assert compare(parse(TEXT), parse(new), NOW) == [
        "Night: also open 21:00-22:00 (1 h more), each sun-thu",
        "Nothing else changes in 14 days.",
    ]


def test_longer_sessions_are_told_by_their_number() -> None:
    assert compare(parse(TEXT), parse(TEXT.replace("for: 5 min", "for: 10 min")), NOW) == [
        "Working hours: also open 20 times from 08:05 to 17:40 (1 h 40 min more), each mon-fri",
        "Nothing else changes in 14 days.",
    ]


def test_a_change_of_one_date_is_told_with_the_date() -> None:
    old = parse(TEXT)
    assert compare(old, replace(old, exceptions=old.exceptions[1:]), NOW) == [
        "Night: also open 22:00-24:00 (2 h more), on Thu 26 Nov 2026",
        "Nothing else changes in 14 days.",
    ]


def test_a_shifted_window_is_told_with_both_ends() -> None:
    old = parse("timezone: UTC\nwindows:\n  - {name: W, days: sat, open: 08:00-18:00}\n")
    new = parse("timezone: UTC\nwindows:\n  - {name: W, days: sat, open: 09:00-20:00}\n")
    assert compare(old, new, NOW) == [
        "W: open 18:00-20:00 instead of 08:00-09:00 (1 h more), each sat",
        "Nothing else changes in 14 days.",
    ]


def test_another_zone_is_told() -> None:
    old = parse("timezone: UTC\nwindows:\n  - {name: W, open: 08:00-18:00}\n")
    assert compare(old, replace(old, timezone=PRAGUE), NOW) == [
        "timezone: Europe/Prague instead of UTC",
        "W: open 08:00-09:00 instead of 18:00-19:00, daily",
        "Nothing else changes in 14 days.",
    ]


def test_new_and_gone_windows_and_settings_are_told() -> None:
    new = TEXT.replace("max_message: 2 MB", "max_message: 4 MB").replace("name: Night", "name: Late")
    assert compare(parse(TEXT), parse(new), NOW) == [
        "Working hours: max_message: 4 MB instead of 2 MB",
        "Late: new, sun-thu 22:00-05:00, ends next morning; next Tue 22:00",
        "Night: gone; was sun-thu 22:00-05:00, ends next morning",
        "Nothing else changes in 14 days.",
    ]


def test_a_window_that_was_always_open_is_compared_day_by_day() -> None:
    old = parse("timezone: UTC\nwindows:\n  - {name: W, open: 00:00-24:00}\n")
    new = parse("timezone: UTC\nwindows:\n  - {name: W, open: 08:00-18:00}\n")
    assert compare(old, new, NOW) == [
        "W: no longer open 00:00-08:00, 18:00-08:00 (22 h less), on Tue 24 Nov 2026",
        "W: no longer open 18:00-08:00 (14 h less), each wed-mon and on Tue 1 Dec 2026",
        "Nothing else changes in 14 days.",
    ]


def test_what_differs_only_in_the_past_of_today_is_not_told() -> None:
    old = parse("timezone: UTC\nwindows:\n  - {name: W, open: 08:00-18:00}\n")
    closed = "exceptions:\n  - {name: E, dates: 2026-11-24, closed: 00:00-08:00}\n"
    new = parse("timezone: UTC\nwindows:\n  - {name: W, open: 08:00-18:00}\n" + closed)
    assert compare(old, new, NOW) == ["Nothing changes in 14 days."]


def test_a_new_order_is_told() -> None:
    old = parse(TEXT)
    new = replace(old, windows=old.windows[::-1])
    assert compare(old, new, NOW)[0].startswith("the order of the windows changes")


def test_words_are_those_of_the_file() -> None:
    assert [days_words(d) for d in ({0, 1, 2, 3, 4}, {5, 6}, {4, 5, 6, 0}, {0, 2, 4}, set(range(7)), {0, 1}, None)] == [
        "mon-fri",
        "sat-sun",
        "fri-mon",
        "mon, wed, fri",
        "daily",
        "mon, tue",
        "daily",
    ]
    assert [size_words(n) for n in (999, 1500, 2_000_000, 1_260_000, 10**9)] == [
        "999 B",
        "1.5 kB",
        "2 MB",
        "1.2 MB",
        "1 GB",
    ]
    assert [rate_words(n) for n in (33_600, 2_000_000, 300)] == ["33.6 kbit/s", "2 Mbit/s", "300 bit/s"]
    assert [span_words(n) for n in (30, 90, 300, 5400, 50400, 216_000, 300_000)] == [
        "30 s",
        "1 min 30 s",
        "5 min",
        "1 h 30 min",
        "14 h",
        "60 h",
        "3 days 11 h",
    ]
    conditions = (Condition("urgent waiting"), Condition("oldest over", 7200), Condition("more messages than", 20))
    assert only_if_words(conditions) == "urgent waiting or oldest over 2 h or more than 20 messages"
    assert only_if_words((Condition("more octets than", 5_000_000),)) == "more than 5 MB"
    assert only_if_words(()) is None


def test_conditions_in_words_are_read_back_as_they_were() -> None:
    amounts = (1, 999, 1000, 1_234_567, 5_000_000, 1_500_000, 12_345_678_000, 3_000_000_000)
    for octets in amounts:
        words = only_if_words((Condition("more octets than", octets),))
        assert words is not None
        assert parse_conditions(words) == (Condition("more octets than", octets),)
    for seconds in (1.0, 90.0, 3600.0, 5400.0, 86400.0):
        words = only_if_words((Condition("oldest over", seconds),))
        assert words is not None
        assert parse_conditions(words) == (Condition("oldest over", seconds),)
