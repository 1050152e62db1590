"""What a journal file holds: a header page, then groups of notes, each group on fresh pages, so that no write touches a page
that holds something already promised.

`number` orders the files; `oldest` in the newest header says which of them still count. Every note carries its file's nonce
(new at each use, unknown to clients) and a checksum: what a cut tore, what an earlier use of the file left behind and what
content pretends to be is never taken for a note. Laid out and read back here; when it is written is
`gateway.spool.writeahead`'s, what the notes mean for the files `gateway.spool.journal_state`'s.
"""

from __future__ import annotations

import enum
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.durable import Disk

PAGE = 4096

MOST_PACKED = 32 * 1024
"""Octets of a note above which packing it (zlib) takes longer than writing it."""

PACKED_NOTES = 16
PACKED_OCTETS = 96 * 1024
"""So much of a group is packed at most: whoever waits for the group waits for that, too."""

LEAST_PACKED = 256
"""Octets of a note below which it does not pay."""

_WINDOW, _MEMORY = 13, 6
"""Of zlib, as powers of two: 64 KiB in all. Its own choice for any size takes 260, and clears them: five times what it takes to
pack a small message, and the processor's cache is full of it then."""

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
    """One file of the journal. `number` is 0 while it is free or its header unknown; `used` is where the next group goes;
    up to `flushed` all is on the disk.
    `has_failed`: not all that was written to it is known to be on the disk; it is never written or flushed again (P10)."""

    path: str
    size: int
    number: int = 0
    oldest: int = 0
    nonce: bytes = b""
    used: int = PAGE
    flushed: int = PAGE
    has_failed: bool = False


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
    """The notes one after the other, filled up to whole pages; packed, where that saves pages of flash."""
    size = sum(note.octets for note in notes)
    packed: list[bytes | None] = [None] * len(notes)
    if size > PAGE:
        smaller, left = [], PACKED_OCTETS
        for number, note in enumerate(notes):
            left -= note.octets
            smaller.append(_packed(note) if number < PACKED_NOTES and left >= 0 else None)
        less = sum(
            note.octets - _NOTE.size - len(body) for note, body in zip(notes, smaller, strict=True) if body is not None
        )
        if _pages(size - less) < _pages(size):
            packed, size = smaller, size - less
    parts: list[bytes] = []
    for note, body in zip(notes, packed, strict=True):
        as_it_is = (note.record, note.content) if body is None else (body,)
        sizes = len(note.record), len(note.content), sum(map(len, as_it_is))
        head = _NOTE.pack(nonce, note.kind.value, body is not None, note.id.encode(), *sizes, 0)[:-_CRC_OCTETS]
        crc = zlib.crc32(head)
        for part in as_it_is:
            crc = zlib.crc32(part, crc)
        parts += (head, struct.pack("<I", crc), *as_it_is)
    parts.append(bytes(-size % PAGE))
    return b"".join(parts)


def _packed(note: Note) -> bytes | None:
    """Record and content packed; None where they are not the smaller for it."""
    octets = len(note.record) + len(note.content)
    if not LEAST_PACKED <= octets <= MOST_PACKED:
        return None
    packer = zlib.compressobj(1, zlib.DEFLATED, _WINDOW, _MEMORY)
    packed = packer.compress(note.record) + packer.compress(note.content) + packer.flush()
    return packed if len(packed) < octets else None


def _pages(octets: int) -> int:
    return -(-octets // PAGE)


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
