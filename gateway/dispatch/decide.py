"""May this message leave now; if not, why and when? One pure function, which also explains (DESIGN sections 5, 6, 8, 9).

`decide` is asked by the dispatcher before anything is sent, by the queue view for Next Try and Status, and, with a list for
`trace`, by `explain`: there is no second implementation. Every rule is asked in a fixed order; the first that stops decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from gateway.dispatch.budgets import after_budget, budget_words, over_budget
from gateway.dispatch.explaining import Trace, line_of, note, rule_of, when
from gateway.dispatch.facts import (
    Check,
    Decision,
    Go,
    MessageFacts,
    NextTry,
    Raise,
    Situation,
    Wait,
    directions,
    is_direct,
)
from gateway.dispatch.openings import (
    NEVER,
    admission,
    admits,
    later,
    next_admitting,
    next_fitting,
    seconds_needed,
    starts_first,
    why_never,
)
from gateway.dispatch.retry import DOUBT_WAIT
from gateway.dispatch.way import INSIDE, inside_relay, over_a_link
from gateway.dispatch.words import size_words, span_words, time_words
from gateway.schedule.calendar import Opening

GRACE = 120.0
"""Seconds that a message in flight may go on after the end of its opening (DESIGN section 5, rule 5)."""


def decide(message: MessageFacts, situation: Situation, trace: Trace = None) -> Decision:
    """The verdict over one message at `situation.now`. With a `trace`, every rule asked is added to it in order."""
    s = situation
    if trace is not None:
        accepted = time_words(message.created, s.now, s.calendar.file.timezone)
        trace.append(Check("stored", "ok", f"accepted {accepted}, {size_words(message.size)}, {message.message_class}"))
    if message.is_over:
        why = "it has failed, and its sender is about to be told"
        note(trace, "report", "wait", why)
        return Wait(NextTry("asap"), why)
    if message.held:
        why = f"held: {message.hold_note}" if message.hold_note else "held by an operator"
        note(trace, "held", "stop", why)
        return Wait(NextTry("released"), why)
    if s.mode == "stopped":
        note(trace, "mode", "stop", f"sending is stopped ({s.mode_why})", *line_of(s, "mode"))
        return Wait(NEVER, "sending is stopped")
    if trace is not None:  # here and below: words and places that nobody reads are not made
        note(trace, "held", "ok", "not held")
        note(trace, "mode", "ok", f"{s.mode}: {s.mode_why}", *line_of(s, "mode"))
    if message.route == "inside":
        return _inside(message, s, trace)
    if not s.settings.relays and not is_direct(s):
        note(trace, "relay", "stop", "no relay configured", *line_of(s, "relays"))
        return Wait(NEVER, "no relay configured")
    if is_direct(s):
        message, *others = directions(message, s)
        if others:
            return _soonest((message, *others), s, trace)
    return _outwards(message, s, trace)


def _soonest(ways: Sequence[MessageFacts], s: Situation, trace: Trace) -> Decision:
    """Of a message that goes to several domains by itself: what leaves first speaks for the whole."""
    best: Decision | None = None
    for part in ways:
        note(trace, "to", "ok", f"for its recipients at {part.domain or 'no domain'}")
        verdict = _outwards(part, s, trace)
        if best is None or _order(verdict) < _order(best):
            best = verdict
    assert best is not None  # there is no message to nobody
    return best


def _order(verdict: Decision) -> tuple[int, float]:
    if isinstance(verdict, Go):
        return 0, 0.0
    if isinstance(verdict, Raise):
        return 1, 0.0
    return (3 if verdict.next_try.kind == "never" else 2), verdict.next_try.at or 0.0


def _outwards(message: MessageFacts, s: Situation, trace: Trace) -> Decision:
    if message.push is not None:
        return _pushed(message, s, trace)
    if s.mode == "online":
        return _online(message, s, trace)
    return _offline(message, s, trace)


def _inside(message: MessageFacts, s: Situation, trace: Trace) -> Decision:
    """Mail for `inside` crosses no line: windows and links do not concern it (DESIGN section 6)."""
    relay = inside_relay(s.settings)
    if relay is None:
        note(trace, "inside", "stop", "its domain is no longer in accept.domains, and there is no inside server")
        return Wait(NEVER, "no inside server configured")
    note(trace, "inside", "ok", f"for {relay.host}, at once in every mode: it crosses no line", *line_of(s, "inside"))
    if message.due is not None and message.due > s.now:
        why = f"next try {when(message.due, s)}"
        note(trace, "retry", "wait", why, *line_of(s, "queue"))
        return Wait(NextTry("time", message.due), why, message.due)
    trouble = s.troubles.get(relay.name)
    if trouble is not None and s.now < trouble.until and message.push is None:
        why = f"{trouble.why}; next try {when(trouble.until, s)}"
        note(trace, "relay", "wait", why, *line_of(s, "inside"))
        return Wait(NextTry("time", trouble.until), why, trouble.until)
    return Go(INSIDE, relay, None, "inside")


def _online(message: MessageFacts, s: Situation, trace: Trace) -> Decision:
    if trace is not None:
        trace.append(Check("window", "ok", "Online does not wait for windows"))
    trouble_at = _retry_due(message, s, s.opportunity_since)
    if trouble_at is not None:
        why = f"next try {when(trouble_at, s)}"
        note(trace, "retry", "wait", why, *line_of(s, "queue"))
        return Wait(NextTry("time", trouble_at), why, trouble_at)
    note(trace, "retry", "ok", "none due later")
    return over_a_link(message, s, None, trace)


def _pushed(message: MessageFacts, s: Situation, trace: Trace) -> Decision:
    """An operator asked for it now (`send`, `try`): windows' hours do not count."""
    if message.push == "send":
        windows = [w for w in s.calendar.file.all_windows if w.enabled]
        if windows and not any(w.admits(message.message_class, message.size) for w in windows):
            why = why_never(message, s)
            note(trace, "window", "stop", why)
            return Wait(NEVER, why)
        since = s.opportunity_since if s.mode == "online" else max((o.opening.opens for o in s.open), default=s.now)
        due = _retry_due(message, s, since)
        if due is not None:
            note(trace, "retry", "wait", f"next try {when(due, s)}")
            return Wait(NextTry("time", due), f"next try {when(due, s)}", due)
    note(trace, "window", "ok", "an operator asked to send it now")
    opening, blocked = None, None
    for state in s.open if s.mode != "online" else ():
        if not admits(state.opening.window, message):
            continue
        opening, no_budget = state.opening, _over_budget(message, s, state.opening, trace)
        if no_budget is None:
            blocked = None
            break
        blocked = blocked or no_budget
    return blocked or over_a_link(message, s, opening, trace, pushed=True)


def _over_budget(message: MessageFacts, s: Situation, opening: Opening, trace: Trace) -> Wait | None:
    """Why it must not go at the cost of this window."""
    window = opening.window
    budget = None if opening.once else s.window_budgets.get(window.name)
    if budget is None:
        return None
    why = over_budget(message, budget, window.name)
    if why is None:
        if trace is not None:
            note(trace, "budget", "ok", f"{window.name}: {budget_words(budget)}", *rule_of(s, window, "budget"))
        return None
    note(trace, "budget", "wait", why, *rule_of(s, window, "budget"))
    return Wait(after_budget(message, s, opening, budget), why, budget.renews, kept_back=True)


def _offline(message: MessageFacts, s: Situation, trace: Trace) -> Decision:
    """Any open window that admits it will do; the first in file order decides (rule 2)."""
    blocked: Wait | None = None
    for state in s.open:
        opening, window = state.opening, state.opening.window
        if not admits(window, message):
            if trace is not None:
                for check in admission(window, message, s):
                    trace.append(check)
            continue
        if trace is not None:
            note(trace, "window", "ok", f"{window.name} is open until {when(opening.closes, s)}", *rule_of(s, window))
        if not state.condition_met:
            why = f"{window.name} waits for its condition (only_if)"
            note(trace, "only_if", "wait", why, *rule_of(s, window, "only_if"))
            blocked = blocked or Wait(later(message, s, opening), why)
            continue
        verdict = _in_opening(message, s, opening, trace)
        if isinstance(verdict, Go):
            return verdict
        if blocked is None or (isinstance(verdict, Raise) and not isinstance(blocked, Raise)):
            blocked = verdict
    if blocked is not None:
        return blocked
    if s.clock_why is not None:
        return _without_a_clock(message, s, s.clock_why, trace)
    return _outside(message, s, trace)


def _without_a_clock(message: MessageFacts, s: Situation, why: str, trace: Trace) -> Decision:
    """Nobody knows which window is open: they wait; class urgent may use a link that is up anyway (DESIGN section 6)."""
    if message.message_class != "urgent":
        why = f"{why}; windows wait for it, or for tidegate clock accept"
        note(trace, "clock", "wait", why)
        return Wait(NEVER, why)
    note(trace, "clock", "ok", f"{why}; class urgent may use a link that is up anyway")
    due = _retry_due(message, s, -inf)
    if due is not None:
        note(trace, "retry", "wait", f"next try {when(due, s)}", *line_of(s, "queue"))
        return Wait(NextTry("time", due), f"next try {when(due, s)}", due)
    return over_a_link(message, s, None, trace)


def _in_opening(message: MessageFacts, s: Situation, opening: Opening, trace: Trace) -> Decision:
    """The opening admits it; may it start now, in what is left of the opening?"""
    window = opening.window
    due = _retry_due(message, s, opening.opens)
    if due is not None:
        if due < opening.closes:
            why = f"next try {when(due, s)}, window {window.name}"
            note(trace, "retry", "wait", why, *line_of(s, "queue"))
            return Wait(NextTry("window", due, window.name), why, due)
        note(trace, "retry", "wait", f"{window.name} closes before the next try is due", *line_of(s, "queue"))
        return Wait(later(message, s, opening), "waits for the next opening after a failure", opening.closes)
    note(trace, "retry", "ok", "none due later")
    if (no_budget := _over_budget(message, s, opening, trace)) is not None:
        return no_budget
    verdict = over_a_link(message, s, opening, trace)
    if isinstance(verdict, Go | Raise):
        needed = seconds_needed(message.size, s.speed.get(verdict.link))
        if needed is None:
            note(trace, "time", "ok", "the speed of the line is not known yet, so everything is started")
        elif s.now + needed > opening.closes:
            return _too_late(message, s, opening, verdict, needed, trace)
        elif trace is not None:
            note(trace, "time", "ok", f"needs about {span_words(needed)}")
    return verdict


def _too_late(
    message: MessageFacts, s: Situation, opening: Opening, verdict: Go | Raise, needed: float, trace: Trace
) -> Decision:
    """It cannot finish before the end (rule 5): wait for an opening long enough; what fits none starts first in one."""
    window = opening.window
    fitting = next_fitting(message, s, opening.closes, needed)
    if fitting is None and starts_first(opening, s.now, needed):
        note(
            trace, "time", "ok", f"needs about {span_words(needed)}, fits no opening: starts first", *rule_of(s, window)
        )
        return verdict
    why = f"needs {span_words(needed)}, {window.name} closes in {span_words(opening.closes - s.now)}"
    note(trace, "time", "wait", why, *rule_of(s, window))
    if fitting is None:
        return Wait(later(message, s, opening), why, opening.closes, kept_back=True)
    return Wait(NextTry("window", fitting.opens, fitting.window.name), why, opening.closes, kept_back=True)


def fits_no_opening(message: MessageFacts, s: Situation, verdict: Go) -> bool:
    """True if the opening it goes in is too short for the whole of it: it leads its class (rule 5)."""
    needed = seconds_needed(message.size, s.speed.get(verdict.link))
    return (
        verdict.opening is not None and needed is not None and needed > verdict.opening.closes - verdict.opening.opens
    )


def _outside(message: MessageFacts, s: Situation, trace: Trace) -> Wait:
    """No open window takes it: name the opening that will, or say that none does."""
    following = next_admitting(message, s, s.now)
    line_tried = _line_tried_again(s)
    if following is None:
        why = why_never(message, s)
        if line_tried is not None:
            return _wait_for_line(line_tried, s, trace)
        note(trace, "window", "stop", why, *line_of(s, "schedule"))
        return Wait(NEVER, why)
    if line_tried is not None and line_tried < following.opens:
        return _wait_for_line(line_tried, s, trace)
    window = following.window
    if trace is not None:
        passed = {o.opening.window.name for o in s.open}
        for rule in s.calendar.file.all_windows:
            if rule.enabled and rule.name not in passed and rule.name != window.name:
                trace.extend(c for c in admission(rule, message, s) if c.state != "ok")
        note(trace, "window", "wait", f"closed now; {window.name} is the next that takes it", *rule_of(s, window))
    why = f"waits for {window.name}, {when(following.opens, s)}"
    return Wait(NextTry("window", following.opens, window.name), why, following.opens)


def _wait_for_line(at: float, s: Situation, trace: Trace) -> Wait:
    """`auto`, and a link that failed is given another chance before any window opens."""
    why = f"the line is tried again {when(at, s)} ({s.mode_why})"
    note(trace, "link", "wait", why, *line_of(s, "links"))
    return Wait(NextTry("time", at), why, at)


def _line_tried_again(s: Situation) -> float | None:
    if s.mode_set != "auto":
        return None
    times = [link.try_again_at for link in s.links if link.kind == "permanent" and link.try_again_at is not None]
    return min((at for at in times if at > s.now), default=None)  # what is due is about to be tried


def _retry_due(message: MessageFacts, s: Situation, since: float) -> float | None:
    """Next Try of the message's own, if it lies ahead and was set in the present opportunity (Online time or opening).

    A message in doubt keeps its ten minutes whatever begins or ends (DESIGN section 7), and no more than those.
    """
    if message.due is None or message.due <= s.now:
        return None
    if message.last_try is not None and message.last_try >= since:
        return message.due
    if message.doubt:
        kept = message.due if message.last_try is None else min(message.due, message.last_try + DOUBT_WAIT)
        return kept if kept > s.now else None
    return None
