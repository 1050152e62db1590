"""One thread that does one blocking call after the other, and says so in the event loop."""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

from gateway import eventloop

T = TypeVar("T")

_ring = ctypes.PyDLL(None).eventfd_write
"""`os.eventfd_write` gives the interpreter away while it rings, to the loop that it wakes, and has to wait for its return only
to find that there is nothing to do. This one, which never blocks, keeps it."""
_ring.argtypes = (ctypes.c_int, ctypes.c_uint64)

Done = Callable[[T | None, BaseException | None], None]
"""Called in the loop with the result, or with what was raised."""


class Worker(Generic[T]):
    """Less work a call than an executor, whose futures and locks cost as much as a small message itself; and it rings a bell of
    its own in the loop, since asyncio's is asked twice each time. OSError where the system has no descriptor for the bell,
    RuntimeError where it has no thread."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: SimpleQueue[tuple[Callable[[], T], Done[T]] | None] = SimpleQueue()
        self._answers: deque[tuple[Done[T], T | None, BaseException | None]] = deque()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        try:
            self._thread.start()
        except BaseException:
            os.close(self._bell)
            raise
        eventloop.watch(self._loop, self._bell, self._rings)

    def submit(self, call: Callable[[], T], done: Done[T]) -> None:
        self._calls.put((call, done))

    async def run(self, call: Callable[[], T]) -> T:
        """Do it in its turn and wait for it."""
        waiting: asyncio.Future[T] = self._loop.create_future()

        def done(result: T | None, exc: BaseException | None) -> None:
            if waiting.done():
                return
            if exc is not None:
                waiting.set_exception(exc)
            else:
                waiting.set_result(result)  # type: ignore[arg-type]  # without an exception it is the call's result

        self.submit(call, done)
        return await waiting

    def close(self) -> None:
        """Let it finish what was submitted, and end it. Blocks until then; what is not said yet is said in the next round."""
        self._calls.put(None)
        self._thread.join()
        eventloop.unwatch(self._loop, self._bell)
        os.close(self._bell)
        if self._answers:
            self._loop.call_soon(self._say)

    def _work(self) -> None:
        while (job := self._calls.get()) is not None:
            call, done = job
            answer: tuple[Done[T], T | None, BaseException | None]
            try:
                answer = done, call(), None
            except BaseException as exc:  # whatever it is belongs to the caller
                answer = done, None, exc
            self._answers.append(answer)
            _ring(self._bell, 1)

    def _rings(self) -> None:
        os.eventfd_read(self._bell)
        self._say()

    def _say(self) -> None:
        while self._answers:
            done, result, exc = self._answers.popleft()
            try:
                done(result, exc)
            except Exception as fault:  # the others' answers do not depend on what one makes of his
                self._loop.call_exception_handler({"message": "a fault in what follows a call", "exception": fault})
