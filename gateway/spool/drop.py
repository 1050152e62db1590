"""Taking in what programs put into SPOOL/drop/ (`gateway.spool.dropfile`): at start, when told, and now and then by itself.

Each file becomes a message like any other, through the spool's own draft and commit, and is unlinked then. A cut between the
two leaves it to be taken again: one extra copy at most, never a loss. What is no message is set aside for a person. What cannot
be read or stored now stays where it is, safe, until it can; one that is too large for the disk keeps no smaller one waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from gateway.durable import Disk, remove_file
from gateway.errors import SpoolError, SpoolFull
from gateway.events import Alarm, Journal, Received, SetAside
from gateway.mail.address import AddressError, split_mailbox
from gateway.mail.envelope import Class, Envelope, Peer, Recipient
from gateway.spool.dropfile import FOLDER, SUFFIX, VERSION
from gateway.spool.layout import Layout
from gateway.spool.pairs import set_aside
from gateway.spool.spool import Spool

BLOCK = 64 * 1024
MAX_HEAD = 8 * 1024 * 1024
MAX_HEADER = 64 * 1024
"""So much of a message's header is looked at for its class."""

BATCH = 32
"""So many files are unlinked before the folder is flushed: that many may come again after a cut."""

STRAY_SECONDS = 600.0
RETRY_SECONDS = 30.0
LOOK_SECONDS = 600.0
"""Nobody needs to look by himself, since every writer calls; this is for the call that did not come through."""


class _To(msgspec.Struct, forbid_unknown_fields=True):
    address: str
    notify: str | None = None
    orcpt: str | None = None


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    drop: int
    reverse_path: str = msgspec.field(name="from")
    to: list[_To]
    size: int
    sha256: str
    user: str
    body: Literal["7BIT", "8BITMIME"] | None = None
    smtputf8: bool = False
    ret: Literal["FULL", "HDRS"] | None = None
    envid: str | None = None


@dataclass(frozen=True, slots=True)
class Dropped:
    """One file, read and found whole. `start`: where its content begins. `header`: the content's first octets."""

    envelope: Envelope
    user: str
    start: int
    size: int
    header: bytes


class _Unreadable(Exception):
    """This file cannot be read now; the others may be. The text says which and why."""


class DropFolder:
    """`head(id, dropped)`: the Received field. `classify(envelope, header)`: the class. Both are asked for each message."""

    def __init__(
        self,
        root: Path,
        spool: Spool,
        *,
        journal: Journal,
        head: Callable[[str, Dropped], bytes],
        classify: Callable[[Envelope, bytes], Class],
        disk: Disk | None = None,
    ) -> None:
        self._disk = disk if disk is not None else Disk()
        self._layout = Layout(root)
        self._folder = f"{self._layout.root}/{FOLDER}"
        self._spool, self._journal, self._head, self._classify = spool, journal, head, classify
        self._turn = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[list[str]]] = set()
        self._told: str | None = None
        self._no_room_for: int | None = None  # octets of the smallest file for which there was none in this round
        self._stored: set[str] = set()  # taken in, and still to be unlinked: the disk refused

    async def run(self) -> None:
        """Take in what is there, and again after trouble; until `stop`."""
        while not self._stopping.is_set():
            try:
                await self.take()
            except Exception as exc:  # a fault of ours in one file must not end the intake of all others
                self._tell(f"{type(exc).__name__}: {exc}")
            wait = RETRY_SECONDS if self._told is not None else LOOK_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait)

    async def stop(self) -> None:
        """Finish the file in hand, so that it is not taken a second time at the next start, and begin no other."""
        self._stopping.set()
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def take(self) -> list[str]:
        """Take in every file that is there now; the new IDs. Trouble with the disk is recorded once and leaves the rest.

        A caller that is cancelled does not stop it.
        """
        work = asyncio.create_task(self._take())
        self._tasks.add(work)
        work.add_done_callback(self._tasks.discard)
        return await asyncio.shield(work)

    async def _take(self) -> list[str]:
        async with self._turn:
            taken: list[str] = []
            trouble: list[str] = []  # with single files
            self._no_room_for = None
            try:
                names = await asyncio.to_thread(self._names)
                for start in range(0, len(names), BATCH):
                    await self._take_batch(names[start : start + BATCH], taken, trouble)
                if trouble:
                    self._tell(trouble[0])
                else:
                    self._told = None
            except SpoolError as exc:
                self._tell(str(exc))
            except OSError as exc:
                self._tell(exc.strerror or str(exc))
            return taken

    def _tell(self, trouble: str) -> None:
        if trouble != self._told:
            self._journal.record(Alarm("spool", f"mail in {self._folder} cannot be taken in now: {trouble}"))
        self._told = trouble

    async def _take_batch(self, names: list[str], taken: list[str], trouble: list[str]) -> None:
        try:
            for name in names:
                if self._stopping.is_set():
                    return
                try:
                    item = await self._take_file(f"{self._folder}/{name}")
                except (_Unreadable, SpoolFull) as exc:
                    trouble.append(str(exc))
                    continue
                if item is not None:
                    taken.append(item)
        finally:
            # A file that a cut brings back is a second copy: its going is made durable soon, for a batch at a time.
            await asyncio.to_thread(self._disk.fsync_dir, self._folder)

    async def _take_file(self, path: str) -> str | None:
        """The new ID, None if it was set aside, is not there any more or has no room. Raises _Unreadable, SpoolFull, and what
        stops them all."""
        if path in self._stored:
            await self._unlink(path)
            return None
        try:
            descriptor = await asyncio.to_thread(self._disk.open, path, os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as exc:
            if exc.errno not in (errno.EACCES, errno.ELOOP, errno.ENXIO):
                raise _unreadable(path, exc) from exc
            await self._put_aside(path, exc.strerror or str(exc))
            return None
        try:
            octets = os.fstat(descriptor).st_size
            if self._no_room_for is not None and octets >= self._no_room_for:
                return None
            try:
                dropped = await asyncio.to_thread(self._read, descriptor)
            except ValueError as exc:
                await self._put_aside(path, str(exc))
                return None
            except OSError as exc:
                raise _unreadable(path, exc) from exc
            try:
                return await self._commit(path, descriptor, dropped)
            except SpoolFull:
                self._no_room_for = octets
                raise
        finally:
            self._disk.close(descriptor)

    async def _commit(self, path: str, descriptor: int, dropped: Dropped) -> str:
        message_class = self._classify(dropped.envelope, dropped.header)
        draft = self._spool.draft([lambda item: self._head(item, dropped)])
        try:
            for offset in range(0, dropped.size, BLOCK):
                count = min(BLOCK, dropped.size - offset)
                try:
                    piece = await asyncio.to_thread(self._disk.read, descriptor, count, dropped.start + offset)
                except OSError as exc:
                    raise _unreadable(path, exc) from exc
                await draft.write(piece)
            entry = await self._spool.commit(
                draft,
                dropped.envelope,
                message_class=message_class,
                peer=Peer(user=dropped.user),
                service="sendmail",
            )
        except BaseException:
            await draft.abort()
            raise
        self._journal.record(
            Received(
                entry.id,
                dropped.envelope.reverse_path,
                tuple(recipient.address for recipient in dropped.envelope.recipients),
                entry.size,
                message_class,
                user=dropped.user,
                service="sendmail",
            )
        )
        self._stored.add(path)
        await self._unlink(path)
        return entry.id

    async def _unlink(self, path: str) -> None:
        await asyncio.to_thread(self._disk.unlink, path)
        self._stored.discard(path)

    async def _put_aside(self, path: str, why: str) -> None:
        names = await asyncio.to_thread(set_aside, self._disk, self._layout, [path])
        for name in names:
            self._journal.record(SetAside(name, f"not a message handed in: {why}"))

    # On a thread.

    def _names(self) -> list[str]:
        """Files to take in, oldest first; old strays are swept. The folder is made where it is missing."""
        try:
            names = sorted(os.listdir(self._folder))
        except FileNotFoundError:
            self._disk.mkdir(self._folder)
            self._disk.fsync_dir(self._layout.root)
            return []
        for name in names:
            if not name.endswith(SUFFIX):
                path = f"{self._folder}/{name}"
                with contextlib.suppress(OSError):
                    if name.endswith(f"{SUFFIX}.new") and abs(time.time() - os.lstat(path).st_mtime) > STRAY_SECONDS:
                        remove_file(self._disk, path)
        return [name for name in names if name.endswith(SUFFIX)]

    def _read(self, descriptor: int) -> Dropped:
        """Read and check one file, content and all. Raises ValueError, with the reason, for what is no message; OSError."""
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is not a regular file")
        line = b""
        while b"\n" not in line:
            piece = self._disk.read(descriptor, BLOCK, len(line))
            line += piece
            if not piece or len(line) > MAX_HEAD:
                raise ValueError("its first line does not end")
        line, _, _ = line.partition(b"\n")
        try:
            head = msgspec.json.decode(line, type=_Head)
        except msgspec.MsgspecError as exc:
            raise ValueError(f"its first line is not understood: {exc}") from exc
        start = len(line) + 1
        size = found.st_size - start
        if head.drop != VERSION or not head.to or size != head.size:
            raise ValueError("it is of another version" if head.drop != VERSION else "it is not whole")
        try:
            if head.reverse_path:
                split_mailbox(head.reverse_path)
            for to in head.to:
                split_mailbox(to.address)
        except AddressError as exc:
            raise ValueError(f"an address of it is {exc}") from exc
        digest = hashlib.sha256()
        for offset in range(0, size, BLOCK):
            digest.update(self._disk.read(descriptor, min(BLOCK, size - offset), start + offset))
        if digest.hexdigest() != head.sha256:
            raise ValueError("its content is not what was handed in")
        first = self._disk.read(descriptor, min(MAX_HEADER, size), start)
        header, end, _ = first.partition(b"\r\n\r\n")
        envelope = Envelope(
            head.reverse_path,
            tuple(Recipient(to.address, to.notify, to.orcpt) for to in head.to),
            body=head.body,
            smtputf8=head.smtputf8,
            ret=head.ret,
            envid=head.envid,
        )
        return Dropped(envelope, head.user, start, size, header + end[:2])


def _unreadable(path: str, why: OSError) -> _Unreadable:
    return _Unreadable(f"{os.path.basename(path)} cannot be read: {why.strerror or why}")
