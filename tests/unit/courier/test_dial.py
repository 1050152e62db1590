"""From a name to addresses; the connecting itself is in the integration tests."""

import asyncio
import socket
import threading
from typing import Any

import pytest

from gateway.courier import RelayMemory, Timers
from gateway.courier.dial import MAX_LOOKUPS, DialFailed, connect

TIMERS = Timers(resolve=0.2, connect=1.0)


def dial(host: str, memory: RelayMemory | None = None, *, interface: str | None = None, port: int = 1) -> Any:
    async def go() -> socket.socket:
        return await connect(host, port, interface=interface, timers=TIMERS, memory=memory or RelayMemory())

    sock = asyncio.run(go())
    sock.close()
    return sock


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the resolver was asked; it knows no name but `relay.test`, at a port that refuses."""
    asked: list[str] = []

    def look_up(host: str, port: int, **_: object) -> list[Any]:
        asked.append(host)
        if host != "relay.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))] * 2

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


def test_a_name_is_looked_up_once_a_minute(names: list[str]) -> None:
    memory = RelayMemory()

    async def go() -> None:
        for _ in range(3):
            with pytest.raises(DialFailed, match="connection refused"):
                await connect("relay.test", 1, interface=None, timers=TIMERS, memory=memory)

    asyncio.run(go())

    assert names == ["relay.test"]
    assert len(memory.addresses) == 1


@pytest.mark.parametrize("literal", ["127.0.0.1", "[::1]", "::1"])
def test_an_address_is_not_looked_up(names: list[str], literal: str) -> None:
    with pytest.raises(DialFailed, match="does not answer"):
        dial(literal)

    assert names == []


@pytest.mark.usefixtures("names")
def test_a_name_that_nobody_knows_is_said_so() -> None:
    with pytest.raises(DialFailed, match=r"cannot be found .*Name or service not known"):
        dial("other.test")


def test_resolvers_that_hang_are_left_behind_and_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    hanging = 0

    def hang(*_: object, **__: object) -> list[Any]:
        nonlocal hanging
        hanging += 1
        release.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)

    async def go() -> list[str]:
        waits = [
            connect("relay.test", 1, interface=None, timers=TIMERS, memory=RelayMemory())
            for _ in range(MAX_LOOKUPS + 3)
        ]
        return [str(failure) for failure in await asyncio.gather(*waits, return_exceptions=True)]

    try:
        said = asyncio.run(go())
    finally:
        release.set()

    assert hanging == MAX_LOOKUPS
    assert sum("no answer in time" in text for text in said) == MAX_LOOKUPS


def test_an_address_of_a_kind_that_this_machine_does_not_speak_is_passed_over() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    async def go() -> object:
        memory = RelayMemory()
        memory.addresses = ((999, ("::1", port)), (socket.AF_INET, ("127.0.0.1", port)))
        memory.addresses_at = asyncio.get_running_loop().time()
        sock = await connect("relay.test", port, interface=None, timers=TIMERS, memory=memory)
        with sock:
            return sock.getpeername()

    with listener:
        assert asyncio.run(go()) == ("127.0.0.1", port)


def test_a_link_that_is_not_there_is_said_so() -> None:
    with pytest.raises(DialFailed, match=r"cannot be reached through nosuch0 \("):
        dial("127.0.0.1", interface="nosuch0")
