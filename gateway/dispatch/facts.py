"""The plain values that the decision is made from, and the decision itself. No clock, file or socket is read here.

What is made anew for each message at each asking is a struct (made in C): a long queue is asked many times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from gateway.config.settings import RelaySettings, Settings
from gateway.connectivity.ledger import BudgetState
from gateway.connectivity.state import LinkState
from gateway.mail.envelope import Class
from gateway.schedule.calendar import Calendar, Opening
from gateway.spool.entry import Entry
from gateway.spool.record import Record, Route

Mode = Literal["online", "offline", "stopped"]
Push = Literal["send", "force"]
"""An operator's wish for one message: `send` (any enabled window's class and size count, windows' hours do not), or
`force` (class, size and Next Try do not count either)."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What an operator said, and whether a line may be called for it (`--now`)."""

    push: Push
    may_dial: bool = False


class MessageFacts(msgspec.Struct, frozen=True, gc=False):
    """One message as the decision sees it, on one of its routes: recipients inside wait for no line (DESIGN section 6)."""

    id: str
    created: float
    size: int
    message_class: Class
    held: bool = False
    claimed: bool = False
    due: float | None = None
    last_try: float | None = None
    tries: int = 0
    doubt: bool = False
    hold_note: str | None = None
    push: Push | None = None
    may_dial: bool = False  # the operator's wish was said with `--now`
    route: Route = "outside"
    deliver_by: float | None = None  # its sender's deadline (RFC 2852)
    is_over: bool = False  # nobody is left to be served; a report is yet to be made


@dataclass(frozen=True, slots=True)
class RelayTrouble:
    """A relay that failed as a whole: nobody's message is to blame, all that would go through it waits.

    `stubborn` trouble (a refused login, a set-up that is wrong) waits its time out even when an opening begins, so that no
    account is locked by many tries (CASES C22).
    """

    until: float
    since: float
    why: str
    stubborn: bool = False


Phase = Literal["down", "calling", "raised", "hanging up"]


@dataclass(frozen=True, slots=True)
class CallState:
    """A link that can be called. `spent`: the openings in progress (window, beginning) that had their call; `left`: calls left
    today, None where there is no limit."""

    phase: Phase = "down"
    spent: frozenset[tuple[str, float]] = frozenset()
    left: int | None = None


@dataclass(frozen=True, slots=True)
class OpenWindow:
    """An opening in progress, and whether its `only_if` is met (True where it has none)."""

    opening: Opening
    condition_met: bool = True


@dataclass(frozen=True, slots=True)
class Situation:
    """All that is the same for every message at one moment.

    `opportunity_since`: when the present Online time began; a Next Try set before it is void (going Online makes all ASAP).
    `speed`: bit/s by link name, as measured or guessed. `clock_why`: why the clock is *not set* (DESIGN section 6), None while
    it is; then `open` holds only what an operator opened by hand. `calls`: links that can be called, by name.
    `link_budgets`, `window_budgets`: by name of link or window, where there is one.
    """

    now: float
    settings: Settings
    calendar: Calendar
    mode: Mode
    mode_set: str
    mode_why: str
    open: tuple[OpenWindow, ...]
    links: tuple[LinkState, ...]
    opportunity_since: float
    troubles: Mapping[str, RelayTrouble] = field(default_factory=dict)
    speed: Mapping[str, float] = field(default_factory=dict)
    clock_why: str | None = None
    calls: Mapping[str, CallState] = field(default_factory=dict)
    link_budgets: Mapping[str, BudgetState] = field(default_factory=dict)
    window_budgets: Mapping[str, BudgetState] = field(default_factory=dict)


class NextTry(msgspec.Struct, frozen=True, gc=False):
    """The Next Try column (DESIGN section 9)."""

    kind: Literal["asap", "time", "window", "released", "never"]
    at: float | None = None
    window: str | None = None


Verdict = Literal["ok", "wait", "stop"]


@dataclass(frozen=True, slots=True)
class Check:
    """One rule that was asked, in the order of asking. `file` and `line` point at the rule, where it is one of a file."""

    name: str
    state: Verdict
    text: str
    file: str | None = None
    line: int | None = None


class Go(msgspec.Struct, frozen=True, gc=False):
    """It may leave now: over this link, through this relay, in this opening (None: Online, or an operator's wish)."""

    link: str
    relay: RelaySettings
    opening: Opening | None
    route: Route = "outside"


class Wait(msgspec.Struct, frozen=True, gc=False):
    """It stays. `why` is the sentence of the Status column; `wake` when to ask again, if time alone can change it."""

    next_try: NextTry
    why: str
    wake: float | None = None


class Raise(Wait, frozen=True, gc=False):
    """It stays until this link is up, which is to be called for it: for this opening, or (None) for an operator's `--now`."""

    link: str = ""
    opening: Opening | None = None


Decision = Go | Wait  # and Raise, which is a way to wait


def facts_of_entry(entry: Entry, wish: Wish | None, route: Route) -> MessageFacts:
    """The facts of a message from its index entry, on one of its routes, and what an operator wishes for it."""
    return MessageFacts(
        id=entry.id,
        created=entry.created,
        size=entry.size,
        message_class=entry.message_class,
        held=entry.held,
        claimed=entry.claimed,
        due=entry.due if route == "outside" else entry.inside_due,
        last_try=entry.last_try,
        tries=entry.tries,
        doubt=entry.doubt,
        push=wish.push if wish is not None else None,
        may_dial=wish is not None and wish.may_dial,
        route=route,
        deliver_by=entry.deliver_by,
        is_over=not (entry.outside or entry.inside),
    )


def facts_of(record: Record, *, claimed: bool = False, push: Push | None = None) -> MessageFacts:
    """The facts of a message from its record; the same as from its index entry, and its hold note besides."""
    route: Route = "outside" if record.pending_on("outside") else "inside"
    return MessageFacts(
        id=record.id,
        created=record.created,
        size=record.size,
        message_class=record.message_class,
        held=record.held,
        claimed=claimed,
        due=record.due if route == "outside" else record.inside_due,
        last_try=record.last_try,
        tries=record.tries,
        doubt=record.doubt is not None,
        hold_note=record.hold_note,
        push=push,
        route=route,
        deliver_by=record.deliver_by,
        is_over=not record.pending,
    )
