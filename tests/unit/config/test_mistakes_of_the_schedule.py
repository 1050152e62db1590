"""Each row: a schedule with one mistake, its place, a piece of its text, what the caret underlines, a piece of its hint."""

from __future__ import annotations

import pytest

from tests.unit.config.reading import marked, schedule_problems, settings_of

SETTINGS = settings_of(
    "relays:\n  - {name: isp, host: smtp.isp.example}\nsources:\n  - {name: hq-etrn, kind: etrn, host: hq.example}\n"
)
ZONE = "timezone: Europe/Prague\n"
DAY = ZONE + "windows:\n  - name: Day\n"
AT = DAY + "    at: 06:30\n"
OPEN = DAY + "    open: 08:00-18:00\n"
CHRISTMAS = ZONE + "exceptions:\n  - name: Christmas\n"
CLOSED = CHRISTMAS + "    closed: all day\n"

ROWS = [
    # the file as a whole
    ("", 1, 1, '"timezone" is missing', "", "Europe/Prague"),
    ("# nothing\n", 1, 1, '"timezone" is missing', "#", "Europe/Prague"),
    ("windows: []\n", 1, 1, '"timezone" is missing', "w", "write timezone"),
    ("- a\n- b\n", 1, 1, "a list stands where the settings of the schedule file should", "-", "timezone: …"),
    ("hello\n", 1, 1, '"hello" stands where', "hello", "timezone: …"),
    (ZONE + "mode: auto\n", 2, 1, '"mode" is not a setting of the schedule file', "mode", "gateway.yaml"),
    (ZONE + "window: []\n", 2, 1, '"window" is not a setting', "window", 'Did you mean "windows"?'),
    (ZONE + "Windows: []\n", 2, 1, '"Windows" is not a setting', "Windows", 'Did you mean "windows"?'),
    ("timezone: Prague\n", 1, 11, '"Prague" is not a known', "Prague", 'Did you mean "Europe/Prague"?'),
    ("timezone: Europe\n", 1, 11, '"Europe" is not a known', "Europe", "Area/City"),
    ("timezone: ../../etc/passwd\n", 1, 11, "is not a known time zone", "../../etc/passwd", "Area/City"),
    ("timezone: europe/prague\n", 1, 11, "is not a known time zone", "europe/prague", 'Did you mean "Europe/Prague"?'),
    ("timezone: [UTC]\n", 1, 11, 'a list is not what "timezone" asks for', "[", "one value"),
    ("timezone:\n", 1, 1, '"timezone" has no value', "timezone", "behind the colon"),
    (ZONE + "windows:\n", 2, 1, '"windows" has no value', "windows", "remove the line"),
    (ZONE + "windows: Night\n", 2, 10, '"windows" is a list, and this is "Night"', "Night", "- name: …"),
    (ZONE + "windows:\n  name: Day\n", 3, 3, '"windows" is a list, and this is a block', "n", "hyphen"),
    (ZONE + "windows:\n  - Night\n", 3, 5, '"Night" stands where the settings of a window', "Night", "name: …"),
    (
        ZONE + "timezone: UTC\n",
        2,
        1,
        '"timezone" is written twice in this block (first on line 1)',
        "timezone",
        "keep one",
    ),
    # names
    (ZONE + "windows:\n  - at: 06:30\n", 3, 5, '"name" is missing in a window', "a", "name: …"),
    (AT + "  - name: Day\n    at: 07:30\n", 5, 11, 'two windows called "Day" (first on line 3)', "Day", "of its own"),
    (ZONE + "windows:\n  - name: ' '\n    at: 06:30\n", 3, 5, '"name" has no value', "name", "write one"),
    (ZONE + f"windows:\n  - name: {'x' * 65}\n    at: 06:30\n", 3, 11, "is too long", "x" * 65, "at most 64"),
    (DAY, 3, 11, 'window "Day" has neither "open" nor "at"', "Day", "open: 08:00-18:00"),
    # times
    (DAY + "    open: 06:00-06:00\n", 4, 11, '"06:00-06:00" has no length', "06:00-06:00", "at: 06:00"),
    (DAY + "    open: 00:00-00:00\n", 4, 11, "has no length", "00:00-00:00", "00:00-24:00"),
    (DAY + "    open: 24:00-06:00\n", 4, 11, '"24:00" is not a time to start', "24:00", "00:00 of the next day"),
    (DAY + "    open: 08:00\n", 4, 11, '"08:00" is not a stretch of time', "08:00", "at: 08:00"),
    (DAY + "    open: 8-18\n", 4, 11, '"8" is not a time of day', "8", "did you mean 08:00?"),
    (DAY + "    open: 08:00–18:00\n", 4, 11, "is not a stretch of time", "08:00–18:00", "plain hyphen"),
    (DAY + "    open: 08:00-12:00, 13:00-18:60\n", 4, 30, '"18:60" is not a time', "18:60", "00:00 to 24:00"),
    (DAY + "    open: [08:00-12:00, 13:0-18:00]\n", 4, 25, '"13:0" is not a time', "13:0", "HH:MM"),
    (DAY + "    open:\n      - 08:00-12:00\n      - 13:00-1800\n", 6, 15, '"1800"', "1800", "did you mean 18:00?"),
    (DAY + "    open: 08:00-12:00,, 13:00-18:00\n", 4, 23, "nothing here between", ",", "remove a comma"),
    (DAY + "    open: []\n", 4, 5, '"open" of window "Day" is empty', "open", "at least one"),
    (DAY + "    open: {from: 08:00}\n", 4, 11, "a block of keys is not what", "{", "list"),
    (DAY + "    at: 24:00\n", 4, 9, '"24:00" is not a time to start', "24:00", "next day"),
    (DAY + "    at: 12.30, 06:30\n", 4, 9, '"12.30" is not', "12.30", "did you mean 12:30?"),
    (DAY + "    at: 6:30\n", 4, 9, '"6:30" is not', "6:30", "did you mean 06:30?"),
    (DAY + "    at: noon\n", 4, 9, '"noon" is not', "noon", "24-hour clock"),
    (DAY + "    at: 06:30-07:00\n", 4, 9, '"06:30-07:00" is not a time of day', "06:30-07:00", "HH:MM"),
    (DAY + "    start: 06:30\n    at: 06:30\n", 4, 5, '"start" is not a setting', "start", "open: 08:00-18:00"),
    (AT + "    every: 10 min\n", 5, 5, '"every" goes with "open"', "every", "stretch of time"),
    # days
    (AT + "    days: mon, tuee\n", 5, 16, '"tuee" is not a day', "tuee", 'Did you mean "tue"?'),
    (AT + "    days: workday\n", 5, 11, '"workday" is not a day', "workday", 'Did you mean "workdays"?'),
    (AT + "    days: 1-5\n", 5, 11, '"1" is not a day', "1", "mon-fri"),
    (AT + "    days: [mon, [tue]]\n", 5, 17, "a list is not what", "[", "a, b, c"),
    (AT + "    days: []\n", 5, 5, '"days" of window "Day" is empty', "days", "remove the line"),
    # durations and sizes
    (OPEN + "    every: 1 h 30 min\n", 5, 12, "is not a duration", "1 h 30 min", "90 min"),
    (OPEN + "    every: 5 sec\n", 5, 12, "is out of range", "5 sec", "10 s to 24 h"),
    (OPEN + "    every: 2 hrs\n", 5, 14, '"hrs" is not a unit of duration', "hrs", "30 min"),
    (OPEN + "    every: soon\n", 5, 12, '"soon" is not a duration', "soon", "30 min or 30 s"),
    (OPEN + "    for: 0 s\n", 5, 10, "is out of range", "0 s", "1 s to 24 h"),
    (OPEN + "    for: 15\n", 5, 10, '"for: 15" has no unit', "15", "15 min or 15 s"),
    (OPEN + "    max_message: 2 Mb\n", 5, 20, '"Mb" is not a unit of size', "Mb", "MB"),
    (OPEN + "    max_message: 2 MiB\n", 5, 20, '"MiB" is not a unit', "MiB", "1,000,000"),
    (OPEN + "    max_message: 1,5 MB\n", 5, 18, '"1,5 MB" is not a size', "1,5 MB", "with a point"),
    (OPEN + "    max_message: 0 MB\n", 5, 18, "would let nothing pass", "0 MB", "send: none"),
    (OPEN + "    max_message: 1.5 B\n", 5, 18, "whole number of octets", "1.5 B", ""),
    (OPEN + "    budget: 20 MB\n", 5, 13, '"20 MB" is not a budget', "20 MB", "per day"),
    (OPEN + "    budget: 20 MB per year\n", 5, 23, '"year" is not a period', "year", "month"),
    (OPEN + "    budget: 20 per day\n", 5, 13, '"20" has no unit', "20", "20 MB or 20 kB"),
    # conditions, classes, words
    (
        OPEN + "    only_if: urgent waiting and oldest over 2 h\n",
        5,
        14,
        "is not a condition",
        None,
        "joined by or only",
    ),
    (OPEN + "    only_if: urgent waiting or\n", 5, 31, "a condition is missing", "", "urgent waiting"),
    (OPEN + "    only_if: oldest over 2\n", 5, 26, "has no unit", "2", "2 min or 2 s"),
    (OPEN + "    only_if: urgent waiting or oldest over 2 hrs\n", 5, 46, '"hrs" is not a unit', "hrs", "s, min, h"),
    (OPEN + "    only_if: more than 20\n", 5, 24, '"20" has no unit', "20", "20 messages or 20 MB"),
    (OPEN + "    only_if: some mail\n", 5, 14, '"some mail" is not a condition', "some mail", "oldest over"),
    (OPEN + "    send: urgent, nomal\n", 5, 19, '"nomal" is not a class', "nomal", 'Did you mean "normal"?'),
    (OPEN + "    send: urgent, all\n", 5, 19, '"all" stands alone', "all", "send: all"),
    (OPEN + "    dial: true\n", 5, 11, '"true" is neither yes nor no', "true", "yes or no"),
    (OPEN + "    enabled: on\n", 5, 14, '"on" is neither', "on", "yes or no"),
    (OPEN + "    note: ''\n", 5, 5, '"note" has no value', "note", "remove the line"),
    # names of gateway.yaml
    (OPEN + "    via: ips\n", 5, 10, 'there is no relay called "ips"', "ips", 'Did you mean "isp"?'),
    (OPEN + "    fetch: hq-etrn, pop\n", 5, 21, 'there is no source called "pop"', "pop", "gateway.yaml: hq-etrn"),
    (ZONE + "defaults:\n  via: hq\n", 3, 8, 'there is no relay called "hq"', "hq", "isp"),
    # defaults
    (ZONE + "defaults:\n  days: mon-fri\n", 3, 3, '"days" is not a setting of defaults', "days", "each window"),
    (ZONE + "defaults:\n  dail: yes\n", 3, 3, '"dail" is not a setting', "dail", 'Did you mean "dial"?'),
    (ZONE + "defaults: yes\n", 2, 11, '"yes" stands where the settings of defaults', "yes", ""),
    # exceptions
    (CLOSED, 3, 5, '"dates" is missing in an exception', "n", "dates: …"),
    (CHRISTMAS + "    dates: 12-24\n", 3, 11, 'exception "Christmas" changes nothing', "Christmas", "closed: all day"),
    (CLOSED + "    dates: 2027-02-29\n", 5, 12, "there is no 2027-02-29", "2027-02-29", "February 2027 has 28 days"),
    (CLOSED + "    dates: 02-30\n", 5, 12, "there is no 02-30", "02-30", "February has 29 days"),
    (CLOSED + "    dates: 13-01\n", 5, 12, "there is no 13-01", "13-01", "01 to 12"),
    (CLOSED + "    dates: 24.12.2026\n", 5, 12, "is not a date", "24.12.2026", "did you mean 2026-12-24?"),
    (CLOSED + "    dates: 12/24\n", 5, 12, "is not a date", "12/24", "did you mean 12-24?"),
    (CLOSED + "    dates: 12-24..31\n", 5, 19, '"31" is not a date', "31", "12-24..12-26"),
    (CLOSED + "    dates: 2026-12-24..12-26\n", 5, 12, "a year at one end only", "2026-12-24..12-26", "both ends"),
    (CLOSED + "    dates: 2026-12-26..2026-12-24\n", 5, 12, "ends before it begins", "2026-12-26..2026-12-24", ""),
    (CLOSED + "    dates: [12-24, 12-32]\n", 5, 20, "there is no 12-32", "12-32", "December has 31 days"),
    (CLOSED + "    dates: []\n", 5, 12, "there are no dates here", "[", "at least one"),
    (CLOSED + "    dates: {file: holidays.ics}\n", 5, 19, "holidays.ics", "holidays.ics", "/etc/tidegate/holidays.ics"),
    (CLOSED + "    dates: {fil: holidays.ics}\n", 5, 13, '"fil" is not a setting of dates', "fil", "file"),
    (CLOSED + "    dates: file: holidays.ics\n", 5, 16, "a colon inside the text", ":", "dates: {file: holidays.ics}"),
    (CLOSED + "    date: 12-24\n    dates: 12-24\n", 5, 5, '"date" is not a setting', "date", '"dates"'),
    (CHRISTMAS + "    dates: 12-24\n    like: sonday\n", 5, 11, '"sonday" is not a day', "sonday", '"sunday"'),
    (CHRISTMAS + "    dates: 12-24\n    closed: all\n", 5, 13, '"all" is not a time', "all", ""),
    (
        CHRISTMAS + "    dates: 12-24\n    closed: all day, 10:00-12:00\n",
        5,
        13,
        '"all day" stands alone',
        "all day",
        "",
    ),
    (
        CHRISTMAS + "    dates: 12-24\n    closed: []\n",
        5,
        5,
        '"closed" of exception "Christmas" is empty',
        "closed",
        "",
    ),
    (
        CHRISTMAS + "    dates: 12-24\n    extra:\n      - days: mon\n        at: 06:30\n",
        6,
        9,
        '"days" is not a setting of an extra window',
        "days",
        "dates of the exception",
    ),
    (
        CHRISTMAS + "    dates: 12-24\n    extra:\n      - at: 06:30\n      - at: 07:30\n",
        7,
        9,
        'two windows called "Christmas" (first on line 6)',
        "a",
        "of its own",
    ),
    (CHRISTMAS + "    dates: 12-24\n    extra:\n      - name: X\n", 6, 15, 'window "X" has neither', "X", ""),
    # aside from the keys
    (ZONE + "windows: &all []\n", 2, 10, "an anchor (&all) is not allowed", "&all", "quotes"),
    (OPEN + "    via: *relay\n", 5, 10, "an alias (*relay) is not allowed", "*relay", "write the value out"),
    (OPEN + "    note: !secret x\n", 5, 11, "a tag (!…) is not allowed", "!", "remove it"),
    (OPEN + "---\n", 5, 1, "a second document begins here", "-", "one document"),
    (OPEN + "    note: a\x07b\n", 5, 12, 'the character "\\x07" is not allowed', "\x07", "remove it"),
]


@pytest.mark.parametrize(
    ("text", "line", "column", "what", "underlined", "hint"), ROWS, ids=[f"{r[3]}-{r[1]}" for r in ROWS]
)
def test_a_mistake_is_told_once_at_its_place(
    text: str, line: int, column: int, what: str, underlined: str | None, hint: str
) -> None:
    problems = schedule_problems(text, SETTINGS)
    assert [(problem.line, problem.column) for problem in problems] == [(line, column)], problems
    assert what in problems[0].what
    assert hint in (problems[0].hint or "")
    if underlined is not None:
        assert marked(text, problems[0]) == underlined
