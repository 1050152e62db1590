"""SPOOL/state/NAME: what other parts want to find again after a restart, in one step and durable."""

from __future__ import annotations

import asyncio
import re
from functools import partial

from gateway.durable import Disk, read_file, replace_file
from gateway.events import Alarm, Journal
from gateway.spool.diskerror import spool_error
from gateway.spool.ledger import Ledger

LIMIT = 64 * 1024 * 1024
"""Octets of one state: far above any, and a bound for what is read at start."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class States:
    """Saves one after the other under each name; `folder` is the spool's alone."""

    def __init__(self, disk: Disk, folder: str, ledger: Ledger, journal: Journal) -> None:
        self._disk, self._folder, self._ledger, self._journal = disk, folder, ledger, journal
        self._locks: dict[str, asyncio.Lock] = {}

    async def save(self, name: str, octets: bytes) -> None:
        """See `Spool.save_state`."""
        path = self._path(name)
        async with self._locks.setdefault(name, asyncio.Lock()):
            try:
                await self._ledger.on_disk(partial(replace_file, self._disk, path, octets, durable=True))
            except OSError as exc:
                raise spool_error(exc, f"the state {name} cannot be written") from exc

    def load(self, name: str) -> bytes | None:
        """See `Spool.load_state`."""
        try:
            return read_file(self._disk, self._path(name), LIMIT)
        except FileNotFoundError:
            return None
        except OSError as exc:
            self._journal.record(Alarm("spool", f"the state {name} cannot be read: {exc.strerror}"))
            return None

    def _path(self, name: str) -> str:
        if _NAME.fullmatch(name) is None or name.endswith(".new"):
            raise ValueError(f"{name!r} cannot name a state")
        return f"{self._folder}/{name}"
