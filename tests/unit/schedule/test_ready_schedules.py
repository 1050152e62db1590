"""The schedules that a branch copies, and the examples of their README, are read without a complaint."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.config.load import parse_schedule
from gateway.schedule.calendar import Calendar
from gateway.schedule.review import review

FOLDER = Path(__file__).parents[3] / "schedules"
READY = sorted(FOLDER.glob("*.yaml"))
EXAMPLES = re.findall(
    r"^```yaml\n(.*?)^```", (FOLDER / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


def test_there_are_four() -> None:
    assert [path.stem for path in READY] == ["metered-lte", "office-isdn", "vessel", "warehouse"]


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_a_ready_schedule_has_no_mistake_and_no_warning_in_any_season(path: Path) -> None:
    file, problems = parse_schedule(path.read_text(encoding="utf-8"), path, None)
    assert file is not None
    assert problems == []
    start = datetime(2026, 11, 24, 12, tzinfo=UTC)
    for week in range(0, 56, 4):
        now = (start + timedelta(weeks=week)).timestamp()
        assert review(file, None, now) == []
        assert next(Calendar(file).openings(now, now + 2 * 86400), None) is not None


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_of_the_readme_is_read(text: str) -> None:
    whole = text if "timezone:" in text else "timezone: Europe/Prague\n" + text
    if "windows:" not in whole and "exceptions:" not in whole:
        whole = "timezone: Europe/Prague\nwindows:\n" + text
    file, problems = parse_schedule(whole, FOLDER / "example.yaml", None)
    assert problems == []
    assert file is not None
