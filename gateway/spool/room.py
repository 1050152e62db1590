"""Whether there is room for more mail: the disk's reserve, asked of the kernel now and then instead of at every block."""

from __future__ import annotations

from gateway.clock import Clock
from gateway.durable import Disk
from gateway.errors import SpoolError, SpoolFull

STALE_SECONDS = 1.0
STALE_OCTETS = 1024 * 1024
FEWEST_INODES = 64


class Room:
    """`reserve`: octets as an int, or a share of the disk as a float. Free room is what an ordinary user may still take."""

    def __init__(self, disk: Disk, path: str, reserve: float | int, clock: Clock) -> None:
        self._disk, self._path, self._reserve, self._clock = disk, path, reserve, clock
        self._asked = -STALE_SECONDS
        self._spent = 0
        self._free, self._kept, self._inodes_left = 0, 0, True

    def now(self) -> tuple[int, int]:
        """Free octets and the reserve in octets, at most a second and a megabyte old. Raises SpoolError."""
        moment = self._clock.monotonic()
        if moment - self._asked >= STALE_SECONDS or self._spent >= STALE_OCTETS:
            try:
                found = self._disk.statvfs(self._path)
            except OSError as exc:
                raise SpoolError(f"the disk does not say how much room it has: {exc.strerror}") from exc
            self._asked, self._spent = moment, 0
            self._free = found.f_bavail * found.f_frsize
            total = found.f_blocks * found.f_frsize
            self._kept = int(self._reserve * total) if isinstance(self._reserve, float) else self._reserve
            self._inodes_left = not found.f_files or found.f_favail >= FEWEST_INODES
        return self._free - self._spent, self._kept

    def spend(self, octets: int) -> None:
        """Say that so much is about to be written; SpoolFull if the reserve would be touched."""
        free, kept = self.now()
        if free - octets < kept:
            raise SpoolFull("the disk has no room beyond its reserve")
        if not self._inodes_left:
            raise SpoolFull("the disk has no room for more files")
        self._spent += octets
