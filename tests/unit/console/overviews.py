"""Overviews for tests: an office at noon, Offline, one relay, Night ahead."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.control.console_rows import GroupRow, Overview, QueueCount
from gateway.control.rows import DiskRow, ModeRow, NextTryRow, OpeningRow, RelayRow, SendingRow

NOON = "2026-11-24T12:00:00+01:00"
NIGHT = "2026-11-24T22:00:00+01:00"


def count(
    messages: int = 3, *, next_try: NextTryRow | None = None, is_complete: bool = True, **states: int
) -> QueueCount:
    by_state = {"waiting": messages - sum(states.values()), "deferred": 0, "held": 0, "sending": 0, **states}
    group = GroupRow(
        next_try=next_try or NextTryRow(kind="window", at=NIGHT, window="Night"), messages=messages, octets=2_100_000
    )
    return QueueCount(
        messages=messages,
        octets=2_100_000 if messages else 0,
        oldest=NOON if messages else None,
        by_state=by_state,
        groups=[group] if messages and is_complete else [],
        look=0,
        forecast=None,
        counted_at=NOON,
        is_complete=is_complete,
    )


def overview(**changes: Any) -> Overview:
    made = Overview(
        version="1",
        hostname="gw.branch.example",
        timezone="Europe/Prague",
        now=NOON,
        mode=ModeRow(set="offline", now="offline", why="chosen"),
        links=[],
        relay=RelayRow(name="hq", host="smtp.hq.example", port=587),
        last_contact=None,
        open=[],
        next=OpeningRow(window="Night", opens=NIGHT, closes="2026-11-25T05:00:00+01:00"),
        has_windows=True,
        queue=count(),
        session=None,
        sessions=[],
        sending=[],
        day_begins=NOON,
        day=[],
        not_in_force=[],
        files_changed=[],
        disk=DiskRow(free=10**10, reserve=10**9, set_aside=0),
        removable=3,
        undo=0,
        undo_until=None,
    )
    return msgspec.structs.replace(made, **changes)


def sending() -> SendingRow:
    return SendingRow(
        id="k7", size=10, sender="a@b.example", to=["c@d.example"], phase="content", relay="hq", elapsed=1.0, percent=50
    )
