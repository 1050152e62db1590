"""Files of users with hashes that cost little, so that tests do not wait for scrypt."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from pathlib import Path

from gateway.reception.users import User, save_users


def cheap_hash(password: str) -> str:
    """A hash with the fewest rounds that the file may ask for."""
    salt = secrets.token_bytes(8)
    digest = hashlib.scrypt(password.encode(), salt=salt, n=1 << 10, r=1, p=1, dklen=16)
    return f"scrypt 10 1 1 {base64.b64encode(salt).decode()} {base64.b64encode(digest).decode()}"


def write_users(
    path: Path, passwords: Mapping[str, str], addresses: Mapping[str, tuple[str, ...]] | None = None
) -> Path:
    """A file of users with these passwords; returns its path."""
    owned = addresses or {}
    save_users(path, {name: User(name, cheap_hash(word), owned.get(name, ())) for name, word in passwords.items()})
    return path
