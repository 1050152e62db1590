"""What one attempt meant for one recipient, in the peer's own words (RFC 5321 4.2, RFC 3463)."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_REPLY_OCTETS = 500
"""A reply is kept cut to this many octets: enough for a person, bounded whatever the peer sends."""

_ENHANCED = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})(?:\s|$)")


@dataclass(frozen=True, slots=True)
class Reply:
    """An SMTP reply: the code, and the text of all its lines joined by newlines, cut to 500 octets."""

    code: int
    text: str

    @property
    def enhanced(self) -> str | None:
        """The enhanced status code (RFC 2034) at the head of the text, if there is one of the reply's own class."""
        found = _ENHANCED.match(self.text)
        if found and found.group(1)[0] == str(self.code)[0]:
            return found.group(1)
        return None

    @property
    def is_positive(self) -> bool:
        return 200 <= self.code < 400

    @property
    def is_permanent(self) -> bool:
        return 500 <= self.code < 600

    def __str__(self) -> str:
        return f"{self.code} {self.text}".rstrip()


def clean_reply_text(raw: bytes) -> str:
    """The peer's text as data that may be shown anywhere: UTF-8 or escaped, no control characters, at most 500 octets."""
    text = raw[: 4 * MAX_REPLY_OCTETS].decode("utf-8", "backslashreplace")
    if text.isascii() and text.isprintable():  # nearly every reply: one line of plain words
        return text.strip()[:MAX_REPLY_OCTETS]
    text = "".join(c if c == "\n" or c.isprintable() else " " if c in "\t\r" else f"\\x{ord(c):02x}" for c in text)
    encoded = text.strip().encode("utf-8", "backslashreplace")
    return encoded[:MAX_REPLY_OCTETS].decode("utf-8", "ignore")


@dataclass(frozen=True, slots=True)
class Delivered:
    """The relay took responsibility: 2xx to the final dot."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Deferred:
    """To be tried again: a 4xx, or a permanent refusal that is not the message's fault (P9).

    `is_real`: the relay answered MAIL, so that the attempt counts. `reply` is None where none came.
    """

    reason: str
    reply: Reply | None = None
    is_real: bool = True


@dataclass(frozen=True, slots=True)
class Failed:
    """A 5xx to this recipient or message: it ends here, with a report."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """The line broke after the final dot and before the answer: in doubt."""

    reason: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The line broke before the final dot: nothing was taken, nothing counts, due again at once."""

    reason: str


Outcome = Delivered | Deferred | Failed | Unconfirmed | Interrupted


def is_final(outcome: Outcome) -> bool:
    """True if this recipient is never tried again."""
    match outcome:
        case Delivered() | Failed():
            return True
        case Deferred() | Unconfirmed() | Interrupted():
            return False
