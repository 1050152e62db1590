"""The short way for descriptors, and that everything else of the loop is as asyncio's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from gateway.eventloop import Loop, unwatch, watch


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    yield ends
    for end in ends:
        os.close(end)


def run(body: Coroutine[Any, Any, None], loop: Callable[[], asyncio.AbstractEventLoop] = Loop) -> None:
    async def within() -> None:
        async with asyncio.timeout(20):
            await body

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(within())


@pytest.mark.parametrize("kind", [Loop, asyncio.SelectorEventLoop])
def test_a_watched_descriptor_is_read_until_it_is_not_watched_any_more(
    kind: Callable[[], asyncio.AbstractEventLoop], pipe: tuple[int, int]
) -> None:
    reading, writing = pipe

    async def body() -> None:
        loop = asyncio.get_running_loop()
        told: list[bytes] = []
        came = asyncio.Event()

        def read() -> None:
            told.append(os.read(reading, 100))
            came.set()

        watch(loop, reading, read)
        os.write(writing, b"a")
        await came.wait()
        assert told == [b"a"]
        unwatch(loop, reading)
        os.write(writing, b"b")
        await asyncio.sleep(0.01)
        assert told == [b"a"]
        watch(loop, reading, read)
        came.clear()
        await came.wait()
        assert told == [b"a", b"b"]
        unwatch(loop, reading)
        unwatch(loop, reading)  # harmless

    run(body(), kind)


LEAVES: dict[str, Callable[[asyncio.AbstractEventLoop, Callable[[], None]], object]] = {
    "a call": lambda loop, done: loop.call_soon(done),
    "a call from a thread": lambda loop, done: loop.call_soon_threadsafe(done),
    "a time": lambda loop, done: loop.call_later(0.001, done),
    "a task": lambda loop, done: loop.create_task(_call(done)),
    "a thread's work": lambda loop, done: loop.run_in_executor(None, lambda: loop.call_soon_threadsafe(done)),
}


async def _call(done: Callable[[], None]) -> None:
    done()


@pytest.mark.parametrize("what", LEAVES)
def test_what_a_callback_leaves_to_the_loop_is_done_though_nothing_else_happens(
    what: str, pipe: tuple[int, int]
) -> None:
    reading, writing = pipe

    async def body() -> None:
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        left: list[object] = []

        def read() -> None:
            os.read(reading, 100)
            left.append(LEAVES[what](loop, done.set))

        watch(loop, reading, read)
        loop.call_soon(os.write, writing, b"x")
        await done.wait()
        assert len(left) == 1
        unwatch(loop, reading)

    run(body())


def test_a_callback_that_stops_the_loop_stops_it(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    loop = Loop()
    try:
        watch(loop, reading, loop.stop)
        os.write(writing, b"x")
        loop.run_forever()
        unwatch(loop, reading)
        assert not loop.is_running()
    finally:
        loop.close()


def test_times_and_other_descriptors_have_their_turn_while_a_watched_one_never_rests(pipe: tuple[int, int]) -> None:
    reading, writing = pipe

    async def body() -> None:
        loop = asyncio.get_running_loop()
        os.write(writing, b"x")
        watch(loop, reading, lambda: None)  # there is always something to read
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        with ours, theirs:
            await asyncio.sleep(0.01)
            ours.send(b"hello")
            assert await loop.sock_recv(theirs, 10) == b"hello"
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-c", "print(7)", stdout=asyncio.subprocess.PIPE
            )
            assert (await child.communicate())[0] == b"7\n"
        unwatch(loop, reading)

    run(body())


@pytest.mark.parametrize("fault", [ValueError("of this one"), asyncio.CancelledError("of this one")])
def test_a_fault_of_a_callback_is_told_and_costs_nobody_else(fault: BaseException, pipe: tuple[int, int]) -> None:
    reading, writing = pipe

    async def body() -> None:
        loop = asyncio.get_running_loop()
        faults: list[Any] = []
        loop.set_exception_handler(lambda loop, context: faults.append(context["exception"]))
        ours, theirs = socket.socketpair()
        read = asyncio.Event()

        def fail() -> None:
            os.read(reading, 1)
            raise fault

        def well() -> None:
            theirs.recv(1)
            read.set()

        with ours, theirs:
            watch(loop, reading, fail)
            watch(loop, theirs.fileno(), well)
            os.write(writing, b"x")
            ours.send(b"x")
            await read.wait()
            await asyncio.sleep(0)
            assert [str(fault) for fault in faults] == ["of this one"]
            unwatch(loop, theirs.fileno())
        unwatch(loop, reading)

    run(body())


def test_one_descriptor_is_read_the_short_way_and_written_the_other() -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        with ours, theirs:
            number = ours.fileno()
            read, written = asyncio.Event(), asyncio.Event()
            watch(loop, number, lambda: (ours.recv(10), read.set()))  # type: ignore[arg-type, return-value]
            loop.add_writer(number, written.set)
            await written.wait()
            assert not read.is_set()
            theirs.send(b"x")
            await read.wait()
            loop.remove_writer(number)
            read.clear()
            theirs.send(b"y")
            await read.wait()
            written.clear()
            loop.add_writer(ours, written.set)
            unwatch(loop, number)
            await written.wait()
            theirs.send(b"z")
            read.clear()
            await asyncio.sleep(0.01)
            assert not read.is_set()
            assert loop.remove_writer(ours)
            assert not loop.remove_writer(ours)

    run(body())


def test_one_that_another_callback_of_the_same_moment_lets_go_is_not_called() -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        pairs = [socket.socketpair() for _ in range(2)]
        called: list[int] = []

        def read(number: int) -> None:
            called.append(number)
            for _, theirs in pairs:
                unwatch(loop, theirs.fileno())

        for number, (ours, theirs) in enumerate(pairs):
            ours.send(b"x")
            watch(loop, theirs.fileno(), lambda number=number: read(number))  # type: ignore[misc]
        await asyncio.sleep(0.01)
        assert len(called) == 1
        for pair in pairs:
            for end in pair:
                end.close()

    run(body())


@pytest.mark.parametrize("way", ["read anew", "written"])
def test_a_descriptor_that_a_callback_of_the_same_moment_gives_to_another_is_heard_by_that_one(way: str) -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        pairs = [socket.socketpair() for _ in range(2)]
        (ours, theirs), (bell, ring) = pairs
        theirs.setblocking(False)
        told: list[str] = []
        newer = asyncio.Event()

        def change() -> None:
            bell.recv(1)
            loop.remove_reader(theirs)
            if way == "written":
                loop.add_writer(theirs, lambda: (told.append("written"), newer.set()))
            else:
                loop.add_reader(theirs, lambda: (told.append("newer"), newer.set()))

        loop.add_reader(theirs, told.append, "older")
        watch(loop, bell.fileno(), change)
        ours.send(b"x")  # both are ready at once
        ring.send(b"x")
        await newer.wait()
        assert told[0] == ("written" if way == "written" else "newer")
        loop.remove_reader(theirs)
        loop.remove_writer(theirs)
        unwatch(loop, bell.fileno())
        for pair in pairs:
            for end in pair:
                end.close()

    run(body())


def test_what_was_said_of_a_descriptor_is_not_said_to_the_next_who_has_it() -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        pairs = [socket.socketpair() for _ in range(2)]
        (_, theirs), (bell, ring) = pairs
        theirs.setblocking(False)
        told: list[str] = []
        changed = asyncio.Event()

        def change() -> None:
            bell.recv(1)
            loop.remove_writer(theirs)
            with contextlib.suppress(BlockingIOError):
                while True:
                    theirs.send(bytes(65536))  # full from now on
            loop.add_writer(theirs, told.append, "can be written")
            changed.set()

        ring.send(b"x")
        watch(loop, bell.fileno(), change)  # heard first
        loop.add_writer(theirs, told.append, "could be written")
        await changed.wait()
        await asyncio.sleep(0.02)
        assert told == []
        loop.remove_writer(theirs)
        unwatch(loop, bell.fileno())
        for pair in pairs:
            for end in pair:
                end.close()

    run(body())


def test_what_is_let_go_only_when_it_is_closed_leaves_its_number_to_others() -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(2):  # the second has the numbers of the first
            ours, theirs = socket.socketpair()
            came = asyncio.Event()
            loop.add_reader(theirs, came.set)
            ours.send(b"x")
            await came.wait()
            theirs.close()
            assert loop.remove_reader(theirs)
            ours.close()

    run(body())


def test_a_descriptor_that_the_system_refuses_is_not_taken_for_watched(pipe: tuple[int, int]) -> None:
    reading, writing = pipe

    async def body() -> None:
        loop = asyncio.get_running_loop()
        came = asyncio.Event()
        spare = os.dup(reading)
        os.close(spare)
        with pytest.raises(OSError, match="Bad file descriptor"):
            watch(loop, spare, came.set)
        os.dup2(reading, spare)
        watch(loop, spare, came.set)
        os.write(writing, b"x")
        await came.wait()
        unwatch(loop, spare)
        os.close(spare)

    run(body())


def test_what_was_closed_first_is_let_go_and_its_number_serves_another() -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            ours, theirs = socket.socketpair()
            number = theirs.fileno()
            came = asyncio.Event()
            watch(loop, number, came.set)
            ours.send(b"x")
            await came.wait()
            theirs.close()
            unwatch(loop, number)
            ours.close()

    run(body())


def test_signals_and_threads_wake_it(pipe: tuple[int, int]) -> None:
    reading, writing = pipe

    async def body() -> None:
        loop = asyncio.get_running_loop()
        watch(loop, reading, lambda: None)
        signalled, told = asyncio.Event(), asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, signalled.set)
        os.kill(os.getpid(), signal.SIGUSR1)
        await signalled.wait()
        assert loop.remove_signal_handler(signal.SIGUSR1)
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(told.set))
        thread.start()
        await told.wait()
        thread.join()
        unwatch(loop, reading)

    run(body())
    del writing


def test_streams_go_both_ways() -> None:
    async def body() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while block := await reader.read(65536):
                writer.write(block)
                await writer.drain()
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            sent = os.urandom(3_000_000)
            writer.write(sent)
            writer.write_eof()
            assert await reader.readexactly(len(sent)) == sent
            writer.close()
            await writer.wait_closed()

    run(body())
