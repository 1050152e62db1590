"""The kernel's answers as octets: read where they are whole, bounded where they are not."""

from __future__ import annotations

import ipaddress
import socket
import struct

from hypothesis import given
from hypothesis import strategies as st

from gateway.connectivity import rtnetlink
from gateway.connectivity.rtnetlink import Link


def attribute(kind: int, value: bytes) -> bytes:
    octets = struct.pack("=HH", 4 + len(value), kind) + value
    return octets + bytes(-len(octets) % 4)


def message(kind: int, payload: bytes) -> bytes:
    octets = struct.pack("=IHHII", 16 + len(payload), kind, 0, 1, 0) + payload
    return octets + bytes(-len(octets) % 4)


def link(flags: int, operstate: int = 6, name: bytes = b"eth0\0") -> bytes:
    return struct.pack("=BxHiII", 0, 1, 2, flags, 0) + attribute(3, name) + attribute(16, bytes([operstate]))


UP, LOWER_UP = 0x1, 0x10000


def test_an_interface_has_carrier_when_it_is_up_and_the_line_below_it_too() -> None:
    assert rtnetlink.read_link(link(UP | LOWER_UP)) == Link(2, "eth0", True)
    assert rtnetlink.read_link(link(UP | LOWER_UP, operstate=0)) == Link(2, "eth0", True)  # ppp and tun never say
    assert rtnetlink.read_link(link(UP)) == Link(2, "eth0", False)
    assert rtnetlink.read_link(link(LOWER_UP)) == Link(2, "eth0", False)
    assert rtnetlink.read_link(link(UP | LOWER_UP, operstate=5)) == Link(2, "eth0", False)  # dormant


def address(text: str, scope: int = 0) -> bytes:
    packed = ipaddress.ip_address(text).packed
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    return struct.pack("=BBBBI", family, 24, 0, scope, 7) + attribute(1, packed)


def test_addresses_are_read_and_link_local_ones_do_not_count() -> None:
    assert rtnetlink.read_address(address("192.168.7.2")) == (7, "192.168.7.2")
    assert rtnetlink.read_address(address("2001:db8::1")) == (7, "2001:db8::1")
    assert rtnetlink.read_address(address("fe80::1")) is None
    assert rtnetlink.read_address(address("169.254.3.4")) is None


def test_on_a_point_to_point_line_our_own_end_is_the_address() -> None:
    octets = struct.pack("=BBBBI", socket.AF_INET, 32, 0, 0, 7)
    octets += attribute(1, ipaddress.ip_address("10.0.0.1").packed)
    octets += attribute(2, ipaddress.ip_address("10.0.0.2").packed)
    assert rtnetlink.read_address(octets) == (7, "10.0.0.2")


def route(destination: int = 0, kind: int = 1, table: int = 254, flags: int = 0, rest: bytes = b"") -> bytes:
    return struct.pack("=BBBBBBBBI", socket.AF_INET, destination, 0, 0, table, 3, 0, kind, flags) + rest


OUT_OF_3 = attribute(4, struct.pack("=i", 3))


def test_only_a_live_unicast_route_to_everywhere_is_a_default_route() -> None:
    assert rtnetlink.read_default_route(route(rest=OUT_OF_3)) == [3]
    assert rtnetlink.read_default_route(route(destination=24, rest=OUT_OF_3)) == []
    assert rtnetlink.read_default_route(route(kind=7, rest=OUT_OF_3)) == []  # unreachable
    assert rtnetlink.read_default_route(route(table=255, rest=OUT_OF_3)) == []
    assert rtnetlink.read_default_route(route(flags=0x10, rest=OUT_OF_3)) == []  # its line is down
    assert rtnetlink.read_default_route(route()) == []


def test_of_a_default_route_over_several_lines_the_live_ones_count() -> None:
    hops = struct.pack("=HBBi", 8, 0, 0, 3) + struct.pack("=HBBi", 8, 0x10, 0, 4) + struct.pack("=HBBi", 8, 0, 0, 5)
    assert rtnetlink.read_default_route(route(rest=attribute(9, hops))) == [3, 5]


def test_messages_and_attributes_come_apart() -> None:
    octets = message(16, b"first") + message(17, b"") + message(18, b"third")
    assert list(rtnetlink.messages(octets)) == [(16, b"first"), (17, b""), (18, b"third")]
    assert rtnetlink.attributes(attribute(1, b"a") + attribute(2, b"") + attribute(0x8003, b"nested")) == {
        1: b"a",
        2: b"",
        3: b"nested",
    }


@given(st.binary(max_size=300))
def test_any_octets_are_read_to_an_end(octets: bytes) -> None:
    for _, payload in rtnetlink.messages(octets):
        assert len(payload) < len(octets)
    rtnetlink.attributes(octets)
    rtnetlink.read_link(octets)
    rtnetlink.read_address(octets)
    rtnetlink.read_default_route(octets)


@given(st.binary(max_size=60), st.integers(0, 60))
def test_a_message_cut_short_is_not_read(payload: bytes, cut: int) -> None:
    octets = message(16, payload)
    found = list(rtnetlink.messages(octets[: max(0, len(octets) - 4 - cut)]))
    assert found == []
