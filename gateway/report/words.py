"""What a report says to the person who reads it: no jargon first, the relay's own words after.

One language so far. All texts come from outside (addresses, replies, the subject) and are plain characters here; how
they are put into octets is `parts`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from gateway.clock import utc
from gateway.spool.record import RecipientRecord, Record

WIDTH = 72
MAX_LISTED = 100

SUBJECTS = {
    "failed": "Your message could not be delivered",
    "delayed": "Your message is still on its way",
    "delivered": "Your message was delivered",
    "relayed": "Your message was passed on",
}

_OPENINGS = {
    "failed": "Your message could not be delivered to {whom}. It will not be tried again.",
    "delayed": (
        "Your message has not been delivered yet to {whom}. It is kept safe here and will be sent; "
        "you need not send it again."
    ),
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
            blocks.append(_fill(f"It will be tried until {_date(will_retry_until)} at least."))
    about = [f"Sent:     {_date(record.created)}"]
    if subject:
        about.insert(0, _fill(f"Subject:  {subject}", indent="          "))
    blocks.append("\n".join(about))
    return "\n\n".join(blocks) + "\n"


def _about(kind: str, recipient: RecipientRecord) -> str:
    lines = [f"    {recipient.address}"]
    if kind in ("failed", "delayed") and recipient.reply:
        who = f"{recipient.relay} said" if recipient.relay else "Reason"
        words = " ".join(recipient.reply.split())
        lines.append(_fill(f"        {who}: {words}", indent="        "))
    if kind == "failed" and recipient.standing == "expired":
        lines.append("        It was tried for as long as this gateway tries, without success.")
    return "\n".join(lines)


def _fill(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    )


def _date(instant: float) -> str:
    return utc(instant).strftime("%d %B %Y %H:%M UTC")
