"""One thread that does one blocking call after the other, and says so in the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")

Done = Callable[[T | None, BaseException | None], None]
"""Called in the loop with the result, or with what was raised."""


class Worker(Generic[T]):
    """Less work a call than an executor, whose futures and locks cost as much as a small message itself."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: SimpleQueue[tuple[Callable[[], T], Done[T]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

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
        """Let it finish what was submitted, and end it. Blocks until then."""
        self._calls.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._calls.get()) is not None:
            call, done = job
            try:
                self._say(done, call(), None)
            except BaseException as exc:  # whatever it is belongs to the caller
                self._say(done, None, exc)

    def _say(self, done: Done[T], result: T | None, exc: BaseException | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(done, result, exc)
