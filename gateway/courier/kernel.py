"""What the kernel knows of a TCP connection: octets sent, acknowledged and received (Linux `tcp_info`, SIOCOUTQNSD).

Where it does not tell (another system, a socket that is gone), the answer is None and the caller assumes the worst.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from dataclasses import dataclass
from typing import Protocol

_SIOCOUTQ = 0x5411  # octets written by us and not acknowledged
_SIOCOUTQNSD = 0x894B  # of these, the ones that never left
_INFO_OCTETS = 136
_RTT = struct.Struct("=I")
_COUNTS = struct.Struct("=QQ")
_INT = struct.Struct("=i")
TCP_NOTSENT_LOWAT = 25


class SocketLike(Protocol):
    def fileno(self) -> int: ...
    def getsockopt(self, level: int, name: int, length: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Traffic:
    """`written`: octets the kernel took from us; `sent`: those that left at least once; `acked`, `received`.

    `rtt` is the smoothed round trip in seconds. The counts begin with the connection (SYN may count as one octet).
    """

    written: int
    sent: int
    acked: int
    received: int
    rtt: float


def traffic(sock: SocketLike | None) -> Traffic | None:
    """The counts of this moment."""
    if sock is None or sock.fileno() < 0:
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_OCTETS)
        queued = _INT.unpack(fcntl.ioctl(sock.fileno(), _SIOCOUTQ, b"\0\0\0\0"))[0]
        unsent = _INT.unpack(fcntl.ioctl(sock.fileno(), _SIOCOUTQNSD, b"\0\0\0\0"))[0]
    except (OSError, AttributeError):
        return None
    if len(info) < _INFO_OCTETS:
        return None
    acked, received = _COUNTS.unpack_from(info, 120)
    return Traffic(acked + queued, acked + queued - unsent, acked, received, _RTT.unpack_from(info, 68)[0] / 1e6)
