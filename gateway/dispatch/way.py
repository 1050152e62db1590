"""Over which link, and through which relay: the part of the decision that asks the lines (DESIGN sections 4, 6). Pure."""

from __future__ import annotations

from functools import lru_cache
from math import inf

from gateway.config.settings import RelaySettings, Settings
from gateway.connectivity.state import LinkState
from gateway.dispatch.budgets import after_budget, budget_words, over_budget
from gateway.dispatch.explaining import Trace, file_of, line_of, link_rule, link_settings, note, rule_of, when
from gateway.dispatch.facts import (
    CallState,
    Decision,
    Go,
    MessageFacts,
    NextTry,
    Raise,
    RelayTrouble,
    Situation,
    Verdict,
    Wait,
    is_direct,
)
from gateway.dispatch.openings import NEVER, later, present
from gateway.schedule.calendar import Opening

INSIDE = "(inside)"
"""The name of the way to `inside`, as link and as relay; no user's link or relay can be called so."""

DIRECT = "direct:"
"""What the name of a way to a domain begins with."""


def over_a_link(
    message: MessageFacts, s: Situation, opening: Opening | None, trace: Trace, pushed: bool = False
) -> Decision:
    """A link that is up, and a relay on it that is not known to be in trouble (DESIGN section 4, "Which relay")."""
    links = [link for link in s.links if link.up]
    if s.mode == "online":
        links.sort(key=lambda link: link.kind != "permanent")
    links.sort(key=lambda link: not _is_usable(link))
    if not links:
        why = "link down" if len(s.links) == 1 else "no link is up"
        if trace is not None:
            detail = "; ".join(f"{link.name}: {link.why}" for link in s.links)
            note(trace, "link", "wait", f"{why} ({detail})", *line_of(s, "links"))
        return _call(message, s, opening, trace, pushed) or Wait(present(opening), why)
    best: Wait | None = None
    is_way_open = False
    for link in links:
        if trace is not None:
            note(trace, "link", "ok", f"{link.name} is up: {link.why}", *link_rule(s, link))
        if (no_budget := _over_budget(message, s, link, opening, trace)) is not None:
            best = _sooner(best, no_budget)
            continue
        is_way_open = is_way_open or _is_usable(link)
        for relay in ways_for(message, s, link, opening):
            trouble = s.troubles.get(relay.name)
            if trouble is None or is_over(trouble, s, opening, pushed):
                if trace is not None:
                    _note_relay(trace, "ok", f"{relay.name} ({relay.host}:{relay.port})", relay, s)
                domains = None if message.domain is None else frozenset((message.domain,))
                return Go(link.name, relay, opening, domains=domains)
            why = f"{trouble.why}; next try {when(trouble.until, s)}"
            if trace is not None:
                _note_relay(trace, "wait", f"{relay.name}: {why}", relay, s)
            best = _sooner(best, Wait(after_trouble(message, s, opening, trouble), why, trouble.until))
            if trouble.keeps and relay.direct:
                break
    if best is None:  # only where mail goes directly, and this has no domain to go to
        note(trace, "relay", "stop", "no relay configured, and an address without a domain needs one")
        return Wait(NEVER, "no relay configured")
    if not is_way_open:
        call = _call(message, s, opening, trace, pushed)
        if isinstance(call, Raise):
            return call
    return best


def _note_relay(trace: Trace, state: Verdict, text: str, relay: RelaySettings, s: Situation) -> None:
    if relay.direct:
        said = (
            f"{relay.host}, by its MX (delivery.online: direct)"
            if state == "ok"
            else text.removeprefix(f"{relay.name}: ")
        )
        note(trace, "direct", state, said, *line_of(s, "delivery.online"))
    else:
        note(trace, "relay", state, text, file_of(s), relay.line or None)


def through(relay: str) -> str:
    """The way in words, from the name of a relay or of the way to a domain: `through hq`, `to one.example directly`."""
    return f"to {relay.removeprefix(DIRECT)} directly" if relay.startswith(DIRECT) else f"through {relay}"


def ways_for(
    message: MessageFacts, s: Situation, link: LinkState, opening: Opening | None
) -> tuple[RelaySettings, ...]:
    """The domain itself first, where mail goes directly; relays are its last resort then."""
    relays = relays_for(s, link, opening)
    return (direct_to(message.domain), *relays) if message.domain and is_direct(s) else relays


@lru_cache(1000)
def direct_to(domain: str) -> RelaySettings:
    """The hosts of a domain, in the shape in which the courier takes relays."""
    return RelaySettings(DIRECT + domain, domain, tls="opportunistic", direct=True)


def _sooner(best: Wait | None, other: Wait) -> Wait:
    return other if best is None or (other.wake or inf) < (best.wake or inf) else best


def _over_budget(
    message: MessageFacts, s: Situation, link: LinkState, opening: Opening | None, trace: Trace
) -> Wait | None:
    state = s.link_budgets.get(link.name)
    if state is None:
        return None
    why = over_budget(message, state, link.name)
    if why is None:
        if trace is not None:
            note(trace, "budget", "ok", f"{link.name}: {budget_words(state)}", *link_rule(s, link))
        return None
    note(trace, "budget", "wait", why, *link_rule(s, link))
    return Wait(after_budget(message, s, opening, state), why, state.renews, kept_back=True)


def _is_usable(link: LinkState) -> bool:
    return link.up and (link.usable or link.kind != "permanent")


def _call(message: MessageFacts, s: Situation, opening: Opening | None, trace: Trace, pushed: bool) -> Wait | None:
    """A dialled link is raised only for a window with `dial: yes`, once an opening, or for an operator's `--now` (DESIGN
    sections 5 and 6). None where there is nothing to call."""
    by_window = opening is not None and opening.window.dial and s.mode == "offline"
    blocked: Wait | None = None
    for link in s.links:
        call = s.calls.get(link.name)
        if call is None or link.up:
            continue
        if not by_window and not message.may_dial:
            if s.mode == "online":
                note(trace, "dial", "wait", f"Online never calls {link.name}", *link_rule(s, link))
            elif opening is not None:
                note(
                    trace,
                    "dial",
                    "wait",
                    f"{opening.window.name} does not call {link.name}",
                    *rule_of(s, opening.window, "dial"),
                )
            continue
        why = _why_no_call(s, link, call, opening, by_operator=message.may_dial)
        if why is None and (no_budget := _over_budget(message, s, link, opening, trace)) is not None:
            blocked = blocked or no_budget
            continue
        if why is None:
            if not any(_would_help(relay, s, opening, pushed) for relay in ways_for(message, s, link, opening)):
                continue
            reason = (
                "an operator asked for it" if message.may_dial else f"{opening.window.name if opening else ''} calls"
            )
            note(trace, "dial", "ok", f"{link.name} is called: {reason}", *link_rule(s, link))
            return Raise(present(opening), f"{link.name} is called", link=link.name, opening=opening)
        note(trace, "dial", "wait", why, *link_rule(s, link))
        is_now = opening is None or call.phase != "down"
        blocked = blocked or Wait(present(opening) if is_now or opening is None else later(message, s, opening), why)
    return blocked


def _why_no_call(
    s: Situation, link: LinkState, call: CallState, opening: Opening | None, *, by_operator: bool
) -> str | None:
    if call.phase == "calling":
        return f"{link.name} is being called"
    if call.phase == "hanging up":
        return f"{link.name} is being put down"
    if call.phase == "raised":  # by us, and it fell by itself: what is left of that call is put down first
        return f"{link.name} fell, and is being put down"
    if call.left == 0:
        return f"{link.name} was called as often as it may be today (at_most)"
    if by_operator or opening is None:
        return None
    if (opening.window.name, opening.opens) in call.spent:
        return f"{link.name} had its call in this opening of {opening.window.name}, and stays down until the next"
    if opening.closes - s.now < _time_to_come_up(s, link, opening):
        return f"{opening.window.name} closes too soon for a call of {link.name}"
    return None


def _time_to_come_up(s: Situation, link: LinkState, opening: Opening) -> float:
    """Seconds before the end of an opening in which no call is begun: it would come up for nothing. A short opening may be
    shorter than what a call is allowed to take, and is called for all the same at its beginning."""
    settings = link_settings(s, link)
    within = settings.dial.within if settings is not None and settings.dial is not None else 0.0
    return min(within, (opening.closes - opening.opens) / 4)


def _would_help(relay: RelaySettings, s: Situation, opening: Opening | None, pushed: bool) -> bool:
    """Another line may reach a relay that this one does not; a refused login it will not mend."""
    trouble = s.troubles.get(relay.name)
    return trouble is None or not trouble.stubborn or is_over(trouble, s, opening, pushed)


def relays_for(s: Situation, link: LinkState, opening: Opening | None) -> tuple[RelaySettings, ...]:
    """The relays that may be used, in order; only the last form, `relays` in order, ever has more than one."""
    via = opening.window.via if opening is not None and s.mode != "online" else None
    settings = link_settings(s, link)
    for name in (via, settings.relay if settings is not None else None):
        if name is not None and (relay := next((r for r in s.settings.relays if r.name == name), None)) is not None:
            return (relay,)
    return s.settings.relays


def is_over(trouble: RelayTrouble, s: Situation, opening: Opening | None, pushed: bool) -> bool:
    """Trouble ends with its time; with an operator's wish; and, unless stubborn, where a new opportunity begins."""
    if s.now >= trouble.until or pushed:
        return True
    if trouble.stubborn:
        return False
    return trouble.since < (opening.opens if opening is not None else s.opportunity_since)


def after_trouble(message: MessageFacts, s: Situation, opening: Opening | None, trouble: RelayTrouble) -> NextTry:
    if opening is None:
        return NextTry("time", trouble.until)
    if trouble.until < opening.closes:
        return NextTry("window", trouble.until, opening.window.name)
    return later(message, s, opening)


def inside_relay(settings: Settings) -> RelaySettings | None:
    """The branch's own server, in the shape in which the courier takes relays. TLS where it offers it: no line is crossed."""
    if settings.inside is None:
        return None
    return RelaySettings(INSIDE, settings.inside.host, settings.inside.port, tls="opportunistic")
