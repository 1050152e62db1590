"""Turning what the journal says into pairs of files. Every step may be cut: the journal still says it, and start does it again.

The order within one message: content first, then its record, so that whoever sees ID.env sees a whole pair. When a pair moves
between queue/ and removed/, its content gets the new name, then the folder is flushed, then the old names go: on a disk that
saves the halves of a rename one by one, content must never be without a name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.durable import Disk, flush_file, remove_file, replace_file
from gateway.spool.layout import Layout
from gateway.spool.notes import Stored

Place = Literal["queue", "removed", "gone", "aside"]


class ContentGone(OSError):
    """No name leads to the content any more: somebody took it away. Trying again is of no use."""


@dataclass(frozen=True, slots=True)
class InJournal:
    """Content that lies in a journal file and nowhere else yet."""

    path: str
    stored: Stored


@dataclass(slots=True, eq=False)
class Change:
    """What the files of one message are to become, and are not yet.

    `record`: the new ID.env, None where it stands. `content`: octets to be written as ID.eml, None where it stands. `large`:
    content lies in incoming/ until it is linked. `moved`: there may be files of this ID in the other folder.
    `tried`: some of its files may have been made. `number`: the journal file that says so.
    """

    id: str
    place: Place
    number: int
    record: bytes | None = None
    content: bytes | InJournal | None = None
    large: bool = False
    moved: bool = False
    tried: bool = False

    @property
    def octets(self) -> int:
        """Memory it holds."""
        held = len(self.content) if isinstance(self.content, bytes) else 0
        return held + (len(self.record) if self.record else 0)

    def over(self, older: Change) -> Change:
        """This change on top of one that has not been done (wholly) yet."""
        if self.place in ("queue", "removed"):
            if self.record is None:
                self.record = older.record
            if self.content is None:
                self.content = older.content
        self.large = self.large or older.large
        self.tried = self.tried or older.tried
        self.moved = self.moved or older.moved
        return self

    @property
    def never_written(self) -> bool:
        """Nothing of this message is in any file but the journal's."""
        return self.content is not None and not self.tried


def content_octets(disk: Disk, content: bytes | InJournal) -> bytes:
    if isinstance(content, bytes):
        return content
    descriptor = disk.open(content.path, os.O_RDONLY)
    try:
        octets = disk.read(descriptor, content.stored.octets, content.stored.offset)
    finally:
        disk.close(descriptor)
    try:
        return content.stored.unpack(octets)[1]
    except zlib.error as exc:
        raise OSError(errno.EIO, "the journal has changed", content.path) from exc


def size_of(path: str) -> int | None:
    """Octets of a regular file; None where there is none (a link, a folder or a device is none)."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def put_file(disk: Disk, path: str, octets: bytes) -> None:
    """A new file with these octets, whatever was there before. Not flushed. After an OSError there is no file."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        descriptor = disk.open(path, flags)
    except FileExistsError:
        disk.unlink(path)
        descriptor = disk.open(path, flags)
    try:
        try:
            disk.write(descriptor, octets, 0)
        finally:
            disk.close(descriptor)
    except OSError:
        remove_file(disk, path)
        raise


def apply(disk: Disk, layout: Layout, changes: Sequence[Change]) -> list[tuple[Change, OSError]]:
    """Make the files so. Returns those that could not be (a full disk, say) with the reason; they stay as the journal says.

    Nothing is flushed but the folders into which pairs move; the caller flushes before it lets the journal go.
    """
    failed: list[tuple[Change, OSError]] = []
    moved: list[Change] = []
    for change in changes:
        try:
            if change.place == "gone":
                _end(disk, layout, change)
            elif change.place != "aside":
                _place(disk, layout, change)
                if change.moved:
                    moved.append(change)
        except OSError as exc:
            failed.append((change, exc))
    for place in ("queue", "removed"):
        group = [change for change in moved if change.place == place]
        if group:
            failed += _leave(disk, layout, place, group)
    return failed


def _place(disk: Disk, layout: Layout, change: Change) -> None:
    here, there = (layout.queue, layout.removed) if change.place == "queue" else (layout.removed, layout.queue)
    content = f"{here}/{change.id}.eml"
    if change.content is not None:
        put_file(disk, content, content_octets(disk, change.content))
    elif change.large or change.moved:
        sources = ([layout.incoming] if change.large else []) + ([there] if change.moved else [])
        try:
            _link_from(disk, content, [f"{folder}/{change.id}.eml" for folder in sources])
        except ContentGone:
            if change.record is not None:  # what is left of it, for set-aside/
                replace_file(disk, f"{here}/{change.id}.env", change.record, durable=False)
            raise
    if change.record is None:
        return
    if change.content is not None or change.large:
        put_file(disk, f"{here}/{change.id}.env", change.record)  # a new message; a rename would cost as much again
    else:
        replace_file(disk, f"{here}/{change.id}.env", change.record, durable=False)


def _link_from(disk: Disk, content: str, sources: Iterable[str]) -> None:
    """One more name for content that has one already; nothing to do where it has this one."""
    if size_of(content) is not None:
        return
    for source in sources:
        with contextlib.suppress(FileNotFoundError):
            disk.link(source, content)
            return
    raise ContentGone(errno.ENOENT, "the content is gone", content)


def _leave(
    disk: Disk, layout: Layout, place: Literal["queue", "removed"], group: Sequence[Change]
) -> list[tuple[Change, OSError]]:
    """Save the new names, then take the old ones away. One flush for the group."""
    here, there = (layout.queue, layout.removed) if place == "queue" else (layout.removed, layout.queue)
    try:
        disk.fsync_dir(here)
    except OSError as exc:
        return [(change, exc) for change in group]
    failed: list[tuple[Change, OSError]] = []
    for change in group:
        for kind in ("env", "eml"):
            problem = remove_file(disk, f"{there}/{change.id}.{kind}")
            if problem is not None:
                failed.append((change, problem))
                break
    return failed


def _end(disk: Disk, layout: Layout, change: Change) -> None:
    """Take all files of an ended message away: the record first, so that no record is ever seen without its content."""
    names = [f"{folder}/{change.id}.{kind}" for folder in (layout.queue, layout.removed) for kind in ("env", "eml")]
    if change.large:
        names.append(f"{layout.incoming}/{change.id}.eml")
    try:
        disk.unlink(names[0])
    except FileNotFoundError:
        pass
    else:
        if not change.moved:
            del names[2:4]  # it waited in queue/, and nothing of it has been anywhere else
    for name in names[1:]:
        problem = remove_file(disk, name)
        if problem is not None:
            raise problem


def flush(disk: Disk, layout: Layout, items: Iterable[str]) -> None:
    """Save all that was made for these messages, and all names: one flush where the file system has such a thing."""
    if disk.saves_all(layout.root):
        disk.sync_all(layout.root)
        return
    for item in items:
        for folder in (layout.queue, layout.removed):
            for kind in ("eml", "env"):
                flush_file(disk, f"{folder}/{item}.{kind}")
    flush_file(disk, layout.ended)
    for folder in (layout.queue, layout.removed, layout.root):
        disk.fsync_dir(folder)


def set_aside(disk: Disk, layout: Layout, paths: Sequence[str]) -> list[str]:
    """Move these files (or anything else) to set-aside/, durably; the names they got there. Raises OSError.

    link, flush, unlink: a cut leaves both names, and the next start finds that they are one file. What cannot be linked
    (a folder) is renamed.
    """
    names: list[str] = []
    for path in paths:
        base = os.path.basename(path)
        for name in (base, *(f"{base}.{n}" for n in range(1, 1000))):
            target = f"{layout.set_aside}/{name}"
            try:
                same = os.path.samestat(os.lstat(path), os.lstat(target))
            except FileNotFoundError:
                if stat.S_ISDIR(os.lstat(path).st_mode):
                    disk.rename(path, target)
                else:
                    disk.link(path, target)
                same = True
            if same:
                names.append(name)
                break
    disk.fsync_dir(layout.set_aside)
    for path in paths:
        if not os.path.isdir(path) or os.path.islink(path):
            remove_file(disk, path)
    return names
