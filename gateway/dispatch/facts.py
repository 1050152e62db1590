"""The plain values that the decision is made from, and the decision itself. No clock, file or socket is read here.

What is made anew for each message at each asking is a struct (made in C): a long queue is asked many times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec
from msgspec.structs import replace

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
    """One message as the decision sees it, on one of its routes: recipients inside wait for no line (DESIGN section 6).

    `domains`, `dues`: as in the index entry. `domain`: the facts are those of that one alone (see `directions`).
    """

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
    domains: tuple[str, ...] = ()
    dues: tuple[float | None, ...] | None = None
    domain: str | None = None


@dataclass(frozen=True, slots=True)
class RelayTrouble:
    """A relay that failed as a whole: nobody's message is to blame, all that would go through it waits.

    `stubborn` trouble (a refused login, a set-up that is wrong) waits its time out even when an opening begins, so that no
    account is locked by many tries (CASES C22). `keeps`: trouble of a domain that no relay is to be bothered with (yet): its
    mail waits for the domain itself.
    """

    until: float
    since: float
    why: str
    stubborn: bool = False
    keeps: bool = False


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
    `link_budgets`, `window_budgets`: by name of link or window, where there is one. `mode_passes`: it was ordered for a time.
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
    mode_passes: bool = False


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
    """It may leave now: over this link, through this relay, in this opening (None: Online, or an operator's wish).

    `domains`: for its recipients there; None for all of the route.
    """

    link: str
    relay: RelaySettings
    opening: Opening | None
    route: Route = "outside"
    domains: frozenset[str] | None = None


class Wait(msgspec.Struct, frozen=True, gc=False):
    """It stays. `why` is the sentence of the Status column; `wake` when to ask again, if time alone can change it.

    `kept_back`: what would send it is there, and a budget or the end of the opening says not now."""

    next_try: NextTry
    why: str
    wake: float | None = None
    kept_back: bool = False


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
        domains=entry.domains if route == "outside" else (),
        dues=entry.dues,
    )


def facts_of(record: Record, *, claimed: bool = False, push: Push | None = None) -> MessageFacts:
    """The facts of a message from its record; the same as from its index entry, and its hold note besides."""
    route: Route = "outside" if record.pending_on("outside") else "inside"
    facts = facts_of_entry(Entry(record), None if push is None else Wish(push), route)
    return replace(facts, claimed=claimed, hold_note=record.hold_note)


def is_direct(s: Situation) -> bool:
    """Is mail delivered directly at this moment? Online, where the settings say so; Offline is always the relay."""
    return s.mode == "online" and s.settings.delivery_online == "direct"


def directions(message: MessageFacts, s: Situation) -> tuple[MessageFacts, ...]:
    """The message once for each way that is decided for itself: as it is through relays, by domain where it goes directly."""
    if not message.domains or message.domain is not None or not is_direct(s):
        return (message,)
    dues = message.dues or (None,) * len(message.domains)
    return tuple(
        replace(message, domain=domain, due=message.due if due is None else due)
        for domain, due in zip(message.domains, dues, strict=True)
    )


def together(ways: Sequence[Go], way: tuple[str, str]) -> Go:
    """Of the ways of one message those over this link and relay, as one for all their domains; else the first of all."""
    here = [go for go in ways if (go.link, go.relay.name) == way]
    if len(here) < 2:
        return (here or ways)[0]
    return replace(here[0], domains=frozenset().union(*(go.domains or () for go in here)))
