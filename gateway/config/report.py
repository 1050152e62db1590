"""How mistakes are shown: each with its place, the lines around, a caret and a hint. Text of the file is data (P15)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.config.document import normalized
from gateway.config.hints import printable, without_secret
from gateway.config.problem import Problem

_LINES_BEFORE = 2
_MAX_SHOWN = 160
_BARE_SECRET = re.compile(r"\s*(?:- +)?['\"]?pass(?:word|wd)['\"]?\s*:\s*(?:[|>][-+]?)?\s*(?:#.*)?$")


def render(problems: Sequence[Problem], texts: Mapping[Path, str]) -> str:
    """All problems, one paragraph each, ending in a newline; empty for none. A file not in `texts` shows no lines."""
    lines = {path: _readable(normalized(text).split("\n")) for path, text in texts.items()}
    return "".join(_paragraph(problem, lines.get(problem.file)) for problem in problems)


def _paragraph(problem: Problem, lines: Sequence[str] | None) -> str:
    shown = [printable(problem.head)]
    if lines is not None and 0 < problem.line <= len(lines):
        last = problem.line
        cut = max(0, problem.column - 1 - _MAX_SHOWN // 2) if len(lines[last - 1]) > _MAX_SHOWN else 0
        around = range(max(1, last - _LINES_BEFORE), last + 1)
        shown.extend(f"{n:5} | {_line(lines[n - 1], cut if n == last else 0)}".rstrip() for n in around)
        column = problem.column - 1 - cut
        line = _line(lines[last - 1], cut)
        indent = _columns(line[:column]) + max(0, column - len(line))
        width = max(1, _columns(line[column : column + problem.width]))
        shown.append(f"      | {' ' * indent}{'^' * width}")
    if problem.hint is not None:
        shown.append(f"  hint: {printable(problem.hint)}")
    return "\n".join(shown) + "\n"


def _readable(lines: Sequence[str]) -> list[str]:
    """The lines without passwords, also those written on the line below their key (P14)."""
    readable: list[str] = []
    for number, line in enumerate(lines):
        is_secret = number > 0 and _BARE_SECRET.match(lines[number - 1]) and not re.search(r":(\s|$)", line)
        readable.append("*" * len(line) if is_secret else without_secret(line))
    return readable


def _line(line: str, cut: int) -> str:
    """One line as it may be shown: character for character, without controls and endless tails."""
    safe = "".join(c if c.isprintable() else " " if c == "\t" else "\ufffd" for c in line[cut : cut + _MAX_SHOWN])
    return safe + ("…" if len(line) > cut + _MAX_SHOWN else "")


def _columns(text: str) -> int:
    """Columns on a terminal: wide characters take two, combining ones none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
