"""What the kernel says of interfaces and routes, read when asked (Linux; sysfs, procfs and one connect that sends nothing)."""

from __future__ import annotations

import errno
import ipaddress
import socket
from pathlib import Path
from typing import Protocol

RTF_UP, RTF_REJECT = 0x1, 0x200


class Kernel(Protocol):
    """The facts the monitor needs; tests have a fake one."""

    def carrier(self, interface: str) -> bool: ...

    def has_address(self, interface: str) -> bool: ...

    def has_default_route(self, interface: str | None) -> bool:
        """A default route, through this interface or (None) any."""
        ...

    def reaches(self, address: str) -> bool:
        """Would the kernel send a packet to this address at all? Loopback included. Sends nothing."""
        ...


class LinuxKernel:
    """The real one. Nothing here blocks on the network."""

    __slots__ = ()

    def carrier(self, interface: str) -> bool:
        folder = Path("/sys/class/net") / interface
        try:
            flags = int((folder / "flags").read_text(), 16)
            if not flags & 0x1:  # IFF_UP
                return False
            return (folder / "carrier").read_text().strip() == "1"
        except (OSError, ValueError):
            return False  # no such interface, or it is down: its carrier cannot be read

    def has_address(self, interface: str) -> bool:
        return self._has_v4(interface) or self._has_v6(interface)

    def _has_v4(self, interface: str) -> bool:
        import fcntl

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                fcntl.ioctl(probe, 0x8915, interface.encode()[:15].ljust(40, b"\0"))  # SIOCGIFADDR
            except OSError:
                return False
        return True

    def _has_v6(self, interface: str) -> bool:
        """A global IPv6 address: scope 00 in if_inet6."""
        for line in _lines("/proc/net/if_inet6"):
            words = line.split()
            if len(words) == 6 and words[5] == interface and words[3] == "00":
                return True
        return False

    def has_default_route(self, interface: str | None) -> bool:
        for line in _lines("/proc/net/route")[1:]:
            words = line.split()
            if len(words) >= 8 and words[1] == "00000000" and words[7] == "00000000":
                flags = int(words[3], 16)
                if flags & RTF_UP and not flags & RTF_REJECT and interface in (None, words[0]):
                    return True
        for line in _lines("/proc/net/ipv6_route"):
            words = line.split()
            if len(words) == 10 and words[0] == "0" * 32 and words[1] == "00" and words[9] != "lo":
                flags = int(words[8], 16)
                if flags & RTF_UP and not flags & RTF_REJECT and interface in (None, words[9]):
                    return True
        return False

    def reaches(self, address: str) -> bool:
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((address, 9))  # a datagram socket: the kernel looks up the route and sends nothing
            except OSError as exc:
                return exc.errno not in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL)
        return True


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
