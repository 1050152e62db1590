"""Questions to a name server on loopback: what it says, what it does not, and how much of it is believed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.courier.mx import Exchanger, Nothing, Silence
from gateway.courier.names import Resolver
from tests.support.nameserver import SERVFAIL, NameServer

ZONE = {
    "example.test MX": ["10 mx.example.test.", "20 Other.example.test."],
    "mx.example.test A": ["192.0.2.1"],
    "mx.example.test AAAA": ["2001:db8::1"],
    "old.test A": ["192.0.2.2"],
    "sick.test MX": SERVFAIL,
    "half.test A": SERVFAIL,
    "half.test AAAA": ["2001:db8::2"],
    "null.test MX": ["0 ."],
    "xn--bcher-kva.test MX": ["10 mx.example.test."],
}


def ask(kind: str, name: str, server: NameServer) -> object:
    resolver = Resolver(["127.0.0.1"], server.port)
    return asyncio.run(getattr(resolver, kind)(name))


def test_answers_are_hosts_and_addresses() -> None:
    with NameServer(ZONE) as server:
        found = ask("exchangers", "example.test", server)
        assert isinstance(found, tuple)
        assert set(found) == {Exchanger(10, "mx.example.test"), Exchanger(20, "other.example.test")}
        assert ask("addresses", "mx.example.test", server) == ("192.0.2.1", "2001:db8::1")
        assert ask("exchangers", "null.test", server) == (Exchanger(0, "."),)
        assert ask("exchangers", "bücher.test", server) == (Exchanger(10, "mx.example.test"),)


def test_a_name_that_is_nowhere_and_one_that_has_nothing_of_this_kind_are_two_things() -> None:
    with NameServer(ZONE) as server:
        assert ask("exchangers", "nosuch.test", server) == Nothing(exists=False)
        assert ask("exchangers", "old.test", server) == Nothing(exists=True)
        assert ask("addresses", "example.test", server) == Nothing(exists=True)


def test_a_failing_server_is_silence_and_what_one_question_finds_is_enough() -> None:
    with NameServer(ZONE) as server:
        assert ask("exchangers", "sick.test", server) == Silence("cannot be looked up now: the name service fails")
        assert ask("addresses", "half.test", server) == ("2001:db8::2",)


@pytest.mark.parametrize("on_demand", [False, True])
def test_a_no_without_proof_is_asked_again_for_one(on_demand: bool) -> None:
    with NameServer(ZONE, proofs=False, proofs_on_demand=on_demand) as server:
        assert ask("exchangers", "nosuch.test", server) == Nothing(exists=False, proven=on_demand)
        assert server.asked == ["nosuch.test MX"] * 2


@pytest.mark.parametrize("name", ["x" * 64 + ".test", "a..test", ".test"])
def test_a_name_that_cannot_be_is_nowhere_and_nobody_is_asked(name: str) -> None:
    with NameServer(ZONE) as server:
        assert ask("exchangers", name, server) == Nothing(exists=False)
        assert ask("addresses", "mx\\032.example.test", server) == Nothing(exists=False)
        assert not server.asked


def test_an_answer_is_kept_while_it_lasts() -> None:
    async def twice(resolver: Resolver) -> None:
        for _ in range(2):
            await resolver.exchangers("example.test")

    with NameServer(ZONE) as server:
        asyncio.run(twice(Resolver(["127.0.0.1"], server.port)))
        assert server.asked == ["example.test MX"]


def test_a_machine_without_name_servers_says_so(tmp_path: Path) -> None:
    missing = Resolver(resolv_conf=tmp_path / "resolv.conf")
    found = asyncio.run(missing.exchangers("example.test"))
    assert isinstance(found, Silence)
    assert "names no name server" in found.why


def test_new_name_servers_of_the_machine_are_used_when_its_file_changes(tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"

    async def check() -> None:
        with NameServer({}) as first, NameServer(ZONE) as second:
            resolver = Resolver(port=first.port, resolv_conf=conf)
            conf.write_text("nameserver 127.0.0.1\n")
            assert await resolver.exchangers("example.test") == Nothing(exists=False)
            resolver._port = second.port  # resolv.conf names no ports
            conf.write_text("# another line\nnameserver 127.0.0.1\n")
            assert isinstance(await resolver.exchangers("example.test"), tuple)

    asyncio.run(check())
