"""The gateway's event loop: asyncio's, with a short way for the descriptors that ring for every message.

The callback of a descriptor that is watched by `watch` is called as soon as the kernel says that there is something to read,
and the kernel is asked again at once, unless the callback left something to the loop: a call, a time, a stop. asyncio's
`add_reader` makes an object for each, queues it and runs it in a round of its own, and a message of a device is eight such
rounds, most of them shorter than what a round costs. In a loop of another kind `watch` is `add_reader`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import select
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextvars import Context
from selectors import EVENT_READ, EVENT_WRITE, SelectorKey
from typing import Any, Protocol, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
_Ts = TypeVarTuple("_Ts")

_READ, _WRITE = select.EPOLLIN, select.EPOLLOUT


class _HasFileno(Protocol):
    def fileno(self) -> int: ...


class _ByFile(Mapping[int | _HasFileno, SelectorKey]):
    """Keys by descriptor or by what has one."""

    def __init__(self, keys: dict[int, SelectorKey]) -> None:
        self._keys = keys

    def __getitem__(self, fileobj: int | _HasFileno) -> SelectorKey:
        return self._keys[_find(self._keys, fileobj)]

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[int | _HasFileno]:
        return iter(self._keys)


class _Selector(selectors.BaseSelector):
    """What asyncio asks of a selector, over epoll; and `readers`: callbacks by descriptor. A fault of one goes to `on_fault`.
    `is_wanted`: a callback left something to the loop."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._keys: dict[int, SelectorKey] = {}
        self.readers: dict[int, Callable[[], None]] = {}
        self.is_wanted = False
        self.on_fault: Callable[[BaseException], None] = lambda fault: None

    def register(self, fileobj: int | _HasFileno, events: int, data: Any = None) -> SelectorKey:
        descriptor = _number(fileobj)
        if descriptor in self._keys:
            raise KeyError(descriptor)
        key = SelectorKey(fileobj, descriptor, events, data)
        self._tell(descriptor, self._mask(descriptor), key)
        return key

    def unregister(self, fileobj: int | _HasFileno) -> SelectorKey:
        descriptor = _find(self._keys, fileobj)
        key = self._keys[descriptor]
        self._tell(descriptor, self._mask(descriptor), None)
        return key

    def modify(self, fileobj: int | _HasFileno, events: int, data: Any = None) -> SelectorKey:
        descriptor = _number(fileobj)
        if descriptor not in self._keys:
            raise KeyError(descriptor)
        key = SelectorKey(fileobj, descriptor, events, data)
        self._tell(descriptor, self._mask(descriptor), key)
        return key

    def get_key(self, fileobj: int | _HasFileno) -> SelectorKey:
        return self._keys[_find(self._keys, fileobj)]

    def get_map(self) -> Mapping[int | _HasFileno, SelectorKey]:
        return _ByFile(self._keys)

    def watch(self, descriptor: int, callback: Callable[[], None]) -> None:
        before, older = self._mask(descriptor), self.readers.get(descriptor)
        self.readers[descriptor] = callback
        try:
            self._change(descriptor, before)
        except BaseException:  # the kernel does not take it: nobody is to believe that it does
            if older is None:
                del self.readers[descriptor]
            else:
                self.readers[descriptor] = older
            raise

    def unwatch(self, descriptor: int) -> None:
        before = self._mask(descriptor)
        if self.readers.pop(descriptor, None) is not None:
            self._change(descriptor, before)

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """Returns when there is something for the loop to do: a descriptor of its own, a time, what a callback left to it."""
        self.is_wanted = False
        seconds = -1.0 if timeout is None else _whole(timeout)
        until = time.monotonic() + seconds
        while True:
            ready, are_any = self._once(seconds)
            if ready or self.is_wanted or not are_any or seconds == 0.0:
                return ready
            if timeout is not None:
                seconds = _whole(until - time.monotonic())

    def _once(self, seconds: float) -> tuple[list[tuple[SelectorKey, int]], bool]:
        """What is ready for the loop, and whether anything was."""
        ready: list[tuple[SelectorKey, int]] = []
        try:
            told = self._epoll.poll(seconds, len(self._keys) + len(self.readers) or 1)
        except InterruptedError:
            return ready, False
        keys = [self._keys.get(descriptor) for descriptor, _ in told]
        for (descriptor, mask), key in zip(told, keys, strict=True):
            reader = self.readers.get(descriptor)
            if reader is not None and mask & ~_WRITE:
                try:
                    reader()
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as fault:
                    self.on_fault(fault)
            if key is not None:
                events = (EVENT_READ if mask & ~_WRITE else 0) | (EVENT_WRITE if mask & ~_READ else 0)
                if events & key.events:
                    ready.append((key, events & key.events))
        # What a callback has taken away, or given to another, is not ready any more: the kernel says so again if it is.
        return [(key, events) for key, events in ready if self._keys.get(key.fd) is key], bool(told)

    def close(self) -> None:
        self._epoll.close()
        self._keys.clear()
        self.readers.clear()

    def _mask(self, descriptor: int) -> int:
        key = self._keys.get(descriptor)
        events = key.events if key is not None else 0
        is_read = events & EVENT_READ or descriptor in self.readers
        return (_READ if is_read else 0) | (_WRITE if events & EVENT_WRITE else 0)

    def _tell(self, descriptor: int, before: int, key: SelectorKey | None) -> None:
        if key is None:
            del self._keys[descriptor]
        else:
            self._keys[descriptor] = key
        try:
            self._change(descriptor, before)
        except BaseException:
            self._keys.pop(descriptor, None)
            raise

    def _change(self, descriptor: int, before: int) -> None:
        """Say to the kernel what is wanted now, if that is not what was."""
        after = self._mask(descriptor)
        if after == before:
            return
        if not before:
            self._epoll.register(descriptor, after)
        elif after:
            self._epoll.modify(descriptor, after)
        else:
            with contextlib.suppress(OSError):  # it is closed already, and so forgotten by the kernel
                self._epoll.unregister(descriptor)


class Loop(asyncio.SelectorEventLoop):
    """asyncio's, which looks at its own queue only between two calls of `select`: whatever puts something there is told of."""

    def __init__(self) -> None:
        self._watcher = _Selector()
        super().__init__(self._watcher)
        self._watcher.on_fault = lambda fault: self.call_exception_handler(
            {"message": "a fault in the callback of a descriptor", "exception": fault}
        )

    def call_soon(
        self, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        self._watcher.is_wanted = True
        return super().call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        self._watcher.is_wanted = True
        return super().call_at(when, callback, *args, context=context)

    def stop(self) -> None:
        self._watcher.is_wanted = True
        super().stop()

    def watch(self, descriptor: int, callback: Callable[[], None]) -> None:
        self._watcher.watch(descriptor, callback)

    def unwatch(self, descriptor: int) -> None:
        self._watcher.unwatch(descriptor)


def run(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, in this loop."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main)


def watch(loop: asyncio.AbstractEventLoop, descriptor: int, callback: Callable[[], None]) -> None:
    """Call this whenever there is something to read, until `unwatch`, which comes before the descriptor is closed. OSError
    where the system does not take it; the callback of before stands then."""
    if isinstance(loop, Loop):
        loop.watch(descriptor, callback)
    else:
        loop.add_reader(descriptor, callback)


def unwatch(loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
    if isinstance(loop, Loop):
        loop.unwatch(descriptor)
    else:
        loop.remove_reader(descriptor)


def _whole(seconds: float) -> float:
    """Up to the next millisecond, as epoll counts: none is rung too early."""
    return max(0.0, math.ceil(seconds * 1e3) * 1e-3)


def _find(keys: dict[int, SelectorKey], fileobj: int | _HasFileno) -> int:
    """The descriptor of what is registered; of what is closed already that which it had."""
    descriptor = _number(fileobj)
    if descriptor < 0:
        descriptor = next((key.fd for key in keys.values() if key.fileobj is fileobj), descriptor)
    return descriptor


def _number(fileobj: int | _HasFileno) -> int:
    return fileobj if isinstance(fileobj, int) else fileobj.fileno()
