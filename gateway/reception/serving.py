"""Runs a session's coroutine like a task does, but goes on with it at once when its client has said something.

A task that waits for octets is woken by a future, and goes on in the next round of the loop: with seven waits a message that
is a fifth of what reception costs. Here the callback that brings the octets runs the session to its next wait itself. Waits
for anything else (the spool, a thread, TLS) are waits for futures, as in a task. What needs a *current task* (asyncio.timeout,
TaskGroup) cannot be used by a session; it would raise at its first use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any


class _Pause:
    """Awaited by one who will be resumed by hand."""

    __slots__ = ()

    def __await__(self) -> Generator[_Pause, None, None]:
        yield self


PAUSE = _Pause()


class Serving:
    """One running coroutine. `on_end` is called once, with the exception that ended it or None."""

    __slots__ = ("_coroutine", "_future", "_is_paused", "_loop", "_on_end")

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, None],
        loop: asyncio.AbstractEventLoop,
        on_end: Callable[[BaseException | None], None],
    ) -> None:
        self._coroutine = coroutine
        self._loop = loop
        self._on_end = on_end
        self._is_paused = True
        self._future: asyncio.Future[Any] | None = None

    def resume(self) -> None:
        """Run it to its next wait, if it pauses; else nothing happens."""
        if self._is_paused:
            self._is_paused = False
            self._run()

    def cancel(self) -> None:
        """Raise CancelledError in it at its wait for a future; one that pauses is to be interrupted by who resumes it."""
        if self._future is not None:
            self._future.cancel()

    def _future_done(self, future: asyncio.Future[Any]) -> None:
        self._future = None
        del future  # its result is fetched by the one who awaits it
        self._run()

    def _run(self) -> None:
        try:
            awaited = self._coroutine.send(None)
        except StopIteration:
            self._on_end(None)
        except BaseException as error:
            self._on_end(error)
            if not isinstance(error, Exception | asyncio.CancelledError):
                raise
        else:
            if awaited is PAUSE:
                self._is_paused = True
            elif awaited is None:  # asyncio.sleep(0)
                self._loop.call_soon(self._run)
            else:
                # The protocol between a future and whoever awaits it, see asyncio.Future.__await__.
                awaited._asyncio_future_blocking = False
                self._future = awaited
                awaited.add_done_callback(self._future_done)
