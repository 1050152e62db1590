"""The journal of a running gateway: notes are appended in groups and flushed once for all that wait; files follow later.

All of this runs on the journal's threads. What stands in the files: `gateway.spool.notes`. Who turns notes into pairs:
`gateway.spool.ledger` while the gateway runs, `gateway.spool.recovery` at start.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.durable import Disk, remove_file
from gateway.spool.notes import PAGE, JournalFile, Kind, Note, find_files, pack_group, pack_header

FILE_OCTETS = 4 * 1024 * 1024

FIRST_OCTETS = 512 * 1024
"""Of a file that does not follow a full one: a quiet office needs no more, and flash is slow to fill with zeros."""

GROUP_OCTETS = 1024 * 1024
"""A group is closed before it grows beyond this: it bounds memory and the time of one flush."""

FREE_FILES = 5
"""Files kept for the next turns; what a rush made beyond is taken away."""

MOST_FILES = 8
"""With so many files whose pairs are not flushed yet, accepting waits for the checkpoint."""


@dataclass(slots=True)
class _Open:
    """The file that is being written. Each lane has a descriptor of its own: the kernel reports a page that it could not write
    once to each, so that no flush hides another's failure. `users`: flushes under way."""

    file: JournalFile
    descriptors: dict[int, int]
    users: int = 0
    is_over: bool = False


class WriteAhead:
    """The journal of a running gateway. Groups are written one after the other; their flushes may overlap, each on a thread and
    a lane of its own. `needed`, `number` and `placed` are plain reads for any thread.
    """

    def __init__(self, disk: Disk, folder: str, file_octets: int = FILE_OCTETS) -> None:
        self._disk, self._folder, self._file_octets = disk, folder, file_octets
        self._needed, self._free = find_files(disk, folder)
        for file in self._needed:
            file.flushed = file.size
        self._number = max((file.number for file in (*self._needed, *self._free)), default=0)
        self._oldest = self._needed[0].number if self._needed else self._number + 1
        """Files below it count no more, whatever a cut leaves: the newest header that is flushed says so. Of the others a start
        must find every one that is newer than the oldest it finds, else an older note would have the last word."""
        self._open: _Open | None = None
        self._lock = threading.Lock()  # held for everything but a group's flush
        self.placed = 0

    @property
    def needed(self) -> int:
        """Files whose notes are not all in pairs and flushed."""
        return len(self._needed)

    @property
    def needed_files(self) -> list[JournalFile]:
        """These, each as far as it is flushed."""
        return [replace(file, size=file.flushed) for file in tuple(self._needed)]

    @property
    def number(self) -> int:
        """The newest file's number."""
        return self._number

    def has_room(self, octets: int) -> bool:
        """Do notes of so many octets go into the open file? To be asked when all calls so far are `placed`."""
        place = self._open
        return place is not None and _fits(octets, place.file)

    def append(self, notes: Sequence[Note], on_wire: Sequence[str], lane: int = 0, *, is_alone: bool = True) -> int:
        """Make the notes durable, in order, all or none; the number of the file that took them.

        `on_wire`: what may be on the wire before these notes; it is said again at the head of a new file, since the older
        ones may go. After an OSError the file is given up, never flushed again, and stays until its pairs are safe; the
        notes of the failed group, and of those whose flush was under way beside it, may or may not come back after a cut.
        `placed` counts the calls whose notes stand in the file, or never will: who calls for another lane waits for that, so
        that notes stand in the order in which they were handed in. Not `is_alone`: flushes are under way, so no new file is
        begun; should one of them have failed, so does this.
        """
        with self._lock:
            try:
                place, descriptor, end = self._place(notes, on_wire, lane, is_alone=is_alone)
            finally:
                self.placed += 1
        return self._flush(place, descriptor, end)

    def turn(self, on_wire: Sequence[str], notes: Sequence[Note] = ()) -> int:
        """Begin a new file with these notes, so that all older ones can be let go; the new one's number. No group may be under
        way."""
        with self._lock:
            self._give_up()
            try:
                place, descriptor, end = self._place(notes, on_wire, 0, is_alone=True)
            finally:
                self.placed += 1
        return self._flush(place, descriptor, end)

    def _place(
        self, notes: Sequence[Note], on_wire: Sequence[str], lane: int, *, is_alone: bool
    ) -> tuple[_Open, int, int]:
        """Write the group, not flushed; where its flush has to be asked for, and where it ends."""
        size = sum(note.octets for note in notes)
        place = self._open
        if place is None or not _fits(size, place.file):
            if not is_alone:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            notes = [*(Note(Kind.WIRE, item) for item in on_wire), *notes]
            place = self._begin(sum(note.octets for note in notes), is_rush=place is not None)
        descriptor = place.descriptors.get(lane)
        if descriptor is None:  # where the system has none to give, this group alone fails: nothing of it is written
            descriptor = place.descriptors[lane] = self._disk.open(place.file.path, os.O_WRONLY)
        try:
            if notes:
                group = pack_group(notes, place.file.nonce)
                self._disk.write(descriptor, group, place.file.used)
                place.file.used += len(group)
        except OSError:
            place.file.has_failed = True
            self._give_up()
            raise
        place.users += 1
        return place, descriptor, place.file.used

    def _flush(self, place: _Open, descriptor: int, end: int) -> int:
        try:
            if not place.file.has_failed:
                self._disk.fdatasync(descriptor)
        except OSError:
            place.file.has_failed = True
            raise
        finally:
            with self._lock:
                if not place.file.has_failed:
                    self._oldest = max(self._oldest, place.file.oldest)
                    place.file.flushed = max(place.file.flushed, end)
                place.users -= 1
                if place.file.has_failed and place is self._open:
                    self._give_up()
                self._close(place)
        if place.file.has_failed:
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
                self._free.append(file)
            for file in self._settled()[: max(0, len(self._free) - FREE_FILES)]:
                self._drop(file)
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
        may_count = file.number >= self._oldest
        file.number, file.nonce = self._number + 1, os.urandom(8)
        file.used = file.flushed = PAGE
        file.oldest = min((old.number for old in self._needed), default=file.number)
        try:
            self._disk.write(descriptor, pack_header(file), 0)
            if is_new:
                self._disk.fsync_dir(self._folder)
            if may_count:
                self._disk.fdatasync(descriptor)  # before any of its notes is written over, and the one after it is not
        except OSError:
            self._disk.close(descriptor)
            remove_file(self._disk, file.path)
            raise
        self._number = file.number
        self._needed.append(file)
        self._open = _Open(file, {0: descriptor})
        return self._open

    def _settled(self) -> list[JournalFile]:
        """The free files that surely do not count."""
        return [file for file in self._free if file.number < self._oldest]

    def _drop(self, file: JournalFile) -> None:
        self._free.remove(file)
        remove_file(self._disk, file.path)

    def _take_free(self, octets: int, *, is_rush: bool) -> tuple[JournalFile, int, bool]:
        """A file that nobody needs, opened; a new one if there is none."""
        usual = self._file_octets if is_rush else min(FIRST_OCTETS, self._file_octets)
        least = max(octets, usual)
        for file in self._settled():
            if file.has_failed or file.size < least:
                self._drop(file)
        # Of those that may still count only the oldest may go, and with its header first.
        for file in (self._settled() or self._free)[:1]:
            if not file.has_failed and file.size >= least:
                descriptor = self._disk.open(file.path, os.O_WRONLY)
                self._free.remove(file)
                return file, descriptor, False
        taken = {os.path.basename(file.path) for file in (*self._needed, *self._free)}
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


def _fits(octets: int, file: JournalFile) -> bool:
    return file.used + octets + PAGE <= file.size
