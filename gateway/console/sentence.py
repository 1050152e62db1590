"""The state in one sentence, from a fixed set (tested one by one): what the operator reads first. Pure.

`tone`: ok, busy, plan (waits by plan), warn (will be tried again), bad (a person must look).
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Literal

import msgspec

from gateway.control.console_rows import Overview

Tone = Literal["ok", "busy", "plan", "warn", "bad"]


class Sentence(msgspec.Struct, frozen=True):
    text: str
    detail: str
    tone: Tone


def judge(o: Overview) -> Sentence:
    """The one sentence that fits; the first reason in this order counts."""
    queue, now = o.queue, datetime.fromisoformat(o.now)
    zone = now.tzinfo
    if o.disk.free <= o.disk.reserve:
        return Sentence("The disk is full: new mail is refused.", "What was accepted stays, and is sent.", "bad")
    if o.mode.now == "stopped":
        until = f" until {clock(o.mode.until, now)}" if o.mode.until else ""
        return Sentence(f"Stopped{until}: mail is accepted, nothing is sent.", _waiting(o), "bad")
    if o.relay is None and o.direct is None:
        return Sentence("No relay is configured.", f"Mail is accepted and waits. {_waiting(o)}", "bad")
    if o.clock is not None and o.mode.now == "offline" and not o.sending:
        return Sentence("The clock cannot be right: windows wait.", f"{_capital(o.clock)}. {_waiting(o)}", "bad")
    if o.sending:
        count = len(o.sending)
        way = (
            f"Through {o.relay.host}" if o.direct is None and o.relay is not None else "To the servers of their domains"
        )
        return Sentence(f"Sending {messages(count)} now.", f"{way}. {_others_waiting(o)}", "busy")
    if not queue.messages:
        return Sentence("All mail has left.", _next_opening(o, now), "ok")
    if queue.by_state.get("held", 0) == queue.messages:
        return Sentence("Nothing leaves: all mail is held.", "Release it to let it go.", "warn")
    if o.direct is None and o.relay is not None and o.relay.trouble is not None:
        again = f"Next try at {clock(o.relay.next_try, now)}." if o.relay.next_try else ""
        return Sentence("The relay does not take our mail.", f"{_capital(o.relay.trouble)}. {again}".strip(), "bad")
    if o.mode.now == "online":
        if queue.by_state.get("deferred", 0):
            return Sentence("Online. Some mail is tried again later.", _waiting(o), "warn")
        return Sentence("Online. Mail leaves as it comes.", _waiting(o), "ok")
    return _offline(o, now, zone)


def _offline(o: Overview, now: datetime, zone: tzinfo | None) -> Sentence:
    del zone
    if o.open and not o.queue.is_complete:
        return Sentence(f"{o.open[0].window} is open.", "The queue is being counted.", "plan")
    if not o.queue.is_complete:
        return Sentence("The queue is being counted.", _waiting(o), "plan")
    groups = [g for g in o.queue.groups if g.next_try.kind == "window" and g.next_try.at is not None]
    if groups:
        first = min(groups, key=lambda group: datetime.fromisoformat(group.next_try.at or o.now))
        count, octets = first.messages, first.octets
        at = first.next_try.at or o.now
        then = f"{count} of {messages(o.queue.messages)} {'goes' if count == 1 else 'go'} then, {size(octets)}."
        if datetime.fromisoformat(at) <= now:
            return Sentence(f"{first.next_try.window} is open. Mail is leaving.", _waiting(o), "busy")
        return Sentence(f"On plan. Mail leaves at {clock(at, now)}.", then, "plan")
    if not o.has_windows:
        return Sentence("Offline, and the schedule has no window.", "Nothing leaves until it has one.", "bad")
    return Sentence("No window admits what waits.", f"{_waiting(o)} Send it now, or change the schedule.", "bad")


def _waiting(o: Overview) -> str:
    if not o.queue.messages:
        return "Nothing waits."
    verb = "waits" if o.queue.messages == 1 else "wait"
    return f"{messages(o.queue.messages)} {verb}, {size(o.queue.octets)}."


def _others_waiting(o: Overview) -> str:
    """Beside those that are being sent now, which are in the queue until they have left."""
    count = o.queue.messages - len(o.sending)
    if count <= 0:
        return "Nothing else waits."
    octets = max(0, o.queue.octets - sum(row.size for row in o.sending))
    return f"{count} more {'message waits' if count == 1 else 'messages wait'}, {size(octets)}."


def _next_opening(o: Overview, now: datetime) -> str:
    if o.mode.now == "online":
        return "New mail is sent at once."
    if o.open:
        return f"{o.open[0].window} is open until {clock(o.open[0].closes, now)}."
    if o.next is not None:
        return f"The next message waits for {o.next.window}, {clock(o.next.opens, now)}."
    return "The schedule has no opening ahead."


def messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"


def size(octets: int) -> str:
    """`2.1 MB`; 1 MB = 1,000,000 octets."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if octets >= scale:
            value = octets / scale
            return (
                f"{value:.0f} {unit}"
                if value >= (9.95 if unit == "kB" else 99.5)
                else f"{value:.1f} {unit}".replace(".0 ", " ")
            )
    return f"{octets} B"


def clock(instant: str | None, now: datetime) -> str:
    """`12:30` today, `Wed 12:30` within a week, the date beyond."""
    if instant is None:
        return "-"
    when = datetime.fromisoformat(instant).astimezone(now.tzinfo)
    days = (when.date() - now.date()).days
    if days == 0:
        return f"{when:%H:%M}"
    return f"{when:%a %H:%M}" if -7 < days < 7 else f"{when:%Y-%m-%d %H:%M}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
