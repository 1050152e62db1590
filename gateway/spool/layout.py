"""Names below SPOOL, and which of them are ours. What they mean and how they may be combined: `gateway/README.md`."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.errors import NoSuchItem

_ID = re.compile(r"[a-z0-9]{1,16}")
_FILE = re.compile(r"(?P<id>[a-z0-9]{1,16})\.(?P<kind>eml|env)(?P<new>\.new)?")

FOLDERS = ("queue", "incoming", "removed", "set-aside", "state", "journal")

SMALL = 64 * 1024
"""Octets of content up to which a message travels in memory."""

JOURNALED = 128 * 1024
"""Octets of content up to which a message is made durable in the journal; larger content goes to its file at once."""


def is_id(text: str) -> bool:
    """True for what may name a message: at most 16 lower-case letters and digits, and so never a path."""
    return _ID.fullmatch(text) is not None


def checked_id(text: str) -> str:
    """The ID itself; NoSuchItem for anything that could not be one. Every name from outside passes here."""
    if not is_id(text):
        raise NoSuchItem(f"{text[:40]!r} is not a queue ID")
    return text


def split_name(name: str) -> tuple[str, str, bool] | None:
    """(ID, "eml" or "env", whether it is a `.new`) of a file's name; None for a name that we never give."""
    found = _FILE.fullmatch(name)
    return None if found is None else (found["id"], found["kind"], found["new"] is not None)


class Layout:
    """Paths as text, since they are made for every message."""

    __slots__ = ("ended", "ids", "incoming", "journal", "lock", "queue", "removed", "root", "set_aside", "state")

    def __init__(self, root: Path) -> None:
        self.root = str(root.absolute())
        self.queue, self.incoming, self.removed, self.set_aside, self.state, self.journal = (
            f"{self.root}/{folder}" for folder in FOLDERS
        )
        self.lock, self.ids, self.ended = (f"{self.root}/{name}" for name in ("lock", "ids", "ended"))
