"""What an attempt means for the record and for the relay: Next Try, counts, standings (DESIGN section 8). Pure."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.config.settings import QueueSettings
from gateway.dispatch.facts import RelayTrouble
from gateway.mail.outcome import Deferred, Delivered, Failed, Interrupted, Outcome, Reply, Unconfirmed
from gateway.spool.record import DoubtRecord, RecipientRecord, Record, Route

DOUBT_WAIT = 600.0
"""Seconds before a message in doubt is tried again (DESIGN section 7; RFC 5321 4.5.3.2.6 gives the peer as long)."""

BREAK_WAIT, BREAK_CEILING = 5.0, 60.0
"""Seconds until a new session after a break of the line without word from the kernel: from, doubling, to (DESIGN section 8)."""

STUBBORN_CEILING = 3600.0
"""A refused login or a wrong set-up is tried once an interval growing to an hour (CASES C22)."""

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Opportunity:
    """What the attempt was made in: an opening (`opens` is set), or Online (`uptime`: seconds of Online time with the
    link up that this gateway has counted, None where it counts none)."""

    opens: float | None = None
    uptime: float | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of the recipients in one attempt; the record was changed in place."""

    delivered: tuple[tuple[RecipientRecord, Reply], ...]
    failed: tuple[tuple[RecipientRecord, Reply], ...]
    deferred: tuple[tuple[RecipientRecord, str], ...]
    doubtful: tuple[tuple[RecipientRecord, str], ...]
    interrupted: bool


def apply_outcomes(
    record: Record,
    outcomes: Sequence[Outcome],
    *,
    relay: str,
    now: float,
    queue: QueueSettings,
    opportunity: Opportunity,
    route: Route = "outside",
    domains: Container[str] | None = None,
) -> Applied:
    """Write the outcomes, one for each recipient pending on the route (and in these domains), in order, into the record.

    An attempt for some domains alone sets the Next Try of their recipients, and no other's. `relay`: who answered, empty
    where nobody was asked.

    Raises ValueError if their number differs: a courier that loses count must not mark anybody as delivered.
    """
    pending = record.pending_on(route, domains)
    if len(pending) != len(outcomes):
        raise ValueError(f"{record.id}: {len(outcomes)} outcomes for {len(pending)} recipients")
    delivered: list[tuple[RecipientRecord, Reply]] = []
    failed: list[tuple[RecipientRecord, Reply]] = []
    deferred: list[tuple[RecipientRecord, str]] = []
    doubtful: list[tuple[RecipientRecord, str]] = []
    is_real = False
    for recipient, outcome in zip(pending, outcomes, strict=True):
        recipient.relay = relay or None
        recipient.at = now
        match outcome:
            case Delivered(reply):
                recipient.standing, recipient.reply = "delivered", str(reply)
                delivered.append((recipient, reply))
                is_real = True
            case Failed(reply):
                recipient.standing, recipient.reply = "failed", str(reply)
                failed.append((recipient, reply))
                is_real = True
            case Deferred(reason, reply, real):
                recipient.reply = str(reply) if reply is not None else reason
                deferred.append((recipient, reason))
                is_real = is_real or real
            case Unconfirmed(reason):
                recipient.reply = f"answer lost: {reason}"
                doubtful.append((recipient, reason))
                is_real = True
            case Interrupted(reason):
                recipient.reply = reason
    record.tries += 1
    record.last_try = now
    if is_real:
        if domains is None:
            record.attempts += 1
        else:
            for recipient in pending:
                recipient.attempts += 1
            record.attempts = max(record.attempts, *(recipient.attempts for recipient in pending))
        if route == "outside":
            _count_opportunity(record, opportunity)
    if domains is not None:
        interval = max((recipient.interval or 0.0 for recipient in pending), default=0.0) or None
    else:
        interval = record.interval if route == "outside" else record.inside_interval
    due, interval = _next_try(record, deferred, doubtful, now, queue, is_real, interval)
    if domains is not None:
        for recipient in pending:
            recipient.due, recipient.interval = due, interval
        if doubtful and due is not None:  # through a relay too it waits for its ten minutes
            record.due = max(record.due or due, due)
    elif route == "outside":
        record.due, record.interval = due, interval
    else:
        record.inside_due, record.inside_interval = due, interval
    interrupted = any(isinstance(outcome, Interrupted) for outcome in outcomes)
    return Applied(tuple(delivered), tuple(failed), tuple(deferred), tuple(doubtful), interrupted)


def _next_try(
    record: Record,
    deferred: Sequence[tuple[RecipientRecord, str]],
    doubtful: Sequence[tuple[RecipientRecord, str]],
    now: float,
    queue: QueueSettings,
    is_real: bool,
    interval: float | None,
) -> tuple[float | None, float | None]:
    """Next Try and its interval: ten minutes in doubt, then and else the retry interval, doubling to its ceiling."""
    if doubtful:
        count = record.doubt.count + 1 if record.doubt is not None else 1
        record.doubt = DoubtRecord(at=now, count=count, reason=doubtful[0][1])
        record.status = f"in doubt: {doubtful[0][1]}"
        if count == 1:
            return now + DOUBT_WAIT, None
    elif deferred:
        record.status = deferred[0][1]
        if not is_real:  # the relay never answered MAIL: only Next Try moves, nothing counts or doubles
            return now + queue.retry_interval, interval
    else:
        record.status = next((r.reply for r in reversed(record.recipients) if r.standing == "pending"), record.status)
        return None, interval  # interrupted: due again at once; or over
    interval = min(queue.retry_ceiling, interval * 2 if interval else queue.retry_interval)
    return now + interval, interval


def _count_opportunity(record: Record, opportunity: Opportunity) -> None:
    """Opportunity age (DESIGN section 8): Online the time the link was up; Offline, from one tried opening to the next."""
    if opportunity.opens is not None:
        if record.opening_tried is not None and opportunity.opens > record.opening_tried:
            record.opportunity += min(DAY, opportunity.opens - record.opening_tried)
        record.opening_tried = max(opportunity.opens, record.opening_tried or opportunity.opens)
        record.uptime_mark = None
    elif opportunity.uptime is not None:
        if record.uptime_mark is not None and opportunity.uptime >= record.uptime_mark:
            record.opportunity += opportunity.uptime - record.uptime_mark
        record.uptime_mark = opportunity.uptime


TroubleKind = Literal["unreachable", "broken", "stubborn", "names", "loop"]


@dataclass(frozen=True, slots=True)
class TroubleCount:
    """How often a relay failed in a row, in which way; the interval grows with it."""

    kind: TroubleKind
    interval: float


def next_trouble(
    before: TroubleCount | None, kind: TroubleKind, why: str, now: float, queue: QueueSettings
) -> tuple[TroubleCount, RelayTrouble]:
    """The relay failed as a whole: when it is tried again.

    `broken`: the line went in the middle; 5 s doubling to a minute. `unreachable`: the retry interval doubling to its
    ceiling; a line that broke and is still away stays in the shorter rhythm. `stubborn`: to an hour at most. `names`: as
    unreachable; `loop`: as stubborn.

    `keeps` in what is returned says whether such trouble of a domain is (still) its own: the line that breaks, until that has
    happened for a minute, the name service's first failure, and mail that a relay would only send back to us.
    """
    if kind == "unreachable" and before is not None and before.kind == "broken":
        kind = "broken"
    first, ceiling = {
        "broken": (BREAK_WAIT, BREAK_CEILING),
        "unreachable": (queue.retry_interval, queue.retry_ceiling),
        "stubborn": (queue.retry_interval, max(queue.retry_interval, STUBBORN_CEILING)),
        "loop": (queue.retry_interval, max(queue.retry_interval, STUBBORN_CEILING)),
        "names": (queue.retry_interval, queue.retry_ceiling),
    }[kind]
    interval = min(ceiling, before.interval * 2) if before is not None and before.kind == kind else first
    is_first = before is None or before.kind != kind
    keeps = kind == "loop" or (kind == "names" and is_first) or (kind == "broken" and interval < ceiling)
    trouble = RelayTrouble(now + interval, now, why, stubborn=kind in ("stubborn", "loop"), keeps=keeps)
    return TroubleCount(kind, interval), trouble
