"""`schedule check | next | week | diff`: answered from the files alone, whether the gateway runs or not."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from gateway.cli.files import read_files
from gateway.config.load import load_schedule, load_settings
from gateway.config.problem import Problem
from gateway.config.report import render
from gateway.config.rules import ScheduleFile
from gateway.config.settings import Settings
from gateway.errors import Exit, UsageError
from gateway.schedule.calendar import Calendar
from gateway.schedule.compare import compare
from gateway.schedule.describe import opening_json, summary, week
from gateway.schedule.review import review

MOST_OPENINGS = 10_000


def run_schedule(options: argparse.Namespace, path: Path | None, as_json: bool) -> int:
    """One of the four; prints its answer. Raises ConfigurationError for a file with mistakes."""
    match options.part:
        case "check":
            return _check(options.file, path, options.strict, as_json)
        case "next":
            return _next(options, path, as_json)
        case "week":
            _, schedule = read_files(path)
            print(week(Calendar(schedule), time.time()))
            return Exit.OK
        case "diff":
            return _diff(Path(options.file), path, as_json)
        case _:
            options.schedule_parser.print_help()
            return Exit.USAGE


def _check(named: str | None, path: Path | None, strict: bool, as_json: bool) -> int:
    """Mistakes end it with 78 and all of them; warnings with 0, or 78 if they are to count."""
    settings: Settings | None = None
    if path is not None or named is None:
        settings = load_settings(path)
    if named is None:
        if settings is None or path is None:
            raise UsageError("there is no gateway.yaml: say which file, tidegate schedule check FILE")
        if settings.schedule is None:
            return _check_settings(settings, path, as_json)
        target = settings.schedule
    else:
        target = Path(named)
    schedule = load_schedule(target, settings)
    now = time.time()
    warnings = review(schedule, settings, now)
    if warnings:
        print(render(warnings, {target: target.read_text("utf-8")}), file=sys.stderr)
    if settings is None:
        print("There is no gateway.yaml here: names of relays and sources were not checked.", file=sys.stderr)
    waiting = [*(settings.not_in_force if settings is not None else ()), *schedule.not_in_force]
    _say_valid(target, summary(schedule, now), warnings, [str(key) for key in waiting], as_json)
    return Exit.CONFIG if strict and warnings else Exit.OK


def _check_settings(settings: Settings, path: Path, as_json: bool) -> int:
    """gateway.yaml by itself has been read without a mistake; there is no schedule to warn of."""
    what = f"{path.name} is valid; it names no schedule: while Offline nothing leaves by itself."
    _say_valid(path, what, [], [str(key) for key in settings.not_in_force], as_json)
    return Exit.OK


def _say_valid(file: Path, what: str, warnings: Sequence[Problem], waiting: Sequence[str], as_json: bool) -> None:
    if waiting:
        print(f"not in force yet: {', '.join(waiting)}", file=sys.stderr)
    if not as_json:
        print(what)
        return
    answer = {
        "file": str(file),
        "valid": True,
        "warnings": [{"line": w.line, "column": w.column, "what": w.what, "hint": w.hint} for w in warnings],
        "not_in_force": list(waiting),
    }
    print(json.dumps(answer, ensure_ascii=False))


def _next(options: argparse.Namespace, path: Path | None, as_json: bool) -> int:
    if not 1 <= options.n <= MOST_OPENINGS:
        raise UsageError(f"-n goes from 1 to {MOST_OPENINGS}")
    _, schedule = read_files(path)
    start = _instant(options.start, schedule) if options.start is not None else time.time()
    zone = schedule.timezone
    found = 0
    for opening in Calendar(schedule).openings(start):
        found += 1
        row = opening_json(opening, zone)
        if as_json:
            print(json.dumps(row, ensure_ascii=False))
        else:
            opens, closes = datetime.fromtimestamp(opening.opens, zone), datetime.fromtimestamp(opening.closes, zone)
            ends = f"{closes:%H:%M}" if closes.date() == opens.date() else f"{closes:%a %H:%M}"
            if opening.opens % 60 or opening.closes % 60:
                ends += f" ({opening.closes - opening.opens:g} s)"
            print(f"{opens:%a %Y-%m-%d %H:%M}-{ends}  {opening.window.name}")
        if found == options.n:
            break
    if not found and not as_json:
        print("No opening in the next 400 days.", file=sys.stderr)
    return Exit.OK


def _instant(text: str, schedule: ScheduleFile) -> float:
    """`2026-03-29T01:00`, with an offset or in the schedule's zone."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f'"{text}" is not a time; write it like 2026-03-29T01:00 or 2026-03-29T01:00+01:00') from None
    if when.tzinfo is None:
        when = when.replace(tzinfo=schedule.timezone)
    return when.timestamp()


def _diff(named: Path, path: Path | None, as_json: bool) -> int:
    settings, schedule = read_files(path)
    lines = compare(schedule, load_schedule(named, settings), time.time())
    if as_json:
        print(json.dumps({"changes": lines}, ensure_ascii=False))
    else:
        print("\n".join(lines))
    return Exit.OK
