"""Carrier, address, route: what is missing for a line, in words (DESIGN 6)."""

from __future__ import annotations

from gateway.connectivity.judge import Line, judge_line
from tests.support.fakekernel import FakeKernel


def judged(kernel: FakeKernel, interface: str, *hosts: str) -> Line:
    return judge_line(interface, hosts, kernel.facts(), kernel)


def test_default_is_up_for_a_relay_on_loopback_without_any_network() -> None:
    assert judged(FakeKernel(), "default", "127.0.0.1").up
    assert judged(FakeKernel(), "default", "::1").up
    assert judged(FakeKernel(), "default", "[::1]").up
    assert judged(FakeKernel(), "default", "localhost").up


def test_default_without_a_route_says_to_which_relay() -> None:
    line = judged(FakeKernel(), "default", "192.0.2.25")
    assert not line.up
    assert line.why == "no route to 192.0.2.25"


def test_default_is_up_for_a_name_when_there_is_a_default_route_and_nothing_is_looked_up() -> None:
    kernel = FakeKernel()
    assert not judged(kernel, "default", "smtp.hq.example.net").up
    kernel.add("eth0", "192.168.7.2")
    line = judged(kernel, "default", "smtp.hq.example.net")
    assert line.up
    assert line.device == "eth0"


def test_a_name_in_the_hosts_file_goes_by_its_own_route() -> None:
    kernel = FakeKernel()
    kernel.hosts["relay.lan"] = ("10.0.0.25",)
    kernel.add("eth1", "10.0.0.2", default=False)
    assert not judged(kernel, "default", "relay.lan").up
    kernel.route_over("10.0.0.25", "eth1")
    assert judged(kernel, "default", "relay.lan").up


def test_default_is_down_when_the_interface_of_its_route_lost_its_carrier() -> None:
    kernel = FakeKernel()
    kernel.add("eth0", "192.168.7.2")
    kernel.carrier("eth0", False)
    for host in ("192.0.2.25", "smtp.hq.example.net"):
        line = judged(kernel, "default", host)
        assert not line.up
        assert line.why == "eth0 has no carrier"


def test_default_is_up_if_one_of_several_relays_has_a_way() -> None:
    assert judged(FakeKernel(), "default", "192.0.2.25", "127.0.0.1").up


def test_default_without_relays_goes_by_the_default_route() -> None:
    kernel = FakeKernel()
    assert judged(kernel, "default").why == "no route"
    kernel.add("eth0", "192.168.7.2")
    assert judged(kernel, "default").up


def test_a_named_interface_says_what_it_lacks_in_the_order_in_which_it_comes_up() -> None:
    kernel = FakeKernel()
    assert judged(kernel, "ppp0", "h.example").why == "there is no interface ppp0"
    kernel.add("ppp0", carrier=False, default=False)
    assert judged(kernel, "ppp0", "h.example") == Line(False, False, "ppp0 has no carrier", device="ppp0")
    kernel.add("ppp0", default=False)
    assert judged(kernel, "ppp0", "h.example") == Line(True, False, "ppp0 has no address", device="ppp0")
    kernel.add("ppp0", "10.1.1.1", default=False)
    assert judged(kernel, "ppp0", "h.example") == Line(True, False, "no route over ppp0", ("10.1.1.1",), "ppp0")
    kernel.default_route("ppp0", True)
    assert judged(kernel, "ppp0", "h.example") == Line(True, True, "there is a route", ("10.1.1.1",), "ppp0")


def test_a_named_interface_needs_no_default_route_where_the_relay_has_a_route_of_its_own() -> None:
    kernel = FakeKernel()
    kernel.add("eth0", "192.168.7.2")
    kernel.add("sat0", "10.9.0.2", default=False)
    kernel.route_over("10.9.1.25", "sat0")
    assert judged(kernel, "sat0", "10.9.1.25").up
    assert not judged(kernel, "sat0", "192.0.2.25").up
    assert judged(kernel, "eth0", "192.0.2.25").up
