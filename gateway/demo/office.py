"""The demo's office: a few letters, an alarm, a newsletter and a scan, handed over by SMTP like any printer would."""

from __future__ import annotations

import smtplib
from dataclasses import dataclass
from email.message import EmailMessage

from gateway.demo.relay import UNKNOWN


@dataclass(frozen=True, slots=True)
class Letter:
    sender: str
    to: str
    subject: str
    octets: int = 600
    attachment: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


LETTERS = (
    Letter("anna@branch.example", "orders@hq.example", "Order 4711, second delivery"),
    Letter("scanner@branch.example", "archive@hq.example", "Scan of 24 pages", 60_000, "scan.pdf"),
    Letter("news@branch.example", "customers@list.example", "This week's offers", 9_000),
    Letter("petr@branch.example", UNKNOWN, "Lunch on Friday?"),
    Letter("alarm@branch.example", "ops@hq.example", "Freezer 2 is at -11 °C", headers=(("Importance", "high"),)),
    Letter("anna@branch.example", "accounts@hq.example", "Invoices of the week", 25_000, "invoices.zip"),
)


def hand_in(port: int, letter: Letter) -> None:
    """One letter to the gateway on 127.0.0.1. Raises OSError or SMTPException if it is not taken. Blocks: run in a thread."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = letter.sender, letter.to, letter.subject
    for name, value in letter.headers:
        message[name] = value
    message.set_content("Sent by the demo.\n" + "A line of an office letter.\n" * 10)
    if letter.attachment is not None:
        payload = bytes(range(256)) * (letter.octets // 350)
        message.add_attachment(payload, maintype="application", subtype="octet-stream", filename=letter.attachment)
    with smtplib.SMTP("127.0.0.1", port, local_hostname="office.branch.example", timeout=20) as office:
        office.send_message(message)
