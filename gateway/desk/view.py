"""Rows and explanations as the operator sees them (DESIGN sections 9, 10), made from records and the decision.

The same functions serve a running gateway and, where it does not run, the spool as it lies on disk.
"""

from __future__ import annotations

from datetime import datetime, tzinfo

from gateway.control.rows import CheckRow, Explanation, NextTryRow, QueueRow, SendingRow, State
from gateway.dispatch.decide import decide
from gateway.dispatch.facts import Check, Decision, Go, MessageFacts, NextTry, Situation, facts_of
from gateway.dispatch.lane import Sending
from gateway.dispatch.way import through
from gateway.dispatch.words import time_words
from gateway.spool.record import Record


def iso(instant: float, zone: tzinfo) -> str:
    """ISO 8601 with offset, to the second."""
    return datetime.fromtimestamp(instant, zone).isoformat(timespec="seconds")


def next_try_row(next_try: NextTry, zone: tzinfo) -> NextTryRow:
    at = iso(next_try.at, zone) if next_try.at is not None else None
    return NextTryRow(kind=next_try.kind, at=at, window=next_try.window)


def queue_row(
    record: Record, situation: Situation, *, claimed: bool = False, sending: Sending | None = None
) -> QueueRow:
    """One line of the queue."""
    zone = situation.calendar.file.timezone
    facts = facts_of(record, claimed=claimed)
    verdict = decide(facts, situation)
    return QueueRow(
        id=record.id,
        created=iso(record.created, zone),
        next_try=next_try_row(next_try_of(verdict, claimed), zone),
        size=record.size,
        sender=record.reverse_path,
        to=[recipient.address for recipient in record.pending or record.untold],
        status=_status(record, verdict, sending if claimed else None),
        state=state_of(facts, verdict, claimed),
        message_class=record.message_class,
        attempts=record.attempts,
    )


def next_try_of(verdict: Decision, claimed: bool) -> NextTry:
    """The Next Try column of a message with this verdict."""
    if claimed:
        return NextTry("asap")
    if isinstance(verdict, Go):
        if verdict.opening is not None:
            return NextTry("window", verdict.opening.opens, verdict.opening.window.name)
        return NextTry("asap")
    return verdict.next_try


def state_of(message: MessageFacts, verdict: Decision, claimed: bool) -> State:
    """The state of one message: sending, held, deferred (tried before, or its relay is in trouble), waiting."""
    if claimed:
        return "sending"
    if message.held:
        return "held"
    failed = message.tries > 0 or (not isinstance(verdict, Go) and verdict.next_try.kind == "time")
    return "deferred" if failed else "waiting"


def _status(record: Record, verdict: Decision, sending: Sending | None) -> str:
    """Why it has not been sent: what it waits for, and what the relay said last."""
    if sending is not None:
        return f"being sent {through(sending.relay)} ({sending.phase})"
    waits = "leaves now" if isinstance(verdict, Go) else verdict.why
    if record.status and record.status not in waits:
        return f"{record.status}; {waits}"
    return waits


def explanation(record: Record, situation: Situation, *, sending: Sending | None = None) -> Explanation:
    """The verdict in a sentence, and every rule that was asked, in order."""
    zone = situation.calendar.file.timezone
    checks: list[Check] = []
    verdict = decide(facts_of(record, claimed=sending is not None), situation, checks)
    next_try = next_try_of(verdict, sending is not None)
    return Explanation(
        id=record.id,
        verdict=_sentence(record, verdict, next_try, sending, situation),
        next_try=next_try_row(next_try, zone),
        checks=[CheckRow(name=c.name, state=c.state, text=c.text, file=c.file, line=c.line) for c in checks],
    )


def _sentence(record: Record, verdict: Decision, next_try: NextTry, sending: Sending | None, s: Situation) -> str:
    if sending is not None:
        return f"It is being sent now, {through(sending.relay)}."
    zone = s.calendar.file.timezone
    doubt = " The answer to an earlier try was lost, so it may arrive twice." if record.doubt is not None else ""
    if isinstance(verdict, Go):
        return f"It leaves now, {through(verdict.relay.name)} over {verdict.link}.{doubt}"
    why = verdict.why[:1].upper() + verdict.why[1:]
    match next_try.kind:
        case "released":
            return f"{why}. It leaves when it is released.{doubt}"
        case "never":
            return f"{why}. It does not leave until that changes.{doubt}"
        case "asap":
            return f"{why}. It leaves as soon as that is over.{doubt}"
        case "time":
            when = time_words(next_try.at, s.now, zone) if next_try.at is not None else "later"
            return f"{why}. It is tried at {when}.{doubt}"
        case "window":
            when = time_words(next_try.at, s.now, zone) if next_try.at is not None else "later"
            if next_try.at is not None and next_try.at <= s.now:
                return f"{why}. It leaves in {next_try.window}, which is open.{doubt}"
            because = "" if verdict.why.startswith("waits for ") else f"{why}. "
            return f"{because}It leaves at {when} in {next_try.window}.{doubt}"


def sending_row(sending: Sending, now: float) -> SendingRow:
    """A row of what is being sent now."""
    percent = 0 if not sending.size else min(100, round(100 * sending.octets / sending.size))
    return SendingRow(
        id=sending.id,
        size=sending.size,
        sender=sending.reverse_path,
        to=list(sending.to),
        phase=sending.phase,
        relay=sending.relay,
        elapsed=round(max(0.0, now - sending.since), 1),
        percent=percent,
    )


__all__ = ["MessageFacts", "explanation", "iso", "next_try_of", "next_try_row", "queue_row", "sending_row"]
