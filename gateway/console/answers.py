"""Answers: JSON by msgspec, refusals in one shape, compression for whoever takes it."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import Exit, GatewayError

WORTH = 1024
"""Octets from which an answer is compressed."""

STATUS = {
    Exit.USAGE: HTTPStatus.UNPROCESSABLE_ENTITY,  # the words are in order, what they say is not: a filter's grammar
    Exit.DATA: HTTPStatus.UNPROCESSABLE_ENTITY,
    Exit.NO_INPUT: HTTPStatus.NOT_FOUND,
    Exit.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Exit.CANT_CREATE: HTTPStatus.SERVICE_UNAVAILABLE,
    Exit.TEMP_FAIL: HTTPStatus.CONFLICT,
    Exit.NO_PERM: HTTPStatus.FORBIDDEN,
    Exit.CONFIG: HTTPStatus.UNPROCESSABLE_ENTITY,
}


class Problem(msgspec.Struct, frozen=True):
    """Why a request was refused, in a sentence."""

    error: str


def refusal(status: HTTPStatus, text: str, headers: Mapping[str, str] | None = None) -> Response:
    body = msgspec.json.encode(Problem(text))
    return Response(body, status, headers, media_type="application/json")


def refused(exc: GatewayError) -> Response:
    """The answer to an operation that ended with this error."""
    return refusal(STATUS.get(Exit(exc.exit_code), HTTPStatus.INTERNAL_SERVER_ERROR), str(exc))


def as_json(request: Request, value: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return packed(request, msgspec.json.encode(value), "application/json", status)


def packed(
    request: Request,
    body: bytes,
    media_type: str,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The body, compressed where the client takes gzip and it is worth it."""
    given = {"vary": "accept-encoding", **(headers or {})}
    if len(body) >= WORTH and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, 6, mtime=0)
        given["content-encoding"] = "gzip"
    return Response(body, status, given, media_type=media_type)
