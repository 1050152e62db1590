"""The system calls by which mail becomes durable, in one place that tests can fail or stop at any step.

Every call blocks: the spool makes them on threads of its own. Nothing is retried here, above all no fsync: after a failed one
Linux forgets which pages never reached the disk, and a second one would say yes (P10). What the calls are for, and in which
order, is the business of `gateway.spool`.
"""

from __future__ import annotations

import errno
import functools
import os
import stat
from collections.abc import Callable

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the disk says when it has neither blocks nor inodes left for us."""


_SYNCED = frozenset(
    [
        "bcachefs",
        "btrfs",
        "ext2",
        "ext3",
        "ext4",
        "f2fs",
        "jfs",
        "nilfs2",
        "overlay",
        "reiserfs",
        "tmpfs",
        "ubifs",
        "xfs",
        "zfs",
    ],
)
"""File systems whose syncfs(2) saves everything and reports what it could not."""


class Disk:
    """The real disk. Paths are absolute; files are made 0600, folders 0700; a link at the end of a path is not followed."""

    __slots__ = ()

    def open(self, path: str, flags: int) -> int:
        return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def write(self, descriptor: int, octets: bytes | bytearray | memoryview, offset: int) -> None:
        """All of it, or OSError; a short write is continued."""
        view = memoryview(octets)
        while view:
            written = os.pwrite(descriptor, view, offset)
            offset += written
            view = view[written:]

    def read(self, descriptor: int, count: int, offset: int) -> bytes:
        """`count` octets, fewer only at the end of the file."""
        octets = os.pread(descriptor, count, offset)
        if len(octets) == count or not octets:
            return octets
        parts, length = [octets], len(octets)
        while length < count and octets:
            octets = os.pread(descriptor, count - length, offset + length)
            parts.append(octets)
            length += len(octets)
        return b"".join(parts)

    def fsync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def fdatasync(self, descriptor: int) -> None:
        os.fdatasync(descriptor)

    def fsync_dir(self, path: str) -> None:
        """Save the names in a folder: until then a file made, renamed or unlinked in it may be as before after a cut."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def sync_all(self, path: str) -> None:
        """Save all files and names of the file system that holds `path`: one flush for any number of files."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _syncfs()(descriptor)
        finally:
            os.close(descriptor)

    def saves_all(self, path: str) -> bool:
        """Does `sync_all` reach the disk under this file system? Not under FUSE, say, where the kernel keeps it to itself."""
        return _file_system(os.stat(path).st_dev) in _SYNCED

    def allocate(self, descriptor: int, octets: int) -> None:
        """Fill a new file with zeros: a full disk cannot fail a later write into it, and flushing one writes no more than it.

        (posix_fallocate would do for the first; but then each flush also writes down that blocks are in use now.)
        """
        zeros = bytes(min(octets, 256 * 1024))
        for offset in range(0, octets, len(zeros)):
            self.write(descriptor, zeros[: octets - offset], offset)

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new)

    def link(self, old: str, new: str) -> None:
        os.link(old, new, follow_symlinks=False)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def mkdir(self, path: str) -> None:
        os.mkdir(path, 0o700)

    def statvfs(self, path: str) -> os.statvfs_result:
        return os.statvfs(path)


@functools.cache
def _file_system(device: int) -> str:
    """The type of the file system on this device; empty where the kernel does not say."""
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                fields, _, kind = line.partition(" - ")
                if fields.split()[2] == number:
                    return kind.split()[0]
    except OSError:
        pass
    return ""


@functools.cache
def _syncfs() -> Callable[[int], None]:
    """syncfs(2), which Python does not offer; sync(2) where the C library has none."""
    import ctypes

    try:
        call = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        return lambda _descriptor: os.sync()

    def syncfs(descriptor: int) -> None:
        if call(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    return syncfs


def read_file(disk: Disk, path: str, limit: int) -> bytes:
    """A regular file's octets, at most `limit`; OSError(EFBIG) above, OSError(EINVAL) for what is no regular file."""
    descriptor = disk.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        if found.st_size > limit:
            raise OSError(errno.EFBIG, f"larger than {limit} octets", path)
        return disk.read(descriptor, found.st_size, 0)
    finally:
        disk.close(descriptor)


def flush_file(disk: Disk, path: str) -> None:
    """Save the octets of a file that was written before, if it is (still) there."""
    try:
        descriptor = disk.open(path, os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        disk.fsync(descriptor)
    finally:
        disk.close(descriptor)


def replace_file(disk: Disk, path: str, octets: bytes, *, durable: bool) -> None:
    """Put `octets` at `path` in one step: a reader sees the old or the new file whole.

    With `durable` it also survives a power cut when this returns; the folder is flushed. A cut in between leaves the old
    file and perhaps `path`.new, which the owner of the folder sweeps at start. On OSError the old file stands and
    `path`.new is gone.
    """
    fresh = path + ".new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        try:
            descriptor = disk.open(fresh, flags)
        except FileExistsError:
            disk.unlink(fresh)
            descriptor = disk.open(fresh, flags)
        try:
            disk.write(descriptor, octets, 0)
            if durable:
                disk.fsync(descriptor)
        finally:
            disk.close(descriptor)
        disk.rename(fresh, path)
    except OSError:
        remove_file(disk, fresh)
        raise
    if durable:
        disk.fsync_dir(os.path.dirname(path))


def remove_file(disk: Disk, path: str) -> OSError | None:
    """Unlink, where there is something; what went wrong, if it did. For cleaning up, where nothing better can be done."""
    try:
        disk.unlink(path)
    except FileNotFoundError:
        return None
    except OSError as exc:
        return exc
    return None
