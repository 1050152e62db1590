"""Both files of the configuration, checked together."""

from __future__ import annotations

from pathlib import Path

from gateway.config.load import load_schedule, load_settings
from gateway.config.rules import ScheduleFile
from gateway.config.settings import Settings


def read_files(path: Path | None) -> tuple[Settings, ScheduleFile]:
    """Raises ConfigurationError with every mistake; without a schedule file there are no windows."""
    settings = load_settings(path)
    schedule = load_schedule(settings.schedule, settings) if settings.schedule is not None else ScheduleFile()
    return settings, schedule
