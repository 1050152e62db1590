"""Which IDs have ended for good, so that a pair put back later is not sent again (P4): the file `SPOOL/ended`.

Lines of text, each with its checksum first, so that a torn tail is recognised and left out:

    CRC base TAG NEXT ID…     every ID of this tag below counter NEXT has ended, but for these; ends earlier `end` lines
    CRC other ID…             IDs of other spools (pairs put in by hand) that have ended
    CRC end ID…               these have ended since

An ID stands here before its journal file is let go: what ended later than that is in the journal. The file is rewritten
when its `end` lines outgrow the queue, so its size is bounded by the queue's.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Collection, Iterable

from gateway.durable import Disk, read_file, replace_file
from gateway.spool.ids import Ids

MOST_FOREIGN = 65_536
"""Ended IDs of other spools that are remembered; the oldest are forgotten first."""

_IDS_A_LINE = 256
_LIMIT = 1 << 30
_REWRITE_AT = 4096


class Ended:
    """What the file says, for the questions of a start. Not kept while the gateway runs."""

    __slots__ = ("_base", "_ended", "_ids", "_live", "foreign", "is_whole", "lines")

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._base = 0
        self._live: frozenset[str] = frozenset()
        self._ended: set[str] = set()
        self.foreign: dict[str, None] = {}
        self.lines = 0
        self.is_whole = True

    @classmethod
    def load(cls, disk: Disk, path: str, ids: Ids) -> Ended:
        """`is_whole` is False where lines had to be passed over; their IDs count as not ended: a duplicate, not a loss."""
        ended = cls(ids)
        try:
            text = read_file(disk, path, _LIMIT)
        except FileNotFoundError:
            return ended
        except PermissionError:
            raise
        except OSError:
            ended.is_whole = False
            return ended
        for line in text.splitlines(keepends=True):
            ended._read(line)
        return ended

    def has(self, item: str) -> bool:
        if item in self._ended or item in self.foreign:
            return True
        counter = self._ids.counter(item)
        return counter is not None and counter < self._base and item not in self._live

    def _read(self, line: bytes) -> None:
        crc, _, rest = line.partition(b" ")
        if not rest.endswith(b"\n") or crc != b"%08x" % zlib.crc32(rest):
            self.is_whole = False
            return
        kind, *words = rest.decode().split()
        if kind == "base":
            tag, counter, *live = words
            if tag == self._ids.tag:
                self._base, self._live = int(counter), frozenset(live)
            self._ended.clear()
            self.lines = 0
        elif kind == "other":
            self.foreign.update(dict.fromkeys(words))
        elif kind == "end":
            self._ended.update(words)
            self.foreign.update((word, None) for word in words if self._ids.counter(word) is None)
            self.lines += len(words)


class EndedLog:
    """The file of a running gateway; used on one disk thread at a time, and durable only after the caller's flush."""

    def __init__(self, disk: Disk, path: str, ids: Ids, loaded: Ended) -> None:
        self._disk, self._path, self._ids = disk, path, ids
        self._foreign = loaded.foreign
        self._listed = loaded.lines
        self._size: int | None = None if not loaded.is_whole else -1

    def wants_rewrite(self, live: int) -> bool:
        """True when `rewrite` with the list of what lives is due instead of `append`."""
        return self._size is None or self._listed > max(_REWRITE_AT, 2 * live)

    def distrust(self) -> None:
        """The caller's flush failed: the next call writes the file anew."""
        self._size = None

    def append(self, items: Collection[str]) -> None:
        """Add these. After an OSError (or a cut) a torn line may stand at the end; the next call rewrites the file."""
        if not items:
            return
        size, self._size = self._size, None
        lines = b"".join(_lines("end", items))
        descriptor = self._disk.open(self._path, os.O_WRONLY | os.O_CREAT)
        try:
            at = os.fstat(descriptor).st_size if size is None or size < 0 else size
            self._disk.write(descriptor, lines, at)
        finally:
            self._disk.close(descriptor)
        self._size = at + len(lines)
        self._listed += len(items)
        self._note_foreign(items)

    def rewrite(self, items: Iterable[str], live: Iterable[str], below: int) -> None:
        """Write the file anew: all of our own below counter `below` have ended but `live`. A cut leaves the old file."""
        self._note_foreign(items)
        own = [item for item in live if self._ids.counter(item) is not None]
        base = _line(f"base {self._ids.tag} {below} {' '.join(own)}")
        replace_file(self._disk, self._path, base + b"".join(_lines("other", self._foreign)), durable=True)
        self._size, self._listed = -1, 0

    def _note_foreign(self, items: Iterable[str]) -> None:
        self._foreign.update((item, None) for item in items if self._ids.counter(item) is None)
        for item in list(self._foreign)[: max(0, len(self._foreign) - MOST_FOREIGN)]:
            del self._foreign[item]


def _line(text: str) -> bytes:
    rest = text.rstrip().encode() + b"\n"
    return b"%08x %s" % (zlib.crc32(rest), rest)


def _lines(kind: str, items: Iterable[str]) -> Iterable[bytes]:
    items = list(items)
    return [_line(f"{kind} {' '.join(items[at : at + _IDS_A_LINE])}") for at in range(0, len(items), _IDS_A_LINE)]
