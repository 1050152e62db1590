"""The schedule file from text to `ScheduleFile`: what its keys mean together, and the calendars that it names.

Reads no file itself: the text of a calendar comes from `read_ics`, a function of its path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.config import schedule_keys
from gateway.config.document import read_document
from gateway.config.gateway_file import known
from gateway.config.hints import printable, quoted
from gateway.config.ics import parse_ics
from gateway.config.keys import Fields, Reading, Unread, read_block
from gateway.config.problem import Problem
from gateway.config.rules import DateRange, ExceptionRule, ScheduleFile, WindowRule
from gateway.config.settings import Settings
from gateway.mail.envelope import CLASSES

ReadCalendar = Callable[[Path], str]
"""The text of a calendar file; raises OSError, or ValueError with what is wrong with it."""


def read_schedule(
    text: str, path: Path, settings: Settings | None, read_ics: ReadCalendar
) -> tuple[ScheduleFile | None, list[Problem]]:
    """The schedule (None if there are errors) and all mistakes: of this file by line, then of its calendars."""
    document = read_document(text, path)
    reading = Reading(path, document.damaged, document.patched, list(document.problems))
    file: ScheduleFile | None = None
    if document.root is None:
        if not reading.has_errors:
            reading.problems.append(_no_zone(path))
        return None, reading.problems
    try:
        top = read_block(document.root, schedule_keys.SCHEDULE, reading)
    except Unread:
        return None, reading.problems
    builder = _Builder(reading, settings, read_ics)
    file = builder.schedule(top)
    reading.problems.sort(key=lambda problem: (problem.line, problem.column))
    problems = reading.problems + builder.calendar_problems
    return (None if any(p.severity == "error" for p in problems) else file), problems


def _no_zone(path: Path) -> Problem:
    return Problem(path, 1, 1, '"timezone" is missing in the schedule file', "write timezone: Europe/Prague")


class _Builder:
    """Makes the rules and checks what no single key can tell."""

    def __init__(self, reading: Reading, settings: Settings | None, read_ics: ReadCalendar) -> None:
        self.calendar_problems: list[Problem] = []
        self._reading = reading
        self._settings = settings
        self._read_ics = read_ics
        self._names: dict[str, int] = {}
        self._defaults = Fields(0, 0)

    def schedule(self, top: Fields) -> ScheduleFile:
        self._defaults = top.get("defaults", self._defaults)
        self._check_names_elsewhere(self._defaults)
        windows = [self._window(entry, None) for entry in top.get("windows", ())]
        exceptions = [self._exception(entry) for entry in top.get("exceptions", ())]
        file = ScheduleFile(
            path=self._reading.file,
            windows=tuple(windows),
            exceptions=tuple(exceptions),
            not_in_force=tuple(sorted(self._reading.not_in_force, key=lambda entry: entry.line)),
            line=top.keys["windows"].line if "windows" in top.keys else 1,
        )
        return replace(file, timezone=top.get("timezone")) if "timezone" in top.values else file

    def _window(self, entry: Fields, exception: str | None) -> WindowRule:
        name = entry.get("name") or (exception if "name" not in entry.keys else None)
        called = f"window {quoted(name)}" if name else "this window"
        if name is not None:
            self._take_name(name, entry)
        self._check_times(entry, called)
        self._check_names_elsewhere(entry)
        values: dict[str, Any] = {k: v for k, v in self._defaults.values.items() if k not in entry.keys}
        if "at" in entry.keys:
            values.pop("every", None)  # a default for windows that are open, not for this one
        values |= entry.values
        days: frozenset[int] | None = None if exception is not None else frozenset(range(7))
        if "days" in values:
            days = frozenset().union(*values["days"])
        places = self._defaults.keys | entry.keys
        columns = self._defaults.value_columns() | entry.value_columns()
        only_if = tuple(term for terms in values.get("only_if", ()) for term in terms)
        send = values.get("send", CLASSES)
        return WindowRule(
            name=name or "",
            days=days,
            open=values.get("open", ()),
            at=tuple(sorted(set(values.get("at", ())))),
            every=values.get("every"),
            longest=values.get("for", 900.0),
            only_if=only_if,
            send=tuple(c for c in CLASSES if c in send),
            max_message=values.get("max_message"),
            budget=values.get("budget"),
            fetch=values.get("fetch", ()),
            dial=values.get("dial", False),
            via=values.get("via"),
            enabled=values.get("enabled", True),
            note=values.get("note"),
            line=entry.line,
            key_lines=tuple((key, place.line) for key, place in places.items()),
            key_columns=tuple(columns.items()),
        )

    def _take_name(self, name: str, entry: Fields) -> None:
        if name in self._names:
            what = f"there are two windows called {quoted(name)} (first on line {self._names[name]})"
            self._reading.wrong(
                entry.at("name"), what, "give each a name of its own: log and commands tell them apart by it."
            )
        self._names.setdefault(name, entry.at("name").line)

    def _check_times(self, entry: Fields, called: str) -> None:
        reading = self._reading
        has_open, has_at = "open" in entry.keys, "at" in entry.keys
        if has_open and has_at:
            later = max(entry.keys["open"], entry.keys["at"], key=lambda key: (key.line, key.column))
            hint = '"open" is a stretch of time, "at" a single connection. For both, write two windows.'
            reading.wrong(later, f'{called} has both "open" and "at"', hint)
        elif not has_open and not has_at and not reading.damaged:
            hint = "write open: 08:00-18:00 for a stretch of time, or at: 06:30 for a single connection."
            reading.wrong(entry.at("name"), f'{called} has neither "open" nor "at"', hint)
        for key in ("open", "at", "days"):
            if entry.values.get(key) == ():
                reading.wrong(entry.at(key), f'"{key}" of {called} is empty', "write at least one, or remove the line.")
        if has_at and not has_open and "every" in entry.keys:
            hint = 'an interval needs a stretch of time: write "open", or more times for "at".'
            reading.wrong(entry.keys["every"], '"every" goes with "open", not with "at"', hint)

    def _check_names_elsewhere(self, entry: Fields) -> None:
        """`via` and `fetch` name things of gateway.yaml; without one they are not checked."""
        if self._settings is None:
            return
        relays = [relay.name for relay in self._settings.relays]
        via = entry.get("via")
        if via is not None and via not in relays:
            self._reading.wrong(
                entry.at("via"), f"there is no relay called {quoted(via)}", known(via, relays, "relays")
            )
        sources = [source.name for source in self._settings.sources]
        fetch = entry.get("fetch", ())
        for name in fetch if isinstance(fetch, tuple) else ():
            if name not in sources:
                at = entry.named("fetch", name)
                self._reading.wrong(at, f"there is no source called {quoted(name)}", known(name, sources, "sources"))

    def _exception(self, entry: Fields) -> ExceptionRule:
        name = entry.get("name", "")
        if not {"like", "closed", "extra"} & entry.keys.keys() and not self._reading.damaged:
            hint = "give it one or more of like: sunday, closed: all day, extra: a list of windows."
            self._reading.wrong(entry.at("name"), f"exception {quoted(name)} changes nothing", hint)
        for key in ("closed", "extra"):
            if entry.values.get(key) == ():
                self._reading.wrong(entry.at(key), f'"{key}" of exception {quoted(name)} is empty', "remove the line.")
        dates: list[DateRange] = []
        for part in entry.get("dates", ()):
            dates.extend(self._calendar(part) if isinstance(part, schedule_keys.CalendarFile) else (part,))
        return ExceptionRule(
            name=name,
            dates=tuple(dates),
            like=entry.get("like"),
            closed=entry.get("closed", ()),
            extra=tuple(self._window(extra, name) for extra in entry.get("extra", ())),
            line=entry.line,
            column=entry.column,
        )

    def _calendar(self, part: schedule_keys.CalendarFile) -> tuple[DateRange, ...]:
        path = self._reading.file.parent / part.name.value.strip()
        try:
            text = self._read_ics(path)
        except OSError as wrong:
            why = wrong.strerror or type(wrong).__name__
            hint = f"looked for {printable(str(path))}; the path counts from the folder of the schedule file."
            self._reading.wrong(part.name, f"the calendar {quoted(part.name.value)} cannot be read: {why}", hint)
            return ()
        except ValueError as wrong:
            self._reading.wrong(part.name, f"the calendar {quoted(part.name.value)} cannot be read: {wrong}")
            return ()
        dates, problems = parse_ics(text, path)
        if not any(problem.file == path for problem in self.calendar_problems):
            self.calendar_problems.extend(problems)
        if not dates and not problems:
            hint = "only all-day events count: DTSTART;VALUE=DATE."
            self._reading.wrong(part.name, f"the calendar {quoted(part.name.value)} holds no all-day event", hint)
        return tuple(dates)
