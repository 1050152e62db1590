"""Content on its way in: in memory at first, large content to a file in incoming/ block by block, hashed as it comes.

What ends before it is large enough to go to disk on its way needs one visit to the disk in all. Memory is bounded for all
drafts together: beyond their common budget a draft goes to disk before it is large.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from gateway.durable import Disk, remove_file
from gateway.errors import SpoolError
from gateway.spool.diskerror import spool_error
from gateway.spool.layout import JOURNALED
from gateway.spool.room import Room

BLOCK = 64 * 1024
KEPT = 256 * 1024
"""Octets up to which a draft stays in memory."""

BUDGET = 4 * 1024 * 1024
"""Octets of all drafts together in memory, besides one block of each that is being written."""


_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL


class Drafts:
    """What all drafts share: the disk, its room, their folder, how much of their budget is used, and whose IDs are out."""

    def __init__(
        self, disk: Disk, folder: str, room: Room, on_disk: Callable[[Callable[[], None]], Awaitable[None]]
    ) -> None:
        self.disk, self.folder, self.room, self.on_disk = disk, folder, room, on_disk
        self.used = 0
        self.open: set[str] = set()
        self.count: Callable[[int], None] = lambda change: None
        """Told of one more, or one fewer, in memory whose octets are still coming."""
        self._flushing, self._counting = threading.Lock(), threading.Lock()
        self._named = self._saved = self._lost = 0

    def save_names(self) -> None:
        """Save the names that are in the folder now (blocking); one flush serves all who ask before it begins. Raises OSError.

        A flush that fails fails all of them: a second one might say yes to what the first has lost (P10).
        """
        with self._counting:
            self._named += 1
            mine = self._named
        with self._flushing:
            if mine > max(self._saved, self._lost):
                upto = self._named
                try:
                    self.disk.fsync_dir(self.folder)
                except OSError:
                    self._lost = upto
                    raise
                self._saved = upto
        if mine <= self._lost:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


class Draft:
    """Content being received under an ID of its own. `size`: octets so far, the head included. One writer at a time.

    A cut leaves a stray in incoming/ at most; start sweeps it.
    """

    __slots__ = (
        "_buffer",
        "_descriptor",
        "_drafts",
        "_failed",
        "_hasher",
        "_heads",
        "_is_coming",
        "_offset",
        "_over",
        "id",
        "size",
    )

    def __init__(self, drafts: Drafts, item: str, heads: Sequence[bytes]) -> None:
        self.id = item
        self.size = len(heads[0])
        self._drafts, self._heads = drafts, heads
        self._buffer = bytearray()
        self._offset = self.size
        self._descriptor: int | None = None
        self._hasher = hashlib.sha256(heads[0])
        self._failed: SpoolError | None = None
        self._over = False
        self._is_coming = True
        drafts.open.add(item)
        drafts.count(1)

    @property
    def is_small(self) -> bool:
        """True if all of it is in memory and fit for the journal."""
        return self._descriptor is None and self.size <= JOURNALED

    async def write(self, octets: bytes | memoryview) -> None:
        """Take these octets (copied). SpoolFull or SpoolError, then again at each call: abort is all that is left."""
        if self._failed is not None:
            raise self._failed
        if self._over:
            raise ValueError("the draft is done")
        drafts = self._drafts
        self.size += len(octets)
        self._buffer += octets
        drafts.used += len(octets)
        if self._descriptor is None and self.size <= KEPT and drafts.used <= BUDGET:
            return
        if self._descriptor is None or len(self._buffer) >= BLOCK:
            await self._spill()

    async def abort(self) -> None:
        """Forget it; nothing of it stays. Idempotent, and harmless after a commit."""
        if self._over:
            return
        self._end()
        self._drafts.open.discard(self.id)
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            await self._drafts.on_disk(lambda: self._discard(descriptor))

    def take(self, head: int) -> tuple[bytes, str]:
        """Small: all octets with the chosen head, and their SHA-256. The draft is over."""
        if self._failed is not None:
            raise self._failed
        content = b"".join((self._heads[head], self._buffer))
        self._end()
        return content, hashlib.sha256(content).hexdigest()

    async def finish(self, head: int) -> str:
        """Large: the file is whole and flushed, with its name, when this returns its SHA-256. The draft is over.

        On an error the file is gone; a failed flush is not repeated.
        """
        if self._failed is not None:
            raise self._failed
        descriptor, self._descriptor = self._descriptor, None
        buffer, self._buffer = self._buffer, bytearray()
        offset = self._offset
        self._end()
        try:
            self._drafts.room.spend(len(buffer))
        except SpoolError:
            self._drafts.used -= len(buffer)
            if descriptor is not None:
                await self._drafts.on_disk(partial(self._discard, descriptor))
            raise
        saving = [self._drafts.on_disk(partial(self._save, descriptor, buffer, offset, head))]
        if descriptor is not None:
            # Octets and name are two matters, and take one time if they are flushed at once.
            saving.append(self._drafts.on_disk(self._drafts.save_names))
        outcomes = await asyncio.gather(*saving, return_exceptions=True)
        self._drafts.used -= len(buffer)
        for outcome in outcomes:
            if outcome is not None:
                await self.discard()
                if isinstance(outcome, OSError):
                    raise spool_error(outcome, "the content cannot be written") from outcome
                raise outcome
        return self._hasher.hexdigest()

    def _save(self, descriptor: int | None, buffer: bytearray, offset: int, head: int) -> None:
        """The rest of it, flushed; where there is no file yet, all of it and its name. `_hasher` has its hash then."""
        disk = self._drafts.disk
        is_new = descriptor is None
        if descriptor is None:
            descriptor = disk.open(self.path, _NEW)
        try:
            if is_new:
                buffer[:0] = self._heads[head]
                self._hasher, offset = hashlib.sha256(), 0
            self._put(descriptor, buffer, offset)
            if head and not is_new:
                disk.write(descriptor, self._heads[head], 0)
                self._hasher = hashlib.sha256()
                for at in range(0, self.size, BLOCK):
                    self._hasher.update(disk.read(descriptor, BLOCK, at))
            disk.fsync(descriptor)
        finally:
            disk.close(descriptor)
        if is_new:
            self._drafts.save_names()

    async def discard(self) -> None:
        """The finished file is not wanted after all."""
        await self._drafts.on_disk(self._unlink)

    @property
    def path(self) -> str:
        return f"{self._drafts.folder}/{self.id}.eml"

    async def _spill(self) -> None:
        """Write the buffer to the file, which is made at the first block."""
        self._has_come()
        buffer, self._buffer = self._buffer, bytearray()
        offset, self._offset = self._offset, self._offset + len(buffer)
        disk = self._drafts.disk

        def spill() -> None:
            if self._descriptor is None:
                self._descriptor = disk.open(self.path, _NEW)
                disk.write(self._descriptor, self._heads[0], 0)
            self._put(self._descriptor, buffer, offset)

        try:
            self._drafts.room.spend(len(buffer))
            writing = asyncio.ensure_future(self._drafts.on_disk(spill))
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                # The thread still writes; an abort that follows must find what it made.
                with contextlib.suppress(OSError):
                    await writing
                raise
        except OSError as exc:
            self._failed = spool_error(exc, "the content cannot be written")
        except SpoolError as exc:
            self._failed = exc
        finally:
            self._drafts.used -= len(buffer)
        if self._failed is not None:
            descriptor, self._descriptor = self._descriptor, None
            self._drafts.used -= len(self._buffer)
            self._buffer = bytearray()
            if descriptor is not None:
                await self._drafts.on_disk(lambda: self._discard(descriptor))
            raise self._failed

    def _put(self, descriptor: int, buffer: bytearray, offset: int) -> None:
        self._hasher.update(buffer)
        self._drafts.disk.write(descriptor, buffer, offset)

    def _discard(self, descriptor: int) -> None:
        """Free the room at once: a full disk must not stay full."""
        with contextlib.suppress(OSError):
            self._drafts.disk.close(descriptor)
        remove_file(self._drafts.disk, self.path)

    def _unlink(self) -> None:
        remove_file(self._drafts.disk, self.path)

    def _has_come(self) -> None:
        if self._is_coming:
            self._is_coming = False
            self._drafts.count(-1)

    def _end(self) -> None:
        self._over = True
        self._has_come()
        self._drafts.used -= len(self._buffer)
        self._buffer = bytearray()
