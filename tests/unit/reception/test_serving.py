"""A coroutine run by hand: resumed at once, waiting for futures as in a task."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from gateway.reception.serving import PAUSE, Serving


class Run:
    """One serving, and what became of it."""

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.ended: list[BaseException | None] = []
        self.is_over = asyncio.Event()
        self.serving = Serving(coroutine, asyncio.get_running_loop(), self._end)
        self.serving.resume()

    def _end(self, error: BaseException | None) -> None:
        self.ended.append(error)
        self.is_over.set()


def test_a_pause_ends_within_the_call_that_resumes() -> None:
    async def body() -> None:
        steps: list[int] = []

        async def talk() -> None:
            for step in range(3):
                steps.append(step)
                await PAUSE

        run = Run(talk())
        assert steps == [0]
        run.serving.resume()
        assert steps == [0, 1]
        run.serving.resume()
        run.serving.resume()
        assert run.ended == [None]

    asyncio.run(body())


def test_a_wait_for_a_future_is_not_ended_by_resume() -> None:
    async def body() -> None:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        got: list[str] = []

        async def talk() -> None:
            got.append(await future)

        run = Run(talk())
        run.serving.resume()
        assert run.ended == []
        future.set_result("word")
        await asyncio.sleep(0)
        assert (got, run.ended) == (["word"], [None])

    asyncio.run(body())


def test_sleeping_threads_and_shields_work_as_in_a_task() -> None:
    async def body() -> None:
        got: list[object] = []

        async def inner() -> int:
            await asyncio.sleep(0.001)
            return 7

        async def talk() -> None:
            await asyncio.sleep(0)
            got.append(await asyncio.get_running_loop().run_in_executor(None, lambda: 5))
            got.append(await asyncio.shield(inner()))
            with pytest.raises(ZeroDivisionError):
                await asyncio.get_running_loop().run_in_executor(None, lambda: 1 / 0)
            raise ValueError("end")

        run = Run(talk())
        await asyncio.wait_for(run.is_over.wait(), 5)
        assert got == [5, 7]
        assert isinstance(run.ended[0], ValueError)

    asyncio.run(body())


def test_cancelling_ends_a_wait_for_a_future() -> None:
    async def body() -> None:
        async def talk() -> None:
            await asyncio.sleep(100)

        run = Run(talk())
        run.serving.cancel()
        await asyncio.sleep(0)
        assert isinstance(run.ended[0], asyncio.CancelledError)

    asyncio.run(body())
