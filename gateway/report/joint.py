"""One report about several messages of one sender that met the same fate: a hundred refusals are one letter, not a hundred.

RFC 3464 describes one message a report. Each part keeps its form here, and what it says of the message as a whole moves to
where it still can be said: queue ID, Message-ID, subject and time of arrival stand, as extension fields (2.4), with each
recipient. No third part: the headers of all would weigh more on a thin line than what they tell. Who asked in the words of
RFC 3461 for something that belongs to one message (ENVID, RET) gets a report of its own: `may_share`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.report import parts, words
from gateway.report.dsn import Kind, assemble, is_plain, may_report, recipient_fields, status_part
from gateway.spool.record import RecipientRecord, Record


@dataclass(frozen=True, slots=True)
class Original:
    """A message, those of its recipients that are told of, and the header of its content (or the beginning of it)."""

    record: Record
    recipients: Sequence[RecipientRecord]
    header: bytes
    will_retry_until: float | None = None


def may_share(record: Record) -> bool:
    """Whether it may stand in a report with others."""
    return record.envid is None and record.ret is None


def build_joint_report(
    kind: Kind, originals: Sequence[Original], *, hostname: str, now: float, report_id: str, plan: str | None = None
) -> bytes:
    """As `build_report`, for at least two messages of one sender. Raises ValueError for fewer, for different senders, for a
    null reverse-path and for a message without recipients."""
    senders = {original.record.reverse_path for original in originals}
    if len(originals) < 2 or len(senders) != 1:
        raise ValueError(f"a joint report about {len(originals)} messages of {len(senders)} senders")
    for original in originals:
        if not may_report(original.record) or not original.recipients:
            raise ValueError(f"{original.record.id} is a report, or has no sender or no recipients: nobody to tell")
    listed = [
        words.Listed(each.record, each.recipients, parts.subject_of(each.header), each.will_retry_until)
        for each in originals
    ]
    text = words.joint_explanation(kind, listed, hostname=hostname, plan=plan)
    bodies = [
        parts.part("text/plain", parts.crlf(text.encode("utf-8", "backslashreplace"))),
        _status(kind, originals, hostname, now),
    ]
    return assemble(words.JOINT_SUBJECTS[kind], originals[0].record.reverse_path, bodies, hostname, now, report_id)


def _status(kind: Kind, originals: Sequence[Original], hostname: str, now: float) -> bytes:
    is_global = not all(is_plain(recipient) for original in originals for recipient in original.recipients)
    field = parts.field_utf8 if is_global else parts.field
    groups = [field("Reporting-MTA", f"dns; {hostname}")]
    for original in originals:
        header = parts.header_of(original.header)
        about = [
            field("X-Queue-Id", original.record.id),
            field("X-Arrival-Date", parts.date(original.record.created)),
        ]
        for name, value in (
            ("X-Message-Id", parts.message_id_of(header)),
            ("X-Subject", parts.subject_of(header)),
        ):
            if value:
                about.append(field(name, value))
        groups += [
            recipient_fields(kind, recipient, field, now=now, will_retry_until=original.will_retry_until)
            + b"".join(about)
            for recipient in original.recipients
        ]
    return status_part(groups, is_global=is_global)
