"""Files: found, opened, refused with all their mistakes rendered."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.config.load import find_settings, load_schedule, load_settings
from gateway.config.rules import DateRange
from gateway.errors import ConfigurationError, Exit


def refusal(path: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(path)
    assert caught.value.exit_code == Exit.CONFIG
    return str(caught.value)


def test_without_a_file_all_is_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings(None)
    assert (settings.path, settings.spool, settings.mode) == (None, tmp_path / "spool", "auto")
    assert settings.hostname


def test_relative_paths_count_from_the_folder_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "schedule.yaml").write_text("timezone: UTC\n")
    path = tmp_path / "gateway.yaml"
    path.write_text("schedule: schedule.yaml\nspool: mail\n")
    settings = load_settings(path)
    assert (settings.spool, settings.schedule) == (tmp_path / "mail", tmp_path / "schedule.yaml")
    assert load_schedule(tmp_path / "schedule.yaml", settings).windows == ()


def test_all_mistakes_are_in_the_one_error(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("mode: ofline\nqueue:\n  retrys: 5\n")
    text = refusal(path)
    assert text.startswith(
        f'{path}:1:7: error: "ofline" is not a mode\n    1 | mode: ofline\n      |       ^^^^^^\n  hint: '
    )
    assert f'\n{path}:3:3: error: "retrys" is not a setting of queue\n' in text
    assert not text.endswith("\n")


def test_a_schedule_that_is_missing_is_a_mistake_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("mode: auto\nschedule: shedule.yaml\n")
    text = refusal(path)
    assert text.startswith(f"{path}:2:11: error: the schedule file cannot be read: No such file or directory\n")
    assert str(tmp_path / "shedule.yaml") in text
    path.write_text("mode: atuo\nschedule: shedule.yaml\nqueue: 5\n")
    assert [line.split(":")[1] for line in refusal(path).splitlines() if ": error: " in line] == ["1", "2", "3"]


def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    assert refusal(path) == f"{path}:1:1: error: this file cannot be read: No such file or directory"


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert "is not a regular file" in refusal(tmp_path / "fifo")
    assert "this file cannot be" in refusal(tmp_path)
    assert "is not a regular file" in refusal(Path("/dev/zero"))


def test_a_file_over_1_mib_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_bytes(b"#" * (1024 * 1024 + 1))
    assert "larger than 1 MiB" in refusal(path)


def test_octets_that_are_not_utf_8_are_told_at_their_place(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_bytes("mode: auto\r\n# é\n# ab".encode() + b"\xe9\n")
    assert refusal(path) == f"{path}:3:5: error: this file cannot be used: it is not UTF-8 from here on"


def test_a_schedule_reads_its_calendars_from_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "h.ics").write_text(
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20261117\nEND:VEVENT\nEND:VCALENDAR\n"
    )
    path = tmp_path / "schedule.yaml"
    path.write_text("timezone: UTC\nexceptions:\n  - name: X\n    closed: all day\n    dates: {file: h.ics}\n")
    [exception] = load_schedule(path, None).exceptions
    assert [type(found) for found in exception.dates] == [DateRange]


def test_mistakes_of_a_calendar_are_rendered_with_its_own_lines(tmp_path: Path) -> None:
    calendar = tmp_path / "h.ics"
    calendar.write_text("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20270229\nEND:VEVENT\nEND:VCALENDAR\n")
    path = tmp_path / "schedule.yaml"
    path.write_text("timezone: UTC\nexceptions:\n  - name: X\n    closed: all day\n    dates: {file: h.ics}\n")
    with pytest.raises(ConfigurationError) as caught:
        load_schedule(path, None)
    assert f"{calendar}:3:20: error: there is no 2027-02-29\n" in str(caught.value)
    assert "    3 | DTSTART;VALUE=DATE:20270229\n" in str(caught.value)


def test_lines_of_a_file_that_is_no_calendar_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary\n")
    path = tmp_path / "schedule.yaml"
    path.write_text("timezone: UTC\nexceptions:\n  - name: X\n    closed: all day\n    dates: {file: secret}\n")
    with pytest.raises(ConfigurationError) as caught:
        load_schedule(path, None)
    assert "secret:1:1: error: this is not a calendar file" in str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_calendar_that_is_missing_or_no_file_is_told_at_its_name(tmp_path: Path) -> None:
    path = tmp_path / "schedule.yaml"
    for name in ("h.ics", ".", "/dev/null/x", "/dev/zero"):
        path.write_text(f"timezone: UTC\nexceptions:\n  - name: X\n    closed: all day\n    dates: {{file: {name}}}\n")
        with pytest.raises(ConfigurationError) as caught:
            load_schedule(path, None)
        assert str(caught.value).startswith(f'{path}:5:19: error: the calendar "{name}" cannot be read: ')


def test_the_file_is_the_one_named_or_of_the_environment_or_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_settings("x.yaml", {"TIDEGATE_CONFIG": "y.yaml"}) == Path("x.yaml")
    assert find_settings(None, {"TIDEGATE_CONFIG": "y.yaml"}) == Path("y.yaml")
    monkeypatch.setattr("gateway.config.load.SYSTEM_FILE", tmp_path / "etc.yaml")
    assert find_settings(None, {}) is None
    (tmp_path / "etc.yaml").touch()
    assert find_settings(None, {}) == tmp_path / "etc.yaml"
    (tmp_path / "gateway.yaml").touch()
    assert find_settings(None, {}) == Path("gateway.yaml")
