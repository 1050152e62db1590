"""What the next opening will take, and what stays: the decision itself, asked at the moment when that opening begins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from gateway.dispatch.decide import decide, seconds_needed
from gateway.dispatch.facts import Go, MessageFacts, OpenWindow, Situation
from gateway.schedule.calendar import Opening


@dataclass(frozen=True, slots=True)
class Forecast:
    """`seconds` at the known speed, None where none is known. `ids` of those that go; what stays counts the held too."""

    opening: Opening
    ids: tuple[str, ...]
    octets: int
    seconds: float | None
    staying: int
    staying_octets: int


def forecast(messages: Iterable[MessageFacts], situation: Situation) -> Forecast | None:
    """For the opening in progress or the next one; None where the schedule has none ahead.

    The link is taken to be up and relays to answer: that is what an opening is for.
    """
    opening = next(iter(situation.calendar.openings(situation.now)), None)
    if opening is None:
        return None
    start = max(opening.opens, situation.now)
    links = tuple(replace(link, up=True) for link in situation.links)
    there = replace(
        situation,
        now=start,
        mode="offline" if situation.mode == "stopped" else situation.mode,
        open=tuple(OpenWindow(o) for o in situation.calendar.open_at(start)),
        links=links,
        troubles={},
    )
    going: list[MessageFacts] = []
    staying = staying_octets = octets = 0
    for message in messages:
        if isinstance(decide(message, there), Go):
            going.append(message)
            octets += message.size
        else:
            staying += 1
            staying_octets += message.size
    speed = next((there.speed[link.name] for link in links if link.name in there.speed), None)
    return Forecast(opening, tuple(m.id for m in going), octets, seconds_needed(octets, speed), staying, staying_octets)
