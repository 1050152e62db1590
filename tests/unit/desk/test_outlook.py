"""Openings as the console draws them."""

from __future__ import annotations

from datetime import date

from gateway.control.console_rows import GroupRow
from gateway.control.rows import NextTryRow
from gateway.desk.census import needs_a_look
from gateway.desk.outlook import ahead, blocks, kind_of, lines, monday_of, week
from gateway.dispatch.facts import NextTry
from gateway.schedule.calendar import Calendar
from tests.support.situations import at, message, schedule, situation

TEXT = """\
timezone: Europe/Prague
windows:
  - name: Day
    days: mon-fri
    open: 08:00-18:00
    every: 30 min
    for: 5 min
    send: urgent, normal
    max_message: 2 MB

  - name: Alarm
    open: 00:00-24:00
    every: 1 min
    for: 20 s
    send: urgent
  - name: Night   # all
    open: 22:00-05:00
exceptions:
  - name: Work
    dates: 2026-11-26
    closed: 22:00-24:00
"""


def calendar() -> Calendar:
    return Calendar(schedule(TEXT))


def test_what_a_window_lets_through_in_one_word() -> None:
    assert [kind_of(rule) for rule in schedule(TEXT).windows] == ["limited", "urgent", "all"]


def test_a_window_that_opens_very_often_is_drawn_as_one_stretch() -> None:
    drawn = blocks(calendar(), at("2026-11-24 00:00"), at("2026-11-25 00:00"))
    by_window = {name: [row for row in drawn if row.window == name] for name in ("Day", "Alarm", "Night")}
    assert len(by_window["Day"]) == 20
    assert [row.times for row in by_window["Alarm"]] == [1440]
    assert [row.opens[:16] for row in by_window["Night"]] == ["2026-11-23T22:00", "2026-11-24T22:00"]


def test_a_week_has_seven_days_and_says_what_is_closed() -> None:
    days = week(calendar(), monday_of(calendar(), at("2026-11-24 12:00")), at("2026-11-24 12:00"))
    assert [day.date for day in days] == [f"2026-11-{n}" for n in range(23, 30)]
    assert [day.is_today for day in days].index(True) == 1
    thursday = days[3]
    assert thursday.exceptions == ["Work"]
    assert [(row.name, row.begins[11:16], row.ends[11:16]) for row in thursday.closed] == [("Work", "22:00", "00:00")]
    assert not days[4].closed


def test_days_of_the_change_of_the_clock_are_as_long_as_they_are() -> None:
    days = week(calendar(), date(2026, 10, 19), at("2026-10-20 12:00"))
    assert (days[6].begins, days[6].ends) == ("2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00")


def test_what_leaves_is_counted_at_the_opening_that_takes_it() -> None:
    night = NextTryRow(kind="window", at="2026-11-24T22:00:00+01:00", window="Night")
    rows = ahead(calendar(), at("2026-11-24 21:59"), [GroupRow(next_try=night, messages=3, octets=9)], most=5)
    assert [(row.messages, row.octets) for row in rows if row.window == "Night"] == [(3, 9)]
    assert all(row.messages == 0 for row in rows if row.window != "Night")


def test_windows_and_exceptions_know_their_lines_in_the_file() -> None:
    found = [(row.name, row.line, row.end_line) for row in lines(schedule(TEXT), TEXT)]
    assert found == [("Day", 3, 9), ("Alarm", 11, 15), ("Night", 16, 17), ("Work", 19, 21)]


def test_only_what_needs_a_person_needs_a_look() -> None:
    offline = situation()
    window, never = NextTry("window", offline.now, "Day"), NextTry("never")
    assert not needs_a_look(message(), window, offline)
    assert needs_a_look(message(), never, offline)
    assert not needs_a_look(message(), never, situation(mode="stopped"))
    assert not needs_a_look(message(held=True), never, offline)
    assert needs_a_look(message(doubt=True), window, offline)
    late = offline.now - offline.settings.queue.warn_after - 1
    assert needs_a_look(message(tries=3, created=late), window, offline)
    assert not needs_a_look(message(tries=2, created=late), window, offline)
