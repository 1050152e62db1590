"""Reading texts as the two files, in memory, and looking at what was said."""

from __future__ import annotations

from pathlib import Path

from gateway.config.load import parse_schedule, parse_settings
from gateway.config.problem import Problem
from gateway.config.rules import ScheduleFile
from gateway.config.schedule_file import ReadCalendar
from gateway.config.settings import Settings

GATEWAY = Path("/etc/tidegate/gateway.yaml")
SCHEDULE = Path("/etc/tidegate/schedule.yaml")


def no_calendar(path: Path) -> str:
    raise FileNotFoundError(2, "No such file or directory", str(path))


def settings_of(text: str) -> Settings:
    settings, problems = parse_settings(text, GATEWAY)
    assert settings is not None, problems
    assert problems == []
    return settings


def schedule_of(text: str, settings: Settings | None = None, read_ics: ReadCalendar = no_calendar) -> ScheduleFile:
    file, problems = parse_schedule(text, SCHEDULE, settings, read_ics)
    assert file is not None, problems
    return file


def gateway_problems(text: str) -> list[Problem]:
    settings, problems = parse_settings(text, GATEWAY)
    assert (settings is None) == any(problem.severity == "error" for problem in problems)
    return problems


def schedule_problems(
    text: str, settings: Settings | None = None, read_ics: ReadCalendar = no_calendar
) -> list[Problem]:
    file, problems = parse_schedule(text, SCHEDULE, settings, read_ics)
    assert (file is None) == any(problem.severity == "error" for problem in problems)
    return problems


def told(problems: list[Problem]) -> list[tuple[int, int, str]]:
    return [(problem.line, problem.column, problem.what) for problem in problems]


def marked(text: str, problem: Problem) -> str:
    """The piece of the file that the caret underlines."""
    line = text.split("\n")[problem.line - 1]
    return line[problem.column - 1 : problem.column - 1 + problem.width]
