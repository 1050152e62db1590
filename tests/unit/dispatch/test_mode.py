"""The mode in force: told when it changes, and what is counted while it lasts."""

from __future__ import annotations

from dataclasses import replace

from gateway.dispatch.mode import ModeInForce
from gateway.events import Event, Journal, ModeChanged
from tests.support.clock import FakeClock
from tests.support.situations import LINE

DOWN = replace(LINE, up=False, usable=False, why="no carrier")


def made() -> tuple[ModeInForce, FakeClock, list[Event]]:
    clock, journal = FakeClock(), Journal()
    events: list[Event] = []
    journal.subscribe(events.append)
    return ModeInForce(clock, journal), clock, events


def test_a_mode_is_told_when_it_begins_and_not_while_it_stays() -> None:
    mode, clock, events = made()
    assert mode.judge("auto", [DOWN])  # the first: nobody has been told of any
    began = clock.now()
    clock.advance(10)
    assert not mode.judge("offline", [DOWN])
    assert (mode.now, mode.why, mode.since) == ("offline", "chosen", began)
    assert events == [ModeChanged("offline", "auto", "dsl: no carrier")]


def test_going_online_begins_an_opportunity_and_going_offline_none() -> None:
    mode, clock, _ = made()
    mode.judge("auto", [DOWN])
    clock.advance(10)
    mode.judge("auto", [LINE])
    online = clock.now()
    clock.advance(10)
    mode.judge("auto", [DOWN])
    assert (mode.opportunity_since, mode.since) == (online, clock.now())


def test_only_online_time_with_a_link_up_is_counted() -> None:
    mode, clock, _ = made()
    for chosen, link in (("offline", LINE), ("online", DOWN), ("online", LINE), ("stopped", LINE)):
        mode.judge(chosen, [link])  # type: ignore[arg-type]  # mypy takes the loop's texts for any text
        clock.advance(10)
    assert mode.uptime() == 10


def test_a_step_back_leaves_the_opportunity_in_the_past_and_the_mode_as_old_as_it_is() -> None:
    mode, clock, _ = made()
    clock.advance(100)
    mode.judge("online", [LINE])
    clock.step(-50)
    mode.clock_stepped(-50)
    assert (mode.opportunity_since, mode.since) == (clock.now(), clock.now())
    clock.step(20)
    mode.clock_stepped(20)
    assert (mode.opportunity_since, mode.since) == (clock.now() - 20, clock.now())
