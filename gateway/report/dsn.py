"""Builds a delivery status notification: RFC 3464 in a multipart/report (RFC 6522), with what RFC 3461 asked for.

Three parts: words for a person, fields for a program, and the header of the original (or all of it). The whole is
CRLF and 7-bit, so that any relay takes it; only a sender whose own address is not ASCII gets that address in UTF-8
(RFC 6533), and the message then needs SMTPUTF8.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Literal

from gateway.report import parts, words
from gateway.spool.record import RecipientRecord, Record

Kind = Literal["failed", "delayed", "delivered", "relayed"]

MAX_RETURNED = 1_000_000
"""Octets of an original that is returned whole; of a larger one only the header goes back over the thin line."""

_ENHANCED = re.compile(r"^\d{3}[ -]([245]\.\d{1,3}\.\d{1,3})\b")
_REPLY = re.compile(r"^[245]\d\d\b")
_DEFAULT_STATUS = {"failed": "5.0.0", "delayed": "4.0.0", "delivered": "2.0.0", "relayed": "2.0.0"}
_ASKED_AS = {"failed": "FAILURE", "delayed": "DELAY", "delivered": "SUCCESS", "relayed": "SUCCESS"}


def may_report(record: Record) -> bool:
    """False for a message that is itself a report: a null reverse-path is never answered (RFC 5321 4.5.5)."""
    return record.reverse_path != "" and record.report_for is None


def wanted(kind: Kind, recipient: RecipientRecord, record: Record | None = None) -> bool:
    """Whether the sender asked for it (RFC 3461 4.1). Without NOTIFY: failures and delays. See also `may_report`."""
    if record is not None and not may_report(record):
        return False
    if recipient.notify is None:
        return kind in ("failed", "delayed")
    asked = {word.strip().upper() for word in recipient.notify.split(",")}
    return "NEVER" not in asked and _ASKED_AS[kind] in asked


def build_report(
    kind: Kind,
    record: Record,
    recipients: Sequence[RecipientRecord],
    *,
    header: bytes,
    hostname: str,
    now: float,
    report_id: str,
    will_retry_until: float | None = None,
    plan: str | None = None,
    language: str = "en",  # noqa: ARG001  # the only one so far; the argument is the place for the next
) -> bytes:
    """The whole message, to be sent with an empty reverse-path to `record.reverse_path`.

    `header`: the original's header, or, where RET=FULL was asked, all its content. `report_id` makes the Message-ID: the
    same arguments give the same octets. `plan`: when it leaves, as a sentence. Raises ValueError for a null reverse-path
    and for no recipients.
    """
    if not may_report(record):
        raise ValueError(f"{record.id} is a report or has no sender: nobody to tell")
    if not recipients:
        raise ValueError(f"a report about {record.id} without recipients")
    original = parts.header_of(header)
    bodies = [
        parts.part(
            "text/plain",
            parts.crlf(
                words.explanation(
                    kind,
                    record,
                    recipients,
                    hostname=hostname,
                    subject=parts.subject_of(original),
                    will_retry_until=will_retry_until,
                    plan=plan,
                ).encode("utf-8", "backslashreplace")
            ),
        ),
        _status(kind, record, recipients, hostname=hostname, now=now, will_retry_until=will_retry_until),
        _returned(kind, record, header, original),
    ]
    return assemble(words.SUBJECTS[kind], record.reverse_path, bodies, hostname, now, report_id)


def assemble(
    subject: str, reverse_path: str, bodies: Sequence[bytes], hostname: str, now: float, report_id: str
) -> bytes:
    """The multipart/report of these parts, addressed to a sender."""
    boundary = _boundary(report_id, bodies)
    mark = b"--" + boundary.encode()
    body = b"".join(mark + b"\r\n" + octets + b"\r\n" for octets in bodies)  # that line end is the next mark's
    to = f"<{reverse_path}>"
    head = b"".join(
        (
            parts.field("From", f"Mail gateway <MAILER-DAEMON@{hostname}>"),
            parts.field("To", to) if to.isascii() else parts.field_utf8("To", to),
            parts.field("Subject", subject),
            parts.field("Date", parts.date(now)),
            parts.field("Message-ID", f"<{report_id}@{hostname}>"),
            parts.field("Auto-Submitted", "auto-replied"),
            parts.field("MIME-Version", "1.0"),
            f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"\r\n'.encode(),
        )
    )
    return head + b"\r\n" + body + mark + b"--\r\n"


def _status(
    kind: Kind,
    record: Record,
    recipients: Sequence[RecipientRecord],
    *,
    hostname: str,
    now: float,
    will_retry_until: float | None,
) -> bytes:
    """RFC 3464 2: a group of fields for the message, one for each recipient; in UTF-8 where an address needs it."""
    is_global = not all(is_plain(recipient) for recipient in recipients)
    field = parts.field_utf8 if is_global else parts.field
    group = [field("Reporting-MTA", f"dns; {hostname}")]
    if record.envid:
        group.append(field("Original-Envelope-Id", parts.unxtext(record.envid)))
    group.append(field("Arrival-Date", parts.date(record.created)))
    group.append(field("X-Queue-Id", record.id))
    groups = [b"".join(group)]
    groups += [recipient_fields(kind, r, field, now=now, will_retry_until=will_retry_until) for r in recipients]
    return status_part(groups, is_global=is_global)


def is_plain(recipient: RecipientRecord) -> bool:
    """It needs no UTF-8 (RFC 6533)."""
    return f"{recipient.address}{recipient.orcpt or ''}".isascii()


def recipient_fields(
    kind: Kind,
    recipient: RecipientRecord,
    field: Callable[[str, str], bytes],
    *,
    now: float,
    will_retry_until: float | None,
) -> bytes:
    """The fields of one recipient (RFC 3464 2.3). `field`: `parts.field`, or `parts.field_utf8`."""
    group = []
    if recipient.orcpt:
        group.append(field("Original-Recipient", _original_recipient(recipient.orcpt)))
    address_type = "rfc822" if recipient.address.isascii() else "utf-8"
    group.append(field("Final-Recipient", f"{address_type}; {recipient.address}"))
    group.append(field("Action", kind))
    group.append(field("Status", status_code(kind, recipient)))
    if recipient.relay:
        mta_type = "dns" if "." in recipient.relay else "x-relay"
        group.append(field("Remote-MTA", f"{mta_type}; {recipient.relay}"))
    if recipient.reply:
        words_type = "smtp" if _REPLY.match(recipient.reply) else "x-gateway"
        group.append(field("Diagnostic-Code", f"{words_type}; {recipient.reply}"))
    if kind != "delayed" or recipient.at is not None:  # late without an attempt has none to tell of (RFC 3464 2.3.7)
        group.append(field("Last-Attempt-Date", parts.date(now if recipient.at is None else recipient.at)))
    if kind == "delayed" and will_retry_until is not None:
        group.append(field("Will-Retry-Until", parts.date(will_retry_until)))
    return b"".join(group)


def status_part(groups: Sequence[bytes], *, is_global: bool) -> bytes:
    """The part for programs, of these groups of fields."""
    name = "message/global-delivery-status" if is_global else "message/delivery-status"
    return parts.part(name, b"\r\n".join(groups))


def status_code(kind: Kind, recipient: RecipientRecord) -> str:
    """RFC 3463: the relay's own, where it gave one of the kind's class."""
    found = _ENHANCED.match(recipient.reply or "")
    if found and (found.group(1)[0] == _DEFAULT_STATUS[kind][0]):
        return found.group(1)
    if kind == "failed" and recipient.standing == "expired":
        return found.group(1) if found else "4.4.7"
    return _DEFAULT_STATUS[kind]


def _original_recipient(orcpt: str) -> str:
    """`rfc822;Bob+2Bx@example.org` is xtext behind the type."""
    address_type, _, address = orcpt.partition(";")
    return f"{address_type}; {parts.unxtext(address)}"


def _returned(kind: Kind, record: Record, content: bytes, header: bytes) -> bytes:
    """RET counts for failures alone (RFC 3461 4.3): who hears that mail is late has it still."""
    whole = kind == "failed" and record.ret == "FULL" and b"\r\n\r\n" in content and len(content) <= MAX_RETURNED
    if not whole:
        return parts.part("text/rfc822-headers", header)
    if parts.is_seven_bit(content):
        return parts.part("message/rfc822", content)
    # message/rfc822 may not be encoded (RFC 2046 5.2.1); message/global may (RFC 6532 3.7).
    return parts.part("message/global", parts.crlf(content))


def _boundary(report_id: str, bodies: Sequence[bytes]) -> str:
    digest = hashlib.sha256(report_id.encode() + b"".join(bodies)).hexdigest()
    number = 0
    while any(f"=_{digest[:32]}{number}".encode() in body for body in bodies):
        number += 1
    return f"=_{digest[:32]}{number}"
