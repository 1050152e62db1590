"""Who may sign in: the users file and the check of passwords (P14).

The file holds scrypt hashes and nothing else that is secret. One hash is computed at a time, in a thread, so that neither
a burst of logins nor a guesser takes memory or the loop. A password that was right is remembered as a keyed digest, so that
a device that signs in every minute pays for one hash an hour. Unknown names cost the same hash as wrong passwords. What a
client is told, and the delays, are `gateway.reception.auth`'s.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import stat
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gateway.config.document import Block, Listing, Node, Text, read_document
from gateway.config.hints import quoted
from gateway.config.load import read_text
from gateway.config.problem import Problem
from gateway.config.report import render
from gateway.errors import ConfigurationError
from gateway.mail.password import MAX_PASSWORD_OCTETS, nobody, read_hash

MAX_USERS = 10_000
MAX_WAITING = 20
"""So many logins wait for their turn at the hash; more are told to come again."""

REMEMBERED = 1000
REMEMBER_SECONDS = 3600.0

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")

_HEAD = """\
# Who may sign in. Made by `tidegate user`; passwords rest here only as scrypt hashes.
# addresses: the senders a user may use under `senders: own`, besides the name itself if it is an address; * matches all.
"""


@dataclass(frozen=True, slots=True)
class User:
    """`password`: `scrypt LOG_N BLOCK PARALLEL SALT HASH`, the last two in base64. `addresses`: patterns, `*` allowed."""

    name: str
    password: str
    addresses: tuple[str, ...] = ()

    @property
    def own_addresses(self) -> tuple[str, ...]:
        """The sender addresses (patterns) that are this user's."""
        return (self.name, *self.addresses) if "@" in self.name else self.addresses


def load_users(path: Path) -> dict[str, User]:
    """All users of the file. Raises ConfigurationError with every mistake; a file that others may read is one."""
    try:
        mode = path.stat().st_mode
        text = read_text(path)
    except (OSError, ValueError) as wrong:
        why = getattr(wrong, "strerror", None) or str(wrong)
        problem = Problem(path, 1, 1, f"this file of users cannot be used: {why}", "make it with `tidegate user add`.")
        raise ConfigurationError(render([problem], {}).rstrip("\n")) from None
    users, problems = parse_users(text, path)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        what = f"this file of users may be read by others (mode {stat.S_IMODE(mode):04o})"
        problems.append(Problem(path, 1, 1, what, f"chmod 600 {path}"))
    if problems:
        raise ConfigurationError(render(problems, {path: text}).rstrip("\n"))
    return users


def parse_users(text: str, path: Path) -> tuple[dict[str, User], list[Problem]]:
    """The users in a text, and all mistakes."""
    document = read_document(text, path)
    problems = list(document.problems)
    users: dict[str, User] = {}

    def wrong(node: Node, what: str, hint: str | None = None) -> None:
        problems.append(Problem(path, node.line, node.column, what, hint))

    root = document.root
    if root is None or (isinstance(root, Text) and not root.value):
        return users, problems
    if not isinstance(root, Block):
        wrong(root, "a file of users has a block for each name", "NAME:\n  password: …")
        return users, problems
    for key, node in root.pairs:
        name = key.value
        if not NAME.fullmatch(name):
            wrong(key, f"{quoted(name)} is not a name for a user", "letters, digits and . _ @ + - are.")
        elif name in users:
            wrong(key, f"the user {quoted(name)} is written twice")
        elif (user := _read_user(name, node, wrong)) is not None:
            users[name] = user
    if len(users) > MAX_USERS:
        wrong(root, f"more than {MAX_USERS} users")
    return users, problems


def _read_user(name: str, node: Node, wrong: Callable[..., None]) -> User | None:
    if not isinstance(node, Block):
        wrong(node, f"the user {quoted(name)} has no password", f"tidegate user password {name}")
        return None
    password: str | None = None
    addresses: tuple[str, ...] = ()
    for key, value in node.pairs:
        if key.value == "password" and isinstance(value, Text):
            try:
                read_hash(value.value)
            except ValueError as exc:
                # Not repeated: whoever wrote a password here in plain does not want to see it in a log.
                wrong(key, str(exc), f"tidegate user password {name}")
                return None
            password = value.value
        elif key.value == "addresses" and not isinstance(value, Block):
            items = value.items if isinstance(value, Listing) else (value,)
            texts = [item.value for item in items if isinstance(item, Text)]
            addresses = tuple(part.strip() for text in texts for part in text.split(",") if part.strip())
            if len(texts) != len(items) or not all("@" in address for address in addresses):
                wrong(key, "addresses are a list such as a@b.example, *@c.example")
        else:
            wrong(key, f"{quoted(key.value)} is not a setting of a user", "Settings here: password, addresses.")
    if password is None:
        wrong(node, f"the user {quoted(name)} has no password", f"tidegate user password {name}")
        return None
    return User(name, password, addresses)


def render_users(users: Mapping[str, User]) -> str:
    """The file's text, sorted by name."""
    lines = [_HEAD]
    for name in sorted(users):
        user = users[name]
        lines.append(f'"{name}":\n  password: {user.password}\n')
        if user.addresses:
            listed = ", ".join(
                '"' + address.replace("\\", "\\\\").replace('"', '\\"') + '"' for address in user.addresses
            )
            lines.append(f"  addresses: [{listed}]\n")
    return "".join(lines)


def save_users(path: Path, users: Mapping[str, User], *, owner: tuple[int, int] | None = None) -> None:
    """Write the file with mode 0600, whole or not at all: it is replaced in one step. Raises OSError.

    `owner`: user and group that it is given to, so that the gateway can read what root wrote; None leaves it to the writer.

    A crash leaves the old file, and perhaps `NAME.new` beside it, which the next save overwrites.
    """
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        if owner is not None:
            os.fchown(file.fileno(), *owner)
        file.write(render_users(users))
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class TooBusy(Exception):
    """So many logins are waiting that one more would wait too long."""


class UserRegister:
    """The users in force. Notices by itself when the file was changed; a bad file then lets nobody in."""

    def __init__(self, path: Path, monotonic: Callable[[], float]) -> None:
        """Raises ConfigurationError."""
        self._path = path
        self._monotonic = monotonic
        self._users = load_users(path)
        self._mark = self._file_mark()
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._executor: ThreadPoolExecutor | None = None
        self._key = secrets.token_bytes(32)
        self._remembered: OrderedDict[bytes, float] = OrderedDict()
        self._nobody = nobody()

    def close(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None

    def refresh(self) -> None:
        """Read the file again if it was changed. Raises ConfigurationError; then nobody can sign in until it is good."""
        mark = self._file_mark()
        if mark != self._mark:
            self._users = {}
            self._mark = None
            self._users = load_users(self._path)
            self._mark = mark

    async def verify(self, name: str, password: bytes) -> User | None:
        """The user, or None: an unknown name or a wrong password, which take the same time. Raises TooBusy."""
        user = self._users.get(name)
        secret = password[:MAX_PASSWORD_OCTETS]
        digest = hashlib.blake2b(digest_size=32, key=self._key)
        for part in (name.encode("utf-8", "surrogateescape"), secret, user.password.encode() if user else b""):
            digest.update(len(part).to_bytes(8, "big") + part)
        known = digest.digest()
        if user is not None and self._is_remembered(known):
            return user
        if self._waiting >= MAX_WAITING:
            raise TooBusy
        stored = read_hash(user.password) if user is not None else self._nobody
        self._waiting += 1
        try:
            async with self._turn:
                if self._executor is None:
                    self._executor = ThreadPoolExecutor(1, thread_name_prefix="password")
                is_right = await asyncio.get_running_loop().run_in_executor(self._executor, stored.matches, secret)
        finally:
            self._waiting -= 1
        if user is None or not is_right or len(password) > MAX_PASSWORD_OCTETS:
            return None
        self._remembered[known] = self._monotonic() + REMEMBER_SECONDS
        while len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
        return user

    def _is_remembered(self, digest: bytes) -> bool:
        until = self._remembered.get(digest)
        if until is None:
            return False
        if self._monotonic() > until:
            del self._remembered[digest]
            return False
        return True

    def _file_mark(self) -> tuple[int, int, int] | None:
        try:
            state = self._path.stat()
        except OSError:
            return None
        return (state.st_mtime_ns, state.st_ino, state.st_size)
