"""May this message leave now; if not, why and when? One pure function, which also explains (DESIGN sections 5, 6, 8, 9).

`decide` is asked by the dispatcher before anything is sent, by the queue view for Next Try and Status, and, with a list for
`trace`, by `explain`: there is no second implementation. Every rule is asked in a fixed order; the first that stops decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from math import inf

from gateway.config.rules import WindowRule
from gateway.config.settings import LinkSettings, RelaySettings, Settings
from gateway.connectivity.state import LinkState
from gateway.dispatch.facts import Check, Decision, Go, MessageFacts, NextTry, RelayTrouble, Situation, Verdict, Wait
from gateway.dispatch.words import size_words, span_words, time_words
from gateway.schedule.calendar import Opening

GRACE = 120.0
"""Seconds that a message in flight may go on after the end of its opening (DESIGN section 5, rule 5)."""

Trace = list[Check] | None

FORESIGHT = 14 * 86400.0
"""Seconds: how far ahead one looks for an opening before calling a message late at once (DESIGN section 8)."""

NEVER = NextTry("never")


def decide(message: MessageFacts, situation: Situation, trace: Trace = None) -> Decision:
    """The verdict over one message at `situation.now`. With a `trace`, every rule asked is added to it in order."""
    s = situation
    if trace is not None:
        accepted = time_words(message.created, s.now, s.calendar.file.timezone)
        trace.append(Check("stored", "ok", f"accepted {accepted}, {size_words(message.size)}, {message.message_class}"))
    if message.held:
        why = "held by an operator" + (f": {message.hold_note}" if message.hold_note else "")
        _note(trace, "held", "stop", why)
        return Wait(NextTry("released"), why)
    _note(trace, "held", "ok", "not held")
    if s.mode == "stopped":
        _note(trace, "mode", "stop", f"sending is stopped ({s.mode_why})", *_line(s, "mode"))
        return Wait(NEVER, "sending is stopped")
    _note(trace, "mode", "ok", f"{s.mode}: {s.mode_why}", *_line(s, "mode"))
    if message.route == "inside":
        return _inside(message, s, trace)
    if not s.settings.relays:
        _note(trace, "relay", "stop", "no relay configured", *_line(s, "relays"))
        return Wait(NEVER, "no relay configured")
    if message.push is not None:
        return _pushed(message, s, trace)
    if s.mode == "online":
        return _online(message, s, trace)
    return _offline(message, s, trace)


def _inside(message: MessageFacts, s: Situation, trace: Trace) -> Decision:
    """Mail for `inside` crosses no line: windows and links do not concern it (DESIGN section 6)."""
    relay = inside_relay(s.settings)
    if relay is None:
        _note(trace, "inside", "stop", "its domain is no longer in accept.domains, and there is no inside server")
        return Wait(NEVER, "no inside server configured")
    _note(trace, "inside", "ok", f"for {relay.host}, at once in every mode: it crosses no line", *_line(s, "inside"))
    if message.due is not None and message.due > s.now:
        why = f"next try {_when(message.due, s)}"
        _note(trace, "retry", "wait", why, *_line(s, "queue"))
        return Wait(NextTry("time", message.due), why, message.due)
    trouble = s.troubles.get(relay.name)
    if trouble is not None and s.now < trouble.until and message.push is None:
        why = f"{trouble.why}; next try {_when(trouble.until, s)}"
        _note(trace, "relay", "wait", why, *_line(s, "inside"))
        return Wait(NextTry("time", trouble.until), why, trouble.until)
    return Go(INSIDE, relay, None, "inside")


INSIDE = "(inside)"
"""The name of the way to `inside`, as link and as relay; no user's link or relay can be called so."""


def inside_relay(settings: Settings) -> RelaySettings | None:
    """The branch's own server, in the shape in which the courier takes relays. TLS where it offers it: no line is crossed."""
    if settings.inside is None:
        return None
    return RelaySettings(INSIDE, settings.inside.host, settings.inside.port, tls="opportunistic")


def _online(message: MessageFacts, s: Situation, trace: Trace) -> Decision:
    if trace is not None:
        trace.append(Check("window", "ok", "Online does not wait for windows"))
    trouble_at = _retry_due(message, s, s.opportunity_since)
    if trouble_at is not None:
        why = f"next try {_when(trouble_at, s)}"
        _note(trace, "retry", "wait", why, *_line(s, "queue"))
        return Wait(NextTry("time", trouble_at), why, trouble_at)
    _note(trace, "retry", "ok", "none due later")
    return _over_a_link(message, s, None, trace)


def _pushed(message: MessageFacts, s: Situation, trace: Trace) -> Decision:
    """An operator asked for it now (`send`, `try`): windows' hours do not count."""
    if message.push == "send":
        windows = [w for w in s.calendar.file.all_windows if w.enabled]
        if windows and not any(w.admits(message.message_class, message.size) for w in windows):
            why = why_never(message, s)
            _note(trace, "window", "stop", why)
            return Wait(NEVER, why)
        since = s.opportunity_since if s.mode == "online" else max((o.opening.opens for o in s.open), default=s.now)
        due = _retry_due(message, s, since)
        if due is not None:
            _note(trace, "retry", "wait", f"next try {_when(due, s)}")
            return Wait(NextTry("time", due), f"next try {_when(due, s)}", due)
    _note(trace, "window", "ok", "an operator asked to send it now")
    opening = next((o.opening for o in s.open if _admits(o.opening.window, message)), None)
    return _over_a_link(message, s, opening, trace, pushed=True)


def _offline(message: MessageFacts, s: Situation, trace: Trace) -> Decision:
    """Any open window that admits it will do; the first in file order decides (rule 2)."""
    blocked: Wait | None = None
    for state in s.open:
        opening, window = state.opening, state.opening.window
        if not _admits(window, message):
            if trace is not None:
                for check in _admission(window, message, s):
                    trace.append(check)
            continue
        _note(trace, "window", "ok", f"{window.name} is open until {_when(opening.closes, s)}", *_rule(s, window))
        if not state.condition_met:
            why = f"{window.name} waits for its condition (only_if)"
            _note(trace, "only_if", "wait", why, *_rule(s, window, "only_if"))
            blocked = blocked or Wait(_later(message, s, opening), why)
            continue
        verdict = _in_opening(message, s, opening, trace)
        if isinstance(verdict, Go):
            return verdict
        blocked = blocked or verdict
    if blocked is not None:
        return blocked
    if s.clock_why is not None:
        return _without_a_clock(message, s, s.clock_why, trace)
    return _outside(message, s, trace)


def _without_a_clock(message: MessageFacts, s: Situation, why: str, trace: Trace) -> Decision:
    """Nobody knows which window is open: they wait; class urgent may use a link that is up anyway (DESIGN section 6)."""
    if message.message_class != "urgent":
        why = f"{why}; windows wait for it, or for tidegate clock accept"
        _note(trace, "clock", "wait", why)
        return Wait(NEVER, why)
    _note(trace, "clock", "ok", f"{why}; class urgent may use a link that is up anyway")
    due = _retry_due(message, s, -inf)
    if due is not None:
        _note(trace, "retry", "wait", f"next try {_when(due, s)}", *_line(s, "queue"))
        return Wait(NextTry("time", due), f"next try {_when(due, s)}", due)
    return _over_a_link(message, s, None, trace)


def _in_opening(message: MessageFacts, s: Situation, opening: Opening, trace: Trace) -> Decision:
    """The opening admits it; may it start now, in what is left of the opening?"""
    window = opening.window
    due = _retry_due(message, s, opening.opens)
    if due is not None:
        if due < opening.closes:
            why = f"next try {_when(due, s)}, window {window.name}"
            _note(trace, "retry", "wait", why, *_line(s, "queue"))
            return Wait(NextTry("window", due, window.name), why, due)
        _note(trace, "retry", "wait", f"{window.name} closes before the next try is due", *_line(s, "queue"))
        return Wait(_later(message, s, opening), "waits for the next opening after a failure", opening.closes)
    _note(trace, "retry", "ok", "none due later")
    verdict = _over_a_link(message, s, opening, trace)
    if isinstance(verdict, Go):
        needed = seconds_needed(message.size, s.speed.get(verdict.link))
        if needed is None:
            _note(trace, "time", "ok", "the speed of the line is not known yet, so everything is started")
        elif s.now + needed > opening.closes:
            return _too_late(message, s, opening, verdict, needed, trace)
        else:
            _note(trace, "time", "ok", f"needs about {span_words(needed)}")
    return verdict


def _too_late(
    message: MessageFacts, s: Situation, opening: Opening, verdict: Go, needed: float, trace: Trace
) -> Decision:
    """It cannot finish before the end (rule 5): wait for an opening long enough; what fits none starts first in one."""
    window = opening.window
    fitting = next_fitting(message, s, opening.closes, needed)
    if fitting is None and starts_first(opening, s.now, needed):
        _note(
            trace, "time", "ok", f"needs about {span_words(needed)}, fits no opening: starts first", *_rule(s, window)
        )
        return verdict
    why = f"needs {span_words(needed)}, {window.name} closes in {span_words(opening.closes - s.now)}"
    _note(trace, "time", "wait", why, *_rule(s, window))
    if fitting is None:
        return Wait(_later(message, s, opening), why, opening.closes)
    return Wait(NextTry("window", fitting.opens, fitting.window.name), why, opening.closes)


def next_fitting(message: MessageFacts, s: Situation, after: float, needed: float) -> Opening | None:
    """The first opening in the next 14 days that admits the message and is long enough for it, None if there is none."""
    for opening in islice(s.calendar.openings(after, after + FORESIGHT), 500):
        if _admits(opening.window, message) and opening.closes - opening.opens >= needed:
            return opening
    return None


def starts_first(opening: Opening, now: float, needed: float) -> bool:
    """True while the opening is at its beginning, for a message that the whole of it is too short for."""
    whole = opening.closes - opening.opens
    return needed > whole and now - opening.opens < min(60.0, whole / 2)


def fits_no_opening(message: MessageFacts, s: Situation, verdict: Go) -> bool:
    """True if the opening it goes in is too short for the whole of it: it leads its class (rule 5)."""
    needed = seconds_needed(message.size, s.speed.get(verdict.link))
    return (
        verdict.opening is not None and needed is not None and needed > verdict.opening.closes - verdict.opening.opens
    )


def _outside(message: MessageFacts, s: Situation, trace: Trace) -> Wait:
    """No open window takes it: name the opening that will, or say that none does."""
    following = _next_admitting(message, s, s.now)
    line_tried = _line_tried_again(s)
    if following is None:
        why = why_never(message, s)
        if line_tried is not None:
            return _wait_for_line(line_tried, s, trace)
        _note(trace, "window", "stop", why, *_line(s, "schedule"))
        return Wait(NEVER, why)
    if line_tried is not None and line_tried < following.opens:
        return _wait_for_line(line_tried, s, trace)
    window = following.window
    if trace is not None:
        passed = {o.opening.window.name for o in s.open}
        for rule in s.calendar.file.all_windows:
            if rule.enabled and rule.name not in passed and rule.name != window.name:
                trace.extend(c for c in _admission(rule, message, s) if c.state != "ok")
    why = f"waits for {window.name}, {_when(following.opens, s)}"
    _note(trace, "window", "wait", f"closed now; {window.name} is the next that takes it", *_rule(s, window))
    return Wait(NextTry("window", following.opens, window.name), why, following.opens)


def _wait_for_line(at: float, s: Situation, trace: Trace) -> Wait:
    """`auto`, and a link that failed is given another chance before any window opens."""
    why = f"the line is tried again {_when(at, s)} ({s.mode_why})"
    _note(trace, "link", "wait", why, *_line(s, "links"))
    return Wait(NextTry("time", at), why, at)


def _line_tried_again(s: Situation) -> float | None:
    if s.mode_set != "auto":
        return None
    times = [link.try_again_at for link in s.links if link.kind == "permanent" and link.try_again_at is not None]
    return min(times, default=None)


def _over_a_link(
    message: MessageFacts, s: Situation, opening: Opening | None, trace: Trace, pushed: bool = False
) -> Decision:
    """A link that is up, and a relay on it that is not known to be in trouble (DESIGN section 4, "Which relay")."""
    links = [link for link in s.links if link.up]
    if s.mode == "online":
        links.sort(key=lambda link: link.kind != "permanent")
    if not links:
        why = "link down" if len(s.links) == 1 else "no link is up"
        detail = "; ".join(f"{link.name}: {link.why}" for link in s.links)
        _note(trace, "link", "wait", f"{why} ({detail})", *_line(s, "links"))
        return Wait(_present(opening), why)
    best: Wait | None = None
    for link in links:
        _note(trace, "link", "ok", f"{link.name} is up: {link.why}", *_link_rule(s, link))
        for relay in relays_for(s, link, opening):
            trouble = s.troubles.get(relay.name)
            if trouble is None or _is_over(trouble, s, opening, pushed):
                _note(trace, "relay", "ok", f"{relay.name} ({relay.host}:{relay.port})", _file(s), relay.line or None)
                return Go(link.name, relay, opening)
            why = f"{trouble.why}; next try {_when(trouble.until, s)}"
            _note(trace, "relay", "wait", f"{relay.name}: {why}", _file(s), relay.line or None)
            waiting = Wait(_after_trouble(message, s, opening, trouble), why, trouble.until)
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
    settings = _link_settings(s, link)
    if settings is not None and settings.relay in by_name:
        return (by_name[settings.relay],)
    return s.settings.relays


def _is_over(trouble: RelayTrouble, s: Situation, opening: Opening | None, pushed: bool) -> bool:
    """Trouble ends with its time; with an operator's wish; and, unless stubborn, where a new opportunity begins."""
    if s.now >= trouble.until or pushed:
        return True
    if trouble.stubborn:
        return False
    return trouble.since < (opening.opens if opening is not None else s.opportunity_since)


def _after_trouble(message: MessageFacts, s: Situation, opening: Opening | None, trouble: RelayTrouble) -> NextTry:
    if opening is None:
        return NextTry("time", trouble.until)
    if trouble.until < opening.closes:
        return NextTry("window", trouble.until, opening.window.name)
    return _later(message, s, opening)


def _present(opening: Opening | None) -> NextTry:
    if opening is not None:
        return NextTry("window", opening.opens, opening.window.name)
    return NextTry("asap")


def _later(message: MessageFacts, s: Situation, opening: Opening) -> NextTry:
    """The next opening after this one that takes it."""
    following = _next_admitting(message, s, opening.closes, but=opening)
    if following is None:
        return NEVER
    return NextTry("window", max(following.opens, s.now), following.window.name)


def _next_admitting(message: MessageFacts, s: Situation, after: float, but: Opening | None = None) -> Opening | None:
    found = s.calendar.next_admitting(message.message_class, message.size, after)
    if found is not None and but is not None and found.opens < but.closes and found.window.name == but.window.name:
        return s.calendar.next_admitting(message.message_class, message.size, but.closes + 1.0)
    return found


def _retry_due(message: MessageFacts, s: Situation, since: float) -> float | None:
    """Next Try of the message's own, if it lies ahead and was set in the present opportunity (Online time or opening).

    A message in doubt keeps its ten minutes whatever begins or ends (DESIGN section 7).
    """
    if message.due is None or message.due <= s.now:
        return None
    if message.doubt or (message.last_try is not None and message.last_try >= since):
        return message.due
    return None


def _admits(window: WindowRule, message: MessageFacts) -> bool:
    return window.enabled and window.admits(message.message_class, message.size)


def _admission(window: WindowRule, message: MessageFacts, s: Situation) -> Iterator[Check]:
    """Why a window does or does not take this message: class, then size."""
    file, line = _rule(s, window, "send")
    if message.message_class not in window.send:
        sends = ", ".join(window.send) or "nothing"
        yield Check("class", "wait", f"{message.message_class}; {window.name} sends {sends}", file, line)
        return
    if window.max_message is not None and message.size > window.max_message:
        text = f"{size_words(message.size)}, over the {size_words(window.max_message)} limit of {window.name}"
        yield Check("size", "wait", text, *_rule(s, window, "max_message"))
        return
    yield Check("class", "ok", f"{window.name} takes it", file, line)


def why_never(message: MessageFacts, s: Situation) -> str:
    windows = [w for w in s.calendar.file.all_windows if w.enabled]
    if not windows:
        return "offline, and the schedule has no window"
    sending = [w for w in windows if message.message_class in w.send]
    if not sending:
        return f"no window sends class {message.message_class}"
    if not any(w.admits(message.message_class, message.size) for w in sending):
        largest = max(w.max_message for w in sending if w.max_message is not None)
        return f"too large for any window: {size_words(message.size)}, the largest limit is {size_words(largest)}"
    return "no opening in the next 400 days takes it"


def seconds_needed(size: int, speed: float | None) -> float | None:
    """Seconds for so many octets at so many bit/s; None where no speed is known."""
    return None if not speed else size * 8 / speed


def _when(instant: float, s: Situation) -> str:
    return time_words(instant, s.now, s.calendar.file.timezone)


def _note(trace: Trace, name: str, state: Verdict, text: str, file: str | None = None, line: int | None = None) -> None:
    if trace is not None:
        trace.append(Check(name, state, text, file, line))


def _file(s: Situation) -> str | None:
    return str(s.settings.path) if s.settings.path is not None else None


def _line(s: Situation, key: str) -> tuple[str | None, int | None]:
    """File and line of a top-level key of gateway.yaml, where it is written."""
    line = s.settings.line_of(key)
    return (_file(s), line) if line else (None, None)


def _rule(s: Situation, window: WindowRule, key: str = "name") -> tuple[str | None, int | None]:
    path = s.calendar.file.path
    return (str(path), window.line_of(key) or None) if path is not None and window.line else (None, None)


def _link_settings(s: Situation, link: LinkState) -> LinkSettings | None:
    return next((known for known in s.settings.links if known.name == link.name), None)


def _link_rule(s: Situation, link: LinkState) -> tuple[str | None, int | None]:
    settings = _link_settings(s, link)
    return (_file(s), settings.line) if settings is not None and settings.line else (None, None)
