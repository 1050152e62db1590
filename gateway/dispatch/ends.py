"""When a message is late and when its time is up (DESIGN section 8). Pure: over attempts and opportunity, never wall age."""

from __future__ import annotations

from math import inf

from gateway.config.settings import QueueSettings
from gateway.connectivity.clockset import BUILT
from gateway.dispatch.facts import MessageFacts, Situation, Wait
from gateway.dispatch.openings import FORESIGHT
from gateway.spool.record import Record

FEWEST_ATTEMPTS = 3
"""Real attempts without which nothing is given up."""

EXPIRED_REPLY = "delivery time expired"


def has_expired(record: Record, queue: QueueSettings, attempts: int | None = None) -> str | None:
    """Why it ends now, None if it does not: `give_up_after` of opportunity *and* three real attempts, or `max_attempts`.

    An office cut off for a month bounces nothing: time without a line is no opportunity, and a try that reached nobody is
    no attempt. `attempts`: the real ones for the recipients in question, where those are not all.
    """
    attempts = record.attempts if attempts is None else attempts
    if queue.max_attempts is not None and attempts >= queue.max_attempts:
        return f"given up after {attempts} attempts"
    if attempts >= FEWEST_ATTEMPTS and record.opportunity >= queue.give_up_after:
        return EXPIRED_REPLY
    return None


def planned(message: MessageFacts, s: Situation) -> float | None:
    """When the plan would have sent it: Online at once, else in the first opening since it came; None: none in 14 days.

    When it came is not known of what came by a clock that was wrong: later than now, or before this program was made. Such a
    message is as if it came now, and not late."""
    came = message.created if BUILT <= message.created <= s.now else s.now
    if s.mode == "online":
        return max(came, s.opportunity_since)
    opening = s.calendar.next_admitting(message.message_class, message.size, came)
    if opening is None or opening.opens > s.now + FORESIGHT:
        return None
    return max(opening.opens, came)


def late_from(message: MessageFacts, s: Situation) -> float:
    """The moment after which it is late: at once, if it is in no plan. Mail that waits as planned is never late."""
    plan = planned(message, s)
    return -inf if plan is None else plan + s.settings.queue.warn_after


def is_late(record: Record, message: MessageFacts, s: Situation) -> bool:
    """Is it time to tell its sender? Once."""
    return record.warned is None and s.now > late_from(message, s)


def untried_late_from(message: MessageFacts, verdict: Wait, s: Situation) -> float | None:
    """The same for what was not tried, and is not about to be; None where it does not become late by waiting as it does.

    Late is what a budget or short openings keep from leaving though its turn came, and what no opening takes for two weeks.
    Not what an operator holds or stops, nor what waits for a line or a clock: that passes, and a month without a line is told
    to nobody. A schedule without windows is no plan that could be missed: mail waits for `send` then."""
    if s.mode == "stopped" or s.clock_why is not None or message.held or message.route == "inside":
        return None
    if verdict.kept_back:
        return late_from(message, s)
    if s.mode == "online" or s.mode_passes or not s.calendar.has_windows():
        return None
    if s.mode_set == "auto" and any(link.kind == "permanent" for link in s.links):
        return None  # a line that comes back makes it Online
    at = verdict.next_try.at
    is_far = verdict.next_try.kind == "never" or (at is not None and at > s.now + FORESIGHT)
    return -inf if is_far and planned(message, s) is None else None


def will_retry_until(record: Record, now: float, queue: QueueSettings) -> float:
    """The earliest moment at which it could be given up, if the line were there all the time (RFC 3464 2.3.9)."""
    return now + max(0.0, queue.give_up_after - record.opportunity)
