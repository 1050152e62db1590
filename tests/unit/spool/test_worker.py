"""The thread beside the event loop: every call has its answer, in order, whatever becomes of another's."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from gateway.spool.worker import Worker


def test_answers_come_in_the_order_of_the_calls_and_errors_are_the_callers() -> None:
    async def body() -> None:
        worker = Worker[int]("calls")
        heard: list[object] = []

        def fail() -> int:
            raise OSError(5, "broken")

        for call in (lambda: 1, fail, lambda: 3):
            worker.submit(call, lambda result, exc: heard.append(result if exc is None else exc.args))
        assert await worker.run(threading.get_ident) != threading.get_ident()
        assert heard == [1, (5, "broken"), 3]
        with pytest.raises(OSError, match="broken"):
            await worker.run(fail)
        worker.close()

    asyncio.run(body())


def test_a_fault_of_one_who_hears_his_answer_takes_nobody_elses() -> None:
    async def body() -> None:
        faults: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["exception"]))
        worker = Worker[int]("calls")

        def confused(result: int | None, exc: BaseException | None) -> None:
            raise KeyError(result)

        worker.submit(lambda: 1, confused)
        assert await worker.run(lambda: 2) == 2
        assert [repr(fault) for fault in faults] == ["KeyError(1)"]
        worker.close()

    asyncio.run(body())


def test_what_was_submitted_before_the_end_is_done_and_answered_and_no_descriptor_stays() -> None:
    async def body() -> None:
        before = set(os.listdir("/proc/self/fd"))
        worker = Worker[int]("calls")
        heard: list[int | None] = []
        worker.submit(lambda: 7, lambda result, exc: heard.append(result))
        worker.close()
        await asyncio.sleep(0)
        assert heard == [7]
        assert set(os.listdir("/proc/self/fd")) == before

    asyncio.run(body())


def test_without_a_thread_there_is_no_bell_either(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        before = set(os.listdir("/proc/self/fd"))
        with pytest.raises(RuntimeError, match="can't start"):
            Worker[int]("calls")
        assert set(os.listdir("/proc/self/fd")) == before

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        await body()

    asyncio.run(main())
