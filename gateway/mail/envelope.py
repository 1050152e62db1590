"""The envelope: reverse-path, forward-paths and what MAIL and RCPT said beside them (RFC 5321, 3461, 6152, 6531, 2852)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Class = Literal["urgent", "normal", "bulk"]
CLASSES: tuple[Class, ...] = ("urgent", "normal", "bulk")
"""In the order in which they are sent."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One forward-path. `notify` and `orcpt` are RFC 3461's parameters as the client wrote them (case kept)."""

    address: str
    notify: str | None = None
    orcpt: str | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sends to whom. Addresses are without angle brackets; the null reverse-path is the empty text.

    `deliver_by`: the instant of RFC 2852, None without BY; `by_mode`: "R" to return the message when it has passed, "N" to
    notify the sender and go on; `by_trace`: the sender wants to hear where the extension was lost.
    """

    reverse_path: str
    recipients: tuple[Recipient, ...]
    body: Literal["7BIT", "8BITMIME"] | None = None
    smtputf8: bool = False
    ret: Literal["FULL", "HDRS"] | None = None
    envid: str | None = None
    deliver_by: float | None = None
    by_mode: Literal["R", "N"] | None = None
    by_trace: bool = False


@dataclass(frozen=True, slots=True)
class Peer:
    """The client that handed us a message, for the record and the log."""

    address: str | None = None
    helo: str | None = None
    user: str | None = None
    tls: bool = False
