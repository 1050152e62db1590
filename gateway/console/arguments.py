"""The words of a request, held against the table: what is not as it says is refused with a sentence. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from gateway.console.calls import Schema, Word


class Unfit(Exception):
    """A word of the request is not what the table says."""


def from_query(words: Iterable[Word], pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Arguments from a query string. Raises Unfit."""
    known = {word.name: word for word in words}
    found: dict[str, Any] = {}
    for name, text in pairs:
        if name not in known:
            raise Unfit(f'"{name[:40]}" is not a parameter; parameters are {", ".join(known) or "none"}')
        if name in found:
            raise Unfit(f'"{name}" is given twice')
        value: Any = text
        if known[name].schema.get("type") == "integer":
            if re.fullmatch(r"-?[0-9]{1,15}", text) is None:
                raise Unfit(f'"{name}" must be a whole number')
            value = int(text)
        found[name] = value
    return _held(known, found)


def from_body(words: Iterable[Word], rule: Schema | None, body: Any) -> dict[str, Any]:
    """Arguments from a JSON object. Raises Unfit."""
    known = {word.name: word for word in words}
    if not isinstance(body, dict):
        raise Unfit("the body must be a JSON object")
    for name in body:
        if name not in known:
            raise Unfit(f'"{name[:40]}" is not a member; members are {", ".join(known) or "none"}')
    if rule is not None:
        ways = [way["required"][0] for way in rule["oneOf"]]
        if sum(way in body for way in ways) != 1:
            raise Unfit(f"give exactly one of {', '.join(ways)}")
    return _held(known, body)


def _held(known: Mapping[str, Word], found: Mapping[str, Any]) -> dict[str, Any]:
    for word in known.values():
        if word.required and word.name not in found:
            raise Unfit(f'"{word.name}" is missing')
    for name, value in found.items():
        why = unfit(value, known[name].schema)
        if why is not None:
            raise Unfit(f'"{name}" {why}')
    return dict(found)


def unfit(value: Any, schema: Schema) -> str | None:
    """Why a value is not as the schema says; None if it is. Knows the words of JSON Schema that the table uses."""
    if "const" in schema:
        return None if value is schema["const"] else f"can only be {str(schema['const']).lower()}"
    if "enum" in schema:
        return None if value in schema["enum"] else f"must be one of {', '.join(schema['enum'])}"
    match schema["type"]:
        case "boolean":
            return None if isinstance(value, bool) else "must be true or false"
        case "integer" | "number":
            return _number(value, schema)
        case "string":
            return _string(value, schema)
        case "array":
            return _array(value, schema)
        case _:
            raise AssertionError("the table knows no other type")


def _number(value: Any, schema: Schema) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number"
    if schema["type"] == "integer" and value != int(value):
        return "must be a whole number"
    if not schema["minimum"] <= value <= schema["maximum"]:
        return f"must be from {schema['minimum']} to {schema['maximum']}"
    return None


def _string(value: Any, schema: Schema) -> str | None:
    if not isinstance(value, str):
        return "must be a text"
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 1000):
        return f"must have {schema.get('minLength', 0)} to {schema.get('maxLength', 1000)} characters"
    pattern = schema.get("pattern")
    if pattern is not None and re.fullmatch(pattern.strip("^$"), value, re.ASCII) is None:
        return f"must look like {pattern}"
    if schema.get("format") == "date":
        try:
            date.fromisoformat(value)
        except ValueError:
            return "is not a date like 2026-11-23"
    return None


def _array(value: Any, schema: Schema) -> str | None:
    if not isinstance(value, list):
        return "must be a list"
    if not schema["minItems"] <= len(value) <= schema["maxItems"]:
        return f"must have {schema['minItems']} to {schema['maxItems']} items"
    return next((why for item in value if (why := unfit(item, schema["items"])) is not None), None)
