"""Content as it is read: whole from memory where it is small, in pieces from its open file where it is not."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from gateway.durable import Disk
from gateway.errors import ContentDamaged
from gateway.spool.layout import SMALL

_HASH_OCTETS = 256 * 1024

OnDisk = Callable[[Callable[[], bytes]], Awaitable[bytes]]
"""Runs a blocking read on a thread of the spool's."""


class Content:
    """The octets of a message. `octets`: all of them if they are at most 64 KiB, else None and `read` gives pieces.

    Made of all octets (what waits in the journal is not always small) or of an open file, which stays readable whatever
    happens to its names, until `close`.
    """

    __slots__ = ("_descriptor", "_disk", "_on_disk", "_reading", "_whole", "octets", "size")

    def __init__(
        self, size: int, octets: bytes | None, descriptor: int | None = None, *, disk: Disk, on_disk: OnDisk
    ) -> None:
        self.size, self._whole = size, octets
        self.octets = octets if size <= SMALL else None
        self._descriptor, self._disk, self._on_disk = descriptor, disk, on_disk
        self._reading = 0

    async def read(self, offset: int, count: int) -> bytes:
        """`count` octets from `offset`, fewer at the end. OSError where the disk fails; ValueError after `close`."""
        if self._whole is not None:
            return self._whole[offset : offset + count]
        if self._descriptor is None or self._reading < 0:
            raise ValueError("the content is closed")
        self._reading += 1
        reading = asyncio.ensure_future(self._on_disk(partial(self._disk.read, self._descriptor, count, offset)))
        reading.add_done_callback(self._read_done)
        return await asyncio.shield(reading)

    def close(self) -> None:
        """Let the file go; idempotent. A read in progress on its thread ends first."""
        descriptor = self._descriptor
        if descriptor is not None and self._reading == 0:
            self._descriptor = None
            self._disk.close(descriptor)
        elif descriptor is not None:
            self._reading = -abs(self._reading)

    def _read_done(self, reading: asyncio.Future[bytes]) -> None:
        if not reading.cancelled():
            reading.exception()  # seen, also where the reader has gone
        closing = self._reading < 0
        self._reading += 1 if closing else -1
        if closing and self._reading == 0:
            self.close()


@dataclass(frozen=True, slots=True)
class Opened:
    """Content found: `octets` if it is small, else an open `descriptor`."""

    size: int
    octets: bytes | None
    descriptor: int | None


def open_content(disk: Disk, paths: Sequence[str], size: int, sha256: str | None) -> Opened:
    """Open the first of `paths` that is there (blocking). With `sha256`, its octets are read and compared.

    ContentDamaged if there is none, or length or hash differ from the record's; OSError if the disk fails.
    """
    for path in paths:
        try:
            descriptor = disk.open(path, os.O_RDONLY | os.O_NONBLOCK)
            break
        except FileNotFoundError:
            continue
    else:
        raise ContentDamaged("the content is not there")
    keep = False
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ContentDamaged("the content is not a regular file")
        if found.st_size != size:
            raise ContentDamaged(f"the content has {found.st_size} octets instead of {size}")
        if size <= SMALL:
            octets = disk.read(descriptor, size, 0)
            check(octets, size, sha256)
            return Opened(size, octets, None)
        if sha256 is not None:
            hasher = hashlib.sha256()
            for offset in range(0, size, _HASH_OCTETS):
                hasher.update(disk.read(descriptor, _HASH_OCTETS, offset))
            if hasher.hexdigest() != sha256:
                raise ContentDamaged("the content is not what was accepted: its SHA-256 differs")
        keep = True
        return Opened(size, None, descriptor)
    finally:
        if not keep:
            disk.close(descriptor)


def check(octets: bytes, size: int, sha256: str | None) -> None:
    """ContentDamaged unless these octets are what was accepted."""
    if len(octets) != size:
        raise ContentDamaged(f"the content has {len(octets)} octets instead of {size}")
    if sha256 is not None and hashlib.sha256(octets).hexdigest() != sha256:
        raise ContentDamaged("the content is not what was accepted: its SHA-256 differs")
