"""The disk's words as one of our errors."""

from __future__ import annotations

from gateway.durable import NO_ROOM
from gateway.errors import SpoolError, SpoolFull


def spool_error(exc: OSError, doing: str) -> SpoolError:
    """SpoolFull where there is no room. No path in it: the client may be shown the text."""
    kind = SpoolFull if exc.errno in NO_ROOM else SpoolError
    return kind(f"{doing}: {exc.strerror or exc}")
