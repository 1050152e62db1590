"""The two roles and their passwords: is one set, is this one right. The hashes rest in the spool's state.

A password that came over `Authorization` is remembered as a keyed digest for a while, right or wrong, so that a program that
asks every minute does not cost a hash each time. Unknown names cost the same time as wrong passwords.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from gateway.console.sessions import Role
from gateway.control.accounts import ROLES, STATE
from gateway.mail.password import MAX_PASSWORD_OCTETS, PasswordHash, make_hash, nobody, read_hash

MOST_WAITING = 20
SHORTEST = 8
REMEMBERED = 100

__all__ = ["SHORTEST", "Accounts", "TooBusy", "new_hash"]


class TooBusy(Exception):
    """So many passwords are being checked that one more would wait too long."""


class Accounts:
    """`load(name)` gives the state's octets. `changed` must be called when they were written."""

    def __init__(self, load: Callable[[str], bytes | None]) -> None:
        self._load = load
        self._nobody = nobody()
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._executor: ThreadPoolExecutor | None = None
        self._key = secrets.token_bytes(32)
        self._right: dict[bytes, Role] = {}
        self._wrong: set[bytes] = set()
        self._hashes: dict[str, PasswordHash] = {}
        self.is_broken = False
        self.changed()

    @property
    def is_set(self) -> bool:
        """Is any password set? One that cannot be read counts: a broken file must not open the door."""
        return bool(self._hashes) or self.is_broken

    def has(self, role: str) -> bool:
        return role in self._hashes

    def changed(self) -> None:
        """Read the state again."""
        self._right.clear()
        self._wrong.clear()
        self._hashes, self.is_broken = {}, False
        saved = self._load(STATE)
        if saved is None:
            return
        try:
            stored = msgspec.json.decode(saved, type=dict[str, str])
            self._hashes = {role: read_hash(text) for role, text in stored.items() if role in ROLES}
        except (msgspec.MsgspecError, ValueError):
            self.is_broken = True

    async def verify(self, name: str, password: str) -> Role | None:
        """The role whose name and password these are. Raises TooBusy."""
        role: Role | None = "operator" if name == "operator" else "viewer" if name == "viewer" else None
        secret = password.encode("utf-8", "replace")
        stored = self._hashes.get(name, self._nobody)
        if self._waiting >= MOST_WAITING:
            raise TooBusy
        self._waiting += 1
        try:
            async with self._turn:
                if self._executor is None:
                    self._executor = ThreadPoolExecutor(1, thread_name_prefix="console-password")
                loop = asyncio.get_running_loop()
                is_right = await loop.run_in_executor(self._executor, stored.matches, secret[:MAX_PASSWORD_OCTETS])
        finally:
            self._waiting -= 1
        is_known = name in self._hashes and len(secret) <= MAX_PASSWORD_OCTETS
        return role if is_right and is_known else None

    def remembered(self, name: str, password: str) -> Role | None:
        """As `verify`, for what was right a while ago; without a hash."""
        return self._right.get(self._digest(name, password))

    def remember(self, name: str, password: str, role: Role) -> None:
        if len(self._right) >= REMEMBERED:
            self._right.clear()
        self._right[self._digest(name, password)] = role

    def is_known_wrong(self, name: str, password: str) -> bool:
        """Said before, and wrong: saying it again is no guess, and is told nothing new."""
        return self._digest(name, password) in self._wrong

    def remember_wrong(self, name: str, password: str) -> None:
        if len(self._wrong) >= REMEMBERED:
            self._wrong.clear()
        self._wrong.add(self._digest(name, password))

    def _digest(self, name: str, password: str) -> bytes:
        parts = f"{len(name)}:{name}{password}".encode("utf-8", "replace")
        return hmac.digest(self._key, parts, hashlib.sha256)

    def close(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None


async def new_hash(password: str) -> str:
    """The hash to store, made off the loop. Raises ValueError, with a sentence, for a password that will not do."""
    if len(password) < SHORTEST:
        raise ValueError(f"a password has at least {SHORTEST} characters")
    if len(password.encode("utf-8", "replace")) > MAX_PASSWORD_OCTETS:
        raise ValueError(f"a password has at most {MAX_PASSWORD_OCTETS} octets")
    return await asyncio.to_thread(make_hash, password)
