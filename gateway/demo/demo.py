"""The demo's course: write its files, start gateway, line and relay, hand in office mail, show what happens.

Everything lies in one folder (`.demo` of the clone), made anew at each start. On a terminal the queue is redrawn every second;
on a pipe the log is printed. A window opens every minute for 20 seconds, so that within 90 s mail was held, a window opened,
and mail was delivered.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import smtplib
import sys
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, TextIO

import msgspec

from gateway import eventloop
from gateway.app import App
from gateway.clock import SystemClock
from gateway.config.load import load_schedule, load_settings
from gateway.config.rules import ScheduleFile
from gateway.config.settings import Address, Settings
from gateway.demo.office import LETTERS, hand_in
from gateway.demo.relay import DemoRelay
from gateway.errors import Exit, UsageError
from gateway.events import Event, Journal
from gateway.maillog import MailLog, render

MARK = "made by tidegate demo; its contents are removed at each start"

PORT, CONSOLE = 2525, 8025
"""On another SMTP port, the console takes any that is free."""

RATE = 256_000.0
"""Bit/s of the simulated line."""

HELD_FOR = 10.0
"""Seconds for which mail is at least held before the first window opens."""

SETTINGS = """\
# The demo's configuration. Try: tidegate -c {folder}/gateway.yaml explain ID
hostname: gw.branch.example
spool: spool
schedule: schedule.yaml
mode: offline

listen:
  - address: 127.0.0.1:{port}

console:
  address: 127.0.0.1:{console}

links:
  - name: line
    kind: metered
    speed: 256 kbit/s

relays:
  - name: hq
    host: 127.0.0.1
    port: {relay}
    tls: none

classes:
  - {{class: urgent, from: alarm@branch.example}}
  - {{class: bulk, to: "*@list.example"}}
"""

SCHEDULE = """\
# Change it, then: tidegate -c {folder}/gateway.yaml reload
timezone: UTC
windows:
  - name: Every minute
    open: 00:00-24:00
    every: 1 min
    for: 20 s
    send: urgent, normal
  - name: Night
    open: 02:00-04:00
"""


Row = dict[str, Any]
Draw = Callable[[Row, list[Row], list[Row], tzinfo], str]
"""Status, queue and what is being sent, as the commands would print them."""


def demo(folder: Path, port: int, out: TextIO, environ: Mapping[str, str], draw: Draw) -> int:
    """Run until Ctrl-C or SIGTERM. Returns the exit code."""
    _prepare(folder)
    return eventloop.run(_demo(folder, port, out, environ, draw))


def _prepare(folder: Path) -> None:
    """An empty folder of ours. One that holds anything else is not touched."""
    mark = folder / "README"
    if folder.exists():
        if not mark.is_file() or MARK not in mark.read_text():
            raise UsageError(f"{folder} exists and was not made by the demo: name another with --folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    mark.write_text(MARK + "\n")


async def _demo(folder: Path, port: int, out: TextIO, environ: Mapping[str, str], draw: Draw) -> int:
    relay = DemoRelay(RATE)
    await relay.start()
    try:
        (folder / "gateway.yaml").write_text(
            SETTINGS.format(folder=folder, port=port, relay=relay.port, console=CONSOLE if port == PORT else 0)
        )
        (folder / "schedule.yaml").write_text(SCHEDULE.format(folder=folder))

        def read_files() -> tuple[Settings, ScheduleFile]:
            settings = load_settings(folder / "gateway.yaml")
            assert settings.schedule is not None
            return settings, load_schedule(settings.schedule, settings)

        journal = Journal()
        settings, schedule = read_files()
        app = App(settings, schedule, journal=journal, read_files=read_files)
        show = _Screen(app, out, folder, draw) if out.isatty() else None
        if show is not None:
            journal.subscribe(show.event)
        else:
            journal.subscribe(MailLog(out, environ).write)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, app.stop)
        helpers: list[asyncio.Task[None]] = []

        def ready(addresses: list[Address]) -> None:
            _tell(out, folder, addresses, app.console_notice)
            helpers.append(asyncio.create_task(_play(app, addresses[0].port, out)))
            if show is not None:
                helpers.append(asyncio.create_task(show.run()))

        try:
            await app.run(ready)
        finally:
            for task in helpers:
                task.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
    except OSError as exc:
        print(f"cannot listen on 127.0.0.1:{port}: {exc.strerror or exc}", file=sys.stderr)
        return Exit.CANT_CREATE
    finally:
        await relay.stop()
    return Exit.OK


def _tell(out: TextIO, folder: Path, addresses: list[Address], console: str | None) -> None:
    tidegate = f"{Path(sys.argv[0]).absolute()} -c {folder.absolute()}/gateway.yaml"
    print(
        f"ready {addresses[0]}\n"
        "\n"
        "  The line is down by plan: mail is accepted and held. Every minute a window opens for 20 seconds.\n"
        f"  In a browser: {console or 'no console: its port is taken'}\n"
        "  In another terminal:\n"
        f"    {tidegate} queue              what waits, and when it leaves\n"
        f"    {tidegate} explain ID         why a message is still here\n"
        f"    {tidegate} schedule open 1m   open the line by hand\n"
        f"    {tidegate} mode online        send at once\n"
        f"    swaks --server 127.0.0.1:{addresses[0].port} --to you@hq.example     hand in mail of your own\n"
        "  Ctrl-C ends it all.\n",
        file=out,
        flush=True,
    )


async def _play(app: App, port: int, out: TextIO) -> None:
    """Begin with the line closed, whatever second it is, so that mail is seen held before a window opens."""
    while (left := await _seconds_to_opening(app)) < HELD_FOR:
        async for _ in app.ask("skip", {}):
            pass
        if left > 0:
            break
    await _office(port, out)


async def _seconds_to_opening(app: App) -> float:
    """0 while a window is open."""
    async for row in app.ask("status", {}):
        window = row.window
        if window.open:
            return 0.0
        if window.next is not None:
            opens = datetime.fromisoformat(window.next.opens).timestamp()
            return opens - SystemClock().now()
    return HELD_FOR


async def _office(port: int, out: TextIO) -> None:
    """Hand in the letters, a few seconds apart; then one now and again, so that there is always something to see."""
    for round_ in range(1000):
        for letter in LETTERS:
            try:
                await asyncio.to_thread(hand_in, port, letter)
            except (OSError, smtplib.SMTPException) as exc:
                print(f"the gateway did not take a letter: {exc}", file=out, flush=True)
            await asyncio.sleep(1.5 if round_ == 0 else 20.0)


class _Screen:
    """The queue, live, on a terminal: one state line, the table, the last events."""

    def __init__(self, app: App, out: TextIO, folder: Path, draw: Draw) -> None:
        self._app, self._out, self._folder, self._draw = app, out, folder, draw
        self._events: deque[str] = deque(maxlen=8)

    def event(self, event: Event) -> None:
        self._events.append(render(event))

    async def run(self) -> None:
        while True:
            text = await self._queue()
            size = shutil.get_terminal_size((100, 30))
            lines = [*text.split("\n")[: size.lines - 13], "", "Last events:"]
            lines += [line[: size.columns] for line in self._events]
            lines += [
                "",
                "In another terminal:",
                f"  {Path(sys.argv[0]).absolute()} -c {self._folder.absolute()}/gateway.yaml queue|explain ID|mode online",
            ]
            self._out.write("\x1b[H\x1b[2J" + "\n".join(lines) + "\nCtrl-C ends it.\n")
            self._out.flush()
            await asyncio.sleep(1.0)

    async def _queue(self) -> str:
        """What `tidegate status` and `tidegate queue` would print."""
        status = [msgspec.to_builtins(row) async for row in self._app.ask("status", {})]
        rows = [msgspec.to_builtins(row) async for row in self._app.ask("queue", {})]
        sending = [msgspec.to_builtins(row) async for row in self._app.ask("sending", {})]
        return self._draw(status[0], rows, sending, self._app.schedule.timezone)
