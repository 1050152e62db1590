"""Records as they are now: on their way to the journal, in it, or in their files; whichever is newest."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial

from gateway.durable import Disk, read_file
from gateway.errors import ContentDamaged, NoSuchItem, SpoolError
from gateway.spool.content import Content, Opened, check, open_content
from gateway.spool.diskerror import spool_error
from gateway.spool.layout import Layout
from gateway.spool.ledger import Ledger
from gateway.spool.notes import Kind, Note
from gateway.spool.pairs import content_octets
from gateway.spool.record import MAX_RECORD_OCTETS, Record, decode_record
from gateway.spool.written import Written


class Records:
    """Reads records and contents on the spool's threads, and writes notes so that a newer record is found at once."""

    def __init__(self, disk: Disk, layout: Layout, ledger: Ledger) -> None:
        self._disk, self._layout, self._ledger = disk, layout, ledger
        self._writing: dict[str, Note] = {}

    def write(self, notes: Sequence[Note]) -> Written:
        """As `Ledger.write`; from this call on `load` gives what the notes say."""
        for note in notes:
            self._writing[note.id] = note
        written = self._ledger.write(notes)
        written.then(partial(self._written, notes))
        return written

    def _written(self, notes: Sequence[Note], written: Written) -> None:
        del written  # durable or not: they are no longer under way
        for note in notes:
            if self._writing.get(note.id) is note:
                del self._writing[note.id]

    def writes(self, item: str, kind: Kind) -> bool:
        """Is a note of this kind the last that is under way for this message?"""
        note = self._writing.get(item)
        return note is not None and note.kind is kind

    def _in_memory(self, item: str) -> bytes | None:
        note = self._writing.get(item)
        if note is not None and note.record:
            return note.record
        change = self._ledger.pending.get(item)
        return change.record if change is not None else None

    async def load(self, item: str, *, removed: bool = False) -> bytes:
        """The record's octets. NoSuchItem if there is none, SpoolError if the disk fails."""
        octets = self._in_memory(item)
        if octets is not None:
            return octets
        folder = self._layout.removed if removed else self._layout.queue
        try:
            return await self._ledger.on_disk(partial(read_file, self._disk, f"{folder}/{item}.env", MAX_RECORD_OCTETS))
        except FileNotFoundError as exc:
            octets = self._in_memory(item)
            if octets is not None:
                return octets
            raise NoSuchItem(f"{item}: no such message") from exc
        except OSError as exc:
            raise spool_error(exc, f"the record of {item} cannot be read") from exc

    async def load_records(self, items: Sequence[str]) -> list[Record | None]:
        """The records of messages in the queue, in one visit to the disk; None for one that is gone or cannot be read."""
        found = [self._in_memory(item) for item in items]
        if None in found:
            missing = [number for number, octets in enumerate(found) if octets is None]

            def read() -> list[bytes | None]:
                return [self._read(f"{self._layout.queue}/{items[number]}.env") for number in missing]

            for number, octets in zip(missing, await self._ledger.on_disk(read), strict=True):
                found[number] = octets if octets is not None else self._in_memory(items[number])
        return [None if octets is None else _understood(octets) for octets in found]

    def _read(self, path: str) -> bytes | None:
        try:
            return read_file(self._disk, path, MAX_RECORD_OCTETS)
        except OSError:
            return None

    async def load_record(self, item: str, *, removed: bool = False) -> Record:
        """As `load`, decoded. ContentDamaged if it is no record."""
        octets = await self.load(item, removed=removed)
        try:
            return decode_record(octets)
        except ValueError as exc:
            raise ContentDamaged(f"{item}: {exc}") from exc

    async def content(self, record: Record, *, verify: bool) -> Content:
        """The content of this record's message, compared with its SHA-256 if `verify`. ContentDamaged, SpoolError."""
        layout, item = self._layout, record.id
        sha256 = record.sha256 if verify else None
        change = self._ledger.pending.get(item)
        waiting = change.content if change is not None else None
        if isinstance(waiting, bytes):
            check(waiting, record.size, None)
            return self._content(Opened(record.size, waiting, None))
        paths = [f"{folder}/{item}.eml" for folder in (layout.queue, layout.incoming, layout.removed)]

        def read() -> Opened:
            if waiting is not None:
                # By the time a thread is free the pair may have followed, and the journal's file be used anew.
                with contextlib.suppress(OSError, ContentDamaged):
                    octets = content_octets(self._disk, waiting)
                    check(octets, record.size, record.sha256)
                    return Opened(record.size, octets, None)
            return open_content(self._disk, paths, record.size, sha256)

        try:
            return self._content(await self._ledger.on_disk(read))
        except OSError as exc:
            raise spool_error(exc, f"the content of {item} cannot be read") from exc

    async def small(self, items: Sequence[str]) -> dict[str, tuple[bytes, Record, Content]]:
        """Record and verified content of small messages in one visit to the disk; those of which part is in memory are left
        out. So is what is wrong with its files: `load` and `content` find and say it."""
        pending = self._ledger.pending
        on_disk = [item for item in items if item not in pending and self._in_memory(item) is None]
        if not on_disk:
            return {}

        def read() -> dict[str, tuple[bytes, Record, Opened]]:
            found = {}
            for item in on_disk:
                with contextlib.suppress(OSError, ValueError, ContentDamaged):
                    stored = read_file(self._disk, f"{self._layout.queue}/{item}.env", MAX_RECORD_OCTETS)
                    record = decode_record(stored)
                    if record.id == item:
                        paths = (f"{self._layout.queue}/{item}.eml",)
                        found[item] = stored, record, open_content(self._disk, paths, record.size, record.sha256)
            return found

        found = await self._ledger.on_disk(read)
        return {item: (stored, record, self._content(opened)) for item, (stored, record, opened) in found.items()}

    def _content(self, opened: Opened) -> Content:
        return Content(opened.size, opened.octets, opened.descriptor, disk=self._disk, on_disk=self._read_on_disk)

    async def _read_on_disk(self, call: Callable[[], bytes]) -> bytes:
        try:
            return await self._ledger.on_disk(call)
        except OSError as exc:
            raise SpoolError(f"the content cannot be read: {exc.strerror}") from exc


def _understood(octets: bytes) -> Record | None:
    try:
        return decode_record(octets)
    except ValueError:
        return None
