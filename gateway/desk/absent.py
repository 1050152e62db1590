"""The queue as it lies on disk, where the gateway does not run: read only, and every answer says so."""

from __future__ import annotations

from pathlib import Path

from gateway.config.rules import ScheduleFile
from gateway.config.settings import Settings
from gateway.dispatch import orders as standing
from gateway.dispatch.facts import Mode, Situation
from gateway.schedule.calendar import Calendar
from gateway.spool.reader import read_state

WHY = "the gateway is not running"


def situation_on_disk(settings: Settings, schedule: ScheduleFile, root: Path, now: float) -> Situation:
    """What would hold if the gateway were started now with every link down: enough for Next Try and `explain`."""
    orders = standing.settled(standing.decode(read_state(root, standing.STATE), settings.mode), now)
    mode: Mode = "offline" if orders.mode == "auto" else orders.mode
    return Situation(
        now=now,
        settings=settings,
        calendar=Calendar(schedule, orders.openings(), orders.skipped()),
        mode=mode,
        mode_set=orders.mode,
        mode_why=WHY,
        open=(),
        links=(),
        opportunity_since=now,
    )
