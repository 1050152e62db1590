"""What this machine's kernel says of itself, by rtnetlink and without it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.connectivity import host, kernel, rtnetlink
from gateway.connectivity.kernel import ANYWHERE, Kernel, LinuxKernel
from gateway.connectivity.netlink import KernelEvents
from tests.support.fakekernel import FakeKernel


def test_loopback_is_up_and_leads_to_itself() -> None:
    asked = LinuxKernel()
    loopback = asked.facts().interfaces["lo"]
    assert loopback.carrier
    assert "127.0.0.1" in loopback.addresses
    assert asked.route("127.0.0.1") == "lo"


@pytest.mark.parametrize("asked", [LinuxKernel(), FakeKernel()], ids=["the machine", "the tests' own"])
def test_every_kernel_keeps_the_contract(asked: Kernel) -> None:
    facts = asked.facts()
    assert facts.has_carrier("lo")
    assert not facts.has_carrier("no-such0")
    assert facts.default_routes <= set(facts.interfaces)
    assert asked.route("127.0.0.1") == "lo"
    assert "127.0.0.1" in asked.known_addresses("localhost")
    assert asked.known_addresses("no.such.host.example") == ()
    for address in ("192.0.2.1", "2001:db8::1"):
        assert asked.route(address) in (None, *facts.interfaces)


def test_without_rtnetlink_the_files_of_the_kernel_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = LinuxKernel()
    facts, route = asked.facts(), asked.route("127.0.0.1")

    def refuse(*_words: object, **_more: object) -> list[bytes]:
        raise rtnetlink.NoAnswer

    monkeypatch.setattr(rtnetlink, "_ask", refuse)
    blind = asked.facts()
    assert blind.default_routes == facts.default_routes
    assert {name: i.carrier for name, i in blind.interfaces.items()} == {
        n: i.carrier for n, i in facts.interfaces.items()
    }
    for name, interface in blind.interfaces.items():
        assert set(interface.addresses) <= set(facts.interfaces[name].addresses)
    assert asked.route("127.0.0.1") == route


def test_a_hosts_file_is_read_without_asking_anybody(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(
        "# 10.0.0.1 commented.lan\n10.0.0.25 relay.lan Relay # the relay\nfd00::25\trelay.lan\nnonsense relay.lan\n\n10.0.0.9\n"
    )
    asked = LinuxKernel(hosts)
    assert asked.known_addresses("relay.lan") == ("10.0.0.25", "fd00::25")
    assert asked.known_addresses("RELAY") == ("10.0.0.25",)
    assert asked.known_addresses("commented.lan") == ()
    assert asked.known_addresses("localhost") == ("127.0.0.1",)
    assert LinuxKernel(tmp_path / "none").known_addresses("relay.lan") == ()
    hosts.write_bytes(b"10.0.0.25 relay.lan\n" + b"\xff\x00" * (1 << 20))
    assert asked.known_addresses("relay.lan") == ("10.0.0.25",)


def test_events_are_heard_in_the_loop_once_a_burst() -> None:
    looks: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        events = KernelEvents(lambda: looks.append(loop.time()))
        assert events.start()
        try:
            for _ in range(20):
                events._readable()
            assert looks == []
            async with asyncio.timeout(5):
                while not looks:  # what is waited for is the loop's own timer
                    await asyncio.sleep(0.01)
        finally:
            events.stop()
            events.stop()

    asyncio.run(main())
    assert len(looks) == 1


def test_counters_and_memory_are_there_for_the_status() -> None:
    counted = host.interface_octets("lo")
    assert counted is not None
    assert host.interface_octets("no-such0") is None
    assert host.own_memory() > 1_000_000
    assert kernel.KernelFacts().has_carrier("lo") is False


def test_questions_for_names_leave_by_the_servers_routes_and_those_of_a_local_one_by_the_default(
    tmp_path: Path,
) -> None:
    resolver = tmp_path / "resolv.conf"
    resolver.write_text(
        "# made by hand\nsearch example\nnameserver 127.0.0.53\nnameserver 10.1.0.1\nnameserver nonsense\n"
    )
    assert LinuxKernel(resolver=resolver).nameservers() == (ANYWHERE, "10.1.0.1")
    assert LinuxKernel(resolver=tmp_path / "none").nameservers() == ()
