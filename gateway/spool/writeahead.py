"""The journal: everything that happens to mail is appended here and flushed once for all that wait; files follow later.

A journal file begins with a header page, then come groups of notes, each group on fresh pages, so that no write touches a page
that holds something already promised. `number` orders the files; `oldest` in the newest header says which of them still count.
Every note carries its file's nonce (new at each use, unknown to clients) and a checksum: what a cut tore, what an earlier
use of the file left behind and what content pretends to be is never taken for a note.

All of this runs on one thread, the journal's. What the notes mean: `Kind`. Who turns them into files: `gateway.spool.ledger`
while the gateway runs, `gateway.spool.recovery` at start.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.durable import Disk, remove_file

PAGE = 4096
FILE_OCTETS = 16 * 1024 * 1024
GROUP_OCTETS = 4 * 1024 * 1024
"""A group is closed before it grows beyond this: it bounds memory and the time of one flush."""

MOST_FILES = 8
"""With so many files not yet turned into pairs no new mail is taken."""

_MAGIC = b"TIDEGATE"
_HEADER = struct.Struct("<8sIQQ8sI")  # magic, version, number, oldest, nonce, crc of what stands before
_VERSION = 1
_NOTE = struct.Struct("<8sc3x16sIII")  # nonce, kind, ID, octets of record, octets of content, crc of all but itself
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
class FoundNote:
    """A note as read back. Its content stays in the file: `offset` and `length` say where."""

    kind: Kind
    id: str
    record: bytes
    offset: int
    length: int


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
    """The notes one after the other, filled up to whole pages."""
    parts: list[bytes] = []
    length = 0
    for note in notes:
        head = _NOTE.pack(nonce, note.kind.value, note.id.encode(), len(note.record), len(note.content), 0)[
            :-_CRC_OCTETS
        ]
        crc = zlib.crc32(note.content, zlib.crc32(note.record, zlib.crc32(head)))
        parts += (head, struct.pack("<I", crc), note.record, note.content)
        length += note.octets
    parts.append(bytes(-length % PAGE))
    return b"".join(parts)


def scan(octets: bytes, nonce: bytes) -> Iterator[FoundNote]:
    """Every whole note, in order; what is torn or rotten is passed over, since each whole one is true by itself."""
    at = PAGE
    while (at := octets.find(nonce, at)) >= 0 and at + _NOTE.size <= len(octets):
        _, kind, name, record_octets, content_octets, crc = _NOTE.unpack_from(octets, at)
        begin = at + _NOTE.size
        middle, end = begin + record_octets, begin + record_octets + content_octets
        if end <= len(octets):
            seen = zlib.crc32(memoryview(octets)[begin:end], zlib.crc32(octets[at : begin - _CRC_OCTETS]))
            if seen == crc:
                yield FoundNote(Kind(kind), name.rstrip(b"\0").decode(), octets[begin:middle], middle, content_octets)
                at = end
                continue
        at += 1


def find_files(disk: Disk, folder: str) -> tuple[list[JournalFile], list[JournalFile]]:
    """(those whose notes count, oldest first; those that are free). Reads headers only."""
    valid: list[JournalFile] = []
    free: list[JournalFile] = []
    for name in sorted(name for name in os.listdir(folder) if name.isdigit()):
        path = f"{folder}/{name}"
        descriptor = disk.open(path, os.O_RDONLY)
        try:
            file = JournalFile(path, os.fstat(descriptor).st_size)
            (valid if read_header(disk.read(descriptor, PAGE, 0), file) else free).append(file)
        finally:
            disk.close(descriptor)
    valid.sort(key=lambda file: file.number)
    oldest = valid[-1].oldest if valid else 0
    free += [file for file in valid if file.number < oldest]
    return [file for file in valid if file.number >= oldest], free


class WriteAhead:
    """The journal of a running gateway: used on its own thread only, but for `needed` and `number`, which are plain reads."""

    def __init__(self, disk: Disk, folder: str, file_octets: int = FILE_OCTETS) -> None:
        self._disk, self._folder, self._file_octets = disk, folder, file_octets
        self._needed, self._free = find_files(disk, folder)
        self._number = max((file.number for file in (*self._needed, *self._free)), default=0)
        self._active: JournalFile | None = None
        self._descriptor = -1

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

    def append(self, notes: Sequence[Note], on_wire: Sequence[str]) -> int:
        """Make the notes durable, in order, all or none; the number of the file that took them.

        `on_wire`: what may be on the wire before these notes; it is said again at the head of a new file, since the older
        ones may go. After an OSError the file is given up, never flushed again, and stays until its pairs are safe; the
        notes of the failed group may or may not come back after a cut.
        """
        size = sum(note.octets for note in notes)
        if self._active is None or self._active.used + size + PAGE > self._active.size:
            notes = [*(Note(Kind.WIRE, item) for item in on_wire), *notes]
            self._begin(sum(note.octets for note in notes))
        file = self._active
        assert file is not None
        try:
            if not notes:
                self._disk.fdatasync(self._descriptor)
                return file.number
            group = pack_group(notes, file.nonce)
            self._disk.write(self._descriptor, group, file.used)
            file.used += len(group)
            self._disk.fdatasync(self._descriptor)
        except OSError:
            self._give_up()
            raise
        return file.number

    def turn(self, on_wire: Sequence[str]) -> int:
        """Begin a new file, so that all older ones can be let go; the new one's number."""
        self._give_up()
        return self.append((), on_wire)

    def release(self, below: int) -> None:
        """The notes of files older than `below` are in pairs and flushed: those files may be used again."""
        done = [file for file in self._needed if file.number < below and file is not self._active]
        for file in done:
            self._needed.remove(file)
            if file.size >= self._file_octets and len(self._free) < 2:
                self._free.append(file)
            else:
                remove_file(self._disk, file.path)

    def close(self) -> None:
        self._give_up()

    def _give_up(self) -> None:
        if self._active is not None:
            self._active = None
            with contextlib.suppress(OSError):
                self._disk.close(self._descriptor)

    def _begin(self, octets: int) -> None:
        """A new active file, its header written and not yet flushed. A cut leaves a file with a torn header: a free one."""
        self._give_up()
        file, descriptor, is_new = self._take_free(octets + 2 * PAGE)
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
        self._active, self._descriptor = file, descriptor

    def _take_free(self, octets: int) -> tuple[JournalFile, int, bool]:
        """A file that nobody needs, opened; a new one if there is none."""
        while self._free:
            file = self._free.pop(0)
            if file.size < octets:
                remove_file(self._disk, file.path)
                continue
            return file, self._disk.open(file.path, os.O_WRONLY), False
        taken = {os.path.basename(file.path) for file in self._needed}
        name = next(str(n) for n in range(1, len(taken) + 2) if str(n) not in taken)
        path, size = f"{self._folder}/{name}", max(self._file_octets, -(-octets // PAGE) * PAGE)
        remove_file(self._disk, path)
        descriptor = self._disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            self._disk.allocate(descriptor, size)
        except OSError as exc:
            self._disk.close(descriptor)
            remove_file(self._disk, path)
            if exc.errno in (errno.EINVAL, errno.EOPNOTSUPP):
                raise OSError(errno.ENOSPC, "the journal cannot reserve its room", path) from exc
            raise
        return JournalFile(path, size), descriptor, True
