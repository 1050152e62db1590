"""The record of a message, `ID.env`: the envelope and all that happened to it, as JSON a person can read.

Instants are ISO 8601 text in UTC on disk and seconds since 1970 in memory (`Record` holds the latter as floats;
the encoding is in this module). Unknown fields of a newer version are refused, so that an older program sets the pair aside
instead of forgetting what it said.
"""

from __future__ import annotations

from collections.abc import Container
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

import msgspec

from gateway.mail.address import domain_of
from gateway.mail.envelope import Class

Standing = Literal["pending", "delivered", "failed", "expired"]

Route = Literal["outside", "inside"]
"""Over the line through a relay, or to the server of the branch itself."""


class RecipientRecord(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One recipient's standing. `reply`: the relay's last words about it; `at`: when that was. `untold`: it has failed, and no
    report of that is in the queue yet.

    `due`, `interval`, `attempts`: as those of the record, of what was tried for this recipient's domain alone (direct
    delivery); without `due` the record's counts.
    """

    address: str
    standing: Standing = "pending"
    inside: bool = False  # in `accept.domains`: its mail goes to `inside` and crosses no line
    notify: str | None = None
    orcpt: str | None = None
    reply: str | None = None
    relay: str | None = None
    at: float | None = None
    untold: bool = False
    due: float | None = None
    interval: float | None = None
    attempts: int = 0


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
    deliver_by: float | None = None  # RFC 2852: the instant, and what is to be done when it has passed
    by_mode: Literal["R", "N"] | None = None
    by_trace: bool = False
    client: str | None = None
    helo: str | None = None
    user: str | None = None
    held: bool = False
    hold_note: str | None = None
    due: float | None = None
    inside_due: float | None = None  # the same for the recipients inside, which wait for no line
    inside_interval: float | None = None
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

    @property
    def untold(self) -> list[RecipientRecord]:
        """Those that have failed and of whom nobody has been told yet."""
        return [r for r in self.recipients if r.untold]

    @property
    def has_ended(self) -> bool:
        """Nobody is left to be served, and no failure to be told."""
        return not any(r.standing == "pending" or r.untold for r in self.recipients)

    def pending_on(self, route: Route, domains: Container[str] | None = None) -> list[RecipientRecord]:
        """Those still to be served on one route; with `domains` (as `domain_of` gives them) those of these alone."""
        pending = [r for r in self.recipients if r.standing == "pending" and r.inside == (route == "inside")]
        return pending if domains is None else [r for r in pending if domain_of(r.address) in domains]


MAX_RECORD_OCTETS = 8 * 1024 * 1024
"""Far above a thousand recipients with their replies; a larger file is no record."""

_FIELDS = msgspec.json.Decoder(dict[str, Any])

_INSTANTS = ("created", "due", "deliver_by", "inside_due", "last_try", "opening_tried", "warned")
_INSTANTS_OF_PARTS = frozenset({"at", "due"})


def encode_record(record: Record) -> bytes:
    """ID.env: JSON, one field a line, instants as ISO 8601 in UTC to the microsecond."""
    fields: dict[str, Any] = msgspec.to_builtins(record)
    for name in _INSTANTS:
        if name in fields:
            fields[name] = _write_instant(fields[name])
    for part in _parts(fields):
        for name in _INSTANTS_OF_PARTS & part.keys():
            part[name] = _write_instant(part[name])
    return msgspec.json.format(msgspec.json.encode(fields), indent=1) + b"\n"


def decode_record(octets: bytes) -> Record:
    """The record that `encode_record` made. Raises ValueError, with the reason, for anything else."""
    try:
        fields = _FIELDS.decode(octets)
        for name in _INSTANTS:
            if name in fields:
                fields[name] = _read_instant(fields[name])
        for part in _parts(fields):
            for name in _INSTANTS_OF_PARTS & part.keys():
                part[name] = _read_instant(part[name])
        return msgspec.convert(fields, Record)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError, AttributeError, OverflowError) as exc:
        raise ValueError(f"not a record: {exc}") from exc


def _parts(fields: dict[str, Any]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [*fields.get("recipients", ())]
    parts += [part for name in ("doubt", "removal") if (part := fields.get(name)) is not None]
    return parts


def _write_instant(instant: float | None) -> str | None:
    if instant is None:
        return None
    second, microsecond = divmod(round(instant * 1_000_000), 1_000_000)
    return f"{_second(second)}.{microsecond:06d}Z"


@lru_cache(maxsize=16)
def _second(second: int) -> str:
    """Many are accepted in the same second."""
    return datetime.fromtimestamp(second, UTC).isoformat()[:-6]


def _read_instant(text: object) -> float | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError("an instant is text in ISO 8601")
    instant = datetime.fromisoformat(text)
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
