"""`schedule check` as an operator calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli.main import main


def check(path: Path, *words: str) -> int:
    return main(["-c", str(path), "schedule", "check", *words])


def test_gateway_yaml_that_names_no_schedule_is_checked_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("mode: offline\n")
    assert check(path) == 0
    assert capsys.readouterr().out.startswith("gateway.yaml is valid; it names no schedule")
    assert check(path, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "file": str(path),
        "valid": True,
        "warnings": [],
        "not_in_force": [],
    }
    path.write_text("mode: perhaps\n")
    assert check(path) == 78
    assert "gateway.yaml:1:7: error" in capsys.readouterr().err


def test_warnings_count_only_where_they_are_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("schedule: schedule.yaml\n")
    (tmp_path / "schedule.yaml").write_text("timezone: UTC\nwindows: [{name: Day, open: 18:00-08:00}]\n")
    assert (check(path), check(path, "--strict")) == (0, 78)
    told = capsys.readouterr()
    assert "schedule.yaml is valid" in told.out
    assert told.err.count("lasts 14 h, past midnight") == 2
