"""What the next opening will take, and what stays: the decision itself, asked at the moment when that opening begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gateway.connectivity.ledger import BudgetState
from gateway.dispatch.budgets import Purse
from gateway.dispatch.decide import decide
from gateway.dispatch.facts import Go, MessageFacts, OpenWindow, Situation
from gateway.dispatch.openings import seconds_needed
from gateway.schedule.calendar import Opening


@dataclass(frozen=True, slots=True)
class Forecast:
    """`seconds` at the known speed, None where none is known. What stays counts the held too. `planned`: octets on the line by
    account of the ledger, where there is a budget."""

    opening: Opening
    messages: int
    octets: int
    seconds: float | None
    staying: int
    staying_octets: int
    planned: Mapping[str, int]


class Foresight:
    """Adds up, message by message, what the opening in progress or the next one takes.

    The link is taken to be up and relays to answer: that is what an opening is for. Budgets are spent in the order in which
    the messages are given.
    """

    def __init__(self, situation: Situation) -> None:
        self._opening = opening = next_opening(situation)
        self._there = at_opening(situation, opening) if opening is not None else situation
        self._purse = Purse(self._there)
        self._going = self._going_octets = self._staying = self._staying_octets = 0

    def add(self, message: MessageFacts) -> None:
        if self._opening is None:
            return
        verdict = decide(message, self._there)
        if isinstance(verdict, Go) and self._purse.pays(message, verdict):
            self._going += 1
            self._going_octets += message.size
        else:
            self._staying += 1
            self._staying_octets += message.size

    def result(self) -> Forecast | None:
        """None where the schedule has no opening ahead."""
        if self._opening is None:
            return None
        seconds = seconds_needed(self._going_octets, speed_of(self._there))
        return Forecast(
            self._opening,
            self._going,
            self._going_octets,
            seconds,
            self._staying,
            self._staying_octets,
            self._purse.spent,
        )


def next_opening(situation: Situation) -> Opening | None:
    """The opening in progress, else the next; None where the schedule has none ahead."""
    return next(iter(situation.calendar.openings(situation.now)), None)


def at_opening(situation: Situation, opening: Opening) -> Situation:
    """What will hold when it begins, as far as one can know: the link up, the relays in order."""
    start = max(opening.opens, situation.now)
    return replace(
        situation,
        now=start,
        mode="offline" if situation.mode == "stopped" else situation.mode,
        open=tuple(OpenWindow(o) for o in situation.calendar.open_at(start)),
        links=tuple(replace(link, up=True) for link in situation.links),
        troubles={},
        clock_why=None,
        link_budgets=_by_then(situation.link_budgets, situation, opening),
        window_budgets=_by_then(situation.window_budgets, situation, opening),
    )


def _by_then(budgets: Mapping[str, BudgetState], s: Situation, opening: Opening) -> dict[str, BudgetState]:
    """What has been used of them when it begins, if nothing is used until then."""
    return {
        name: state
        if opening.opens <= s.now or (state.renews is not None and state.renews > opening.opens)
        else replace(state, used=0, stop="none")
        for name, state in budgets.items()
    }


def speed_of(situation: Situation) -> float | None:
    """Bit/s of the first link whose speed is known."""
    return next((situation.speed[link.name] for link in situation.links if link.name in situation.speed), None)
