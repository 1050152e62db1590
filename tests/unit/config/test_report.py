"""How problems look on a terminal, whatever the file holds."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gateway.config.problem import Problem
from gateway.config.report import render
from tests.unit.config.reading import GATEWAY, gateway_problems

FILE = Path("f.yaml")


def test_without_problems_nothing_is_said() -> None:
    assert render([], {}) == ""


def test_a_problem_of_a_file_that_is_not_at_hand_shows_no_lines() -> None:
    assert render([Problem(FILE, 1, 1, "bad", "do this")], {}) == "f.yaml:1:1: error: bad\n  hint: do this\n"


def test_wide_characters_before_the_caret_take_two_columns() -> None:
    text = "日本: bad\n"
    assert render([Problem(FILE, 1, 5, "bad", width=3)], {FILE: text}).split("\n")[2] == "      |       ^^^"


def test_a_long_line_is_cut_around_the_caret() -> None:
    text = "x" * 1000 + "BAD" + "y" * 1000
    head, line, caret = render([Problem(FILE, 1, 1001, "bad", width=3)], {FILE: text}).rstrip("\n").split("\n")
    assert len(line) < 180
    assert line[caret.index("^") : caret.index("^") + 3] == "BAD"
    assert head == "f.yaml:1:1001: error: bad"


def test_a_password_in_the_file_is_never_shown() -> None:
    texts = [
        "relays:\n  - host: a\n    user: b\n    password: canary\n",
        "relays:\n  - host: a\n    user: b\n    password:\n      canary\n    prot: 25\n",
        "relays:\n  - host: a\n    user: b\n    password: canary: x\n",
        "relays:\n  - host: a\n    user: b\n    password: @canary\n    prot: 25\n",
        "relays:\n  - {host: a, user: b, password: canary}\n",
        "relays:\n  - host: a\n    user: b\n    'password': [canary]\n",
        "relays:\n  - host: a\n    passwd: canary\n",
    ]
    for text in texts:
        problems = gateway_problems(text)
        assert problems
        assert "canary" not in render(problems, {GATEWAY: text}), text


@given(
    st.text(st.characters(codec="utf-8"), max_size=200),
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(1, 50),
)
def test_whatever_the_file_holds_only_printable_text_is_shown(text: str, line: int, column: int, width: int) -> None:
    shown = render([Problem(FILE, line, column, text, text, width=width)], {FILE: text})
    assert all(part.isprintable() for part in shown.split("\n"))
