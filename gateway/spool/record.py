"""The record of a message, `ID.env`: the envelope and all that happened to it, as JSON a person can read.

Instants are ISO 8601 text in UTC on disk and seconds since 1970 in memory (`Record` holds the latter as floats;
the encoding is in this module). Unknown fields of a newer version are refused, so that an older program sets the pair aside
instead of forgetting what it said.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.mail.envelope import Class

Standing = Literal["pending", "delivered", "failed", "expired"]


class RecipientRecord(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One recipient's standing. `reply`: the relay's last words about it; `at`: when that was."""

    address: str
    standing: Standing = "pending"
    notify: str | None = None
    orcpt: str | None = None
    reply: str | None = None
    relay: str | None = None
    at: float | None = None


class DoubtRecord(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The last time the answer was lost after the final dot, and how often so far."""

    at: float
    count: int = 1
    reason: str = ""


class RemovalRecord(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Why a pair lies in `removed/`: when, by whom, whether its sender is to be told, and which removal (for `undo`)."""

    at: float
    by: str
    tell_sender: bool = False
    batch: int = 0


class Record(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """All we know of one message.

    `size` is the octets of ID.eml, our Received field included; `sha256` (hex) is over the same octets.
    `due`: Next Try, None when it may go as soon as it is allowed. `attempts` counts real ones (the relay answered MAIL),
    `tries` also those that reached nobody.
    `opportunity`: seconds of opportunity age (DESIGN section 8); `opening_tried`: start of the last opening in which it was
    really tried.
    """

    id: str
    created: float
    reverse_path: str
    recipients: list[RecipientRecord]
    size: int
    sha256: str
    message_class: Class = "normal"
    service: str = "smtp"
    body: Literal["7BIT", "8BITMIME"] | None = None
    smtputf8: bool = False
    ret: Literal["FULL", "HDRS"] | None = None
    envid: str | None = None
    client: str | None = None
    helo: str | None = None
    user: str | None = None
    held: bool = False
    hold_note: str | None = None
    due: float | None = None
    attempts: int = 0
    tries: int = 0
    last_try: float | None = None
    status: str | None = None
    interval: float | None = None  # the retry interval that led to `due`; it doubles from here
    doubt: DoubtRecord | None = None
    opportunity: float = 0.0
    opening_tried: float | None = None
    uptime_mark: float | None = None  # Online time of the link, as counted at the last real attempt
    warned: float | None = None  # when the sender was told that it is late
    report_for: str | None = None  # the ID whose fate this report tells
    removal: RemovalRecord | None = None

    @property
    def pending(self) -> list[RecipientRecord]:
        """Those still to be served."""
        return [r for r in self.recipients if r.standing == "pending"]
