"""What is valid and probably not meant. Each case: a schedule, the warning, and the line that it points at."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.config.load import parse_schedule
from gateway.config.problem import Problem
from gateway.config.rules import ScheduleFile, WindowRule
from gateway.config.settings import AcceptSettings, ClassRule, DialSettings, LinkSettings, Settings
from gateway.schedule.remarks import at_key
from gateway.schedule.review import review

PATH = Path("schedule.yaml")
NOW = datetime(2026, 11, 24, 12, 12, tzinfo=ZoneInfo("Europe/Prague")).timestamp()
SETTINGS = Settings(None, "gw", Path("spool"))
MODEM = LinkSettings("wwan0", "ppp0", "dialled", speed=33_600.0)
ALWAYS = "  - {name: Always, open: 00:00-24:00}\n"


def parse(text: str) -> ScheduleFile:
    file, problems = parse_schedule(text, PATH, None)
    assert file is not None, problems
    return file


def warnings(text: str, settings: Settings | None = None, now: float = NOW) -> list[Problem]:
    return review(parse(text), settings, now)


def told(text: str, settings: Settings | None = None, now: float = NOW) -> list[tuple[int, str]]:
    return [(problem.line, problem.what) for problem in warnings(text, settings, now)]


def schedule(*lines: str) -> str:
    """Lines from the third on, below `timezone` (1) and `windows` (2)."""
    return "timezone: Europe/Prague\nwindows:\n" + "\n".join(lines) + "\n"


def test_a_plain_schedule_draws_no_warning() -> None:
    text = schedule("  - {name: Day, days: daily, open: 08:00-18:00, every: 30 min, for: 5 min, dial: yes}")
    assert told(text) == []
    assert told(text, replace(SETTINGS, links=(MODEM,))) != []  # 1.2 MB in five minutes, and 25 MB are accepted


def test_mail_larger_than_any_window_takes_would_wait_for_ever() -> None:
    text = schedule(
        "  - name: Small",
        "    open: 00:00-24:00",
        "    max_message: 500 kB",
        "  - name: Large",
        "    open: 22:00-05:00",
        "    max_message: 5 MB",
    )
    assert told(text) == [(8, "Mail over 5 MB has no window and would wait for ever.")]
    hint = warnings(text)[0].hint
    assert hint is not None
    assert "max_message" in hint
    assert "accept.max_message: 5 MB" in hint


def test_a_size_that_is_not_accepted_cannot_be_stuck() -> None:
    text = schedule("  - {name: Always, open: 00:00-24:00, max_message: 25 MB}")
    assert told(text, SETTINGS) == []
    smaller = replace(SETTINGS, accept=AcceptSettings(max_message=2_000_000))
    assert told(schedule("  - {name: Always, open: 00:00-24:00, max_message: 2 MB}"), smaller) == []


def test_sizes_are_judged_by_class() -> None:
    text = schedule(
        "  - {name: A, open: 00:00-24:00, send: urgent}",
        "  - {name: B, open: 00:00-24:00, send: 'normal, bulk', max_message: 1 MB}",
    )
    assert told(text) == [(4, "Mail of class normal and bulk over 1 MB has no window and would wait for ever.")]


def test_a_class_that_no_window_sends_is_named() -> None:
    text = schedule("  - name: Day", "    open: 00:00-24:00", "    send: urgent, normal")
    assert told(text) == [(5, "No window sends class bulk.")]
    without_rule = warnings(text, SETTINGS)[0].hint
    with_rule = warnings(text, replace(SETTINGS, classes=(ClassRule("bulk"),)))[0].hint
    assert without_rule is not None
    assert with_rule is not None
    assert "No rule of gateway.yaml makes mail bulk" in without_rule
    assert "No rule" not in with_rule


def test_windows_that_only_fetch_send_nothing() -> None:
    text = schedule("  - name: Fetch", "    open: 00:00-24:00", "    send: none", "    fetch: all")
    assert told(text) == [(5, "No window sends anything.")]


def test_a_dialled_link_needs_a_window_that_dials() -> None:
    settings = replace(SETTINGS, links=(LinkSettings("wwan0", "ppp0", "dialled"),))
    what = "Link wwan0 comes up only when dialled, but no window says dial: yes."
    assert told(schedule(ALWAYS), settings) == [(3, what)]
    assert told(schedule("  - {name: Always, open: 00:00-24:00, dial: no}"), settings) == [(3, what)]
    assert told(schedule("  - {name: Always, open: 00:00-24:00, dial: yes}"), settings) == []
    assert told(schedule(ALWAYS), None) == []


def test_an_opening_too_short_for_its_largest_message_is_told_with_the_figures() -> None:
    text = schedule(
        "  - name: Working hours",
        "    open: 08:00-18:00",
        "    every: 30 min",
        "    for: 5 min",
        "    max_message: 2 MB",
        "    dial: yes",
        "  - {name: Night, open: 22:00-05:00, dial: yes}",
    )
    settings = replace(SETTINGS, links=(MODEM,))
    what = "Working hours lasts 5 min; at 33.6 kbit/s that is 1.2 MB, but max_message is 2 MB."
    assert told(text, settings) == [(7, what)]


def test_openings_all_too_short_for_accepted_mail_are_told() -> None:
    text = schedule("  - {name: Noon, at: 12:00, dial: yes}")
    what = "Noon lasts 15 min; at 33.6 kbit/s that is 3.7 MB, but mail of up to 25 MB is accepted."
    assert told(text, replace(SETTINGS, links=(MODEM,))) == [(3, what)]


@pytest.mark.parametrize(
    ("lines", "line", "what"),
    [
        (
            ("  - name: Day", "    open: 08:00-18:00", "    every: 10 min", "    for: 15 min"),
            5,
            "every 10 min with for 15 min: sessions overlap and become one long call.",
        ),
        (
            ("  - name: Day", "    open: 08:00-18:00", "    every: 15 min"),
            5,
            "every 15 min with for 15 min: sessions touch and become one long call.",
        ),
        (
            ("  - name: Day", "    at: 11:30, 14:00, 11:40"),
            4,
            "at 11:30 and 11:40 with for 15 min: sessions overlap and become one long call.",
        ),
        (
            ("  - name: Day", "    open: 08:00-12:00, 11:00-14:00"),
            4,
            "08:00-12:00 and 11:00-14:00 of Day overlap and count as one.",
        ),
        (
            ("  - name: Day", "    open: 18:00-08:00"),
            4,
            "open: 18:00-08:00 lasts 14 h, past midnight.",
        ),
        (
            ("  - name: Day", "    open: 08:00-10:00", "    every: 3 h"),
            5,
            "every 3 h never comes round: 08:00-10:00 is over before the second session.",
        ),
        (
            ("  - name: Day", "    open: 08:00-08:10, 09:00-12:00", "    every: 1 h", "    for: 20 min"),
            6,
            "for 20 min is cut: 08:00-08:10 lasts 10 min.",
        ),
        (
            ("  - name: Day", "    open: 08:00-18:00", "    for: 20 min"),
            5,
            '"for" has no effect in Day: it is open from start to end.',
        ),
        (
            ("  - name: Day", "    open: 08:00-18:00", "    send: none", "  - {name: B, open: 08:00-18:00}"),
            5,
            "Day neither sends nor fetches.",
        ),
        (
            (
                "  - {name: A, open: 08:00-18:00}",
                "  - name: Day",
                "    open: 08:00-19:00",
                "    send: normal",
                "    only_if: urgent waiting",
            ),
            7,
            "Day waits for urgent mail but does not send it: its only_if is never met.",
        ),
        (
            (
                "  - {name: A, open: 08:00-18:00}",
                "  - name: Day",
                "    open: 08:00-19:00",
                "    send: normal",
                "    only_if: urgent waiting or oldest over 2 h",
            ),
            7,
            'Day does not send urgent mail, so "urgent waiting" in its only_if is never met.',
        ),
        (
            ("  - {name: A, open: 08:00-18:00}", "  - name: B", "    open: 09:00-10:00", "    via: hq"),
            6,
            "B is never asked: whenever it is open, A, which stands before it, admits all of its mail.",
        ),
        (
            ("  - {name: A, open: 00:00-24:00}", "  - name: B", "    at: 09:00", "    budget: 1 MB per day"),
            6,
            "B is never asked: whenever it is open, A, which stands before it, admits all of its mail.",
        ),
    ],
)
def test_what_one_window_says_is_judged_together(lines: tuple[str, ...], line: int, what: str) -> None:
    assert told(schedule(*lines)) == [(line, what)]


def test_a_night_of_twelve_hours_is_a_night() -> None:
    assert told(schedule("  - {name: Night, open: 20:00-08:00}")) == []


def test_a_for_among_the_defaults_is_not_held_against_plain_windows() -> None:
    text = (
        "timezone: UTC\ndefaults:\n  for: 5 min\nwindows:\n  - {name: A, open: 08:00-18:00}\n  - {name: B, at: 06:00}\n"
    )
    assert told(text) == []


def test_a_weekend_without_an_opening_is_a_long_gap() -> None:
    text = schedule(
        "  - {name: Morning, days: mon-fri, at: 06:30}",
        "  - {name: Working hours, days: mon-fri, open: 08:00-18:00}",
    )
    what = "No opening from Fri 18:00 to Mon 06:30 (60 h 30 min); senders get a delay notice after 4 h of lateness."
    assert told(text) == [(2, what)]


def test_a_gap_counts_only_windows_that_send() -> None:
    text = schedule(
        "  - {name: Fetch, open: 00:00-24:00, send: none, fetch: all}",
        "  - {name: Weekly, days: sat, open: 08:00-18:00}",
    )
    (problem,) = warnings(text)
    assert problem.what.startswith("No opening from Sat")
    assert "(6 days 14 h)" in problem.what


def test_a_window_in_the_skipped_hour_is_told_with_the_date() -> None:
    text = schedule(ALWAYS.rstrip(), "  - name: Backup", "    open: 02:00-03:00")
    assert told(text) == [(5, "Backup (02:00-03:00) does not exist on Sun 28 Mar 2027.")]
    early = datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")).timestamp()
    assert [w for _, w in told(text, now=early)] == ["Backup (02:00-03:00) does not exist on Sun 29 Mar 2026."]
    after_march = datetime(2026, 4, 1, tzinfo=ZoneInfo("UTC")).timestamp()
    assert [w for _, w in told(text, now=after_march)] == ["Backup (02:00-03:00) does not exist on Sun 28 Mar 2027."]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (
            "open: 02:15-02:45",
            [
                "Backup (02:15-02:45) does not exist on Sun 28 Mar 2027.",
                "Backup (02:15-02:45) opens twice on Sun 31 Oct 2027.",
            ],
        ),
        (
            "open: 01:30-02:30",
            [
                "Backup (01:30-02:30) lasts only 30 min on Sun 28 Mar 2027.",
                "Backup (01:30-02:30) opens twice on Sun 31 Oct 2027.",
            ],
        ),
        ("at: 02:30", ["Backup at 02:30 runs at 03:00 on Sun 28 Mar 2027."]),
        ("open: 22:00-06:00", []),
        ("open: 01:00-04:00", []),
        ("open: 03:00-04:00", []),
    ],
)
def test_what_the_odd_nights_do_is_told(times: str, expected: list[str]) -> None:
    text = schedule(ALWAYS.rstrip(), f"  - {{name: Backup, {times}}}")
    assert [what for _, what in told(text)] == expected


def test_a_window_that_does_not_begin_on_the_day_of_the_change_is_not_told() -> None:
    assert told(schedule(ALWAYS.rstrip(), "  - {name: Backup, days: mon-fri, open: 02:00-03:00}")) == []


def test_an_exception_that_is_over_may_go() -> None:
    text = schedule(
        ALWAYS.rstrip(), "exceptions:", "  - name: Inventory", "    dates: 2025-12-31", "    closed: all day"
    )
    assert told(text) == [(5, "The exception of 2025-12-31 is over; you may delete it.")]


def test_an_exception_of_every_year_is_never_over() -> None:
    text = schedule(ALWAYS.rstrip(), "exceptions:", "  - {name: Eve, dates: 11-20, closed: all day}")
    assert told(text) == []


def test_an_exception_that_closes_nothing_is_told() -> None:
    text = schedule(
        "  - {name: Day, open: 08:00-18:00}",
        "exceptions:",
        "  - {name: Works, dates: 2026-11-26, closed: 20:00-24:00}",
        "  - {name: Real, dates: 2026-11-27, closed: 17:00-24:00}",
    )
    assert told(text) == [(5, 'The exception "Works" closes nothing: no window is open then.')]


def test_an_exception_on_the_leap_day_is_told_when_it_counts() -> None:
    text = schedule(ALWAYS.rstrip(), "exceptions:", "  - {name: Leap, dates: 02-29, closed: all day}")
    what = '29 February exists in leap years only; the exception "Leap" counts next in 2028.'
    assert told(text) == [(5, what)]


def test_nothing_in_seven_days_is_told_with_the_next() -> None:
    text = schedule("exceptions:", "  - {name: Feast, dates: 2026-12-24, extra: [{open: 08:00-10:00}]}").replace(
        "windows:\n", "windows: []\n"
    )
    (problem,) = warnings(text)
    assert (problem.what, problem.hint) == ("No opening in the next 7 days.", "The next is Feast, Thu 24 Dec 08:00.")


def test_a_schedule_without_an_enabled_window_is_told() -> None:
    text = schedule("  - {name: Day, open: 08:00-18:00, enabled: no}")
    (problem,) = warnings(text)
    assert problem.what == "No opening in the next 7 days."
    assert problem.hint is not None
    assert "No window is enabled" in problem.hint


def test_a_window_that_is_always_closed_never_opens() -> None:
    text = schedule(
        ALWAYS.rstrip(),
        "  - {name: Night, open: 01:00-02:00}",
        "exceptions:",
        "  - {name: Works, dates: 01-01..12-31, closed: 01:00-02:00}",
    )
    assert told(text) == [(4, "Night never opens.")]


def test_more_calls_than_the_link_may_make_are_told() -> None:
    dial = DialSettings(("up",), ("down",), at_most=40)
    settings = replace(SETTINGS, links=(LinkSettings("modem", "ppp0", "dialled", dial=dial),))
    text = schedule("  - {name: Day, open: 00:00-24:00, every: 10 min, for: 3 min, dial: yes}")
    assert told(text, settings) == [(3, "144 openings a day may call, but link modem allows 40 calls per day.")]


def test_warnings_are_warnings_of_the_file_in_the_order_of_its_lines() -> None:
    text = schedule(
        "  - {name: B, open: 18:00-08:00, send: none}",
        "  - {name: C, open: 08:00-18:00, every: 10 min, send: normal}",
        "exceptions:",
        "  - {name: Past, dates: 2020-01-01, closed: all day}",
    )
    found = warnings(text)
    assert {problem.severity for problem in found} == {"warning"}
    assert {problem.file for problem in found} == {PATH}
    assert [problem.line for problem in found] == sorted(problem.line for problem in found)
    assert all(problem.column >= 1 for problem in found)


def test_warnings_point_at_the_value() -> None:
    text = schedule("  - name: Day", "    open: 18:00-08:00", "    every: 10 min", "    send: urgent, normal")
    text += "exceptions:\n  - name: Past\n    dates: 2020-01-01\n    closed: all day\n"
    places = {problem.what.split(" ")[0]: (problem.line, problem.column) for problem in warnings(text)}
    assert places == {"open:": (4, 11), "every": (5, 12), "No": (6, 11), "The": (8, 5)}


def test_a_value_from_the_defaults_is_pointed_at_there() -> None:
    text = "timezone: UTC\ndefaults:\n  max_message: 1 MB\nwindows:\n  - {name: A, open: 00:00-24:00}\n"
    (problem,) = warnings(text)
    assert (problem.line, problem.column) == (3, 16)


def test_a_remark_points_at_the_value_where_its_place_is_known() -> None:
    rule = WindowRule("W", None, line=4, key_lines=(("open", 6),), key_columns=(("open", 11),))
    remark = at_key(rule, "open", "what")
    assert (remark.line, remark.column) == (6, 11)
    assert (at_key(rule, "send", "what").line, at_key(rule, "send", "what").column) == (4, 1)
