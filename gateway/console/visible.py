"""What strangers wrote, made safe to look at: escapes are for the page, this is for the eye (CASES W03, W05)."""

from __future__ import annotations

import unicodedata
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message

LONGEST = 2000
MOST_FIELDS = 200
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def visible(text: str, longest: int = LONGEST) -> str:
    """No control, bidi, invisible or broken character; cut to `longest` with an ellipsis."""
    shown = "".join(c if _is_plain(c) else f"\\u{ord(c):04x}" for c in text[:longest])
    return shown if len(text) <= longest else shown + "…"


def _is_plain(c: str) -> bool:
    return c == " " or (c.isprintable() and unicodedata.category(c) not in ("Cf", "Cs", "Co", "Cn"))


def decoded(value: str) -> str:
    """A header field's value with its encoded words (RFC 2047) read; as it stands where they are broken."""
    value = value[: 4 * LONGEST]
    try:
        parts = decode_header(value)
    except (HeaderParseError, ValueError):
        return value
    texts = []
    for part, charset in parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        try:
            texts.append(part.decode(charset or "ascii", "replace"))
        except (LookupError, ValueError):
            texts.append(part.decode("latin-1"))
    return "".join(texts)


def fields(header: str) -> list[tuple[str, str]]:
    """Name and decoded value of each field, in order, unfolded, visible and bounded."""
    found: list[tuple[str, str]] = []
    for line in header.split("\n")[: 10 * MOST_FIELDS]:
        line = line.rstrip("\r")
        if line[:1] in (" ", "\t") and found:
            name, value = found[-1]
            if len(value) < 4 * LONGEST:
                found[-1] = (name, f"{value} {line.strip()}")
        elif ":" in line and len(found) < MOST_FIELDS:
            name, _, value = line.partition(":")
            found.append((visible(name, 80), value.strip()))
    return [(name, visible(decoded(value))) for name, value in found]


def file_names(part_fields: list[str]) -> list[str]:
    """What the fields call files, in order, each once; RFC 2231 and RFC 2047 read, visible and bounded."""
    names: dict[str, None] = {}
    for field in part_fields[:MOST_FIELDS]:
        name, _, value = field.partition(":")
        part = Message()
        part[name] = " ".join(value.split())
        try:
            called = part.get_filename()
        except (ValueError, LookupError, TypeError):  # a charset or an escape that is none
            called = None
        if called:
            names[visible(decoded(called), 200)] = None
    return list(names)


def cell(text: str) -> str:
    """A cell of a table for a spreadsheet, which must not take it for a formula."""
    shown = visible(text)
    return f"'{shown}" if shown.startswith(FORMULA) or text.startswith(FORMULA) else shown
