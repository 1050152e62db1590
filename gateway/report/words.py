"""What a report says to the person who reads it: no jargon first, the relay's own words after.

One language so far. All texts come from outside (addresses, replies, the subject) and are plain characters here; how
they are put into octets is `parts`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.clock import utc
from gateway.spool.record import RecipientRecord, Record

WIDTH = 72
MAX_LISTED = 100
MAX_LISTED_OF_ONE = 10
"""Recipients of one message that a joint report names in its text."""

SUBJECTS = {
    "failed": "Your message could not be delivered",
    "delayed": "Your message is still on its way",
    "delivered": "Your message was delivered",
    "relayed": "Your message was passed on",
}

JOINT_SUBJECTS = {
    "failed": "Messages of yours could not be delivered",
    "delayed": "Messages of yours are still on their way",
    "delivered": "Messages of yours were delivered",
    "relayed": "Messages of yours were passed on",
}

_JOINT_OPENINGS = {
    "failed": "{count} messages of yours could not be delivered. They will not be tried again.",
    "delayed": (
        "{count} messages of yours have not been delivered yet. They are kept safe here; you need not send them again."
    ),
    "delivered": "{count} messages of yours were delivered.",
    "relayed": (
        "{count} messages of yours were handed on. The system that took them sends no confirmations, "
        "so this is the last word you get unless something goes wrong."
    ),
}

_OPENINGS = {
    "failed": "Your message could not be delivered to {whom}. It will not be tried again.",
    "delayed": ("Your message has not been delivered yet to {whom}. It is kept safe here; you need not send it again."),
    "delivered": "Your message was delivered to {whom}.",
    "relayed": (
        "Your message was handed on for {whom}. The system that took it sends no confirmations, "
        "so this is the last word you get unless something goes wrong."
    ),
}


def explanation(
    kind: str,
    record: Record,
    recipients: Sequence[RecipientRecord],
    *,
    hostname: str,
    subject: str,
    will_retry_until: float | None,
    plan: str | None,
) -> str:
    """The text part, lines of at most 72 characters where words allow, joined by LF."""
    whom = "this address" if len(recipients) == 1 else f"these {len(recipients)} addresses"
    blocks = [_fill(f"This is the mail gateway {hostname}."), _fill(_OPENINGS[kind].format(whom=whom))]
    listed = [_about(kind, recipient) for recipient in recipients[:MAX_LISTED]]
    if len(recipients) > MAX_LISTED:
        listed.append(f"    and {len(recipients) - MAX_LISTED} more, listed in the second part of this report")
    blocks.append("\n".join(listed))
    if kind == "delayed":
        if plan:
            blocks.append(_fill(plan))
        if will_retry_until is not None:
            blocks.append(_fill(f"It is not given up before {_date(will_retry_until)}."))
    about = [f"Sent:     {_date(record.created)}"]
    if subject:
        about.insert(0, _fill(f"Subject:  {subject}", indent="          "))
    blocks.append("\n".join(about))
    return "\n\n".join(blocks) + "\n"


@dataclass(frozen=True, slots=True)
class Listed:
    """A message in a joint report."""

    record: Record
    recipients: Sequence[RecipientRecord]
    subject: str
    will_retry_until: float | None


def joint_explanation(kind: str, listed: Sequence[Listed], *, hostname: str, plan: str | None) -> str:
    """The text part about several messages: what is true of all first, then each with its ID, subject and recipients."""
    recipients = [recipient for each in listed for recipient in each.recipients]
    reasons = {tuple(_reason(kind, recipient)) for recipient in recipients}
    common = list(next(iter(reasons))) if len(reasons) == 1 else []
    blocks = [_fill(f"This is the mail gateway {hostname}."), _fill(_JOINT_OPENINGS[kind].format(count=len(listed)))]
    if common:
        blocks.append("\n".join(_fill(f"    {line}", indent="    ") for line in common))
    if kind == "delayed" and plan:
        blocks.append(_fill(plan))
    for each in listed:
        lines = [f"Queue ID: {each.record.id}"]
        if each.subject:
            lines.append(_fill(f"Subject:  {each.subject}", indent="          "))
        lines.append(f"Sent:     {_date(each.record.created)}")
        if kind == "delayed" and each.will_retry_until is not None:
            lines.append(f"Until:    it is not given up before {_date(each.will_retry_until)}")
        for recipient in each.recipients[:MAX_LISTED_OF_ONE]:
            lines.append(f"To:       {recipient.address}")
            if not common:
                lines += [_fill(f"          {line}", indent="          ") for line in _reason(kind, recipient)]
        if len(each.recipients) > MAX_LISTED_OF_ONE:
            rest = len(each.recipients) - MAX_LISTED_OF_ONE
            lines.append(f"          and {rest} more, listed in the second part of this report")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _about(kind: str, recipient: RecipientRecord) -> str:
    lines = [_fill(f"        {line}", indent="        ") for line in _reason(kind, recipient)]
    return "\n".join([f"    {recipient.address}", *lines])


def _reason(kind: str, recipient: RecipientRecord) -> list[str]:
    lines = []
    if kind in ("failed", "delayed") and recipient.reply:
        who = f"{recipient.relay} said" if recipient.relay else "Reason"
        lines.append(f"{who}: {' '.join(recipient.reply.split())}")
    if kind == "failed" and recipient.standing == "expired":
        lines.append("It was tried for as long as this gateway tries, without success.")
    return lines


def _fill(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    )


def _date(instant: float) -> str:
    return utc(instant).strftime("%d %B %Y %H:%M UTC")
