"""The ten mistakes that the survey of schedule files found most often: text, place and hint of each."""

from __future__ import annotations

import pytest

from gateway.config.report import render
from tests.unit.config.reading import SCHEDULE, schedule_problems, settings_of

RELAYS = settings_of("relays:\n  - {name: isp, host: smtp.isp.example}\n  - {name: hq-direct, host: hq.example}\n")
HEAD = "timezone: Europe/Prague\nwindows:\n  - name: Day\n"
AT = "    at: 06:30\n"
KEYS = "name, days, open, at, every, for, only_if, send, max_message, budget, fetch, dial, via, enabled, note"
TIMES = "Times are written HH:MM on the 24-hour clock."
DAYS = "days are mon tue wed thu fri sat sun, ranges like mon-fri, and daily, workdays, weekend."
TWICE = (
    "keep one of them; for two stretches write open: 08:00-12:00, 13:00-18:00. YAML itself would silently use the last."
)

MISTAKES = [
    (
        HEAD + "\tat: 06:30\n",
        (4, 1, "this line is indented with a TAB"),
        "YAML allows only spaces here; replace the TAB by four spaces.",
    ),
    (
        HEAD + AT + "    max_mesage: 2 MB\n",
        (5, 5, '"max_mesage" is not a setting of a window'),
        f'Did you mean "max_message"? Settings here: {KEYS}.',
    ),
    (
        HEAD + "    open: 22:00-25:00\n",
        (4, 17, '"25:00" is not a time of day'),
        "hours go from 00:00 to 24:00. A window that runs past midnight is written like 22:00-01:00.",
    ),
    (HEAD + "    at: 6pm\n", (4, 9, '"6pm" is not a time of day'), f"did you mean 18:00? {TIMES}"),
    (HEAD + "    at: 6.30\n", (4, 9, '"6.30" is not a time of day'), f"did you mean 06:30? {TIMES}"),
    (HEAD + AT + "    days: mon-fir\n", (5, 15, '"fir" is not a day'), f'{DAYS} Did you mean "fri"?'),
    (
        HEAD + "    open: 08:00-12:00\n    dial: yes\n    open: 13:00-18:00\n",
        (6, 5, '"open" is written twice in this block (first on line 4)'),
        TWICE,
    ),
    (
        HEAD + "    open: 08:00-12:00\n" + AT,
        (5, 5, 'window "Day" has both "open" and "at"'),
        '"open" is a stretch of time, "at" a single connection. For both, write two windows.',
    ),
    (HEAD + AT + "    max_message: 2\n", (5, 18, '"max_message: 2" has no unit'), "write 2 MB or 2 kB."),
    (HEAD + "    open: 08:00-12:00\n    every: 30\n", (5, 12, '"every: 30" has no unit'), "write 30 min or 30 s."),
    (
        "timezone: Europe/Praha\nwindows: []\n",
        (1, 11, '"Europe/Praha" is not a known time zone'),
        'Did you mean "Europe/Prague"? Names look like Area/City.',
    ),
    (
        HEAD + AT + "    via: hq-drect\n",
        (5, 10, 'there is no relay called "hq-drect"'),
        'Did you mean "hq-direct"? Defined in gateway.yaml: isp, hq-direct.',
    ),
]


@pytest.mark.parametrize(("text", "place_and_text", "hint"), MISTAKES, ids=[mistake[1][2] for mistake in MISTAKES])
def test_each_of_the_ten_mistakes_is_told_alone_at_its_place_with_its_hint(
    text: str, place_and_text: tuple[int, int, str], hint: str
) -> None:
    [problem] = schedule_problems(text, RELAYS)
    assert (problem.line, problem.column, problem.what) == place_and_text
    assert problem.hint == hint


def test_all_mistakes_of_a_file_are_listed_at_once_by_their_lines() -> None:
    text = (
        "timezone: Europe/Praha\nwindows:\n  - name: Night\n    open: 22:00-25:00\n    max_mesage: 2 MB\n"
        "  - name: Day\n    at: 6pm\n    days: mon-fir\n    max_message: 2\n    via: hq-drect\n"
        "    note: a: b\n\t    dial: maybe\n    at: 06:30\n"
    )
    assert [problem.line for problem in schedule_problems(text, RELAYS)] == [1, 4, 5, 7, 8, 9, 10, 11, 12, 12, 13]


def test_a_mistake_is_shown_with_the_lines_before_it_a_caret_and_the_hint() -> None:
    text = "timezone: Europe/Prague\n\nwindows:\n  - name: Night\n    open: 22:00-25:00\n"
    [problem] = schedule_problems(text)
    assert render([problem], {SCHEDULE: text}) == (
        '/etc/tidegate/schedule.yaml:5:17: error: "25:00" is not a time of day\n'
        "    3 | windows:\n"
        "    4 |   - name: Night\n"
        "    5 |     open: 22:00-25:00\n"
        "      |                 ^^^^^\n"
        "  hint: hours go from 00:00 to 24:00. A window that runs past midnight is written like 22:00-01:00.\n"
    )
