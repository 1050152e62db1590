"""What a budget says to one message: the part of the decision that asks the ledger (DESIGN sections 4, 5). Pure."""

from __future__ import annotations

from collections import Counter

from gateway.connectivity.ledger import BudgetState, account_of_link, account_of_window
from gateway.dispatch.facts import Go, MessageFacts, NextTry, Situation
from gateway.dispatch.meter import estimate
from gateway.dispatch.openings import NEVER, later, next_admitting
from gateway.dispatch.words import size_words
from gateway.schedule.calendar import Opening


def over_budget(message: MessageFacts, state: BudgetState, of: str) -> str | None:
    """Why this message must not be started at the cost of this budget; None if it may. Near its end only class urgent goes;
    `--force` goes anyway."""
    if message.push == "force":
        return None
    octets = estimate(message.size)
    if state.admits(octets, urgent=message.message_class == "urgent"):
        return None
    if state.stop == "hard":
        return f"the budget of {of} is used up: {budget_words(state)}"
    if state.stop == "soft" and message.message_class != "urgent":
        return f"the budget of {of} is nearly used up, and only class urgent may go: {budget_words(state)}"
    return f"{size_words(octets)} would be more than is left of the budget of {of}: {budget_words(state)}"


def budget_words(state: BudgetState) -> str:
    """`12 MB of 200 MB per month used`."""
    return f"{size_words(state.used)} of {size_words(state.budget.octets)} per {state.budget.per} used"


class Purse:
    """What is left of the budgets while a forecast spends them. `spent`: octets on the line by account."""

    __slots__ = ("_links", "_windows", "spent")

    def __init__(self, s: Situation) -> None:
        self.spent: Counter[str] = Counter()
        self._links, self._windows = dict(s.link_budgets), dict(s.window_budgets)

    def pays(self, message: MessageFacts, go: Go) -> bool:
        """Would the budgets still let it go this way? If so, it is paid for."""
        window = go.opening.window.name if go.opening is not None and not go.opening.once else ""
        link_budget, window_budget = self._links.get(go.link), self._windows.get(window)
        octets = estimate(message.size)
        for state in (link_budget, window_budget):
            if state is not None and over_budget(message, state, "") is not None:
                return False
        if link_budget is not None:
            self._links[go.link] = link_budget.after(octets)
            self.spent[account_of_link(go.link)] += octets
        if window_budget is not None:
            self._windows[window] = window_budget.after(octets)
            self.spent[account_of_window(window)] += octets
        return True


def after_budget(message: MessageFacts, s: Situation, opening: Opening | None, state: BudgetState) -> NextTry:
    """When there is budget again: with the next period, in an opening that takes the message."""
    if opening is None:
        return NextTry("asap") if state.renews is None else NextTry("time", state.renews)
    if state.renews is None:
        return later(message, s, opening)
    if state.renews < opening.closes:
        return NextTry("window", state.renews, opening.window.name)
    following = next_admitting(message, s, state.renews)
    return NEVER if following is None else NextTry("window", max(following.opens, state.renews), following.window.name)
