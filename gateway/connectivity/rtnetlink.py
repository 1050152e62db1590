"""Questions to the kernel over rtnetlink(7), as octets: interfaces, addresses, default routes, the way to an address.

Reading the answers is pure and bounded. The kernel answers within the call, so asking does not wait for anything outside; no
question puts a packet on any line. When to ask is the monitor's business.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAX_MESSAGES = 20_000
"""Of one answer: a router with a full table must not keep us busy. Default routes come first in it."""

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_LINK = struct.Struct("=BxHiII")  # family, device type, index, flags, changed flags
_ADDRESS = struct.Struct("=BBBBI")  # family, prefix, flags, scope, index
_ROUTE = struct.Struct(
    "=BBBBBBBBI"
)  # family, lengths of destination and source, tos, table, protocol, scope, type, flags
_HOP = struct.Struct("=HBBi")  # length, flags, weight, interface
_INT = struct.Struct("=i")

_ERROR, _DONE = 2, 3
_REQUEST, _DUMP = 0x1, 0x300
_NEWLINK, _GETLINK = 16, 18
_NEWADDR, _GETADDR = 20, 22
_NEWROUTE, _GETROUTE = 24, 26
_IFLA_IFNAME, _IFLA_OPERSTATE = 3, 16
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_MULTIPATH = 1, 4, 9
_UNICAST, _LOCAL = 1, 2
_TABLE_LOCAL = 255
_UP, _LOWER_UP = 0x1, 0x10000
_DEAD, _LINKDOWN = 0x1, 0x10
_OPERSTATES_UP = (0, 6)  # unknown (ppp, tun, loopback never say) and up; dormant waits for 802.1X or a sleeping line


@dataclass(frozen=True, slots=True)
class Link:
    """An interface. `carrier`: it is administratively up, and so is the line below it."""

    index: int
    name: str
    carrier: bool


class NoAnswer(Exception):
    """The kernel does not answer such questions here (a sandbox), or said no. `code` is its errno, 0 for silence."""

    def __init__(self, code: int = 0) -> None:
        super().__init__(code)
        self.code = code


def messages(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, payload) of each message in what one read gave; stops at the first that is cut short or nonsense."""
    offset = 0
    while offset + _HEADER.size <= len(octets):
        length, kind, _, _, _ = _HEADER.unpack_from(octets, offset)
        if length < _HEADER.size or offset + length > len(octets):
            return
        yield kind, octets[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def attributes(octets: bytes) -> dict[int, bytes]:
    """The attributes in a payload, by type; the last of a kind counts. Stops at the first that is cut short."""
    found: dict[int, bytes] = {}
    offset = 0
    while offset + _ATTRIBUTE.size <= len(octets):
        length, kind = _ATTRIBUTE.unpack_from(octets, offset)
        if length < _ATTRIBUTE.size or offset + length > len(octets):
            break
        found[kind & 0x3FFF] = octets[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
    return found


def read_link(payload: bytes) -> Link | None:
    """None for what is no complete description of an interface."""
    if len(payload) < _LINK.size:
        return None
    _, _, index, flags, _ = _LINK.unpack_from(payload)
    parts = attributes(payload[_LINK.size :])
    name = parts.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode("utf-8", "replace")
    if not name:
        return None
    operstate = parts.get(_IFLA_OPERSTATE, b"\0")[:1] or b"\0"
    carrier = bool(flags & _UP and flags & _LOWER_UP) and operstate[0] in _OPERSTATES_UP
    return Link(index, name, carrier)


def read_address(payload: bytes) -> tuple[int, str] | None:
    """(interface index, address) of one that is good beyond its own line; None for link-local ones and nonsense."""
    if len(payload) < _ADDRESS.size:
        return None
    _, _, _, _, index = _ADDRESS.unpack_from(payload)
    parts = attributes(payload[_ADDRESS.size :])
    octets = parts.get(_IFA_LOCAL) or parts.get(_IFA_ADDRESS) or b""
    try:
        address = ipaddress.ip_address(octets)
    except ValueError:
        return None
    return None if address.is_link_local else (index, str(address))


def read_default_route(payload: bytes) -> list[int]:
    """Indices of the interfaces that this route leads out of, if it is a live default route."""
    if len(payload) < _ROUTE.size:
        return []
    _, destination, _, _, table, _, _, kind, flags = _ROUTE.unpack_from(payload)
    if destination != 0 or kind != _UNICAST or table == _TABLE_LOCAL or flags & (_DEAD | _LINKDOWN):
        return []
    parts = attributes(payload[_ROUTE.size :])
    if len(oif := parts.get(_RTA_OIF, b"")) == _INT.size:
        return [_INT.unpack(oif)[0]]
    return list(_hops(parts.get(_RTA_MULTIPATH, b"")))


def _hops(octets: bytes) -> Iterator[int]:
    offset = 0
    while offset + _HOP.size <= len(octets):
        length, flags, _, index = _HOP.unpack_from(octets, offset)
        if length < _HOP.size:
            return
        if not flags & (_DEAD | _LINKDOWN):
            yield index
        offset += (length + 3) & ~3


def links() -> list[Link]:
    """All interfaces. Raises NoAnswer."""
    found = (read_link(p) for p in _ask(_GETLINK, _NEWLINK, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0), dump=True))
    return [link for link in found if link is not None]


def addresses() -> list[tuple[int, str]]:
    """(interface index, address) of all that are not link-local. Raises NoAnswer."""
    found = (read_address(p) for p in _ask(_GETADDR, _NEWADDR, _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0), dump=True))
    return [pair for pair in found if pair is not None]


def default_routes() -> set[int]:
    """Indices of the interfaces that a default route of either family leads out of. Raises NoAnswer."""
    found: set[int] = set()
    for family in (socket.AF_INET, socket.AF_INET6):
        for payload in _ask(_GETROUTE, _NEWROUTE, _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0), dump=True):
            found.update(read_default_route(payload))
    return found


def route_to(address: str) -> int | None:
    """Index of the interface by which the kernel would send to this address, None where it would not. Raises NoAnswer."""
    octets = ipaddress.ip_address(address).packed
    family = socket.AF_INET if len(octets) == 4 else socket.AF_INET6
    body = _ROUTE.pack(family, len(octets) * 8, 0, 0, 0, 0, 0, 0, 0)
    body += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(octets), _RTA_DST) + octets
    try:
        answer = _ask(_GETROUTE, _NEWROUTE, body, dump=False)
    except NoAnswer as exc:
        if exc.code:
            return None  # the kernel's own "network is unreachable"
        raise
    for payload in answer:
        if len(payload) < _ROUTE.size or _ROUTE.unpack_from(payload)[7] not in (_UNICAST, _LOCAL):
            continue
        oif = attributes(payload[_ROUTE.size :]).get(_RTA_OIF, b"")
        if len(oif) == _INT.size:
            return int(_INT.unpack(oif)[0])
    return None


def _ask(question: int, wanted: int, body: bytes, *, dump: bool) -> list[bytes]:
    """Payloads of the answer's messages of type `wanted`."""
    flags = _REQUEST | (_DUMP if dump else 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as kernel:
            kernel.settimeout(1.0)
            kernel.send(_HEADER.pack(_HEADER.size + len(body), question, flags, 1, 0) + body)
            return _answer(kernel, wanted, dump)
    except OSError as exc:
        raise NoAnswer from exc


def _answer(kernel: socket.socket, wanted: int, dump: bool) -> list[bytes]:
    found: list[bytes] = []
    count = 0
    while count < MAX_MESSAGES:
        for kind, payload in messages(kernel.recv(1 << 16)):
            count += 1
            if kind == _ERROR and len(payload) >= _INT.size:
                code = -_INT.unpack_from(payload)[0]
                if code:
                    raise NoAnswer(code)
                return found
            if kind == _DONE:
                return found
            if kind == wanted:
                found.append(payload)
        if not dump:
            return found
    return found
