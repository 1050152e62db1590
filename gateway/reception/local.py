"""What a message gets that a program of this machine handed in without SMTP: our `Received:` field (RFC 5321 4.4)."""

from __future__ import annotations

import re

from gateway.reception.received import date_words, mark_of

_PLAIN = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,63}")


def local_head(item: str, *, hostname: str, secret: str, user: str, now: float) -> bytes:
    """The field. `user`: who handed it in, as the system knows him; a name with other signs in it is left out."""
    origin = f" (from user {user})" if _PLAIN.fullmatch(user) else ""
    words = f"Received: by {hostname} (Tidegate {mark_of(item, secret)})\r\n\tid {item}{origin};\r\n\t"
    return words.encode() + date_words(int(now)) + b"\r\n"
