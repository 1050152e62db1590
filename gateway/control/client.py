"""A command's end of `control.sock`: blocking, without an event loop, so that commands start fast."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from gateway.control.paths import reachable
from gateway.control.protocol import MAX_LINE
from gateway.errors import Exit, GatewayError, NotRunning


class Refused(GatewayError):
    """The gateway's own refusal, with the exit code it named."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.exit_code = Exit(code) if code in {e.value for e in Exit} else Exit.SOFTWARE


def call(path: Path, operation: str, *, timeout: float | None = 60.0, **arguments: object) -> Iterator[dict[str, Any]]:
    """Ask the gateway; yields its results. Raises NotRunning where nobody answers, Refused for what it declines."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            with reachable(path) as address:
                connection.connect(address)
        except OSError as exc:
            raise NotRunning(f"the gateway is not running (nobody answers at {path})") from exc
        connection.sendall(msgspec.json.encode({"op": operation, **arguments}) + b"\n")
        yield from _results(connection, path)


def _results(connection: socket.socket, path: Path) -> Iterator[dict[str, Any]]:
    with connection.makefile("rb") as lines:
        while True:
            try:
                line = lines.readline(MAX_LINE)
            except OSError as exc:
                raise NotRunning(f"the gateway stopped answering at {path}") from exc
            if not line.endswith(b"\n"):
                raise NotRunning(f"the gateway at {path} hung up in the middle of its answer")
            result = msgspec.json.decode(line)
            if result == {"end": True}:
                return
            if "error" in result and "exit" in result:
                raise Refused(str(result["error"]), int(result["exit"]))
            yield result
