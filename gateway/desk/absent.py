"""The queue as it lies on disk, where the gateway does not run: read only, and every answer says so."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from gateway import __version__
from gateway.config.rules import ScheduleFile
from gateway.config.settings import Settings
from gateway.control.rows import ModeRow, QueueTotals, StatusReport
from gateway.desk.status import relay_row, window_row
from gateway.desk.view import iso, queue_row
from gateway.dispatch import orders as standing
from gateway.dispatch.facts import Mode, Situation
from gateway.schedule.calendar import Calendar
from gateway.spool.reader import read_queue, read_state

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


def status_on_disk(settings: Settings, schedule: ScheduleFile, root: Path, now: float) -> StatusReport:
    """`status` of a gateway that does not run: the queue, the mode that was chosen, the openings ahead."""
    situation = situation_on_disk(settings, schedule, root, now)
    zone = schedule.timezone
    records = list(read_queue(root))
    states = Counter[str](queue_row(record, situation).state for record in records)
    oldest = min((record.created for record in records), default=None)
    return StatusReport(
        version=__version__,
        running=False,
        mode=ModeRow(set=situation.mode_set, now="stopped", why=WHY),
        links=[],
        relay=relay_row(situation),
        window=window_row(situation),
        queue=QueueTotals(
            messages=len(records),
            octets=sum(record.size for record in records),
            oldest=None if oldest is None else iso(oldest, zone),
            by_state=dict(states),
        ),
        session=None,
        not_in_force=[str(key) for key in (*settings.not_in_force, *schedule.not_in_force)],
        timezone=str(zone),
    )
