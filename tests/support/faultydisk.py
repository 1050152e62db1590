"""A disk that fails where a test wants it to, or goes off for good after a chosen step. What was done before is there."""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TypeVar, cast

from gateway.durable import Disk

T = TypeVar("T")

CHANGING = (
    "open",
    "write",
    "fsync",
    "fdatasync",
    "fsync_dir",
    "sync_all",
    "allocate",
    "rename",
    "link",
    "unlink",
    "mkdir",
)


@dataclass(slots=True)
class Fault:
    """Calls named in `calls` on a path that matches fail with `error`, `times` times (0: until lifted)."""

    calls: tuple[str, ...]
    error: int
    path: re.Pattern[str]
    times: int = 0
    hits: int = 0


@dataclass(slots=True)
class FaultyDisk(Disk):
    """`stop_after`: so many changing calls are done; from then on every call fails, as after a power cut. `done` counts them.

    `free`: what statvfs says is free, in octets; None: what is true.
    """

    stop_after: int | None = None
    free: int | None = None
    done: int = 0
    faults: list[Fault] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    _paths: dict[int, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, *calls: str, error: int = errno.EIO, path: str = "", times: int = 0) -> Fault:
        fault = Fault(calls or CHANGING, error, re.compile(path), times)
        self.faults.append(fault)
        return fault

    def heal(self) -> None:
        self.faults.clear()

    @property
    def is_off(self) -> bool:
        return self.stop_after is not None and self.done >= self.stop_after

    def open(self, path: str, flags: int) -> int:
        if not flags & (os.O_WRONLY | os.O_RDWR):
            descriptor = self._read("read", path, lambda: Disk.open(self, path, flags))
        else:
            descriptor = self._change("open", path, lambda: Disk.open(self, path, flags))
        self._paths[descriptor] = path
        return descriptor

    def write(self, descriptor: int, octets: bytes | bytearray | memoryview, offset: int) -> None:
        self._change("write", self._paths[descriptor], lambda: Disk.write(self, descriptor, octets, offset))

    def read(self, descriptor: int, count: int, offset: int) -> bytes:
        return self._read("read", self._paths[descriptor], lambda: Disk.read(self, descriptor, count, offset))

    def fsync(self, descriptor: int) -> None:
        self._change("fsync", self._paths[descriptor], lambda: None)

    def fdatasync(self, descriptor: int) -> None:
        self._change("fdatasync", self._paths[descriptor], lambda: None)

    def fsync_dir(self, path: str) -> None:
        self._change("fsync_dir", path, lambda: None)

    def sync_all(self, path: str) -> None:
        self._change("sync_all", path, lambda: None)

    def saves_all(self, path: str) -> bool:
        del path
        return True

    def allocate(self, descriptor: int, octets: int) -> None:
        self._change("allocate", self._paths[descriptor], lambda: os.ftruncate(descriptor, octets))

    def rename(self, old: str, new: str) -> None:
        self._change("rename", new, lambda: Disk.rename(self, old, new))

    def link(self, old: str, new: str) -> None:
        self._change("link", new, lambda: Disk.link(self, old, new))

    def unlink(self, path: str) -> None:
        self._change("unlink", path, lambda: Disk.unlink(self, path))

    def mkdir(self, path: str) -> None:
        self._change("mkdir", path, lambda: Disk.mkdir(self, path))

    def statvfs(self, path: str) -> os.statvfs_result:
        found = Disk.statvfs(self, path)
        if self.free is None:
            return found
        said = SimpleNamespace(f_bavail=self.free, f_frsize=1, f_blocks=10**9, f_files=0, f_favail=0)
        return cast(os.statvfs_result, said)

    def _change(self, call: str, path: str, do: Callable[[], T]) -> T:
        with self._lock:
            self._judge(call, path)
            result = do()
            self.done += 1
            self.calls.append(f"{call} {path}")
            return result

    def _read(self, call: str, path: str, do: Callable[[], T]) -> T:
        with self._lock:
            self._judge(call, path)
        return do()

    def _judge(self, call: str, path: str) -> None:
        if self.is_off:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        for fault in self.faults:
            if call in fault.calls and fault.path.search(path) and (not fault.times or fault.hits < fault.times):
                fault.hits += 1
                raise OSError(fault.error, os.strerror(fault.error), path)
