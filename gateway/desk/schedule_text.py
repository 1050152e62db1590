"""The schedule's text for whoever edits it in the console: read, checked as it is typed, put in force in one step.

A text is named by its version; who writes says which version was read, so that nobody's change is lost unseen (CASES W22).
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

from gateway.config.load import parse_schedule, read_text
from gateway.config.problem import Problem
from gateway.config.report import render
from gateway.config.settings import Settings
from gateway.control.console_rows import CheckReport, ProblemRow
from gateway.desk import schedule_file
from gateway.errors import ConfigurationError, NotNow, UsageError
from gateway.schedule.describe import summary
from gateway.schedule.review import review

LARGEST = 1 << 20
MOST_PROBLEMS = 100


def version_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def on_disk(settings: Settings) -> tuple[Path, str]:
    """The file and its text. NotNow where there is none, or where it cannot be read."""
    path = settings.schedule
    if path is None:
        raise NotNow("gateway.yaml names no schedule file")
    try:
        return path, read_text(path)
    except (OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or str(exc)
        raise NotNow(f"{path} cannot be read: {why}") from exc


def of_version(settings: Settings, version: str) -> tuple[Path, str]:
    """As `on_disk`; NotNow if the file is not the one that was read (W22), which who edits it is told before anything else."""
    path, text = on_disk(settings)
    if version_of(text) != version:
        raise NotNow(f"{path.name} was changed by somebody else since you opened it; nothing was written")
    return path, text


def check(text: str, settings: Settings, now: float) -> CheckReport:
    """All mistakes and warnings of a text, as `schedule check` finds them. Takes time: call it in a thread."""
    path = settings.schedule if settings.schedule is not None else Path("schedule.yaml")
    if len(text) > LARGEST:
        raise UsageError("the text is longer than 1 MiB")
    file, problems = parse_schedule(text, path, settings)
    echo = None
    if file is not None:
        problems = [*problems, *review(file, settings, now)]
        echo = summary(file, now)
    rows = [
        ProblemRow(line=p.line, column=p.column, severity=p.severity, what=p.what, hint=p.hint)
        for p in problems[:MOST_PROBLEMS]
    ]
    return CheckReport(is_valid=file is not None, problems=rows, echo=echo)


def refuse_mistakes(text: str, settings: Settings, path: Path) -> None:
    """Raises ConfigurationError with every mistake, as the command line shows them."""
    file, problems = parse_schedule(text, path, settings)
    if file is None:
        errors = [problem for problem in problems if problem.severity == "error"]
        raise ConfigurationError(render(errors, {path: text}).rstrip("\n"))


def write(text: str, version: str, settings: Settings, reload: Callable[[], None]) -> str:
    """Put a text in the file's place and in force; the new version. The text must have been checked.

    NotNow if the file is not the one that was read (W22), ConfigurationError if it is not a plain file of ours (W21) or if
    the reload finds a mistake; then the old file stands.
    """
    path, old = of_version(settings, version)
    state = os.lstat(path)
    problem = None
    if stat.S_ISLNK(state.st_mode):
        problem = "this is a symbolic link: change the file that it names on the machine itself"
    elif state.st_uid != os.geteuid():
        problem = "this file belongs to another user than the gateway: change it on the machine itself"
    if problem is not None:
        raise ConfigurationError(render([Problem(path, 1, 1, problem)], {}).rstrip("\n"))
    schedule_file.put(path, text.encode(), old.encode(), reload)
    return version_of(text)
