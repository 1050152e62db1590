"""`/api/v1`: the gateway's reads and commands over HTTP, from the table of calls; the stream of events; the queue as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from gateway.console.answers import as_json, packed, refusal, refused
from gateway.console.arguments import Unfit, from_body, from_query
from gateway.console.ask import Ask
from gateway.console.calls import CALLS, Call, Changed, FieldRow, ItemResult, Message, Sent, Standing
from gateway.console.door import Who
from gateway.console.openapi import document
from gateway.console.sentence import judge
from gateway.console.stream import Full, Hub
from gateway.console.visible import cell, fields, file_names
from gateway.control.console_rows import MessageReport, Overview, PageReport
from gateway.errors import GatewayError, NoSuchItem

PREFIX = "/api/v1"
MOST_ITEMS = 500
CSV_PAGE = 500
_ID = re.compile(r"[a-z0-9]{1,16}")
_CSV_HEAD = ("ID", "Created", "Next try", "Size", "From", "To", "Status")


def standing(overview: Overview) -> Standing:
    return Standing(judge(overview), overview)


class Api:
    def __init__(self, ask: Ask, hub: Hub) -> None:
        self._ask, self._hub = ask, hub
        self._document: bytes | None = None

    def routes(self) -> list[Route]:
        methods: dict[str, dict[str, Any]] = {}
        for call in CALLS:
            methods.setdefault(PREFIX + call.path, {})[call.method] = self._endpoint(call)
        return [
            *(Route(path, _by_method(ways), methods=list(ways)) for path, ways in methods.items()),
            Route(PREFIX + "/messages/{id}/source", self.source, methods=["GET"]),
            Route(PREFIX + "/queue.csv", self.as_csv, methods=["GET"]),
            Route(PREFIX + "/events", self.events, methods=["GET"]),
            Route(PREFIX + "/openapi.json", self.openapi, methods=["GET"]),
        ]

    def _endpoint(self, call: Call) -> Any:
        async def answer(request: Request) -> Response:
            who: Who = request.state.who
            if call.method != "GET" and who.role != "operator":
                return refusal(HTTPStatus.FORBIDDEN, "a viewer may look, and change nothing")
            try:
                arguments = await _arguments(call, request)
                return as_json(request, await self._result(call, arguments))
            except Unfit as exc:
                return refusal(HTTPStatus.BAD_REQUEST, str(exc))
            except GatewayError as exc:
                return refused(exc)

        return answer

    async def _result(self, call: Call, arguments: dict[str, Any]) -> Any:
        if call.result is Changed:
            return await self._changed(call, arguments)
        if call.many:
            return [row async for row in self._ask.each(call.operation, **arguments)]
        result = await self._ask.one(call.operation, **arguments)
        match result:
            case Overview():
                return standing(result)
            case MessageReport():
                shown = fields(result.header)
                subject = next((value for name, value in shown if name.casefold() == "subject"), "")
                return Message(subject, [FieldRow(*pair) for pair in shown], file_names(result.part_fields), result)
            case dict() if call.result is Sent:
                return Sent(**{**result, "ids": result["ids"][:MOST_ITEMS]})
        return result

    async def _changed(self, call: Call, arguments: dict[str, Any]) -> Changed:
        results = Counter[str]()
        items: list[ItemResult] = []
        async for row in self._ask.each(call.operation, **arguments):
            results[row["result"]] += 1
            if len(items) < MOST_ITEMS:
                items.append(ItemResult(row["id"], row["result"]))
        return Changed(results.total(), dict(results), items)

    async def source(self, request: Request) -> Response:
        """The message as a file: never shown as a page, whatever it holds (CASES W04)."""
        item = request.path_params["id"]
        if request.query_params or _ID.fullmatch(item) is None:
            return refusal(HTTPStatus.NOT_FOUND, "that is not a queue ID")
        parts = self._ask.each("source", id=item)
        try:
            head = await anext(parts)
        except GatewayError as exc:
            return refused(exc)

        async def octets() -> AsyncIterator[bytes]:
            async for part in parts:
                yield part["octets"]

        headers = {
            "content-length": str(head["size"]),
            "content-disposition": f'attachment; filename="{item}.eml"',
            "content-security-policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
        }
        return StreamingResponse(octets(), headers=headers, media_type="text/plain; charset=us-ascii")

    async def as_csv(self, request: Request) -> Response:
        try:
            arguments = from_query(CALLS[2].query[:5], request.query_params.multi_items())
            first: PageReport = await self._ask.one("page", **arguments, limit=CSV_PAGE)
        except Unfit as exc:
            return refusal(HTTPStatus.BAD_REQUEST, str(exc))
        except GatewayError as exc:
            return refused(exc)

        async def lines() -> AsyncIterator[bytes]:
            yield _csv(_CSV_HEAD)
            page, offset = first, 0
            while page.rows:
                for row in page.rows:
                    when = row.next_try.at or row.next_try.kind
                    texts = (row.id, row.created, when, str(row.size), row.sender, " ".join(row.to), row.status)
                    yield _csv([cell(text) for text in texts])
                offset += len(page.rows)
                page = await self._ask.one("page", **arguments, limit=CSV_PAGE, offset=offset)

        headers = {"content-disposition": 'attachment; filename="queue.csv"'}
        return StreamingResponse(lines(), headers=headers, media_type="text/csv; charset=utf-8")

    async def events(self, request: Request) -> Response:
        who: Who = request.state.who
        if request.query_params:
            return refusal(HTTPStatus.BAD_REQUEST, "the stream has no parameters")
        try:
            reader = self._hub.admit(who.session)
        except Full:
            return refusal(HTTPStatus.TOO_MANY_REQUESTS, "too many open pages", {"retry-after": "30"})
        stream = self._hub.read(reader, who.session)
        return StreamingResponse(stream, headers={"connection": "close"}, media_type="text/event-stream")

    async def openapi(self, request: Request) -> Response:
        if self._document is None:
            self._document = msgspec.json.encode(document())
        return packed(request, self._document, "application/json")


def _by_method(ways: dict[str, Any]) -> Any:
    """Starlette answers 405 from the first route whose path fits, so a path has one route with all its methods."""

    async def answer(request: Request) -> Response:
        response: Response = await ways["GET" if request.method == "HEAD" else request.method](request)
        return response

    return answer


async def _arguments(call: Call, request: Request) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if call.method == "GET":
        arguments = from_query(call.query, request.query_params.multi_items())
    else:
        if request.query_params:
            raise Unfit("arguments stand in the body")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().casefold()
        if kind != "application/json":
            raise Unfit("the body must be application/json")
        try:
            body = msgspec.json.decode(await request.body())
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise Unfit(f"the body is not JSON: {exc}") from exc
        arguments = from_body(call.body, call.body_rule, body)
    if call.takes_id:
        item = request.path_params["id"]
        if _ID.fullmatch(item) is None:
            raise NoSuchItem(f"{item[:40]!r} is not a queue ID")
        arguments["id"] = item
    return arguments


def _csv(cells: Any) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue().encode("utf-8", "replace")
