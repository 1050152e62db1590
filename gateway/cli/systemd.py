"""systemd's notify protocol: one datagram to `$NOTIFY_SOCKET` (sd_notify(3)). Nothing happens where it is not set."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping


def notify(state: str, environ: Mapping[str, str]) -> None:
    """`READY=1`, `RELOADING=1`, `STOPPING=1`, `STATUS=…`. A service manager that is not there is no error."""
    address = environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.connect(address)
        out.sendall(state.encode())
