"""The OpenAPI document of `/api/v1`, made from the table of calls."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec

from gateway import __version__
from gateway.console.answers import Problem
from gateway.console.calls import CALLS, ID, Call, Word

_REFUSALS = {
    HTTPStatus.BAD_REQUEST: "a word of the request is wrong",
    HTTPStatus.UNAUTHORIZED: "sign in first",
    HTTPStatus.FORBIDDEN: "not with this role, or not a request of our own pages",
    HTTPStatus.NOT_FOUND: "no such message",
    HTTPStatus.METHOD_NOT_ALLOWED: "no such method",
    HTTPStatus.CONFLICT: "not now; the text says why",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the request is too large",
    HTTPStatus.MISDIRECTED_REQUEST: "this is not a name of this gateway",
    HTTPStatus.UNPROCESSABLE_ENTITY: "a filter or a file of the configuration has mistakes; the text lists all",
    HTTPStatus.TOO_MANY_REQUESTS: "too many wrong passwords, or too many streams",
    HTTPStatus.SERVICE_UNAVAILABLE: "the spool cannot be written",
}


def document() -> dict[str, Any]:
    types = [Problem, *{call.result for call in CALLS}]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    by_type = dict(zip(types, schemas, strict=True))
    problem = _content("application/json", by_type[Problem])
    paths: dict[str, Any] = {}
    for call in CALLS:
        result = by_type[call.result]
        schema = {"type": "array", "items": result} if call.many else result
        made = _operation(call, _content("application/json", schema), problem)
        paths.setdefault(call.path, {})[call.method.lower()] = made
    identity = [_parameter(Word("id", ID, "the queue ID", required=True), "path")]
    source = {"type": "string", "contentMediaType": "text/plain"}
    paths["/messages/{id}/source"] = {
        "get": _extra("source", "The message as a file", identity, _content("text/plain", source), problem)
    }
    page = [_parameter(word, "query") for word in CALLS[2].query]
    paths["/queue.csv"] = {
        "get": _extra("csv", "The queue for a spreadsheet", page[:5], _content("text/csv", {"type": "string"}), problem)
    }
    events = _content("text/event-stream", {"type": "string"})
    paths["/events"] = {"get": _extra("events", "What changes, as server-sent events", [], events, problem)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tidegate",
            "version": __version__,
            "description": "The reads and commands of the gateway. Programs sign each request (HTTP Basic, names operator "
            "and viewer); pages of the console use their session, and send its token as X-Token to change anything.",
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{"password": []}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"password": {"type": "http", "scheme": "basic"}}},
    }


def _operation(call: Call, answer: dict[str, Any], problem: dict[str, Any]) -> dict[str, Any]:
    parameters = [_parameter(word, "query") for word in call.query]
    if call.takes_id:
        parameters.insert(0, _parameter(Word("id", ID, "the queue ID", required=True), "path"))
    made = _extra(call.operation, call.what, parameters, answer, problem)
    if call.method != "GET":
        properties = {word.name: {**word.schema, "description": word.what} for word in call.body}
        schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
        required = [word.name for word in call.body if word.required]
        if required:
            schema["required"] = required
        schema.update(call.body_rule or {})
        made["requestBody"] = {"required": True, **_content("application/json", schema)}
    return made


def _extra(
    name: str, what: str, parameters: list[dict[str, Any]], answer: dict[str, Any], problem: dict[str, Any]
) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": "the answer", **answer}}
    responses |= {str(int(status)): {"description": text, **problem} for status, text in _REFUSALS.items()}
    return {"operationId": name, "summary": what, "parameters": parameters, "responses": responses}


def _parameter(word: Word, place: str) -> dict[str, Any]:
    return {"name": word.name, "in": place, "required": word.required, "description": word.what, "schema": word.schema}


def _content(media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {media_type: {"schema": schema}}}
