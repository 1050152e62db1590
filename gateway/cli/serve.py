"""`tidegate serve`: the gateway in the foreground, for systemd or a terminal."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import time
from pathlib import Path

from gateway import eventloop
from gateway.app import App
from gateway.cli import systemd
from gateway.cli.files import read_files
from gateway.config.settings import Address
from gateway.connectivity.networkmanager import SYSTEM_BUS
from gateway.errors import ConfigurationError, Exit, GatewayError
from gateway.events import Alarm, Journal, Remark
from gateway.maillog import MailLog
from gateway.schedule.review import review

GATHER = 0.01
"""Seconds that lines of the log wait for others, so that a rush costs one write for many."""


def serve(path: Path | None) -> int:
    """Run until SIGTERM or SIGINT; SIGHUP reads the files again. Prints one line `ready` with the addresses."""
    settings, schedule = read_files(path)
    log = MailLog(sys.stderr, os.environ)
    journal = Journal()
    journal.subscribe(log.write)
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    app = App(
        settings,
        schedule,
        journal=journal,
        read_files=lambda: read_files(path),
        credentials=Path(folder) if folder else None,
        system_bus=os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or SYSTEM_BUS,
    )
    return eventloop.run(_serve(app, journal, log))


async def _serve(app: App, journal: Journal, log: MailLog) -> int:
    loop = asyncio.get_running_loop()
    log.gather(lambda write: loop.call_later(GATHER, write))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, app)
    loop.add_signal_handler(signal.SIGHUP, _reload, app, journal)
    try:
        await app.run(lambda addresses: _ready(app, journal, addresses))
    except OSError as exc:
        print(f"cannot listen: {exc.strerror or exc}", file=sys.stderr)
        return Exit.CANT_CREATE
    finally:
        log.gather(None)
    return Exit.OK


def _ready(app: App, journal: Journal, addresses: list[Address]) -> None:
    if app.settings.schedule is None:
        journal.record(Remark("schedule", "gateway.yaml names none: while Offline nothing leaves by itself"))
    else:
        for warning in review(app.schedule, app.settings, time.time()):
            journal.record(Remark("schedule", f"{warning.file}:{warning.line}: {warning.what}"))
    # What a start has built stays; collections of garbage need not look at it again, which with a long queue stops all else
    # for a tenth of a second.
    gc.collect()
    gc.freeze()
    print("ready " + " ".join(str(address) for address in addresses), flush=True)
    if app.console_notice is not None:
        print(app.console_notice, flush=True)
    systemd.notify("READY=1", os.environ)


def _stop(app: App) -> None:
    systemd.notify("STOPPING=1", os.environ)
    app.stop()


def _reload(app: App, journal: Journal) -> None:
    systemd.notify("RELOADING=1", os.environ)
    try:
        app.reload()
    except (ConfigurationError, GatewayError) as exc:
        journal.record(Alarm("configuration", f"the old one stays in force: {exc}"))
    systemd.notify("READY=1", os.environ)
