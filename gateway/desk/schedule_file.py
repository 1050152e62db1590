"""Another schedule file: what the queue would do under it, and putting it in force, on trial if asked (DESIGN section 10)."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.config.load import load_schedule
from gateway.config.rules import ScheduleFile
from gateway.config.settings import Settings
from gateway.dispatch.facts import OpenWindow, Situation
from gateway.durable import Disk, replace_file
from gateway.errors import GatewayError, NotNow, UsageError
from gateway.events import Alarm, Journal, Remark
from gateway.schedule.calendar import Calendar

LONGEST_TRIAL = 3600.0
LARGEST = 1 << 20


def read(path: Path, settings: Settings) -> ScheduleFile:
    """Raises ConfigurationError with all its mistakes."""
    if not path.is_absolute():
        raise UsageError("the gateway needs the whole path of the file")
    return load_schedule(path, settings)


def under(situation: Situation, schedule: ScheduleFile) -> Situation:
    """The same moment, Offline, under another schedule."""
    calendar = Calendar(schedule)
    openings = tuple(OpenWindow(opening) for opening in calendar.open_at(situation.now))
    return replace(situation, mode="offline", mode_set="offline", calendar=calendar, open=openings)


class Trial:
    """A schedule that was applied with `--confirm` and not confirmed yet."""

    def __init__(self) -> None:
        self._old: bytes | None = None
        self._new: bytes | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def apply(
        self,
        path: Path,
        settings: Settings,
        confirm: float | None,
        reload: Callable[[], None],
        journal: Journal,
    ) -> dict[str, Any]:
        """Check the file, put it in the place of the running one (atomically, durably), reload. Raises
        ConfigurationError and changes nothing if it has mistakes."""
        target = settings.schedule
        if target is None:
            raise NotNow("gateway.yaml names no schedule file")
        if confirm is not None and not 1 <= confirm <= LONGEST_TRIAL:
            raise UsageError("a trial lasts from 1 s to 1 h")
        read(path, settings)
        new, old = path.read_bytes()[:LARGEST], target.read_bytes()
        if self._timer is not None and new == self._new:
            self._end()
            return {"result": "confirmed", "text": "the schedule stays in force"}
        put(target, new, old, reload)
        self._end()
        if confirm is None:
            return {"result": "applied", "text": f"{path} is in force as {target}"}
        self._old, self._new = old, new
        self._timer = asyncio.get_running_loop().call_later(confirm, self._go_back, target, reload, journal)
        text = f"in force for {confirm:g} s; say `schedule apply` with the same file again within that time to keep it"
        return {"result": "on trial", "text": text}

    def _go_back(self, target: Path, reload: Callable[[], None], journal: Journal) -> None:
        old, new = self._old, self._new
        self._end()
        try:
            if old is not None and target.read_bytes() == new:  # nobody edited it in the meantime
                put(target, old, old, reload)
                journal.record(Remark("schedule", "the new schedule was not confirmed: the old one is in force again"))
        except (OSError, GatewayError) as exc:
            journal.record(Alarm("schedule", f"the old schedule could not be put back: {exc}"))

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._old, self._new = None, None, None


def put(target: Path, new: bytes, old: bytes, reload: Callable[[], None]) -> None:
    """The new text in the place of the old, in one step, and in force; on a mistake the old one is back. Its mode stays."""
    _replace(target, new)
    try:
        reload()
    except GatewayError:
        _replace(target, old)  # the other file is at fault; the schedule goes back with it
        raise


def _replace(target: Path, octets: bytes) -> None:
    mode = stat.S_IMODE(target.stat().st_mode)
    replace_file(Disk(), str(target), octets, durable=True)
    target.chmod(mode)
