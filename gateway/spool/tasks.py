"""Work that no caller's cancellation reaches, and that is waited for at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Tasks:
    """The spool's own tasks. `closing` is set when they should come to an end."""

    def __init__(self) -> None:
        self.running: set[asyncio.Task[Any]] = set()
        self.closing = asyncio.Event()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        return task

    async def close(self) -> None:
        """Wait for all of them, also those that they start."""
        self.closing.set()
        while self.running:
            await asyncio.wait(tuple(self.running))
