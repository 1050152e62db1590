"""Over which link, and through which relay: the part of the decision that asks the lines (DESIGN sections 4, 6). Pure."""

from __future__ import annotations

from gateway.config.settings import RelaySettings, Settings
from gateway.connectivity.state import LinkState
from gateway.dispatch.explaining import Trace, file_of, line_of, link_rule, link_settings, note, when
from gateway.dispatch.facts import Decision, Go, MessageFacts, NextTry, RelayTrouble, Situation, Wait
from gateway.dispatch.openings import later, present
from gateway.schedule.calendar import Opening

INSIDE = "(inside)"
"""The name of the way to `inside`, as link and as relay; no user's link or relay can be called so."""


def over_a_link(
    message: MessageFacts, s: Situation, opening: Opening | None, trace: Trace, pushed: bool = False
) -> Decision:
    """A link that is up, and a relay on it that is not known to be in trouble (DESIGN section 4, "Which relay")."""
    links = [link for link in s.links if link.up]
    if s.mode == "online":
        links.sort(key=lambda link: link.kind != "permanent")
    if not links:
        why = "link down" if len(s.links) == 1 else "no link is up"
        detail = "; ".join(f"{link.name}: {link.why}" for link in s.links)
        note(trace, "link", "wait", f"{why} ({detail})", *line_of(s, "links"))
        return Wait(present(opening), why)
    best: Wait | None = None
    for link in links:
        note(trace, "link", "ok", f"{link.name} is up: {link.why}", *link_rule(s, link))
        for relay in relays_for(s, link, opening):
            trouble = s.troubles.get(relay.name)
            if trouble is None or is_over(trouble, s, opening, pushed):
                note(trace, "relay", "ok", f"{relay.name} ({relay.host}:{relay.port})", file_of(s), relay.line or None)
                return Go(link.name, relay, opening)
            why = f"{trouble.why}; next try {when(trouble.until, s)}"
            note(trace, "relay", "wait", f"{relay.name}: {why}", file_of(s), relay.line or None)
            waiting = Wait(after_trouble(message, s, opening, trouble), why, trouble.until)
            if best is None or trouble.until < (best.wake or trouble.until):
                best = waiting
    assert best is not None  # relays_for never returns nothing: decide() stopped without relays
    return best


def relays_for(s: Situation, link: LinkState, opening: Opening | None) -> tuple[RelaySettings, ...]:
    """The relays that may be used, in order; only the last form, `relays` in order, ever has more than one."""
    by_name = {relay.name: relay for relay in s.settings.relays}
    via = opening.window.via if opening is not None and s.mode != "online" else None
    if via is not None and via in by_name:
        return (by_name[via],)
    settings = link_settings(s, link)
    if settings is not None and settings.relay in by_name:
        return (by_name[settings.relay],)
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
