"""What the kernel says of interfaces and routes, read when asked. Asking sends nothing.

rtnetlink first; where a sandbox forbids it, sysfs, procfs and the connect of a datagram socket tell most of it.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gateway.connectivity import rtnetlink

_RTF_UP, _RTF_REJECT = 0x1, 0x200
_SIOCGIFADDR = 0x8915
_MAX_FILE = 1 << 20

ANYWHERE = "192.0.2.53"
"""An address that nobody has (RFC 5737): its route is the default route."""


@dataclass(frozen=True, slots=True)
class Interface:
    """`carrier`: it is up and so is the line below it. `addresses` without link-local ones."""

    name: str
    carrier: bool
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """`default_routes`: names of the interfaces that a default route leads out of."""

    interfaces: Mapping[str, Interface] = field(default_factory=dict)
    default_routes: frozenset[str] = frozenset()

    def has_carrier(self, name: str) -> bool:
        interface = self.interfaces.get(name)
        return interface is not None and interface.carrier


class Kernel(Protocol):
    """What the monitor needs to know; tests have a fake one."""

    def facts(self) -> KernelFacts: ...

    def route(self, address: str) -> str | None:
        """Name of the interface by which the kernel would send to this address, loopback included; None where it would
        not."""
        ...

    def known_addresses(self, host: str) -> tuple[str, ...]:
        """Addresses of a host name that this machine knows without asking anybody (its hosts file)."""
        ...

    def nameservers(self) -> tuple[str, ...]:
        """Addresses by whose routes questions for names leave this machine."""
        ...


class LinuxKernel:
    """The real one. Nothing here waits for the network."""

    __slots__ = ("_hosts", "_resolver")

    def __init__(self, hosts: Path = Path("/etc/hosts"), resolver: Path = Path("/etc/resolv.conf")) -> None:
        self._hosts, self._resolver = hosts, resolver

    def facts(self) -> KernelFacts:
        try:
            links = rtnetlink.links()
            addresses, defaults = rtnetlink.addresses(), rtnetlink.default_routes()
        except rtnetlink.NoAnswer:
            return _facts_from_files()
        names = {link.index: link.name for link in links}
        interfaces = {
            link.name: Interface(
                link.name, link.carrier, tuple(address for index, address in addresses if index == link.index)
            )
            for link in links
        }
        return KernelFacts(interfaces, frozenset(names[index] for index in defaults if index in names))

    def route(self, address: str) -> str | None:
        try:
            index = rtnetlink.route_to(address)
            return None if index is None else socket.if_indextoname(index)
        except rtnetlink.NoAnswer:
            return _route_by_connecting(address)
        except OSError:
            return None  # the interface went away between the two questions

    def known_addresses(self, host: str) -> tuple[str, ...]:
        found = []
        for line in _lines(str(self._hosts)):
            words = line.partition("#")[0].split()
            if host.lower() in (word.lower() for word in words[1:]) and _is_address(words[0]):
                found.append(words[0])
        if not found and host.lower() == "localhost":
            return ("127.0.0.1",)
        return tuple(found)

    def nameservers(self) -> tuple[str, ...]:
        """As resolv.conf(5) names them; one on this machine (systemd-resolved, dnsmasq) asks on by the default route."""
        lines = (line.split() for line in _lines(str(self._resolver)))
        named = [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver" and _is_address(words[1])]
        return tuple(ANYWHERE if ipaddress.ip_address(address).is_loopback else address for address in named[:3])


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


# -- without rtnetlink ------------------------------------------------------------------------------------------------


def _facts_from_files() -> KernelFacts:
    six: dict[str, list[str]] = {}
    for line in _lines("/proc/net/if_inet6"):
        words = line.split()
        if len(words) == 6 and words[3] in ("00", "10"):  # global and host scope
            six.setdefault(words[5], []).append(str(ipaddress.IPv6Address(bytes.fromhex(words[0]))))
    interfaces = {}
    for _, name in socket.if_nameindex():
        addresses = (*_v4_address(name), *six.get(name, ()))
        interfaces[name] = Interface(name, _carrier(name), addresses)
    return KernelFacts(interfaces, frozenset(_defaults()))


def _carrier(name: str) -> bool:
    folder = Path("/sys/class/net") / name
    try:
        return bool(int((folder / "flags").read_text(), 16) & 1) and (folder / "carrier").read_text().strip() == "1"
    except (OSError, ValueError):
        return False  # it is down: then its carrier cannot be read


def _v4_address(name: str) -> tuple[str, ...]:
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            answer = fcntl.ioctl(asking, _SIOCGIFADDR, name.encode()[:15].ljust(40, b"\0"))
        except OSError:
            return ()
    return (socket.inet_ntoa(answer[20:24]),)


def _defaults() -> set[str]:
    found = set()
    for line in _lines("/proc/net/route")[1:]:
        words = line.split()
        if len(words) >= 8 and words[1] == words[7] == "00000000" and _is_live(words[3]):
            found.add(words[0])
    for line in _lines("/proc/net/ipv6_route"):
        words = line.split()
        if len(words) == 10 and words[0] == "0" * 32 and words[1] == "00" and words[9] != "lo" and _is_live(words[8]):
            found.add(words[9])
    return found


def _is_live(flags: str) -> bool:
    return int(flags, 16) & (_RTF_UP | _RTF_REJECT) == _RTF_UP


def _route_by_connecting(address: str) -> str | None:
    """A datagram socket's connect makes the kernel look up the route and choose a source address, and sends nothing."""
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect((address, 9))
        except OSError:
            return None
        source = asking.getsockname()[0]
    for interface in _facts_from_files().interfaces.values():
        if source in interface.addresses:
            return interface.name
    return "lo" if ipaddress.ip_address(source).is_loopback else None


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_MAX_FILE).splitlines()
    except OSError:
        return []
