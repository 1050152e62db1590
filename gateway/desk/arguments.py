"""Arguments of an operation as they came over the socket: checked, bounded, or refused with a sentence."""

from __future__ import annotations

from typing import Any

from gateway.errors import UsageError

MOST_IDS = 200_000
LONGEST_TEXT = 4096


def one_text(arguments: dict[str, Any], name: str, default: str | None = None) -> str:
    """A text. Raises UsageError where it is missing and has no default, is no text, or is too long."""
    value = arguments.get(name, default)
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise UsageError(f'"{name}" must be a text of at most {LONGEST_TEXT} characters')
    return value


def texts(arguments: dict[str, Any], name: str) -> list[str]:
    """A list of texts, empty where it is missing."""
    value = arguments.get(name) or []
    if not isinstance(value, list) or len(value) > MOST_IDS or not all(isinstance(item, str) for item in value):
        raise UsageError(f'"{name}" must be a list of texts')
    return value


def number(arguments: dict[str, Any], name: str) -> float | None:
    """A number, None where it is missing."""
    value = arguments.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f'"{name}" must be a number')
    return float(value)


def one_of(arguments: dict[str, Any], name: str, choices: tuple[str, ...], default: str | None) -> str:
    """One of a few texts; `default` None: it must be there."""
    value = one_text(arguments, name, default)
    if value not in choices:
        raise UsageError(f'"{value[:40]}" is not a value of {name}; values are {", ".join(choices)}')
    return value


def whole_number(arguments: dict[str, Any], name: str, default: int, most: int) -> int:
    """A whole number from 0 to `most`, `default` where it is missing."""
    value = number(arguments, name)
    if value is None:
        return default
    if not 0 <= value <= most or value != int(value):
        raise UsageError(f'"{name}" must be a whole number from 0 to {most}')
    return int(value)
