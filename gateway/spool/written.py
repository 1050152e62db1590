"""The answer to whoever hands notes to the journal: they are durable, or they are not.

It is what a future is, but for two things. Who waits goes on within the call that brings the answer, not two rounds of the
event loop later: that is what a client waits for on the daemon's busiest path. And giving up a wait leaves the notes, and all
others that wait for them, alone, so that nobody needs a shield.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any


class Written:
    """`is_done` once the answer is there; then `error` is None, or what `await` raises: SpoolError, SpoolFull."""

    __slots__ = ("_loop", "_number", "_then", "error", "is_done")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._number = 0
        self._then: list[Callable[[Written], None]] = []
        self.error: BaseException | None = None
        self.is_done = False

    def then(self, callback: Callable[[Written], None]) -> None:
        """Call this with the answer; callbacks and those who wait get it in the order in which they asked."""
        if self.is_done:
            callback(self)
        else:
            self._then.append(callback)

    def succeed(self, number: int) -> None:
        """Durable, in the journal file of this number. To be called by the event loop, not by a task."""
        self._number = number
        self._answer()

    def fail(self, error: BaseException) -> None:
        self.error = error
        self._answer()

    def _answer(self) -> None:
        self.is_done = True
        waiting, self._then = self._then, []
        for callback in waiting:
            try:
                callback(self)
            except Exception as exc:  # the others' answers do not depend on what one of them makes of it
                self._loop.call_exception_handler({"message": "a fault in what follows a commit", "exception": exc})

    def result(self) -> int:
        """The number of the journal file that holds the notes; raises `error`."""
        if self.error is not None:
            raise self.error
        return self._number

    def __await__(self) -> Generator[Any, None, int]:
        if not self.is_done:
            yield from _Wait(self, self._loop)
        return self.result()


class _Wait:
    """One who waits, as asyncio's tasks see it: the part of a future that they use, see `asyncio.Future.__await__`."""

    __slots__ = ("_asyncio_future_blocking", "_goes_on", "_is_cancelled", "_loop", "_written")

    def __init__(self, written: Written, loop: asyncio.AbstractEventLoop) -> None:
        self._written, self._loop = written, loop
        self._asyncio_future_blocking = True
        self._goes_on: Callable[[], object] | None = None
        self._is_cancelled = False

    def __iter__(self) -> Generator[_Wait, None, None]:
        yield self
        if self._is_cancelled:
            raise asyncio.CancelledError

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, callback: Callable[[_Wait], object], *, context: Context | None = None) -> None:
        self._goes_on = (lambda: callback(self)) if context is None else (lambda: context.run(callback, self))
        self._written.then(self._answered)

    def _answered(self, written: Written) -> None:
        del written  # who goes on asks it
        goes_on, self._goes_on = self._goes_on, None
        if goes_on is not None:
            goes_on()

    def cancel(self, msg: object = None) -> bool:
        del msg
        if self._goes_on is None:
            return False
        self._is_cancelled = True
        self._loop.call_soon(
            self._answered, self._written
        )  # whoever cancels may be a task, and no task runs in another
        return True

    def result(self) -> None:
        """Asked by a task before it goes on; the answer itself is fetched by `Written.__await__`."""
