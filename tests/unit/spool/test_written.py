"""The answer of the journal: heard at once, in order, by whoever still waits."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import SpoolError
from gateway.reception.serving import Serving
from gateway.spool.written import Written


def test_a_task_goes_on_within_the_call_that_answers() -> None:
    async def body() -> None:
        written = Written(asyncio.get_running_loop())
        heard: list[int] = []

        async def wait() -> None:
            heard.append(await written)

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(lambda: (written.succeed(7), heard.append(0)))
        await task
        assert heard == [7, 0]

    asyncio.run(body())


def test_a_session_goes_on_within_the_call_that_answers() -> None:
    async def body() -> None:
        written = Written(asyncio.get_running_loop())
        heard: list[int] = []

        async def talk() -> None:
            heard.append(await written)

        Serving(talk(), asyncio.get_running_loop(), lambda error: heard.append(-1)).resume()
        written.succeed(7)
        assert heard == [7, -1]

    asyncio.run(body())


def test_a_session_that_is_cancelled_ends_without_the_answer() -> None:
    async def body() -> None:
        written = Written(asyncio.get_running_loop())
        ended: list[BaseException | None] = []

        async def talk() -> None:
            await written

        serving = Serving(talk(), asyncio.get_running_loop(), ended.append)
        serving.resume()
        serving.cancel()
        await asyncio.sleep(0)
        assert [type(error) for error in ended] == [asyncio.CancelledError]
        written.succeed(7)
        assert len(ended) == 1

    asyncio.run(body())


def test_answers_come_in_the_order_of_asking_and_at_once_when_they_are_there() -> None:
    async def body() -> None:
        written = Written(asyncio.get_running_loop())
        order: list[str] = []
        written.then(lambda answer: order.append(f"first {answer.result()}"))

        async def wait() -> None:
            order.append(f"second {await written}")

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        written.then(lambda _: order.append("third"))
        asyncio.get_running_loop().call_soon(written.succeed, 3)
        await task
        assert await written == 3
        written.then(lambda _: order.append("fourth"))
        assert order == ["first 3", "second 3", "third", "fourth"]

    asyncio.run(body())


def test_a_failure_is_raised_for_each_who_waits() -> None:
    async def body() -> None:
        written = Written(asyncio.get_running_loop())

        async def wait() -> None:
            await written

        tasks = [asyncio.create_task(wait()) for _ in range(2)]
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(written.fail, SpoolError("no"))
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, SpoolError)
        with pytest.raises(SpoolError, match="no"):
            await written

    asyncio.run(body())


def test_a_fault_in_what_follows_leaves_the_others_their_answer() -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        told: list[object] = []
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
        written = Written(loop)
        heard: list[int] = []

        def fault(_: Written) -> None:
            raise RuntimeError("a fault")

        written.then(fault)
        written.then(lambda answer: heard.append(answer.result()))
        written.succeed(1)
        assert heard == [1]
        assert [str(error) for error in told] == ["a fault"]

    asyncio.run(body())
