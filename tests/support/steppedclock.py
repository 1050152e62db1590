"""A wall clock for other processes that a test sets, forward or back, while they run; the machine's own stays where it is.

Two halves. libfaketime, loaded before the C library, gives the process the time that the test says; its monotonic clock and
sleeps are real. The kernel's word that the clock was set (timerfd's ECANCELED) is real, too: it is had by moving the machine's
clock by one nanosecond, there and back by turns, which needs CAP_SYS_TIME and is less than a time server does every second.
"""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

import pytest

_LIBRARIES = "/usr/lib/*/faketime/libfaketime.so.1"
_SET_OFFSET, _NANO = 0x0100, 0x2000


class _Timex(ctypes.Structure):
    """adjtimex(2); only what is used has its own name."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("before", ctypes.c_long * 8),
        ("seconds", ctypes.c_long),
        ("nanoseconds", ctypes.c_long),
        ("rest", ctypes.c_long * 32),
    )


def _move_by(nanoseconds: int) -> bool:
    seconds, nanoseconds = divmod(nanoseconds, 1_000_000_000)
    timex = _Timex(modes=_SET_OFFSET | _NANO, seconds=seconds, nanoseconds=nanoseconds)
    return int(ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))) >= 0


def require() -> str:
    """The library's path. Skips with the reason where it is missing or the kernel does not let us."""
    found = sorted(Path("/").glob(_LIBRARIES.removeprefix("/")))
    if not found:
        if os.environ.get("TIDEGATE_LABS_REQUIRED"):
            pytest.fail("libfaketime is not installed")
        pytest.skip("libfaketime is not installed")
    if not (_move_by(1) and _move_by(-1)):
        pytest.skip("moving the clock by a nanosecond needs CAP_SYS_TIME")
    return str(found[-1])


class SteppedClock:
    """`environ` is for the processes; `set_to` sets their clock and has the kernel tell them."""

    def __init__(self, folder: Path, now: float) -> None:
        self._file = folder / "clock"
        self._forward = True
        self.environ = {
            "LD_PRELOAD": require(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        self._write(now)

    def set_to(self, now: float) -> None:
        self._write(now)
        assert _move_by(1 if self._forward else -1)
        self._forward = not self._forward

    def now(self) -> float:
        """What the processes read."""
        return time.time() + self._offset

    def _write(self, now: float) -> None:
        self._offset = now - time.time()
        new = self._file.with_suffix(".new")
        new.write_text(f"{self._offset:+.6f}\n")
        new.replace(self._file)
