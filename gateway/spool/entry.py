"""What the spool keeps in memory of each message that waits: the facts by which it is chosen, and nothing else."""

from __future__ import annotations

from sys import intern

from gateway.mail.address import domain_of
from gateway.mail.envelope import CLASSES, Class
from gateway.spool.record import RecipientRecord, Record

_CLASSES: dict[Class, Class] = {name: name for name in CLASSES}
"""One text object for each class, not one for each message read from disk."""

MOST_DOMAINS = 50
"""Domains of one message that are kept at a time; those behind them have their turn when these are served."""

_MOST_KNOWN = 10_000
_known: dict[tuple[str, ...], tuple[str, ...]] = {}
"""One object for all messages to the same domains. Emptied when it has grown: what entries hold stays theirs."""


class Entry:
    """One message in the index; with its ID and its place in the index at most 400 octets (P12).

    Read-only to all but the spool, and touched by the event loop alone. Fields as in `Record`; `claimed`: an attempt (or the
    wait for the disk after one) holds it; `doubt`: it may have been delivered without our knowing. `inside`, `outside`:
    recipients are pending on that route; without either it waits only for a report. `untold`: a failure has no report yet.
    `warned`: its sender knows that it is late.
    `domains`: of those outside, in order; `dues`: Next Try of each where any has one of its own.
    """

    __slots__ = (
        "attempts",
        "claimed",
        "created",
        "deliver_by",
        "domains",
        "doubt",
        "due",
        "dues",
        "held",
        "id",
        "inside",
        "inside_due",
        "last_try",
        "message_class",
        "outside",
        "size",
        "tries",
        "untold",
        "warned",
    )

    id: str
    created: float
    deliver_by: float | None
    size: int
    message_class: Class
    due: float | None
    last_try: float | None
    attempts: int
    tries: int
    held: bool
    doubt: bool
    inside: bool
    outside: bool
    domains: tuple[str, ...]
    dues: tuple[float | None, ...] | None
    inside_due: float | None
    untold: bool
    warned: bool
    claimed: bool

    def __init__(self, record: Record) -> None:
        self.id = record.id
        self.created = record.created
        self.size = record.size
        self.claimed = False
        self.follow(record)

    def follow(self, record: Record) -> None:
        """Take over what a rewritten record says."""
        self.message_class = _CLASSES[record.message_class]
        self.due = record.due
        self.deliver_by = record.deliver_by
        self.last_try = record.last_try
        self.attempts = record.attempts
        self.tries = record.tries
        self.held = record.held
        self.doubt = record.doubt is not None
        pending = record.pending
        self.inside = any(r.inside for r in pending)
        self._follow_outside([r for r in pending if not r.inside] if self.inside else pending)
        self.untold = len(pending) < len(record.recipients) and bool(record.untold)
        self.inside_due = record.inside_due
        self.warned = record.warned is not None

    def _follow_outside(self, pending: list[RecipientRecord]) -> None:
        self.outside = bool(pending)
        dues: dict[str, float | None] = {}
        for recipient in pending:
            domain = domain_of(recipient.address)
            if domain not in dues and len(dues) < MOST_DOMAINS:
                dues[domain] = recipient.due
        domains = tuple(dues)
        self.domains = _known.get(domains) or _keep(domains)
        self.dues = None
        for due in dues.values():
            if due is not None:
                self.dues = tuple(dues.values())
                break

    @property
    def tried(self) -> bool:
        return self.tries > 0


def _keep(domains: tuple[str, ...]) -> tuple[str, ...]:
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    shared = tuple(map(intern, domains))
    return _known.setdefault(shared, shared)
