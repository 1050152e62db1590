"""A warning about a schedule and the place that it points at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway.config.problem import Problem
from gateway.config.rules import ScheduleFile, WindowRule


@dataclass(frozen=True, slots=True)
class Remark:
    """`line` and `column` count from 1 in the schedule file."""

    line: int
    column: int
    what: str
    hint: str | None = None

    def as_problem(self, file: ScheduleFile) -> Problem:
        path = file.path if file.path is not None else Path("schedule.yaml")
        return Problem(path, max(1, self.line), max(1, self.column), self.what, self.hint, severity="warning")


def at_key(rule: WindowRule, key: str, what: str, hint: str | None = None) -> Remark:
    """A remark at the value of a window's key, or at the window where the key is not written."""
    return Remark(rule.line_of(key), rule.column_of(key), what, hint)
