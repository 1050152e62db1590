"""The commands that talk to the running gateway; those that only read look at the spool where it does not run, and say so."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.cli import show
from gateway.cli.files import read_files
from gateway.config.scalars import parse_duration
from gateway.control.client import call
from gateway.errors import Exit, NoSuchItem, NotRunning, UsageError

SOCKET = "control.sock"

Rows = Iterator[dict[str, Any]]


def run_command(options: argparse.Namespace, path: Path | None, as_json: bool) -> int:
    """One command. Raises GatewayError with the exit code that it ends with."""
    caller = Caller(path, as_json)
    command = options.command
    match command:
        case "queue":
            return caller.queue(" ".join(options.filter))
        case "status":
            return caller.status()
        case "show" | "explain":
            return caller.one(command, options.id)
        case "try":
            return caller.said(caller.ask("try", ids=options.id, now=options.now), lambda row: row["text"])
        case "send":
            return caller.said(caller.ask("send", now=options.now, force=options.force), lambda row: row["text"])
        case "hold" | "release" | "remove" | "undo":
            return caller.change(command, options)
        case "mode":
            lasting = None if options.lasting is None else _duration(options.lasting)
            if lasting is not None and options.mode is None:
                raise UsageError("--for needs a mode: tidegate mode offline --for 2h")
            return caller.said(caller.ask("mode", mode=options.mode, **{"for": lasting}), show.mode_line)
        case "clock":
            return caller.said(caller.ask("clock accept"), show.clock_line)
        case "link":
            return caller.link(options.words)
        case "watch":
            return caller.said(caller.ask("watch", timeout=None), lambda row: row["line"])
        case "reload":
            return caller.said(caller.ask("reload"), show.reloaded)
        case "schedule":
            return caller.schedule(options)
        case _:
            raise UsageError(f"there is no command {command}")


def _duration(words: list[str]) -> float:
    try:
        return parse_duration(" ".join(words))
    except ValueError as exc:
        raise UsageError(f"{exc}; write it like 90s, 30 min or 2h") from exc


def _plain(shape: object) -> Any:
    import msgspec  # only a look at the disk needs it: the gateway's own answers come as plain values

    return msgspec.to_builtins(shape)


class Caller:
    """One command's talk with the gateway of the configuration at `path`."""

    def __init__(self, path: Path | None, as_json: bool) -> None:
        self._path, self._json = path, as_json
        self._settings, self._schedule = read_files(path)
        self._spool = self._settings.spool

    def ask(self, operation: str, *, timeout: float | None = 600.0, **arguments: object) -> Rows:
        return call(self._spool / SOCKET, operation, timeout=timeout, **arguments)

    def said(self, rows: Rows, line: Any) -> int:
        """Print each result: as JSON, or as the line made from it."""
        for row in rows:
            print(json.dumps(row, ensure_ascii=False) if self._json else show.safe_lines(line(row)), flush=True)
        return Exit.OK

    # -- reading, also without the gateway ----------------------------------------------------------------------

    def queue(self, text: str) -> int:
        try:
            rows = list(self.ask("queue", filter=text))
            sending = [] if self._json else list(self.ask("sending"))
        except NotRunning as exc:
            rows, sending = self._queue_on_disk(text, exc), []
        if self._json:
            for row in rows:
                print(json.dumps(row, ensure_ascii=False))
            return Exit.OK
        print(show.queue_text(rows, self._schedule.timezone, sending))
        return Exit.OK

    def _queue_on_disk(self, text: str, exc: NotRunning) -> list[dict[str, Any]]:
        from gateway.desk.absent import situation_on_disk
        from gateway.desk.filter import parse_filter
        from gateway.desk.view import queue_row
        from gateway.spool.reader import read_queue

        wanted, now = parse_filter(text), time.time()
        self._say_absent(exc)
        situation = situation_on_disk(self._settings, self._schedule, self._spool, now)
        records = sorted(read_queue(self._spool), key=lambda record: (record.created, record.id))
        rows = [queue_row(record, situation) for record in records]
        return [_plain(row) for row in rows if wanted.matches(row, now)]

    def one(self, operation: str, item: str) -> int:
        line = show.message if operation == "show" else show.explanation
        try:
            return self.said(self.ask(operation, id=item), line)
        except NotRunning as exc:
            return self._one_on_disk(operation, item, exc)

    def _one_on_disk(self, operation: str, item: str, exc: NotRunning) -> int:
        from gateway.desk.absent import situation_on_disk
        from gateway.desk.view import explanation
        from gateway.spool.reader import read_record

        self._say_absent(exc)
        if not self._spool.is_dir():
            raise NoSuchItem(f"there is no spool at {self._spool}")
        record = read_record(self._spool, item)
        if operation == "show":
            return self.said(iter([_plain(record)]), show.message)
        situation = situation_on_disk(self._settings, self._schedule, self._spool, time.time())
        return self.said(iter([_plain(explanation(record, situation))]), show.explanation)

    def status(self) -> int:
        try:
            return self.said(self.ask("status"), show.status)
        except NotRunning as exc:
            from gateway.desk.absent import status_on_disk

            self._say_absent(exc)
            report = status_on_disk(self._settings, self._schedule, self._spool, time.time())
            return self.said(iter([_plain(report)]), show.status)

    def _say_absent(self, exc: NotRunning) -> None:
        print(f"{exc}: this is what lies in the spool.", file=sys.stderr)

    # -- changing -----------------------------------------------------------------------------------------------

    def change(self, command: str, options: argparse.Namespace) -> int:
        if command == "undo":
            return self._changed(self.ask("undo"))
        match = None if options.match is None else " ".join(options.match)
        note = (options.note or "") if command == "hold" else ""
        tell = options.tell_senders if command == "remove" else False
        rows = self.ask(command, ids=options.id, match=match, all=options.all, note=note, tell_senders=tell)
        return self._changed(rows)

    def _changed(self, rows: Rows) -> int:
        count = 0
        for row in rows:
            count += 1
            print(json.dumps(row) if self._json else f"{row['id']} {row['result']}", flush=True)
        if not count:
            print("nothing matched", file=sys.stderr)
        return Exit.OK

    def link(self, words: list[str]) -> int:
        if words[:1] == ["event"]:
            if len(words) != 3 or words[2] not in ("up", "down"):
                raise UsageError("a hook says: tidegate link event INTERFACE up|down")
            return self.said(self.ask("link event", interface=words[1], state=words[2]), show.link_line)
        if words[:1] in (["up"], ["down"]):
            if len(words) != 2:
                raise UsageError(f"which link? tidegate link {words[0]} NAME")
            return self.said(self.ask(f"link {words[0]}", name=words[1]), show.link_line)
        if words not in ([], ["status"]):
            raise UsageError(
                f'"{words[0]}" is nothing that a link can do: status, up NAME, down NAME, event IFACE up|down'
            )
        return self.said(self.ask("link"), show.link_line)

    def schedule(self, options: argparse.Namespace) -> int:
        zone = self._schedule.timezone
        match options.part:
            case "open":
                rows = self.ask("open", seconds=_duration(options.duration))
                return self.said(
                    rows, lambda row: f"open until {show.clock(row['closes'], zone)}; it admits everything"
                )
            case "skip":
                return self.said(
                    self.ask("skip"),
                    lambda row: (
                        f"skipped: {row['window']}, {show.clock(row['opens'], zone)}-{show.clock(row['closes'], zone)}"
                    ),
                )
            case "apply":
                file = str(Path(options.file).resolve())
                confirm = None if options.confirm is None else _duration(options.confirm)
                return self.said(self.ask("apply", file=file, confirm=confirm), lambda row: row["text"])
            case "simulate":
                simulated = list(self.ask("simulate", file=str(Path(options.file).resolve())))
                if self._json:
                    return self.said(iter(simulated), str)
                print(show.queue_text(simulated, zone, []))
                return Exit.OK
            case _:
                raise UsageError(f"there is no part of schedule called {options.part}")
