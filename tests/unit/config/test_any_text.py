"""Any text ends in a configuration or in problems that point into it; nothing else is raised, nothing runs away."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import document
from gateway.config.document import normalized
from gateway.config.load import parse_schedule, parse_settings
from gateway.config.problem import Problem
from gateway.config.report import render
from tests.unit.config.reading import no_calendar
from tests.unit.config.test_values import CONTRACT, WHOLE

FILE = Path("f.yaml")
KEYS = (
    "windows:,exceptions:,timezone: UTC,name: A,open: 22:00-05:00,at: 06:30,days: mon-fri,dates: {file: x.ics},extra:,"
    "listen:,relays:,password: x,host: a,accept:,networks: [,defaults:,only_if: or,<<: ,none,yes"
)
MARKS = r"- |  |    |: |:|,|[|]|{|}|'|#|&a |*a|!t |? |\|é|日|%YAML 1.1"
ENDS = ("\n", "\n\n", "\r", "\t", "|\n", ">\n", "---\n", "...\n", '"', "\x00", "\x85", "\u2028", "\ufeff", "\ud800")
WORDS = st.sampled_from([*KEYS.split(","), *MARKS.split("|"), *ENDS])
TEXTS = st.lists(WORDS, max_size=30).map("".join)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """One of the whole files with a few places changed."""
    text = draw(st.sampled_from([WHOLE, CONTRACT]))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        text = text[:start] + draw(WORDS) + text[start + draw(st.integers(0, 6)) :]
    return text


def check(text: str) -> None:
    for found, problems in (parse_settings(text, FILE), parse_schedule(text, FILE, None, no_calendar)):
        assert (found is None) == any(problem.severity == "error" for problem in problems)
        _check_places(text, problems)
        shown = render(problems, {FILE: text})
        assert all(part.isprintable() for part in shown.split("\n"))


def _check_places(text: str, problems: list[Problem]) -> None:
    lines = normalized(text).split("\n")
    for problem in problems:
        assert 1 <= problem.line <= len(lines), problem
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1, problem
        assert problem.width >= 1
        assert problem.what.isprintable(), problem


@given(st.one_of(TEXTS, damaged(), st.text(max_size=80)))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_text_ends_in_a_configuration_or_in_problems_that_point_into_it(text: str) -> None:
    check(text)


@given(st.one_of(TEXTS, damaged()))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_same_holds_with_the_parser_that_is_pure_python(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document, "_Loader", yaml.SafeLoader)
        check(text)


@given(st.integers(0, len(CONTRACT) - 1))
@settings(max_examples=100, deadline=None)
def test_a_schedule_cut_anywhere_is_read_or_refused(end: int) -> None:
    check(CONTRACT[:end])
