"""The two files from disk to settings and schedule: where they are looked for, how they are opened, what is told if bad.

Only this module of the package opens files. What they mean is `gateway_file`'s and `schedule_file`'s.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.config.document import MAX_OCTETS
from gateway.config.gateway_file import default_settings, read_settings
from gateway.config.problem import Problem
from gateway.config.report import render
from gateway.config.rules import ScheduleFile
from gateway.config.schedule_file import ReadCalendar, read_schedule
from gateway.config.settings import Settings
from gateway.errors import ConfigurationError

__all__ = ["find_settings", "load_schedule", "load_settings", "parse_schedule", "parse_settings", "read_text"]

SYSTEM_FILE = Path("/etc/tidegate/gateway.yaml")


class BadFile(ValueError):
    """A file was opened and is no configuration; the text says why. `problem` where there is a place to point at."""

    def __init__(self, why: str, line: int = 1, column: int = 1) -> None:
        super().__init__(why)
        self.line = line
        self.column = column


def find_settings(argument: str | None, environ: Mapping[str, str]) -> Path | None:
    """Which gateway.yaml: the one named, else `$TIDEGATE_CONFIG`, else `./gateway.yaml`, else the system's, else none.

    One that is named is returned even if it does not exist, so that loading it tells.
    """
    named = argument or environ.get("TIDEGATE_CONFIG")
    if named:
        return Path(named)
    return next((path for path in (Path("gateway.yaml"), SYSTEM_FILE) if path.exists()), None)


def read_text(path: Path) -> str:
    """The text of a regular file of at most 1 MiB in UTF-8. Raises OSError, or BadFile.

    Opened without waiting, so that a FIFO in its place stops nobody.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise BadFile("it is not a regular file")
        octets = file.read(MAX_OCTETS + 1)
    if len(octets) > MAX_OCTETS:
        raise BadFile("it is larger than 1 MiB")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as wrong:
        before = octets[: wrong.start].decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
        column = len(before) - before.rfind("\n")
        raise BadFile("it is not UTF-8 from here on", before.count("\n") + 1, column) from None


def _opened(path: Path) -> str:
    """The text, or a ConfigurationError in the form of all mistakes."""
    try:
        return read_text(path)
    except BadFile as wrong:
        problem = Problem(path, wrong.line, wrong.column, f"this file cannot be used: {wrong}")
    except (OSError, ValueError) as wrong:  # ValueError: a NUL in the path
        why = getattr(wrong, "strerror", None) or str(wrong)
        problem = Problem(path, 1, 1, f"this file cannot be read: {why}")
    raise _refusal([problem], {})


def _refusal(problems: Sequence[Problem], texts: Mapping[Path, str]) -> ConfigurationError:
    errors = [problem for problem in problems if problem.severity == "error"]
    return ConfigurationError(render(errors, texts).rstrip("\n"))


def _why_unreadable(path: Path) -> str | None:
    try:
        read_text(path)
    except (OSError, ValueError) as wrong:
        return getattr(wrong, "strerror", None) or str(wrong)
    return None


def load_settings(path: Path | None) -> Settings:
    """Read gateway.yaml; None gives all defaults. Raises ConfigurationError with every mistake, rendered."""
    if path is None:
        return default_settings()
    text = _opened(path)
    settings, problems = read_settings(text, path, _why_unreadable)
    if settings is None:
        raise _refusal(problems, {path: text})
    return settings


def parse_settings(text: str, path: Path) -> tuple[Settings | None, list[Problem]]:
    """The settings (None if there are errors) and all mistakes, by line. Only the text is looked at, no other file."""
    return read_settings(text, path)


def parse_schedule(
    text: str, path: Path, settings: Settings | None, read_ics: ReadCalendar = read_text
) -> tuple[ScheduleFile | None, list[Problem]]:
    """The schedule (None if there are errors) and all mistakes.

    Without settings, names of relays and sources are not checked.
    """
    return read_schedule(text, path, settings, read_ics)


def load_schedule(path: Path, settings: Settings | None) -> ScheduleFile:
    """Read a schedule file and the calendars that it names. Raises ConfigurationError with every mistake, rendered."""
    text = _opened(path)
    texts = {path: text}

    def read_ics(calendar: Path) -> str:
        content = read_text(calendar)
        if content.startswith("BEGIN:VCALENDAR"):  # of another file, which a schedule may name, no line is shown
            texts[calendar] = content
        return content

    file, problems = read_schedule(text, path, settings, read_ics)
    if file is None:
        raise _refusal(problems, texts)
    return file
