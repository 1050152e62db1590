"""The machine's clocks beyond Python 3.11's reach: a timer that tells when the clock is set, and whether it is synchronised.

Where the C library or the kernel has no such thing, nothing is told and nothing is synchronised; the watch then looks now and
then. Loading ctypes waits until it is needed.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Protocol

from gateway.connectivity.clockset import Reading

_CANCEL_ON_SET = 1 << 1
_ABSOLUTE = 1 << 0
_FAR = 1 << 60  # seconds: the timer itself never fires
_STA_UNSYNC, _TIME_ERROR = 0x40, 5


class ClockHost(Protocol):
    """What the clock watch asks of the machine; tests have one of their own."""

    def read(self, now: float) -> Reading: ...

    def open(self) -> int | None:
        """A descriptor that becomes readable when the wall clock is set or the machine wakes; None if it has none."""
        ...

    def rearm(self, descriptor: int) -> None:
        """Swallow the news and wait for the next."""
        ...


class LinuxClocks:
    """timerfd_create(2), adjtimex(2), CLOCK_BOOTTIME."""

    def __init__(self) -> None:
        with contextlib.suppress(OSError):
            self._boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            return
        self._boot = "unknown"

    def read(self, now: float) -> Reading:
        return Reading(now, time.clock_gettime(time.CLOCK_BOOTTIME), self._boot, _is_synchronised())

    def open(self) -> int | None:
        library = _library()
        create = getattr(library, "timerfd_create", None)
        if create is None:
            return None
        descriptor: int = create(time.CLOCK_REALTIME, os.O_NONBLOCK | os.O_CLOEXEC)
        if descriptor < 0:
            return None
        if not _arm(descriptor):
            os.close(descriptor)
            return None
        return descriptor

    def rearm(self, descriptor: int) -> None:
        with contextlib.suppress(OSError):  # ECANCELED is the news itself
            os.read(descriptor, 8)
        _arm(descriptor)


def _library() -> object:
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def _arm(descriptor: int) -> bool:
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    word = ctypes.c_longlong if hasattr(library, "__timerfd_settime64") else ctypes.c_long
    # struct itimerspec: interval and value, seconds and nanoseconds each
    when = (word * 4)(0, 0, min(_FAR, (1 << (8 * ctypes.sizeof(word) - 1)) - 1), 0)
    set_time = getattr(library, "__timerfd_settime64", library.timerfd_settime)
    return bool(set_time(descriptor, _ABSOLUTE | _CANCEL_ON_SET, ctypes.byref(when), None) == 0)


def _is_synchronised() -> bool:
    """adjtimex(2) with no change asked: needs no privilege."""
    import ctypes

    class Timex(ctypes.Structure):
        _fields_ = (
            ("modes", ctypes.c_uint),
            ("offset", ctypes.c_long),
            ("freq", ctypes.c_long),
            ("maxerror", ctypes.c_long),
            ("esterror", ctypes.c_long),
            ("status", ctypes.c_int),
            ("rest", ctypes.c_long * 40),
        )

    timex = Timex()
    ask = getattr(ctypes.CDLL(None, use_errno=True), "adjtimex", None)
    if ask is None:
        return False
    state: int = ask(ctypes.byref(timex))
    return state not in (-1, _TIME_ERROR) and not timex.status & _STA_UNSYNC
