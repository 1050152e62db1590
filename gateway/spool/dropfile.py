"""Files in SPOOL/drop/: mail handed in by a program on this machine without the gateway's help, so also while it is down.

    TIME-PID-CHANCE.mail        whole and flushed: a line of JSON (envelope, length, SHA-256 of the content), then the content
    TIME-PID-CHANCE.mail.new    being written; after a cut a stray, which the gateway sweeps when it is old

Here they are written, by a program that must start fast: no asyncio, no msgspec. `gateway.spool.drop` takes them in.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import time
from collections.abc import Mapping, Sequence

from gateway.durable import NO_ROOM, Disk, remove_file
from gateway.errors import Exit, SpoolError, SpoolFull

FOLDER = "drop"
SUFFIX = ".mail"
VERSION = 1


class NotYours(SpoolError):
    """The spool is somebody else's."""

    exit_code = Exit.NO_PERM


class NoSpool(SpoolError):
    """There is none: the gateway has never run with this configuration."""

    exit_code = Exit.TEMP_FAIL


def check_spool(root: str) -> None:
    """May this process put mail into the spool's drop folder? Raises NoSpool or NotYours, with a sentence for its user."""
    try:
        owner = os.stat(root).st_uid
    except FileNotFoundError:
        raise NoSpool(f"there is no spool at {root}: the gateway makes it when it first starts") from None
    except OSError as exc:
        raise NotYours(f"the spool {root} is closed to user {_name(os.geteuid())}: {exc.strerror}") from exc
    if not os.access(root, os.W_OK | os.X_OK, effective_ids=True):
        who, own = _name(os.geteuid()), _name(owner)
        may = own if own == "root" else f"{own} and root"
        raise NotYours(f"the spool {root} belongs to {own}: only {may} may put mail into it, and this is {who}")


def write_drop(
    disk: Disk,
    root: str,
    content: bytes,
    *,
    reverse_path: str,
    recipients: Sequence[Mapping[str, str]],
    user: str,
    body: str | None = None,
    smtputf8: bool = False,
    ret: str | None = None,
    envid: str | None = None,
    reserve: float | int = 0,
) -> str:
    """Make the message safe in the drop folder of the spool at `root`; its path. Content has CRLF line ends.

    `reserve`: octets, or as a float a share of the disk, that are to stay free.

    written and flushed as .new     a cut leaves a stray, or nothing
    renamed                         the gateway may take it
    the folder flushed              the message survives a cut: only now may the program say that it is safe

    Raises NoSpool, NotYours, SpoolFull, SpoolError; then nothing of it is left, but where the last flush failed.
    """
    check_spool(root)
    head = {
        "drop": VERSION,
        "from": reverse_path,
        "to": [dict(recipient) for recipient in recipients],
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "user": user,
        "body": body,
        "smtputf8": smtputf8,
        "ret": ret,
        "envid": envid,
    }
    octets = json.dumps(head).encode() + b"\n"
    try:
        _check_room(disk, root, len(content) + len(octets), reserve)
        folder, owner = _folder(disk, root)
        path = f"{folder}/{time.time_ns():020d}-{os.getpid()}-{os.urandom(4).hex()}{SUFFIX}"
        try:
            descriptor = disk.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            try:
                if owner is not None:
                    os.fchown(descriptor, *owner)  # the gateway must be able to read what root hands in
                disk.write(descriptor, octets, 0)
                disk.write(descriptor, content, len(octets))
                disk.fsync(descriptor)
            finally:
                disk.close(descriptor)
            disk.rename(f"{path}.new", path)
        except OSError:
            remove_file(disk, f"{path}.new")
            raise
        disk.fsync_dir(folder)
    except OSError as exc:
        if exc.errno in (errno.EACCES, errno.EPERM):
            raise NotYours(
                f"the drop folder of {root} is closed to user {_name(os.geteuid())}: {exc.strerror}"
            ) from exc
        kind = SpoolFull if exc.errno in NO_ROOM else SpoolError
        raise kind(f"the message cannot be written to the spool {root}: {exc.strerror}") from exc
    return path


def _check_room(disk: Disk, root: str, octets: int, reserve: float | int) -> None:
    found = disk.statvfs(root)
    kept = reserve * found.f_blocks * found.f_frsize if isinstance(reserve, float) else reserve
    if found.f_bavail * found.f_frsize - octets < kept:
        raise SpoolFull(f"the disk of {root} has no room beyond its reserve")


def _folder(disk: Disk, root: str) -> tuple[str, tuple[int, int] | None]:
    """The folder, made where it is missing, and to whom root must give what it puts there."""
    folder = f"{root}/{FOLDER}"
    found = os.stat(root)
    owner = (found.st_uid, found.st_gid) if os.geteuid() == 0 and found.st_uid != 0 else None
    try:
        disk.mkdir(folder)
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            raise OSError(errno.ENOTDIR, "the drop folder is no folder", folder) from None
    else:
        if owner is not None:
            os.chown(folder, *owner, follow_symlinks=False)
        disk.fsync_dir(root)
    return folder, owner


def _name(user: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
