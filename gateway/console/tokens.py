"""Values that show a request came from one of our own pages: hidden in forms, sent by our scripts (CASES W07). Pure.

A session's token is masked anew for each page, since pages are compressed and contain what others wrote. Forms before
sign-in have no session: their token is signed, bounded in time, and must equal the one in a cookie.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

FORM_SECONDS = 3600.0


def masked(token: bytes) -> str:
    """The token under a fresh mask, as text."""
    mask = secrets.token_bytes(len(token))
    return base64.urlsafe_b64encode(mask + bytes(a ^ b for a, b in zip(mask, token, strict=True))).decode()


def unmasks(text: str, token: bytes) -> bool:
    """Is this the token, under whatever mask?"""
    try:
        octets = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError, ValueError):
        return False
    half = len(token)
    if len(octets) != 2 * half:
        return False
    return hmac.compare_digest(bytes(a ^ b for a, b in zip(octets[:half], octets[half:], strict=True)), token)


class FormTokens:
    """Signed tokens for forms that are shown before sign-in. Instants are monotonic seconds."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def make(self, now: float) -> str:
        head = f"{int(now)}.{secrets.token_urlsafe(16)}"
        return f"{head}.{self._sign(head)}"

    def accepts(self, in_form: str, in_cookie: str, now: float) -> bool:
        if not in_form or len(in_form) > 200 or not hmac.compare_digest(in_form.encode(), in_cookie.encode()):
            return False
        head, _, signature = in_form.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(head).encode()):
            return False
        made = head.partition(".")[0]
        return made.isdigit() and 0 <= now - int(made) + 1 <= FORM_SECONDS

    def _sign(self, head: str) -> str:
        return hmac.new(self._key, head.encode(), hashlib.sha256).hexdigest()
