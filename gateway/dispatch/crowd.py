"""How many domains are spoken with at once, and whose turn is next: direct delivery has a lane for each. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from operator import attrgetter

from gateway.dispatch.lane import Lane

FEWEST, MOST = 2, 10
"""Sessions at once over one link. Two on the thinnest, or one dead domain would hold up all; ten fill any line of an office."""

BITS_A_SESSION = 64_000.0
"""Speed of the line for each session more: on a thin one they would only starve each other (DESIGN section 7)."""


def at_once(speed: float | None) -> int:
    """Sessions with domains over a link of so many bit/s; None where nobody knows."""
    return MOST if not speed else max(FEWEST, min(MOST, int(speed / BITS_A_SESSION)))


def next_domains(lanes: Iterable[Lane], link: str, speed: float | None) -> list[Lane]:
    """The lanes to domains over this link that may start a session now, in the order of their first messages."""
    to_domains = [lane for lane in lanes if lane.relay.direct and lane.link == link]
    room = at_once(speed) - sum(len(lane.tasks) for lane in to_domains)
    if room <= 0:
        return []
    return heapq.nsmallest(room, filter(_waits, to_domains), key=attrgetter("first"))


def with_turns(lanes: Iterable[Lane], speeds: Mapping[str, float]) -> list[Lane]:
    """The lanes to domains that have a session, and those whose turn it is. `speeds`: bit/s by link."""
    to_domains = [lane for lane in lanes if lane.relay.direct]
    turns = [lane for lane in to_domains if lane.tasks]
    for link in dict.fromkeys(lane.link for lane in to_domains):
        turns += next_domains(to_domains, link, speeds.get(link))
    return turns


def forget_idle(lanes: dict[tuple[str, str], Lane]) -> None:
    """Take away lanes to domains without mail and session: there are as many as people write to."""
    for name in [name for name, lane in lanes.items() if lane.relay.direct and not lane.heap and not lane.tasks]:
        del lanes[name]


def others_wait(lanes: Iterable[Lane], lane: Lane) -> bool:
    """Does a domain wait for a session over the same link? Then none lingers for mail that may come."""
    return any(other.relay.direct and other.link == lane.link and _waits(other) for other in lanes)


def _waits(lane: Lane) -> bool:
    return bool(lane.heap) and not lane.tasks
