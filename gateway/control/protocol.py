"""JSON lines over the control socket: one request object, then result objects, then one line that ends the answer.

    → {"op": "queue", "filter": "older:4h"}
    ← {"id": …}                          any number of results
    ← {"end": true}                      or {"error": "…", "exit": 75}

A request is at most MAX_REQUEST octets, a result at most what `client` reads of one line.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

MAX_REQUEST = 1 << 20

Handler = Callable[[str, dict[str, Any]], AsyncIterator[Any]]
"""Answers one operation: yields result objects (structs or dicts); raises GatewayError for a refusal."""


class End(msgspec.Struct, frozen=True):
    end: bool = True


class Refusal(msgspec.Struct, frozen=True):
    """`exit` is the sysexits code that the command ends with."""

    error: str
    exit: int


def encode(message: object) -> bytes:
    return msgspec.json.encode(message) + b"\n"


def decode_request(line: bytes) -> tuple[str, dict[str, Any]]:
    """The operation and its arguments. Raises ValueError with a sentence for anything else."""
    try:
        request = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError as exc:
        raise ValueError(f"a request is one JSON object on a line: {exc}") from exc
    operation = request.pop("op", None)
    if not isinstance(operation, str):
        raise ValueError('a request names its operation: {"op": "status"}')
    return operation, request
