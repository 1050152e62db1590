"""Passwords as they rest: scrypt hashes in one line of text (P14). Whose they are, and who asks, is others' business."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass

LOG_N = 14
BLOCK = 8
PARALLEL = 1
"""2^14 rounds of 1 KiB blocks: 16 MiB and some 65 ms for one hash, so that guessing from a stolen file is slow."""

MAX_LOG_N = 16
MAX_PASSWORD_OCTETS = 1024


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """A stored hash, read. `matches` takes as long as making one: call it in a thread."""

    log_n: int
    block: int
    parallel: int
    salt: bytes
    digest: bytes

    def matches(self, password: bytes) -> bool:
        made = _scrypt(password, self.salt, self.log_n, self.block, self.parallel, len(self.digest))
        return hmac.compare_digest(made, self.digest)


def make_hash(password: str) -> str:
    """What to store for this password. Takes as long as a login; call it in a thread or in a command."""
    salt = secrets.token_bytes(16)
    digest = _scrypt(password.encode(), salt, LOG_N, BLOCK, PARALLEL, 32)
    return " ".join(
        ("scrypt", str(LOG_N), str(BLOCK), str(PARALLEL), *(base64.b64encode(part).decode() for part in (salt, digest)))
    )


def read_hash(text: str) -> PasswordHash:
    """Raises ValueError for anything that `make_hash` could not have made, or that would take more than 64 MiB."""
    words = text.split(" ")
    if len(words) != 6 or words[0] != "scrypt" or not all(word.isascii() and word.isdigit() for word in words[1:4]):
        raise ValueError("not a password hash")
    log_n, block, parallel = (int(word) for word in words[1:4])
    if not (10 <= log_n <= MAX_LOG_N and 1 <= block <= 8 and 1 <= parallel <= 4):
        raise ValueError("the numbers of this password hash are out of bounds")
    try:
        salt, digest = (base64.b64decode(word, validate=True) for word in words[4:])
    except binascii.Error:
        raise ValueError("not a password hash") from None
    if len(salt) < 8 or len(digest) < 16 or len(salt) > 64 or len(digest) > 64:
        raise ValueError("not a password hash")
    return PasswordHash(log_n, block, parallel, salt, digest)


def nobody() -> PasswordHash:
    """A hash that nothing matches, to be asked for unknown names: they cost the same time as wrong passwords."""
    return PasswordHash(LOG_N, BLOCK, PARALLEL, secrets.token_bytes(16), secrets.token_bytes(32))


def _scrypt(password: bytes, salt: bytes, log_n: int, block: int, parallel: int, length: int) -> bytes:
    return hashlib.scrypt(
        password, salt=salt, n=1 << log_n, r=block, p=parallel, dklen=length, maxmem=(256 << log_n) * block
    )
