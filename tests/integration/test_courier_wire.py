"""The end of a connection: what the relay said last is heard, whoever meets the end first."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct

import pytest
from aiosmtplib import SMTPServerDisconnected

from gateway.courier.wire import Wire


async def connected(wire: Wire) -> socket.socket:
    """The relay's end of a connection that the wire has; blocking."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        await asyncio.get_running_loop().create_connection(lambda: wire, "127.0.0.1", server.getsockname()[1])
        relay, _ = server.accept()
    return relay


def reset(relay: socket.socket) -> None:
    """Close as a system does where octets came that the program did not read."""
    relay.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    relay.close()


def test_last_words_are_heard_where_our_own_write_meets_the_reset_first() -> None:
    async def body() -> None:
        wire = Wire(asyncio.get_running_loop())
        relay = await connected(wire)
        over = asyncio.Event()
        heard: list[tuple[int, bytes]] = []
        wire.adopt(wire.transport)  # type: ignore[arg-type]  # as the courier does after the greeting
        wire.unasked = lambda code, raw: heard.append((code, raw))
        wire.on_lost = over.set
        relay.sendall(b"421 4.7.0 too many messages\r\n")
        reset(relay)
        wire.send(b"MAIL FROM:<a@branch.test>\r\n")  # before the loop has had a look at what came
        await asyncio.wait_for(over.wait(), 10)
        assert [code for code, _ in heard] == [421]
        assert wire.lost == "cut the connection"
        assert wire.is_hung_up

    asyncio.run(body())


def test_a_yes_to_starttls_behind_which_the_connection_ends_begins_no_handshake() -> None:
    async def body() -> None:
        wire = Wire(asyncio.get_running_loop())
        relay = await connected(wire)
        wire.adopt(wire.transport)  # type: ignore[arg-type]  # as the courier does after the greeting
        relay.sendall(b"220 2.0.0 go\r\n")
        reset(relay)
        with pytest.raises(SMTPServerDisconnected, match="cut the connection"):
            await wire.start_tls(ssl.create_default_context(), "relay.test", 10.0)

    asyncio.run(body())


def test_a_connection_that_ends_in_silence_has_no_last_words() -> None:
    async def body() -> None:
        wire = Wire(asyncio.get_running_loop())
        relay = await connected(wire)
        over = asyncio.Event()
        wire.adopt(wire.transport)  # type: ignore[arg-type]  # as the courier does after the greeting
        wire.on_lost = over.set
        reset(relay)
        wire.send(b"MAIL FROM:<a@branch.test>\r\n")
        await asyncio.wait_for(over.wait(), 10)
        assert wire.lost == "cut the connection"
        assert wire.octets_in == 0

    asyncio.run(body())


def test_what_we_give_up_ourselves_is_not_hung_up() -> None:
    async def body() -> None:
        wire = Wire(asyncio.get_running_loop())
        relay = await connected(wire)
        wire.adopt(wire.transport)  # type: ignore[arg-type]  # as the courier does after the greeting
        wire.give_up("was left by us")
        assert not wire.is_hung_up
        relay.close()

    asyncio.run(body())
