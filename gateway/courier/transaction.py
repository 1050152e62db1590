"""One message's way through a session: which answers came, which are awaited, and when it is over."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from gateway.courier.contract import Shipment, Timers
from gateway.courier.judge import Exchanged
from gateway.mail.outcome import Outcome, Reply


class Step(enum.IntEnum):
    """Whose answer it is."""

    RSET = 0
    MAIL = 1
    RCPT = 2
    DATA = 3
    END = 4  # the final dot, or the last BDAT


class Parcel:
    """A shipment and the outcomes so far. A relay that limits recipients gets it in several transactions; `put_off`
    holds what is true of a recipient if the next one never takes place."""

    __slots__ = ("is_marked", "outcomes", "put_off", "shipment")

    def __init__(self, shipment: Shipment, outcomes: Sequence[Outcome | None]) -> None:
        self.shipment = shipment
        self.outcomes = list(outcomes)
        self.put_off: dict[int, Outcome] = {}
        self.is_marked = False  # on_wire was awaited

    @property
    def open_indices(self) -> list[int]:
        return [index for index, outcome in enumerate(self.outcomes) if outcome is None]


class Transaction:
    """MAIL to final answer for some recipients of a parcel; `indices` are their places in the shipment's envelope.

    `owed`: answers awaited, but the last. `cost`: octets of it that count as in flight. `end_offset`: of the octets that
    the session wrote, where its last one stands, once `is_written`.
    """

    __slots__ = (
        "cost",
        "data",
        "end",
        "end_offset",
        "indices",
        "is_first",
        "is_over",
        "is_written",
        "mail",
        "owed",
        "parcel",
        "rcpt",
    )

    def __init__(self, parcel: Parcel, indices: Sequence[int]) -> None:
        self.parcel = parcel
        self.indices = tuple(indices)
        self.mail: Reply | None = None
        self.rcpt: list[Reply | None] = [None] * len(indices)
        self.data: Reply | None = None
        self.end: Reply | None = None
        self.owed = 0
        self.cost = 0
        self.end_offset = 0
        self.is_written = False
        self.is_first = False
        self.is_over = False

    @property
    def is_welcome(self) -> bool:
        """True if the sender and at least one recipient are accepted."""
        return self.mail is not None and self.mail.code < 400 and any(reply and reply.code < 400 for reply in self.rcpt)

    def note(self, step: Step, index: int, reply: Reply) -> bool:
        """Take down an answer. False if it is none that this command can have: the relay is out of step."""
        if step is not Step.END:
            self.owed -= 1
        match step:
            case Step.RSET:
                return reply.code in (250, 421)
            case Step.MAIL:
                self.mail = reply
            case Step.RCPT:
                self.rcpt[index] = reply
            case Step.DATA:
                if reply.code == 354:
                    return True
                self.data = reply
                return reply.code >= 400
            case Step.END:
                if 300 <= reply.code < 400:  # neither taken nor refused: there was no answer
                    return False
                self.end = reply
        return reply.code < 300 or reply.code >= 400

    def facts(self, *, complete: bool, lost: str | None, accepted_before: bool, in_doubt_of_setup: bool) -> Exchanged:
        return Exchanged(
            mail=self.mail,
            recipients=tuple(self.rcpt),
            data=self.data,
            end=self.end,
            complete=complete,
            lost=lost,
            may_be_setup=(self.is_first or in_doubt_of_setup) and not accepted_before,
            took_some=accepted_before,
        )


_SCANNED = 100_000.0
"""Octets a second that a relay may take to look through a message before it answers."""


def answer_limit(timers: Timers, step: Step | None, size: int) -> float:
    """Seconds for the answer that is due next; None: none is. `size` of its message: a large one is thought about longer,
    and giving up too early makes a double."""
    match step:
        case Step.END:
            return timers.final + size / _SCANNED
        case Step.DATA:
            return timers.data
        case Step.RCPT:
            return timers.rcpt
        case Step.MAIL | Step.RSET:
            return timers.mail
        case None:
            return timers.block
