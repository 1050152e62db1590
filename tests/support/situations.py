"""Facts and situations for tests of the decision: a Tuesday noon in Prague, one link, one relay, a schedule from its text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from msgspec import structs

from gateway.config.load import parse_schedule
from gateway.config.rules import ScheduleFile
from gateway.config.settings import RelaySettings, Settings
from gateway.connectivity.state import LinkState
from gateway.dispatch.facts import MessageFacts, Mode, OpenWindow, Situation
from gateway.dispatch.forecast import Forecast, Foresight
from gateway.schedule.calendar import Calendar

ISP = RelaySettings("isp", "smtp.isp.example", line=7)
HQ = RelaySettings("hq", "smtp.hq.example", line=9)

LINE = LinkState(
    name="dsl",
    kind="permanent",
    interface="eth0",
    carrier=True,
    has_route=True,
    up=True,
    usable=True,
    why="there is a route",
    since=0.0,
)

OFFICE = """\
timezone: Europe/Prague
windows:
  - name: Day
    days: mon-fri
    open: 08:00-18:00
    send: urgent, normal
    max_message: 2 MB
  - name: Night
    open: 22:00-05:00
"""


def schedule(text: str) -> ScheduleFile:
    """The schedule of this text; it must have no mistake."""
    file, problems = parse_schedule(text, Path("schedule.yaml"), None)
    assert file is not None, [p.head for p in problems]
    return file


def at(text: str, file: ScheduleFile | None = None) -> float:
    """`2026-11-24 12:00` on the wall of the schedule's zone (default: Prague)."""
    zone = file.timezone if file is not None else schedule("timezone: Europe/Prague\n").timezone
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def settings(*relays: RelaySettings) -> Settings:
    return Settings(Path("gateway.yaml"), "gw.branch.example", Path("spool"), relays=relays or (ISP,))


def situation(
    text: str = OFFICE, now: str = "2026-11-24 12:00", mode: Mode = "offline", **changes: object
) -> Situation:
    """The moment `now` under the schedule `text`."""
    file = schedule(text)
    calendar, instant = Calendar(file), at(now, file)
    made = Situation(
        now=instant,
        settings=settings(),
        calendar=calendar,
        mode=mode,
        mode_set=mode,
        mode_why="chosen",
        open=tuple(OpenWindow(opening) for opening in calendar.open_at(instant)),
        links=(LINE,),
        opportunity_since=instant - 3600,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the caller names fields of Situation


def message(**changes: object) -> MessageFacts:
    """4 kB of class normal, accepted a minute before Tuesday noon."""
    made = MessageFacts("k7qx0000001", at("2026-11-24 11:59"), 4000, "normal")
    return structs.replace(made, **changes)


def forecast(queue: Iterable[MessageFacts], s: Situation) -> Forecast | None:
    """What the opening in progress or the next one takes of this queue."""
    foresight = Foresight(s)
    for one in queue:
        foresight.add(one)
    return foresight.result()
