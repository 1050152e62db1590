"""`only_if`: is there enough waiting to be worth the line? (DESIGN section 5, rule 3)

Judged over the mail that the window would admit, at the start of each opening and at each arrival while it is open; once
true it holds to the end of the session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf

from gateway.clock import Clock
from gateway.config.rules import Condition, WindowRule
from gateway.dispatch.facts import MessageFacts
from gateway.schedule.calendar import Opening

OFTEN = 50
"""Messages after which it is asked whether they are enough already."""

REST = 20.0
"""A look at the queue that was in vain is followed by a rest of so many times its length: with 100,000 messages it takes a
quarter of a second, and each arrival asks for one."""

AHEAD = 60.0
"""Seconds by which mail may seem to come from the future: what time servers correct."""


def is_met(window: WindowRule, messages: Iterable[MessageFacts], now: float) -> bool:
    """True if any term of `only_if` holds over the messages that this window admits and nobody holds; or it has none."""
    if not window.only_if:
        return True
    urgent, count, octets, age = False, 0, 0, 0.0
    for message in messages:
        if message.held or not window.admits(message.message_class, message.size):
            continue
        urgent = urgent or message.message_class == "urgent"
        count += 1
        octets += message.size
        age = max(age, _age(message.created, now))
        if count % OFTEN == 0 and any(_holds(term, urgent, count, octets, age) for term in window.only_if):
            return True  # more mail makes none of them false
    return any(_holds(term, urgent, count, octets, age) for term in window.only_if)


def _age(created: float, now: float) -> float:
    """Seconds. Mail of a time that is still to come is from before a step of the clock: it must not wait for that time (P7)."""
    return inf if created > now + AHEAD else now - created


def _holds(term: Condition, urgent: bool, count: int, octets: int, age: float) -> bool:
    match term.kind:
        case "urgent waiting":
            return urgent
        case "oldest over":
            return count > 0 and age > term.amount
        case "more messages than":
            return count > term.amount
        case "more octets than":
            return octets > term.amount


class Conditions:
    """Remembers for each opening in progress whether its `only_if` was met. `again_at`: the moment (wall clock) at which it
    is to be judged again, None where nothing is put off."""

    __slots__ = ("_clock", "_conditional", "_met", "_rests_until", "again_at")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rests_until = 0.0
        self.again_at: float | None = None
        self._met: dict[tuple[str, float], bool] = {}
        self._conditional: set[tuple[str, float]] = set()

    def judge(self, openings: Iterable[Opening], messages: Callable[[], Iterable[MessageFacts]], now: float) -> bool:
        """Ask again for those not met so far; forget openings that have ended. True if anything changed.

        `messages()` are looked at only as far as it needs to be known that a condition is met; and while nothing but mail has
        changed, not without a rest (`again_at`).
        """
        current = {(o.window.name, o.opens): o for o in openings}
        before = dict(self._met)
        self._conditional = {key for key, opening in current.items() if opening.window.only_if}
        self._met = {key: met for key, met in self._met.items() if key in current}
        unmet = [(key, o) for key, o in current.items() if not self._met.get(key)]
        self._met.update((key, True) for key, o in unmet if not o.window.only_if)
        conditional = [(key, o) for key, o in unmet if o.window.only_if]
        is_new = any(key not in self._met for key, _ in conditional)
        rest = self._rests_until - self._clock.monotonic()
        self.again_at = now + rest if conditional and rest > 0 and not is_new else None
        if self.again_at is None and conditional:
            self._judge(conditional, messages, now)
        return before != self._met

    def _judge(
        self,
        unmet: Iterable[tuple[tuple[str, float], Opening]],
        messages: Callable[[], Iterable[MessageFacts]],
        now: float,
    ) -> None:
        begun = self._clock.monotonic()
        for key, opening in unmet:
            self._met[key] = is_met(opening.window, messages(), now)
        ended = self._clock.monotonic()
        self._rests_until = ended + REST * (ended - begun)

    def met(self, opening: Opening) -> bool:
        return self._met.get((opening.window.name, opening.opens), not opening.window.only_if)

    def session_ended(self) -> bool:
        """The session for which a condition held is over: it must hold again for the next. True if any is open again."""
        self._met = {key: met and key not in self._conditional for key, met in self._met.items()}
        return bool(self._conditional)
