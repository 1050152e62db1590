"""How the decision tells what it asked: checks with file and line of their rule, and times in words."""

from __future__ import annotations

from gateway.config.rules import WindowRule
from gateway.config.settings import LinkSettings
from gateway.connectivity.state import LinkState
from gateway.dispatch.facts import Check, Situation, Verdict
from gateway.dispatch.words import time_words

Trace = list[Check] | None


def note(trace: Trace, name: str, state: Verdict, text: str, file: str | None = None, line: int | None = None) -> None:
    if trace is not None:
        trace.append(Check(name, state, text, file, line))


def when(instant: float, s: Situation) -> str:
    return time_words(instant, s.now, s.calendar.file.timezone)


def file_of(s: Situation) -> str | None:
    return str(s.settings.path) if s.settings.path is not None else None


def line_of(s: Situation, key: str) -> tuple[str | None, int | None]:
    """File and line of a top-level key of gateway.yaml, where it is written."""
    line = s.settings.line_of(key)
    return (file_of(s), line) if line else (None, None)


def rule_of(s: Situation, window: WindowRule, key: str = "name") -> tuple[str | None, int | None]:
    path = s.calendar.file.path
    return (str(path), window.line_of(key) or None) if path is not None and window.line else (None, None)


def link_settings(s: Situation, link: LinkState) -> LinkSettings | None:
    return next((known for known in s.settings.links if known.name == link.name), None)


def link_rule(s: Situation, link: LinkState) -> tuple[str | None, int | None]:
    settings = link_settings(s, link)
    return (file_of(s), settings.line) if settings is not None and settings.line else (None, None)
