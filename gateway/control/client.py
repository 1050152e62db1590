"""A command's end of `control.sock`: blocking, without an event loop, msgspec or pathlib, so that commands start fast."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from typing import Any

from gateway.control.paths import reachable
from gateway.errors import Exit, GatewayError, NotRunning

MAX_LINE = 16 << 20
"""Octets of one result; a longer line is no answer."""


class Refused(GatewayError):
    """The gateway's own refusal, with the exit code it named."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.exit_code = Exit(code) if code in {e.value for e in Exit} else Exit.SOFTWARE


def call(
    path: str | os.PathLike[str], operation: str, *, timeout: float | None = 60.0, **arguments: object
) -> Iterator[dict[str, Any]]:
    """Ask the gateway; yields its results as they come. `timeout`: seconds of silence, None to wait for ever.

    Raises NotRunning where nobody answers, or the answer breaks off; Refused for what the gateway declines (with the exit code
    it names), or where the socket is not ours to use (77).
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            with reachable(path) as address:
                connection.connect(address)
        except PermissionError as exc:
            raise Refused(f"{path} is not yours to use: ask as the user that runs the gateway", Exit.NO_PERM) from exc
        except OSError as exc:
            raise NotRunning(f"the gateway is not running (nobody answers at {path})") from exc
        try:
            connection.sendall(json.dumps({"op": operation, **arguments}).encode() + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # turned away before it was asked: why is already there to be read
        except OSError as exc:
            raise NotRunning(f"the gateway at {path} does not listen") from exc
        yield from _results(connection, path)


def _results(connection: socket.socket, path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    with connection.makefile("rb") as lines:
        while True:
            try:
                line = lines.readline(MAX_LINE)
            except OSError as exc:
                raise NotRunning(f"the gateway stopped answering at {path}") from exc
            if not line.endswith(b"\n"):
                raise NotRunning(f"the gateway at {path} hung up in the middle of its answer")
            try:
                result = _object(line)
            except ValueError as exc:
                raise NotRunning(f"what answers at {path} is no gateway ({exc})") from exc
            if result == {"end": True}:
                return
            if "error" in result and "exit" in result:
                raise Refused(str(result["error"]), _code(result["exit"]))
            yield result


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("an object was expected")
    return found


def _code(value: object) -> int:
    return value if isinstance(value, int) else Exit.SOFTWARE
