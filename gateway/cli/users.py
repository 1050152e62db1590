"""`tidegate user …`: the users who may sign in. Writes the file that `accept.users` names, and tells a running gateway.

What the file looks like, and that only its owner may read it, is `gateway.reception.users`'s; the hash is
`gateway.mail.password`'s.
"""

from __future__ import annotations

import argparse
import fcntl
import getpass
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from gateway.cli.render import safe
from gateway.config.load import load_settings
from gateway.config.settings import Settings
from gateway.control.client import call
from gateway.errors import ConfigurationError, Exit, GatewayError, NoSuchItem, NotRunning, UsageError
from gateway.mail.password import make_hash
from gateway.reception.users import MAX_USERS, NAME, User, load_users, save_users

MAX_PASSWORD = 200
"""Octets of a password. What a device can be given by its keys is far shorter; what is longer is a file given by mistake."""

SOCKET = "control.sock"


class BadEntry(GatewayError):
    """What was entered will not do."""

    exit_code = Exit.DATA


class CannotWrite(GatewayError):
    exit_code = Exit.CANT_CREATE


def run_user(options: argparse.Namespace, path: Path | None, as_json: bool) -> int:
    """One of add, remove, list, password. Raises GatewayError with the exit code that it ends with."""
    settings = load_settings(path)
    file = settings.accept.users
    if file is None:
        where = settings.path or "gateway.yaml"
        raise ConfigurationError(f"no file of users is named: write `accept: {{users: users.yaml}}` in {where}")
    if options.part == "list":
        _list(_known(file), as_json)
        return Exit.OK
    if options.name is None:
        raise UsageError(f"whose? tidegate user {options.part} NAME")
    name: str = options.name
    if not NAME.fullmatch(name):
        raise UsageError(f"{name[:128]!r} is not a name for a user: letters, digits and . _ @ + -, up to 128")
    addresses = tuple(options.address or ()) if options.part == "add" else ()
    if not all("@" in address and address.isprintable() for address in addresses):
        raise UsageError("an address of a user is written a@b.example or *@b.example")

    _check(_known(file), options.part, name)  # before anybody is asked for a password
    password = "" if options.part == "remove" else make_hash(read_password(name))
    result = _rewrite(file, settings, lambda users: _change(users, options.part, User(name, password, addresses)))
    told = _tell(settings)
    if as_json:
        print(json.dumps({"user": name, "result": result, "gateway": told[0]}))
    else:
        print(f"{name} {result}; {told[1]}")
    return Exit.OK


def _check(users: Mapping[str, User], part: str, name: str) -> None:
    if part != "add":
        if name not in users:
            raise NoSuchItem(f"there is no user {name}")
        return
    if name in users:
        raise BadEntry(f"there is a user {name} already; for a new password: tidegate user password {name}")
    if len(users) >= MAX_USERS:
        raise BadEntry(f"there are {MAX_USERS} users; there cannot be more")


def _change(users: dict[str, User], part: str, user: User) -> str:
    """Carry it out on the users as they are now, and say in words what was done."""
    _check(users, part, user.name)
    if part == "remove":
        del users[user.name]
        return "removed"
    if part == "password":
        user = replace(user, addresses=users[user.name].addresses)
    users[user.name] = user
    return "added" if part == "add" else "has a new password"


def _known(file: Path) -> dict[str, User]:
    """Those of the file; nobody where there is none yet. Raises ConfigurationError for a file that cannot be used."""
    return load_users(file) if os.path.lexists(file) else {}


def _list(users: dict[str, User], as_json: bool) -> None:
    for name in sorted(users):
        user = users[name]
        if as_json:
            print(json.dumps({"user": name, "addresses": list(user.addresses)}, ensure_ascii=False))
        else:
            print(safe("  ".join((name, *user.addresses))))


def _rewrite(file: Path, settings: Settings, change: Callable[[dict[str, User]], str]) -> str:
    """Read, change and replace the file, one command at a time. A crash leaves the old file or the new one, whole."""
    try:
        with _alone(file.parent):
            users = _known(file)
            result = change(users)
            save_users(file, users, owner=_owner(file, settings))
    except OSError as exc:
        raise CannotWrite(f"{file} cannot be written: {exc.strerror or exc}") from exc
    return result


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other `tidegate user` changes a file in this folder meanwhile; the lock leaves no file behind."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _owner(file: Path, settings: Settings) -> tuple[int, int] | None:
    """Whose the file must be, so that the gateway can read it also where root wrote it; None: whoever writes it."""
    if os.geteuid() != 0:
        return None
    for path in (file, settings.spool):
        try:
            found = os.stat(path)
        except OSError:
            continue
        return found.st_uid, found.st_gid
    return None


def _tell(settings: Settings) -> tuple[str, str]:
    """A word and a sentence: what the running gateway makes of the file. Raises where it can make nothing of it."""
    try:
        rows = list(call(settings.spool / SOCKET, "users"))
    except NotRunning:
        return "absent", "the gateway is not running and will read it when it starts"
    if not rows or rows[0].get("users") is None:
        return "unaware", "the running gateway has no users yet: tidegate reload"
    return "told", "in force"


def read_password(name: str) -> str:
    """The password: asked for twice without echo on a terminal, else the first line of standard input. Raises BadEntry."""
    if sys.stdin.isatty():
        try:
            octets = _typed(f"Password for {name}: ")
            if octets != _typed("Once more: "):
                raise BadEntry("the two differ; nothing was changed")
        except EOFError:
            raise BadEntry("no password was given; nothing was changed") from None
    else:
        octets = first_line(sys.stdin.buffer)
    return checked_password(octets)


def _typed(prompt: str) -> bytes:
    return getpass.getpass(prompt).encode("utf-8", "surrogateescape")


def first_line(stream: BinaryIO) -> bytes:
    """The first line without its end; no more is read than is needed to see that it is too long."""
    line = stream.readline(MAX_PASSWORD + 3)
    return line.removesuffix(b"\n").removesuffix(b"\r") if line.endswith(b"\n") else line


def checked_password(octets: bytes) -> str:
    """The password as text. Raises BadEntry, which does not repeat it."""
    if not octets:
        raise BadEntry("a password cannot be empty; nothing was changed")
    if len(octets) > MAX_PASSWORD:
        raise BadEntry(f"a password has at most {MAX_PASSWORD} octets; nothing was changed")
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise BadEntry("the password is not UTF-8; nothing was changed") from None
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        # NUL cannot be said in AUTH PLAIN, and the others were not meant.
        raise BadEntry("a password has no control characters; nothing was changed")
    return text
