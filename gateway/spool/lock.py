"""One gateway a spool: an flock on SPOOL/lock, which ends with the process however it ends."""

from __future__ import annotations

import errno
import fcntl
import os
import time

from gateway.errors import SpoolLocked

_TRIES, _PAUSE = 10, 0.05  # a reader's look at the lock takes no longer


class SpoolLock:
    """Held from construction to `release`. Raises SpoolLocked, naming the process that has it; OSError."""

    def __init__(self, path: str) -> None:
        flags = os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600)
        except OSError as exc:
            if exc.errno != errno.EROFS:
                raise
            self._descriptor = os.open(path, os.O_RDONLY | flags)
        for left in reversed(range(_TRIES)):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if left:
                    time.sleep(_PAUSE)
                    continue
                holder = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
                os.close(self._descriptor)
                folder = os.path.dirname(path)
                raise SpoolLocked(f"the spool {folder} is used by another gateway (process {holder})") from None
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            pass  # full or read-only: the lock holds all the same, it only does not say who has it

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def is_locked(path: str) -> bool:
    """True while some gateway holds the lock. Writes nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
