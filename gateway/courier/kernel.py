"""What the kernel knows of a TCP connection: octets sent, acknowledged and received (Linux `tcp_info`, SIOCOUTQNSD).

Where it does not tell (another system, a socket that is gone), the answer is None and the caller assumes the worst.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
from dataclasses import dataclass

_SIOCOUTQ = 0x5411  # octets written by us and not acknowledged
_SIOCOUTQNSD = 0x894B  # of these, the ones that never left
_INFO_OCTETS = 152
_U32 = struct.Struct("=I")
_COUNTS = struct.Struct("=QQ")
_SEGMENTS = struct.Struct("=II")
_RESENT_END = 216
_U64 = struct.Struct("=Q")
_INT = struct.Struct("=i")
_TCP_NOTSENT_LOWAT = 25
_TCP_RTO_MAX_MS = 44  # Linux 6.15
_LONGEST_BACKOFF = 120.0
_MOST_UNREAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class Traffic:
    """`written`: octets the kernel took from us; `sent`: those that left at least once; `acked`, `received`.

    `rtt` is the smoothed round trip in seconds, `least_rtt` the shortest seen, `ack_age` the seconds since the last
    acknowledgement of whatever. The counts begin with the connection (SYN may count as one octet). `segments_out`,
    `segments_in`: also those without payload; `resent`: octets that left more than once (0 where the kernel does not say).
    """

    written: int
    sent: int
    acked: int
    received: int
    rtt: float
    ack_age: float = 0.0
    least_rtt: float = 0.0
    segments_out: int = 0
    segments_in: int = 0
    resent: int = 0


def traffic(sock: socket.socket | None) -> Traffic | None:
    """The counts of this moment."""
    if sock is None or sock.fileno() < 0:
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RESENT_END)
        queued = _INT.unpack(fcntl.ioctl(sock.fileno(), _SIOCOUTQ, b"\0\0\0\0"))[0]
        unsent = _INT.unpack(fcntl.ioctl(sock.fileno(), _SIOCOUTQNSD, b"\0\0\0\0"))[0]
    except (OSError, AttributeError):
        return None
    if len(info) < _INFO_OCTETS:
        return None
    acked, received = _COUNTS.unpack_from(info, 120)
    segments_out, segments_in = _SEGMENTS.unpack_from(info, 136)
    return Traffic(
        written=acked + queued,
        sent=acked + queued - unsent,
        acked=acked,
        received=received,
        rtt=_U32.unpack_from(info, 68)[0] / 1e6,
        least_rtt=_U32.unpack_from(info, 148)[0] / 1e6,
        ack_age=_U32.unpack_from(info, 56)[0] / 1e3,
        segments_out=segments_out,
        segments_in=segments_in,
        resent=_U64.unpack_from(info, 208)[0] if len(info) >= _RESENT_END else 0,
    )


def unread(sock: socket.socket | None) -> bytes:
    """What has come and was not read, of a connection that is at its end; bounded."""
    if sock is None or sock.fileno() < 0:
        return b""
    try:
        with socket.socket(fileno=os.dup(sock.fileno())) as same:
            return same.recv(_MOST_UNREAD, socket.MSG_DONTWAIT)
    except OSError:  # nothing but the loss
        return b""


def acked(sock: socket.socket | None) -> int | None:
    """`Traffic.acked` alone, which is asked for each message."""
    if sock is None or sock.fileno() < 0:
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_OCTETS)
    except (OSError, AttributeError):
        return None
    return int(_COUNTS.unpack_from(info, 120)[0]) if len(info) >= _INFO_OCTETS else None


def limit_unsent(sock: socket.socket | None, octets: int) -> None:
    """How much the kernel takes of us ahead of what it sends."""
    if sock is not None and sock.fileno() >= 0:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, octets)


def limit_backoff(sock: socket.socket | None, seconds: float | None) -> bool:
    """Bound the pause between retransmissions, at least 1 s; None: as the kernel likes. False if it cannot."""
    if sock is None or sock.fileno() < 0:
        return False
    bound = _LONGEST_BACKOFF if seconds is None else min(_LONGEST_BACKOFF, max(1.0, seconds))
    try:
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_RTO_MAX_MS, int(bound * 1000))
    except OSError:
        return False
    return True


def ask_for_life(sock: socket.socket, seconds: float, patience: float) -> None:
    """Ask the peer every second, and end the connection (ETIMEDOUT) when nothing at all has come for `seconds`; 0: no more of
    that, and `patience` is the time for octets of ours that are not acknowledged, as ever."""
    if sock.fileno() < 0:
        return
    keep_asking(sock, bool(seconds))
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int((seconds or patience) * 1000)))


def keep_asking(sock: socket.socket | None, wanted: bool) -> None:
    """Have the kernel ask the peer every second whether it is still there, while nothing else is under way."""
    if sock is None or sock.fileno() < 0:
        return
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(wanted))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 100)
