"""Which openings take a message, and how long one needs: the part of the decision that asks the calendar. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from gateway.config.rules import WindowRule
from gateway.dispatch.explaining import rule_of
from gateway.dispatch.facts import Check, MessageFacts, NextTry, Situation
from gateway.dispatch.words import size_words
from gateway.schedule.calendar import Opening

FORESIGHT = 14 * 86400.0
"""Seconds: how far ahead one looks for an opening before calling a message late at once (DESIGN section 8)."""

NEVER = NextTry("never")


def admits(window: WindowRule, message: MessageFacts) -> bool:
    return window.enabled and window.admits(message.message_class, message.size)


def admission(window: WindowRule, message: MessageFacts, s: Situation) -> Iterator[Check]:
    """Why a window does or does not take this message: class, then size."""
    file, line = rule_of(s, window, "send")
    if message.message_class not in window.send:
        sends = ", ".join(window.send) or "nothing"
        yield Check("class", "wait", f"{message.message_class}; {window.name} sends {sends}", file, line)
        return
    if window.max_message is not None and message.size > window.max_message:
        text = f"{size_words(message.size)}, over the {size_words(window.max_message)} limit of {window.name}"
        yield Check("size", "wait", text, *rule_of(s, window, "max_message"))
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


def present(opening: Opening | None) -> NextTry:
    if opening is not None:
        return NextTry("window", opening.opens, opening.window.name)
    return NextTry("asap")


def later(message: MessageFacts, s: Situation, opening: Opening) -> NextTry:
    """The next opening after this one that takes it."""
    following = next_admitting(message, s, opening.closes, but=opening)
    if following is None:
        return NEVER
    return NextTry("window", max(following.opens, s.now), following.window.name)


def next_admitting(message: MessageFacts, s: Situation, after: float, but: Opening | None = None) -> Opening | None:
    found = s.calendar.next_admitting(message.message_class, message.size, after)
    if found is not None and but is not None and found.opens < but.closes and found.window.name == but.window.name:
        return s.calendar.next_admitting(message.message_class, message.size, but.closes + 1.0)
    return found


def next_fitting(message: MessageFacts, s: Situation, after: float, needed: float) -> Opening | None:
    """The first opening in the next 14 days that admits the message and is long enough for it, None if there is none."""
    for opening in islice(s.calendar.openings(after, after + FORESIGHT), 500):
        if admits(opening.window, message) and opening.closes - opening.opens >= needed:
            return opening
    return None


def starts_first(opening: Opening, now: float, needed: float) -> bool:
    """True while the opening is at its beginning, for a message that the whole of it is too short for."""
    whole = opening.closes - opening.opens
    return needed > whole and now - opening.opens < min(60.0, whole / 2)


def seconds_needed(size: int, speed: float | None) -> float | None:
    """Seconds for so many octets at so many bit/s; None where no speed is known."""
    return None if not speed else size * 8 / speed
