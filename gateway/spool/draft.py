"""Content on its way in: small in memory, large to a file in incoming/ block by block, hashed as it comes.

Memory is bounded for all drafts together: beyond their common budget a draft goes to disk before it is large.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from gateway.durable import Disk, remove_file
from gateway.errors import SpoolError
from gateway.spool.layout import SMALL
from gateway.spool.ledger import spool_error
from gateway.spool.room import Room

BLOCK = 64 * 1024
BUDGET = 4 * 1024 * 1024
"""Octets of all drafts together in memory, besides one block of each that is being written."""


class Drafts:
    """What all drafts share: the disk, its room, their folder, how much of their budget is used, and whose IDs are out."""

    def __init__(
        self, disk: Disk, folder: str, room: Room, on_disk: Callable[[Callable[[], None]], Awaitable[None]]
    ) -> None:
        self.disk, self.folder, self.room, self.on_disk = disk, folder, room, on_disk
        self.used = 0
        self.open: set[str] = set()
        self._flushing = asyncio.Lock()
        self._named = self._saved = self._lost = 0

    async def save_names(self) -> None:
        """Save the names that are in the folder now; one flush serves all who ask before it begins. Raises OSError.

        A flush that fails fails all of them: a second one might say yes to what the first has lost (P10).
        """
        self._named += 1
        mine = self._named
        async with self._flushing:
            if mine > max(self._saved, self._lost):
                upto = self._named
                try:
                    await self.on_disk(partial(self.disk.fsync_dir, self.folder))
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

    __slots__ = ("_buffer", "_descriptor", "_drafts", "_failed", "_hashers", "_heads", "_offset", "_over", "id", "size")

    def __init__(self, drafts: Drafts, item: str, heads: Sequence[bytes]) -> None:
        self.id = item
        self.size = len(heads[0])
        self._drafts, self._heads = drafts, heads
        self._buffer = bytearray()
        self._offset = self.size
        self._descriptor: int | None = None
        self._hashers: list[hashlib._Hash] = []
        self._failed: SpoolError | None = None
        self._over = False
        drafts.open.add(item)

    @property
    def is_small(self) -> bool:
        """True while all of it is in memory."""
        return self._descriptor is None

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
        if self._descriptor is None and self.size <= SMALL and drafts.used <= BUDGET:
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
        assert descriptor is not None
        buffer, self._buffer = self._buffer, bytearray()
        offset = self._offset
        self._end()

        def save() -> None:
            disk = self._drafts.disk
            try:
                self._put(descriptor, buffer, offset)
                if head:
                    disk.write(descriptor, self._heads[head], 0)
                disk.fsync(descriptor)
            finally:
                disk.close(descriptor)

        try:
            self._drafts.room.spend(len(buffer))
        except SpoolError:
            self._drafts.used -= len(buffer)
            await self._drafts.on_disk(lambda: self._discard(descriptor))
            raise
        # Octets and name are two matters, and take one time if they are flushed at once.
        outcomes = await asyncio.gather(self._drafts.on_disk(save), self._drafts.save_names(), return_exceptions=True)
        self._drafts.used -= len(buffer)
        for outcome in outcomes:
            if outcome is not None:
                await self.discard()
                if isinstance(outcome, OSError):
                    raise spool_error(outcome, "the content cannot be written") from outcome
                raise outcome
        return self._hashers[head].hexdigest()

    async def discard(self) -> None:
        """The finished file is not wanted after all."""
        await self._drafts.on_disk(self._unlink)

    @property
    def path(self) -> str:
        return f"{self._drafts.folder}/{self.id}.eml"

    async def _spill(self) -> None:
        """Write the buffer to the file, which is made at the first block."""
        buffer, self._buffer = self._buffer, bytearray()
        offset, self._offset = self._offset, self._offset + len(buffer)
        disk = self._drafts.disk

        def spill() -> None:
            if self._descriptor is None:
                self._descriptor = disk.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                self._hashers = [hashlib.sha256(head) for head in self._heads]
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
        for hasher in self._hashers:
            hasher.update(buffer)
        self._drafts.disk.write(descriptor, buffer, offset)

    def _discard(self, descriptor: int) -> None:
        """Free the room at once: a full disk must not stay full."""
        with contextlib.suppress(OSError):
            self._drafts.disk.close(descriptor)
        remove_file(self._drafts.disk, self.path)

    def _unlink(self) -> None:
        remove_file(self._drafts.disk, self.path)

    def _end(self) -> None:
        self._over = True
        self._drafts.used -= len(self._buffer)
        self._buffer = bytearray()
