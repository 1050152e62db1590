"""The filter language of DESIGN 10: what each term means, and where a mistake is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.rows import NextTryRow, QueueRow
from gateway.desk.filter import parse_filter
from gateway.errors import UsageError

NOW = 1_780_000_000.0  # 2026-05-28T20:26:40Z

ROW = QueueRow(
    id="8k2f41c07a10",
    created="2026-05-28T17:26:40+00:00",  # three hours old
    next_try=NextTryRow(kind="window", at="2026-05-28T22:00:00+00:00", window="Night run"),
    size=1_500_000,
    sender="Anna.Nowak@brno.example.net",
    to=["ops@hq.example", "news@list.example"],
    status="451 4.3.2 busy [try later]; waits for Night run",
    state="deferred",
    message_class="bulk",
    attempts=1,
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "anna",
        "ANNA",
        "hq.example",
        "busy",
        "8k2f",
        '"4.3.2 busy"',
        "from:anna",
        "from:*@brno.example.net",
        'from:"anna.nowak"',
        "to:ops@hq.example",
        "to:*@list.example",
        "TO:news",
        "id:8k2f41c07a10",
        "id:8k2f*",
        "larger:1MB",
        "size>1MB",
        "size>=1500kB",
        "size<=1500kB",
        "size<2MB",
        "smaller:2MB",
        "older:2h",
        "younger:4h",
        'older:"2 h"',
        "status:deferred",
        "status:busy",
        "class:bulk",
        "class:BULK",
        "window:night",
        'window:"Night run"',
        "window:n*run",
        "-held",
        "-status:held",
        "-from:bob larger:1MB",
        '"[try later]"',
        "*[try*",
    ],
)
def test_these_match(text: str) -> None:
    assert parse_filter(text).matches(ROW, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "bob",
        "from:hq.example",
        "from:*@brno",
        "to:anna",
        "id:9*",
        "larger:2MB",
        "size<1MB",
        "smaller:1MB",
        "older:4h",
        "younger:2h",
        "status:held",
        "status:waiting",
        "class:urgent",
        "window:day",
        "-anna",
        "-class:bulk",
        "anna bob",  # all terms must hold
        "*[xyz]*",  # brackets are text
        "8?2f",
    ],
)
def test_these_do_not(text: str) -> None:
    assert not parse_filter(text).matches(ROW, NOW)


def test_a_message_without_a_window_matches_no_window() -> None:
    row = msgspec.structs.replace(ROW, next_try=NextTryRow(kind="asap"))
    assert not parse_filter("window:*").matches(row, NOW)
    assert parse_filter("-window:*").matches(row, NOW)


def test_a_report_of_ours_is_found_by_its_empty_sender() -> None:
    row = msgspec.structs.replace(ROW, sender="")
    assert parse_filter('from:""').matches(row, NOW)


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("anna form:bob", 6, 'did you mean "from:"'),
        ("colour:red", 1, "terms are from, to"),
        ("larger:10", 1, "unit"),
        ("older:soon", 1, "duration"),
        ('from:"anna', 6, "not closed"),
        ('anna "', 6, "not closed"),
        ("size>big", 1, "size"),
        ("class:bluk", 1, "classes are urgent, normal, bulk"),
        ("older>4h", 1, "size>1MB"),
        ("anna -from: bob", 6, '"from:" lacks its value'),
    ],
)
def test_a_mistake_is_shown_at_its_place(text: str, column: int, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_filter(text)
    shown = str(caught.value)
    assert shown.startswith(f"filter, column {column}: ")
    assert words in shown
    lines = shown.splitlines()
    assert lines[-1].index("^") == column + 1


def test_a_filter_is_bounded() -> None:
    with pytest.raises(UsageError, match="longer"):
        parse_filter("a" * 5000)


@given(st.one_of(st.text(max_size=40), st.text(alphabet='abz:"\\*-<>= 1MBfromto', max_size=40)))
def test_any_text_ends_in_a_filter_or_in_a_mistake(text: str) -> None:
    try:
        found: Any = parse_filter(text)
    except UsageError:
        return
    found.matches(ROW, NOW)
