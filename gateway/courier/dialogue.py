"""The conversation about one message, for whoever wants to read it: commands as they were sent, answers as they came.

No content, and nothing of signing in: those are no part of a message's transaction. Pure.
"""

from __future__ import annotations

from gateway.courier.capabilities import Capabilities
from gateway.courier.commands import mail_command, rcpt_command
from gateway.courier.transaction import Transaction
from gateway.mail.outcome import Reply

MOST_RECIPIENTS = 20

_NOTHING = "(no answer)"


def went_wrong(transaction: Transaction) -> bool:
    """Did the relay answer anything but yes, or not at all?"""
    answers = [transaction.mail, *transaction.rcpt, transaction.end]
    return transaction.data is not None or any(reply is None or reply.code >= 400 for reply in answers)


def dialogue(transaction: Transaction, offers: Capabilities, *, chunks: bool, lost: str | None) -> tuple[str, ...]:
    """Lines that begin with `C: `, `S: ` or `# `."""
    shipment = transaction.parcel.shipment
    size = shipment.content.size
    lines = [_command(mail_command(shipment.envelope, size, offers, shipment.by)), *_answer(transaction.mail)]
    if transaction.mail is None and lost is not None:
        return (*lines, f"# the relay {lost}")
    for place, index in enumerate(transaction.indices[:MOST_RECIPIENTS]):
        lines.append(_command(rcpt_command(shipment.envelope.recipients[index], offers)))
        lines += _answer(transaction.rcpt[place])
    if len(transaction.indices) > MOST_RECIPIENTS:
        lines.append(f"# and {len(transaction.indices) - MOST_RECIPIENTS} more recipients")
    if transaction.data is not None:
        lines += ["C: DATA", *_answer(transaction.data)]
    elif transaction.is_written or transaction.end is not None:
        lines += [
            f"C: BDAT {size} LAST" if chunks else "C: DATA",
            f"# {size} octets of content",
            *_answer(transaction.end),
        ]
    if lost is not None:
        lines.append(f"# the relay {lost}")
    return tuple(lines)


def _command(octets: bytes) -> str:
    return "C: " + octets.decode("utf-8", "replace").rstrip("\r\n")


def _answer(reply: Reply | None) -> list[str]:
    if reply is None:
        return [f"S: {_NOTHING}"]
    return [f"S: {reply.code} {line}" for line in reply.text.split("\n")[:10]]
