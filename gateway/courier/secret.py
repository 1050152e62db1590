"""Reads a relay's password from where it rests, at the moment it is needed (P14). It is never logged or kept."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from gateway.config.settings import PasswordSource

MAX_OCTETS = 4096


class NoPassword(Exception):
    """It cannot or must not be used; the text says why, without a word of it."""


def read_password(source: PasswordSource, credentials: Path | None) -> str:
    """The first line of the file. Refuses a file that group or others may read, and anything that is no plain file.

    `credentials` is the folder that systemd gives its services ($CREDENTIALS_DIRECTORY), or None; it guards its files
    itself.
    """
    if source.file is not None:
        return _read(source.file, guarded=False)
    name = source.credential or ""
    if credentials is None:
        raise NoPassword(f"the password is the credential {name}, and systemd gave us no credentials")
    if not name or "/" in name or name in (".", ".."):
        raise NoPassword(f"{name!r} is not the name of a credential")
    return _read(credentials / name, guarded=True)


def _read(path: Path, *, guarded: bool) -> str:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as exc:
        raise NoPassword(f"the password file {path} cannot be read ({exc.strerror})") from exc
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise NoPassword(f"the password file {path} is not a plain file")
        if not guarded and status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise NoPassword(f"the password file {path} may be read by others (mode {mode:04o}); it must be 0600")
        octets = os.read(handle, MAX_OCTETS + 1)
    finally:
        os.close(handle)
    line = octets.split(b"\n", 1)[0].rstrip(b"\r")
    if len(octets) > MAX_OCTETS:
        raise NoPassword(f"the password file {path} is too long")
    try:
        password = line.decode()
    except UnicodeDecodeError as exc:
        raise NoPassword(f"the password file {path} is not UTF-8") from exc
    if not password or "\0" in password:
        raise NoPassword(f"the password file {path} holds no password")
    return password
