"""The listening socket itself: clients get in one after the other, a want of descriptors passes, a stop leaves who is there."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable

import pytest

from gateway.reception import acceptor
from gateway.reception.acceptor import Acceptor


class Greeter(asyncio.BufferedProtocol):
    def __init__(self) -> None:
        self.octets = bytearray(100)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(b"hello")

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self.octets)

    def buffer_updated(self, nbytes: int) -> None:
        self.transport.write(bytes(self.octets[:nbytes]).upper())


def listening() -> socket.socket:
    bound = socket.socket()
    bound.setblocking(False)
    bound.bind(("127.0.0.1", 0))
    return bound


async def greeted(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await asyncio.wait_for(reader.readexactly(5), 10) == b"hello"
    return reader, writer


def test_many_who_come_at_once_are_all_let_in_and_stay_when_it_closes() -> None:
    async def body() -> None:
        bound = listening()
        port = bound.getsockname()[1]
        door = Acceptor(bound, 128, Greeter, lambda why: None)
        guests = await asyncio.gather(*(greeted(port) for _ in range(40)))
        door.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        for reader, writer in guests:
            writer.write(b"still here")
            assert await asyncio.wait_for(reader.readexactly(10), 10) == b"STILL HERE"
            writer.close()
            await writer.wait_closed()

    asyncio.run(body())


def test_without_a_descriptor_it_waits_says_so_once_a_minute_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "BREATH", 0.01)

    class Starved(socket.socket):
        refusals = 3

        def accept(self) -> tuple[socket.socket, object]:
            if self.refusals:
                self.refusals -= 1
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return super().accept()

    async def body() -> None:
        bound = Starved()
        bound.setblocking(False)
        bound.bind(("127.0.0.1", 0))
        told: list[str] = []
        door = Acceptor(bound, 128, Greeter, told.append)
        _, writer = await greeted(bound.getsockname()[1])
        assert told == ["no client can be let in: Too many open files"]
        writer.close()
        await writer.wait_closed()
        door.close()

    asyncio.run(body())


def test_who_is_gone_before_being_let_in_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fickle(socket.socket):
        gone: Callable[[], OSError] | None = ConnectionAbortedError

        def accept(self) -> tuple[socket.socket, object]:
            if self.gone is not None:
                gone, self.gone = self.gone, None
                raise gone()
            return super().accept()

    async def body() -> None:
        bound = Fickle()
        bound.setblocking(False)
        bound.bind(("127.0.0.1", 0))
        told: list[str] = []
        door = Acceptor(bound, 128, Greeter, told.append)
        _, writer = await greeted(bound.getsockname()[1])
        assert told == []
        writer.close()
        await writer.wait_closed()
        door.close()

    asyncio.run(body())


def test_a_client_for_whom_there_is_no_session_is_let_go_and_the_next_gets_in() -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        faults: list[object] = []
        loop.set_exception_handler(lambda _, context: faults.append(context["exception"]))
        turn = iter([True, False])

        def make() -> Greeter:
            if next(turn):
                raise RuntimeError("no session")
            return Greeter()

        bound = listening()
        door = Acceptor(bound, 128, make, lambda why: None)
        reader, writer = await asyncio.open_connection(*bound.getsockname())
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        await writer.wait_closed()
        assert [str(fault) for fault in faults] == ["no session"]
        _, writer = await greeted(bound.getsockname()[1])
        writer.close()
        await writer.wait_closed()
        door.close()

    asyncio.run(body())
