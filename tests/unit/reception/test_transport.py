"""A client's connection over a real socket pair on loopback: what is written, what is read, and each way to its end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.reception.transport import HIGH_WATER, ClientTransport


class Listener(asyncio.BufferedProtocol):
    """Keeps what it hears. `stays`: after the other side's last octet it has still something to say."""

    def __init__(self, stays: bool = True) -> None:
        self.buffer = bytearray(1000)
        self.heard = bytearray()
        self.stays = stays
        self.events: list[object] = []
        self.is_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.events.append("made")

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self.buffer)

    def buffer_updated(self, nbytes: int) -> None:
        self.heard += self.buffer[:nbytes]

    def eof_received(self) -> bool:
        self.events.append("eof")
        return self.stays

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append(("lost", type(exc).__name__ if exc is not None else None))

    def pause_writing(self) -> None:
        self.is_paused = True

    def resume_writing(self) -> None:
        self.is_paused = False


@asynccontextmanager
async def connected(stays: bool = True) -> AsyncIterator[tuple[ClientTransport, Listener, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as other:
        ours, name = server.accept()
        protocol = Listener(stays)
        transport = ClientTransport(asyncio.get_running_loop(), ours, name)
        transport.begin(protocol)
        other.settimeout(10)
        try:
            yield transport, protocol, other
        finally:
            transport.abort()
            await asyncio.sleep(0)
            assert ours.fileno() == -1, "the descriptor is given back"


async def until(condition: object) -> None:
    async with asyncio.timeout(10):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.001)


def test_octets_go_both_ways_and_the_end_is_told_within_close() -> None:
    async def body() -> None:
        async with connected() as (transport, protocol, other):
            assert transport.get_extra_info("peername") == other.getsockname()
            transport.write(b"220 hello\r\n")
            assert other.recv(100) == b"220 hello\r\n"
            other.sendall(b"QUIT\r\n")
            await until(lambda: protocol.heard == b"QUIT\r\n")
            transport.close()
            assert protocol.events == ["made", ("lost", None)]
            assert other.recv(1) == b""
            transport.write(b"too late")
            transport.close()
            assert protocol.events == ["made", ("lost", None)]

    asyncio.run(body())


def test_what_the_client_does_not_take_is_kept_in_order_and_close_sends_it_all() -> None:
    async def body() -> None:
        async with connected() as (transport, protocol, other):
            wanted = b"".join(b"%07d\n" % n for n in range(2_000_000))
            for at in range(0, len(wanted), 1_000_000):
                transport.write(wanted[at : at + 1_000_000])
            assert transport.get_write_buffer_size() > HIGH_WATER
            assert protocol.is_paused
            transport.close()
            assert transport.is_closing()
            assert protocol.events == ["made"]
            got = bytearray()
            while octets := await asyncio.to_thread(other.recv, 1 << 20):
                got += octets
            assert bytes(got) == wanted
            assert protocol.events == ["made", ("lost", None)]
            assert not protocol.is_paused

    asyncio.run(body())


def test_our_end_follows_what_was_said_and_the_clients_words_are_still_heard() -> None:
    async def body() -> None:
        async with connected() as (transport, protocol, other):
            transport.write(b"x" * 3_000_000)
            transport.write_eof()
            with pytest.raises(RuntimeError):
                transport.write(b"behind it")
            got = 0
            while octets := await asyncio.to_thread(other.recv, 1 << 20):
                got += len(octets)
            assert got == 3_000_000
            other.sendall(b"RSET\r\n")
            await until(lambda: protocol.heard == b"RSET\r\n")

    asyncio.run(body())


@pytest.mark.parametrize("stays", [True, False])
def test_the_clients_end_closes_only_where_nothing_is_owed(stays: bool) -> None:
    async def body() -> None:
        async with connected(stays) as (transport, protocol, other):
            other.shutdown(socket.SHUT_WR)
            await until(lambda: "eof" in protocol.events)
            assert transport.is_closing() is not stays
            transport.write(b"250 ok\r\n")
            assert other.recv(100) == (b"250 ok\r\n" if stays else b"")

    asyncio.run(body())


def test_a_reset_is_told_once_with_its_error_in_a_round_of_its_own() -> None:
    async def body() -> None:
        async with connected() as (transport, protocol, other):
            other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            other.close()
            await until(lambda: len(protocol.events) == 2)
            assert protocol.events == ["made", ("lost", "ConnectionResetError")]
            transport.abort()
            await asyncio.sleep(0)
            assert len(protocol.events) == 2

    asyncio.run(body())


def test_nothing_is_read_while_reading_is_paused() -> None:
    async def body() -> None:
        async with connected() as (transport, protocol, other):
            transport.pause_reading()
            assert not transport.is_reading()
            other.sendall(b"NOOP\r\n")
            transport.write(b"1")
            assert await asyncio.to_thread(other.recv, 10) == b"1"
            assert protocol.heard == b""
            transport.resume_reading()
            await until(lambda: protocol.heard == b"NOOP\r\n")

    asyncio.run(body())


def test_abort_drops_what_is_not_sent() -> None:
    async def body() -> None:
        async with connected() as (transport, protocol, _):
            transport.write(b"x" * 8_000_000)
            transport.close()
            transport.abort()
            assert protocol.events == ["made"]
            await asyncio.sleep(0)
            assert protocol.events == ["made", ("lost", None)]

    asyncio.run(body())


def test_what_is_written_after_an_abort_is_dropped_and_leaves_nothing_behind() -> None:
    async def body() -> None:
        async with connected() as (transport, protocol, other):
            descriptor = transport.get_extra_info("socket").fileno()
            transport.abort()
            transport.write(b"x" * (8 << 20))  # more than the kernel takes at once
            await asyncio.sleep(0)
            assert protocol.events == ["made", ("lost", None)]
            assert not asyncio.get_running_loop().remove_writer(descriptor), "nobody waits for a closed descriptor"
            assert other.recv(1) == b""

    asyncio.run(body())


def test_a_protocol_may_close_it_when_it_hears_that_all_is_sent() -> None:
    async def body() -> None:
        async with connected() as (transport, protocol, other):
            descriptor = transport.get_extra_info("socket").fileno()
            protocol.resume_writing = transport.close  # type: ignore[method-assign]
            while not protocol.is_paused:
                transport.write(b"x" * (HIGH_WATER + 1))
            other.setblocking(False)
            async with asyncio.timeout(10):
                while len(protocol.events) == 1:
                    with contextlib.suppress(BlockingIOError):
                        other.recv(1 << 24)
                    await asyncio.sleep(0.001)
            assert protocol.events == ["made", ("lost", None)]
            assert not asyncio.get_running_loop().remove_writer(descriptor), "nobody waits for a closed descriptor"

    asyncio.run(body())
