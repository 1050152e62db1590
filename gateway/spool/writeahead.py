"""The journal: everything that happens to mail is appended here and flushed once for all that wait; files follow later.

A journal file begins with a header page, then come groups of notes, each group on fresh pages, so that no write touches a page
that holds something already promised. `number` orders the files; `oldest` in the newest header says which of them still count.
Every note carries its file's nonce (new at each use, unknown to clients) and a checksum: what a cut tore, what an earlier
use of the file left behind and what content pretends to be is never taken for a note.

All of this runs on the journal's threads. What the notes mean: `Kind`. Who turns them into files: `gateway.spool.ledger`
while the gateway runs, `gateway.spool.recovery` at start.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.durable import Disk, remove_file

PAGE = 4096
FILE_OCTETS = 4 * 1024 * 1024
FIRST_OCTETS = 512 * 1024
"""Of a file that does not follow a full one: a quiet office needs no more, and flash is slow to fill with zeros."""

GROUP_OCTETS = 1024 * 1024
"""A group is closed before it grows beyond this: it bounds memory and the time of one flush."""

FEW_NOTES = 16
"""Groups of so few notes are packed (zlib) if that saves a page; larger ones fill their pages anyway."""

MOST_PACKED = 32 * 1024
"""Above it packing takes longer than writing."""

FREE_FILES = 5
"""Files kept for the next turns; what a rush made beyond is taken away."""

MOST_FILES = 8
"""With so many files whose pairs are not flushed yet, accepting waits for the checkpoint."""

_MAGIC = b"TIDEGATE"
_HEADER = struct.Struct("<8sIQQ8sI")  # magic, version, number, oldest, nonce, crc of what stands before
_VERSION = 1
_NOTE = struct.Struct("<8sc?2x16sIIII")
# nonce, kind, whether packed, ID, octets of record, of content, of both as they stand here, crc of all but itself
_CRC_OCTETS = 4


class Kind(enum.Enum):
    """What happened. Every kind but WIRE and CLEAR settles what may be on the wire."""

    ACCEPTED = b"A"  # with record and content
    LARGE = b"L"  # accepted; the record; the content lies durably in incoming/
    RECORD = b"R"  # waits in the queue with this record
    RETURNED = b"U"  # is back in the queue from removed/ with this record
    REMOVED = b"M"  # lies in removed/ with this record
    ENDED = b"E"  # for good: it never comes back
    ASIDE = b"S"  # set aside: no longer a message of the queue, and yet not ended
    WIRE = b"W"  # may be on the wire
    CLEAR = b"C"  # was not sent after all


@dataclass(frozen=True, slots=True)
class Note:
    kind: Kind
    id: str
    record: bytes = b""
    content: bytes = b""

    @property
    def octets(self) -> int:
        return _NOTE.size + len(self.record) + len(self.content)


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a note's record and content stand in a journal file, and how long they are unpacked."""

    offset: int
    octets: int
    is_packed: bool
    record_octets: int
    content_octets: int

    def unpack(self, octets: bytes) -> tuple[bytes, bytes]:
        """Record and content, from the octets that stand there."""
        if self.is_packed:
            octets = zlib.decompress(octets)
        return octets[: self.record_octets], octets[self.record_octets :]


@dataclass(frozen=True, slots=True)
class FoundNote:
    """A note as read back. Its content is not kept: `stored` says where it is."""

    kind: Kind
    id: str
    record: bytes
    stored: Stored


@dataclass(slots=True)
class JournalFile:
    """One file of the journal. `number` is 0 while it is free or its header unknown; `used` is where the next group goes."""

    path: str
    size: int
    number: int = 0
    oldest: int = 0
    nonce: bytes = b""
    used: int = PAGE


def pack_header(file: JournalFile) -> bytes:
    head = _HEADER.pack(_MAGIC, _VERSION, file.number, file.oldest, file.nonce, 0)[:-_CRC_OCTETS]
    return (head + struct.pack("<I", zlib.crc32(head))).ljust(PAGE, b"\0")


def read_header(page: bytes, file: JournalFile) -> bool:
    """Fill in what the header says; False for a header that is torn, or none."""
    if len(page) < _HEADER.size:
        return False
    magic, version, number, oldest, nonce, crc = _HEADER.unpack_from(page)
    if magic != _MAGIC or version != _VERSION or crc != zlib.crc32(page[: _HEADER.size - _CRC_OCTETS]):
        return False
    file.number, file.oldest, file.nonce = number, oldest, nonce
    return True


def pack_group(notes: Sequence[Note], nonce: bytes) -> bytes:
    """The notes one after the other, filled up to whole pages. A few notes are packed where that saves a page of flash."""
    size = sum(note.octets for note in notes)
    if len(notes) <= FEW_NOTES and PAGE < size <= MOST_PACKED:
        packed = _lay_out(notes, nonce, pack=True)
        if len(packed) < size:  # and so by a page at least, since it is filled up to one
            return packed
    return _lay_out(notes, nonce, pack=False)


def _lay_out(notes: Sequence[Note], nonce: bytes, *, pack: bool) -> bytes:
    parts: list[bytes] = []
    length = 0
    for note in notes:
        body = [note.record, note.content]
        if pack:
            body = [zlib.compress(note.record + note.content, 1)]
        size = sum(map(len, body))
        sizes = len(note.record), len(note.content), size
        head = _NOTE.pack(nonce, note.kind.value, pack, note.id.encode(), *sizes, 0)[:-_CRC_OCTETS]
        crc = zlib.crc32(head)
        for part in body:
            crc = zlib.crc32(part, crc)
        parts += (head, struct.pack("<I", crc), *body)
        length += _NOTE.size + size
    parts.append(bytes(-length % PAGE))
    return b"".join(parts)


def scan(octets: bytes, nonce: bytes) -> Iterator[FoundNote]:
    """Every whole note, in order; what is torn or rotten is passed over, since each whole one is true by itself."""
    at = PAGE
    while (at := octets.find(nonce, at)) >= 0 and at + _NOTE.size <= len(octets):
        _, kind, packed, name, record_octets, content_octets, size, crc = _NOTE.unpack_from(octets, at)
        begin, end = at + _NOTE.size, at + _NOTE.size + size
        if end <= len(octets):
            body = octets[begin:end]
            if zlib.crc32(body, zlib.crc32(octets[at : begin - _CRC_OCTETS])) == crc:
                stored = Stored(begin, size, packed, record_octets, content_octets)
                yield FoundNote(Kind(kind), name.rstrip(b"\0").decode(), stored.unpack(body)[0], stored)
                at = end
                continue
        at += 1


def find_files(disk: Disk, folder: str) -> tuple[list[JournalFile], list[JournalFile]]:
    """(those whose notes count, oldest first; those that are free). Reads headers only."""
    valid: list[JournalFile] = []
    free: list[JournalFile] = []
    for name in sorted(name for name in os.listdir(folder) if name.isdigit()):
        path = f"{folder}/{name}"
        try:
            descriptor = disk.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except PermissionError:
            raise
        except OSError:
            continue  # no file of ours, or none that this disk gives back
        try:
            file = JournalFile(path, os.fstat(descriptor).st_size)
            (valid if read_header(_page(disk, descriptor, 0), file) else free).append(file)
        finally:
            disk.close(descriptor)
    valid.sort(key=lambda file: file.number)
    oldest = valid[-1].oldest if valid else 0
    free += [file for file in valid if file.number < oldest]
    return [file for file in valid if file.number >= oldest], free


def read_pages(disk: Disk, file: JournalFile) -> tuple[bytes, int]:
    """All octets of a file, and how many pages the disk did not give back: these are zeros, and cost only their own notes."""
    descriptor = disk.open(file.path, os.O_RDONLY)
    try:
        try:
            return disk.read(descriptor, file.size, 0), 0
        except OSError:
            pages = [_page(disk, descriptor, offset) for offset in range(0, file.size, PAGE)]
            return b"".join(page or bytes(PAGE) for page in pages), pages.count(b"")
    finally:
        disk.close(descriptor)


def _page(disk: Disk, descriptor: int, offset: int) -> bytes:
    """One page; nothing where the disk fails."""
    try:
        return disk.read(descriptor, PAGE, offset)
    except OSError:
        return b""


@dataclass(slots=True)
class _Open:
    """The file that is being written. Each lane has a descriptor of its own: the kernel reports a page that it could not write
    once to each, so that no flush hides another's failure. `users`: flushes under way."""

    file: JournalFile
    descriptors: dict[int, int]
    users: int = 0
    has_failed: bool = False
    is_over: bool = False


class WriteAhead:
    """The journal of a running gateway. Groups are written one after the other; their flushes may overlap, each on a thread and
    a lane of its own. `needed`, `number` and `placed` are plain reads for any thread.
    """

    def __init__(self, disk: Disk, folder: str, file_octets: int = FILE_OCTETS) -> None:
        self._disk, self._folder, self._file_octets = disk, folder, file_octets
        self._needed, self._free = find_files(disk, folder)
        self._number = max((file.number for file in (*self._needed, *self._free)), default=0)
        self._open: _Open | None = None
        self._lock = threading.Lock()  # held for everything but a group's flush
        self.placed = 0

    @property
    def needed(self) -> int:
        """Files whose notes are not all in pairs and flushed."""
        return len(self._needed)

    @property
    def needed_files(self) -> list[JournalFile]:
        return list(self._needed)

    @property
    def number(self) -> int:
        """The newest file's number."""
        return self._number

    def append(self, notes: Sequence[Note], on_wire: Sequence[str], lane: int = 0) -> int:
        """Make the notes durable, in order, all or none; the number of the file that took them.

        `on_wire`: what may be on the wire before these notes; it is said again at the head of a new file, since the older
        ones may go. After an OSError the file is given up, never flushed again, and stays until its pairs are safe; the
        notes of the failed group, and of those whose flush was under way beside it, may or may not come back after a cut.
        `placed` counts the calls whose notes stand in the file, or never will: who calls for another lane waits for that, so
        that notes stand in the order in which they were handed in.
        """
        with self._lock:
            try:
                place, descriptor = self._place(notes, on_wire, lane)
            finally:
                self.placed += 1
        return self._flush(place, descriptor)

    def turn(self, on_wire: Sequence[str]) -> int:
        """Begin a new file, so that all older ones can be let go; the new one's number. No group may be under way."""
        with self._lock:
            self._give_up()
            try:
                place, descriptor = self._place((), on_wire, 0)
            finally:
                self.placed += 1
        return self._flush(place, descriptor)

    def _place(self, notes: Sequence[Note], on_wire: Sequence[str], lane: int) -> tuple[_Open, int]:
        """Write the group, not flushed; where its flush has to be asked for."""
        size = sum(note.octets for note in notes)
        place = self._open
        if place is None or place.file.used + size + PAGE > place.file.size:
            notes = [*(Note(Kind.WIRE, item) for item in on_wire), *notes]
            place = self._begin(sum(note.octets for note in notes), is_rush=place is not None)
        try:
            descriptor = place.descriptors.get(lane)
            if descriptor is None:
                descriptor = place.descriptors[lane] = self._disk.open(place.file.path, os.O_WRONLY)
            if notes:
                group = pack_group(notes, place.file.nonce)
                self._disk.write(descriptor, group, place.file.used)
                place.file.used += len(group)
        except OSError:
            place.has_failed = True
            self._give_up()
            raise
        place.users += 1
        return place, descriptor

    def _flush(self, place: _Open, descriptor: int) -> int:
        try:
            if not place.has_failed:
                self._disk.fdatasync(descriptor)
        except OSError:
            place.has_failed = True
            raise
        finally:
            with self._lock:
                place.users -= 1
                if place.has_failed and place is self._open:
                    self._give_up()
                self._close(place)
        if place.has_failed:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return place.file.number

    def prepare(self) -> None:
        """Make a file ready, if there is none, so that the first message need not wait for it. Raises OSError."""
        if not self._free and self._open is None:
            file, descriptor, _ = self._take_free(PAGE, is_rush=False)
            self._disk.fsync(descriptor)
            self._disk.close(descriptor)
            self._disk.fsync_dir(self._folder)
            self._free.append(file)

    def release(self, below: int) -> int:
        """The notes of files older than `below` are in pairs and flushed: those files may be used again. How many remain."""
        with self._lock:
            active = self._open.file if self._open is not None else None
            done = [file for file in self._needed if file.number < below and file is not active]
            for file in done:
                self._needed.remove(file)
                if len(self._free) < FREE_FILES:
                    self._free.append(file)
                else:
                    remove_file(self._disk, file.path)
            return len(self._needed)

    def close(self) -> int:
        """Let the open file go; the newest number."""
        with self._lock:
            self._give_up()
            return self._number

    def _give_up(self) -> None:
        """Nothing more goes into the open file; it is closed when no flush of it is under way."""
        place, self._open = self._open, None
        if place is not None:
            place.is_over = True
            self._close(place)

    def _close(self, place: _Open) -> None:
        if not place.is_over or place.users:
            return
        for descriptor in place.descriptors.values():
            with contextlib.suppress(OSError):
                self._disk.close(descriptor)
        place.descriptors.clear()

    def _begin(self, octets: int, *, is_rush: bool) -> _Open:
        """A new file, its header written and not yet flushed. A cut leaves a file with a torn header: a free one."""
        self._give_up()
        file, descriptor, is_new = self._take_free(octets + 2 * PAGE, is_rush=is_rush)
        file.number, file.nonce, file.used = self._number + 1, os.urandom(8), PAGE
        file.oldest = min((old.number for old in self._needed), default=file.number)
        try:
            self._disk.write(descriptor, pack_header(file), 0)
            if is_new:
                self._disk.fsync_dir(self._folder)
        except OSError:
            self._disk.close(descriptor)
            remove_file(self._disk, file.path)
            raise
        self._number = file.number
        self._needed.append(file)
        self._open = _Open(file, {0: descriptor})
        return self._open

    def _take_free(self, octets: int, *, is_rush: bool) -> tuple[JournalFile, int, bool]:
        """A file that nobody needs, opened; a new one if there is none."""
        usual = self._file_octets if is_rush else min(FIRST_OCTETS, self._file_octets)
        while self._free:
            file = self._free.pop(0)
            if file.size < max(octets, usual):
                remove_file(self._disk, file.path)
                continue
            return file, self._disk.open(file.path, os.O_WRONLY), False
        taken = {os.path.basename(file.path) for file in self._needed}
        name = next(str(n) for n in range(1, len(taken) + 2) if str(n) not in taken)
        path, size = f"{self._folder}/{name}", max(usual, -(-octets // PAGE) * PAGE)
        remove_file(self._disk, path)
        descriptor = self._disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            self._disk.allocate(descriptor, size)
        except OSError:
            self._disk.close(descriptor)
            remove_file(self._disk, path)
            raise
        return JournalFile(path, size), descriptor, True
