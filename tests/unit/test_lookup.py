"""Names looked up while resolvers hang, answer twice, or do not know."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from gateway.lookup import Lookups, literal_address


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.9", (socket.AF_INET, ("192.0.2.9", 25))),
        ("[2001:db8::1]", (socket.AF_INET6, ("2001:db8::1", 25))),
        ("fe80::1%eth0", (socket.AF_INET6, ("fe80::1%eth0", 25))),
        ("mx.example", None),
    ],
)
def test_for_an_address_itself_nobody_is_asked(host: str, address: object) -> None:
    assert literal_address(host, 25) == address


def test_an_address_that_is_told_twice_counts_once_towards_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    told = ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]
    answer = [(socket.AF_INET, 1, 6, "", (address, 25)) for address in told]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)
    found = asyncio.run(Lookups(1).addresses("mx.example", 25, 2))
    assert found == [(socket.AF_INET, ("192.0.2.1", 25)), (socket.AF_INET, ("192.0.2.2", 25))]


def test_a_resolver_that_hangs_holds_up_nobody_and_has_few_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    asked: list[str] = []

    def hang(name: str, port: int, **_more: object) -> list[object]:
        asked.append(name)
        answer.wait(20)
        return [(socket.AF_INET, 1, 6, "", ("192.0.2.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", hang)

    async def main() -> None:
        names = Lookups(3)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await names.addresses("slow.example", 25, 4)
        with pytest.raises(OSError, match="still owes"):
            await names.addresses("slow.example", 25, 4)
        answer.set()
        async with asyncio.timeout(5):
            while True:
                try:
                    found = await names.addresses("slow.example", 25, 4)
                except OSError:
                    await asyncio.sleep(0.01)
                else:
                    break
        assert found == [(socket.AF_INET, ("192.0.2.1", 25))]

    asyncio.run(main())
    assert len(asked) == 3 + 1
