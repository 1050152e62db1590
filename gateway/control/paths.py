"""A Unix socket's address may be 107 octets long; a spool's path may be longer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST = 107


@contextmanager
def reachable(path: str | os.PathLike[str]) -> Iterator[str]:
    """An address under which the socket at `path` can be bound or connected, while the context lasts.

    A path that is too long is reached through an open descriptor of its folder.
    """
    if len(os.fsencode(path)) <= LONGEST:
        yield os.fspath(path)
        return
    parent, name = os.path.split(path)
    folder = os.open(parent or ".", os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{name}"
    finally:
        os.close(folder)
