"""Calendars: all-day events and yearly rules become dates; what cannot be followed is told at its line."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.ics import parse_ics
from gateway.config.rules import DateRange
from tests.unit.config.reading import SCHEDULE, schedule_of, schedule_problems, told

FILE = Path("/etc/tidegate/holidays.ics")


def calendar_of(*events: str) -> str:
    body = "".join(f"BEGIN:VEVENT\r\n{event}END:VEVENT\r\n" for event in events)
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{body}END:VCALENDAR\r\n"


def event(*lines: str) -> str:
    return "".join(f"{line}\r\n" for line in lines)


def dates_of(*lines: str) -> list[DateRange]:
    dates, problems = parse_ics(calendar_of(event(*lines)), FILE)
    assert problems == []
    return dates


def day(year: int, month: int, number: int, yearly: bool = False) -> DateRange:
    return DateRange(date(year, month, number), date(year, month, number), yearly)


def test_an_all_day_event_is_its_day() -> None:
    assert dates_of("DTSTART;VALUE=DATE:20261117", "SUMMARY:Holiday") == [day(2026, 11, 17)]


def test_the_end_of_an_event_is_exclusive() -> None:
    expected = [DateRange(date(2026, 12, 24), date(2026, 12, 26))]
    assert dates_of("DTSTART;VALUE=DATE:20261224", "DTEND;VALUE=DATE:20261227") == expected
    assert dates_of("DTSTART;VALUE=DATE:20261224", "DURATION:P3D") == expected


def test_a_yearly_rule_is_a_date_of_every_year() -> None:
    assert dates_of("DTSTART;VALUE=DATE:20190501", "RRULE:FREQ=YEARLY") == [day(2000, 5, 1, yearly=True)]
    rule = "RRULE:FREQ=YEARLY;BYMONTH=5;BYMONTHDAY=1"
    assert dates_of("DTSTART;VALUE=DATE:20190501", rule) == [day(2000, 5, 1, yearly=True)]
    assert dates_of("DTSTART;VALUE=DATE:20200229", "RRULE:FREQ=YEARLY") == [day(2000, 2, 29, yearly=True)]


def test_a_yearly_event_may_cross_new_year() -> None:
    [found] = dates_of("DTSTART;VALUE=DATE:20191231", "DTEND;VALUE=DATE:20200103", "RRULE:FREQ=YEARLY")
    assert found == DateRange(date(2000, 12, 31), date(2000, 1, 2), yearly=True)


def test_a_rule_with_an_end_or_a_count_is_written_out() -> None:
    until = dates_of("DTSTART;VALUE=DATE:20250501", "RRULE:FREQ=YEARLY;UNTIL=20270501")
    assert until == [day(2025, 5, 1), day(2026, 5, 1), day(2027, 5, 1)]
    count = dates_of("DTSTART;VALUE=DATE:20250501", "RRULE:FREQ=YEARLY;INTERVAL=2;COUNT=2")
    assert count == [day(2025, 5, 1), day(2027, 5, 1)]


def test_a_weekday_of_a_month_is_written_out() -> None:
    found = dates_of("DTSTART;VALUE=DATE:20261126", "RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH")
    assert found[:3] == [day(2026, 11, 26), day(2027, 11, 25), day(2028, 11, 23)]
    assert 50 <= len(found) <= 100
    last = dates_of("DTSTART;VALUE=DATE:20260525", "RRULE:FREQ=YEARLY;BYMONTH=5;BYDAY=-1MO;COUNT=2")
    assert last == [day(2026, 5, 25), day(2027, 5, 31)]


def test_a_rule_that_begins_in_later_years_does_not_hold_before() -> None:
    found = dates_of("DTSTART;VALUE=DATE:20400501", "RRULE:FREQ=YEARLY")
    assert found[0] == day(2040, 5, 1)


def test_days_taken_out_of_a_rule_are_left_out() -> None:
    found = dates_of("DTSTART;VALUE=DATE:20250501", "RRULE:FREQ=YEARLY;COUNT=3", "EXDATE;VALUE=DATE:20260501")
    assert found == [day(2025, 5, 1), day(2027, 5, 1)]


def test_folded_lines_alarms_and_cancelled_events_are_understood() -> None:
    assert dates_of("SUMMARY:long", "  text", "DTSTART;VAL", " UE=DATE:2026", " 1117") == [day(2026, 11, 17)]
    alarm = ("BEGIN:VALARM", "DTSTART:20200101T000000", "END:VALARM")
    assert dates_of("DTSTART;VALUE=DATE:20261117", *alarm) == [day(2026, 11, 17)]
    assert dates_of("DTSTART;VALUE=DATE:20261117", "STATUS:CANCELLED") == []


def test_the_rules_of_a_time_zone_are_no_events() -> None:
    rule = "BEGIN:STANDARD\r\nDTSTART:19701025T030000\r\nRRULE:FREQ=YEARLY\r\nEND:STANDARD\r\n"
    zone = f"BEGIN:VTIMEZONE\r\n{rule}END:VTIMEZONE\r\n"
    assert parse_ics(f"BEGIN:VCALENDAR\r\n{zone}END:VCALENDAR\r\n", FILE) == ([], [])


def test_an_event_with_a_time_is_left_out_with_a_warning() -> None:
    dates, [problem] = parse_ics(calendar_of(event("DTSTART:20261117T080000Z")), FILE)
    assert dates == []
    assert (problem.line, problem.severity) == (4, "warning")


@pytest.mark.parametrize(
    ("lines", "place_and_text"),
    [
        (("SUMMARY:x",), (3, 1, "this event has no DTSTART")),
        (("DTSTART;VALUE=DATE:20270229",), (4, 20, "there is no 2027-02-29")),
        (("DTSTART;VALUE=DATE:2027",), (4, 20, '"2027" is not a date')),
        (("DTSTART;VALUE=DATE:20261117", "DTEND;VALUE=DATE:20261101"), (5, 18, "this event ends before it begins")),
        (("DTSTART;VALUE=DATE:20261117", "DTEND;VALUE=DATE:20281101"), (5, 18, "this event lasts longer than a year")),
        (("DTSTART;VALUE=DATE:20261117", "EXDATE:2026"), (5, 8, '"2026" is not a date')),
        (("DTSTART;VALUE=DATE:20261117", "DURATION:PT5H"), (5, 10, '"PT5H" is not a number of days')),
        (("DTSTART;VALUE=DATE:20261117", "RRULE:FREQ=WEEKLY"), (5, 7, 'a rule "FREQ=WEEKLY" is not understood')),
        (
            ("DTSTART;VALUE=DATE:20261117", "RRULE:FREQ=YEARLY;BYWEEKNO=20"),
            (5, 7, '"BYWEEKNO" in a rule is not understood'),
        ),
        (("DTSTART;VALUE=DATE:20261117", "RRULE:FREQ=YEARLY;BYMONTH=13"), (5, 7, '"13" is out of place in a rule')),
    ],
)
def test_a_mistake_is_told_at_its_line_of_the_calendar(
    lines: tuple[str, ...], place_and_text: tuple[int, int, str]
) -> None:
    _, problems = parse_ics(calendar_of(event(*lines)), FILE)
    assert told(problems) == [place_and_text]
    assert problems[0].file == FILE


def test_a_file_that_is_no_calendar_or_is_cut_is_told() -> None:
    assert told(parse_ics("hello\n", FILE)[1]) == [(1, 1, "this is not a calendar file")]
    assert told(parse_ics("", FILE)[1]) == [(1, 1, "this is not a calendar file")]
    assert told(parse_ics("BEGIN:VCALENDAR\nVERSION:2.0\n", FILE)[1]) == [(2, 1, "this calendar does not end")]


def test_the_number_of_dates_is_bounded() -> None:
    months = ",".join(map(str, range(1, 13)))
    rule = event(
        "DTSTART;VALUE=DATE:20260101", f"RRULE:FREQ=YEARLY;COUNT=99999;BYMONTH={months};BYDAY=MO,TU,WE,TH,FR,SA,SU"
    )
    dates, problems = parse_ics(calendar_of(*[rule] * 100), FILE)
    assert len(dates) == 10_001
    assert [problem.what for problem in problems] == ["this calendar makes more than 10000 dates"]


def test_the_number_of_events_is_bounded() -> None:
    _, problems = parse_ics(calendar_of(*[event("DTSTART;VALUE=DATE:20261117")] * 5001), FILE)
    assert [problem.what for problem in problems] == ["this calendar holds more than 5000 events"]


CONTENT = """BEGIN:VEVENT|END:VEVENT|BEGIN:VALARM|END:VALARM|DTSTART;VALUE=DATE:20261117|DTSTART;VALUE=DATE:99991231|DTSTART:0
DTEND;VALUE=DATE:99991231|DURATION:P300D| fold|RRULE:FREQ=YEARLY
RRULE:FREQ=YEARLY;COUNT=99999;BYMONTH=1,2;BYDAY=MO|:|;
RRULE:UNTIL=;FREQ=YEARLY|RRULE:FREQ=YEARLY;INTERVAL=0|EXDATE:,|EXDATE:20261117"""
LINES = st.lists(st.sampled_from(CONTENT.replace("\n", "|").split("|")), max_size=12)


@given(st.one_of(LINES.map("\n".join), st.text(max_size=60)))
def test_any_text_ends_in_dates_or_problems(text: str) -> None:
    dates, problems = parse_ics(f"BEGIN:VCALENDAR\n{text}\nEND:VCALENDAR", FILE)
    assert len(dates) <= 10_001
    assert all(problem.what.isprintable() for problem in problems)


HEAD = "timezone: UTC\nexceptions:\n  - name: X\n    closed: all day\n"
SCHEDULE_TEXT = HEAD + "    dates:\n      - 12-24\n      - file: holidays.ics\n"


def test_dates_of_an_exception_may_mix_texts_and_calendars() -> None:
    asked: list[Path] = []

    def read(path: Path) -> str:
        asked.append(path)
        return calendar_of(event("DTSTART;VALUE=DATE:20261117"))

    file = schedule_of(SCHEDULE_TEXT, read_ics=read)
    assert asked == [SCHEDULE.parent / "holidays.ics"]
    assert file.exceptions[0].dates == (day(2000, 12, 24, yearly=True), day(2026, 11, 17))


@pytest.mark.parametrize(
    "written", ["{file: holidays.ics}", '"file: holidays.ics"', "[file: holidays.ics]", "\n      file: holidays.ics"]
)
def test_a_calendar_may_be_named_in_each_way_that_yaml_reads(written: str) -> None:
    text = f"timezone: UTC\nexceptions:\n  - name: X\n    closed: all day\n    dates: {written}\n"
    file = schedule_of(text, read_ics=lambda path: calendar_of(event("DTSTART;VALUE=DATE:20261117")))
    assert file.exceptions[0].dates == (day(2026, 11, 17),)


def test_mistakes_of_a_calendar_refuse_the_schedule_and_point_into_the_calendar() -> None:
    problems = schedule_problems(SCHEDULE_TEXT, read_ics=lambda path: "hello")
    assert [(problem.file, problem.line) for problem in problems] == [(FILE, 1)]


def test_a_calendar_without_all_day_events_is_told_where_it_is_named() -> None:
    [problem] = schedule_problems(SCHEDULE_TEXT, read_ics=lambda path: calendar_of())
    assert (problem.file, problem.line, problem.column) == (SCHEDULE, 7, 15)
