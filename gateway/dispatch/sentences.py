"""What clients and senders are told of the plan: with the 250, instead of it, and in a report of delay. Pure."""

from __future__ import annotations

from collections.abc import Callable

from gateway.dispatch.decide import decide
from gateway.dispatch.ends import is_late
from gateway.dispatch.facts import Decision, Go, MessageFacts, Situation, facts_of
from gateway.dispatch.openings import why_never
from gateway.dispatch.words import time_words
from gateway.mail.envelope import Class
from gateway.schedule.calendar import Calendar
from gateway.spool.record import Record


def leaves(verdict: Decision, s: Situation) -> str | None:
    """When a message just accepted leaves, for its 250; None where that is now, or not to be said."""
    if isinstance(verdict, Go) or verdict.next_try.at is None:
        return None
    window = f", window {verdict.next_try.window}" if verdict.next_try.window is not None else ""
    return f"leaves about {time_words(verdict.next_try.at, s.now, s.calendar.file.timezone)}{window}"


def late(record: Record, s: Situation) -> str | None:
    """A sentence for the sender of a message that is later than its plan; None while it is not (DESIGN section 8). By a clock
    that is not set nothing is late, nor is what an operator holds or stops; and why he does is not for the sender."""
    facts = facts_of(record)
    if s.clock_why is not None or s.mode == "stopped" or facts.held or not is_late(record, facts, s):
        return None
    verdict = decide(facts, s)
    if isinstance(verdict, Go) or verdict.next_try.kind == "asap":
        return "It is tried again as soon as the line allows."
    if verdict.next_try.at is None:
        return f"As things are, it does not leave by itself: {verdict.why}."
    window = f", in the window {verdict.next_try.window}" if verdict.next_try.window is not None else ""
    return f"It is tried again about {time_words(verdict.next_try.at, s.now, s.calendar.file.timezone)}{window}."


def refuses(
    message_class: Class, size: int, mode_set: str, calendar: Calendar, situation: Callable[[], Situation]
) -> str | None:
    """Offline by choice, and no enabled window would ever send it: the sentence for a 552, while its sender is there. Asked for
    each message, and hardly ever with an answer that needs the whole `situation`."""
    if mode_set != "offline" or not calendar.has_windows():
        return None
    if any(w.enabled and w.admits(message_class, size) for w in calendar.file.all_windows):
        return None
    s = situation()
    return why_never(MessageFacts("", s.now, size, message_class), s)
