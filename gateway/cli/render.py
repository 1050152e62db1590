"""Answers as text: tables that fit the terminal, instants in the schedule's zone. Everything shown is escaped (P15)."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence
from datetime import datetime, tzinfo


def safe(text: str) -> str:
    """Text that a stranger wrote, harmless on a terminal: no control, bidi or unprintable characters."""
    return "".join(c if c.isprintable() and unicodedata.category(c) != "Cf" else f"\\x{ord(c):02x}" for c in text)


ENDLESS = 100_000


def columns() -> int:
    """Of the terminal; a pipe or a file gets everything, since whoever reads it can cut for himself."""
    if not sys.stdout.isatty():
        return ENDLESS
    import shutil  # with all that packs archives, and most output goes to no terminal or to a short one

    return shutil.get_terminal_size((100, 24)).columns


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), width: int | None = None
) -> str:
    """Columns as wide as their longest cell; the last ones shrink with an ellipsis where the terminal is narrow."""
    width = width if width is not None else columns()
    cells = [[safe(cell) for cell in row] for row in rows]
    widths = [max([len(title), *(len(row[i]) for row in cells)]) for i, title in enumerate(head)]
    while sum(widths) + 2 * (len(widths) - 1) > width:
        widest = max(range(len(widths)), key=lambda i: widths[i])
        if widths[widest] <= 12:
            break
        widths[widest] -= 1
    lines = []
    for row in [list(head), *cells]:
        parts = [
            _cut(cell, widths[i]).rjust(widths[i]) if i in right else _cut(cell, widths[i]).ljust(widths[i])
            for i, cell in enumerate(row)
        ]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def size(octets: int) -> str:
    """`2.1 MB`; 1 MB = 1,000,000 octets."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if octets >= scale:
            return f"{octets / scale:.1f} {unit}"
    return f"{octets} B"


def instant(text: str | None, zone: tzinfo | None = None, now: datetime | None = None) -> str:
    """An ISO 8601 instant as `12:30` today, `Tue 12:30` within a week, the date beyond; `-` for none."""
    if text is None:
        return "-"
    when = datetime.fromisoformat(text)
    if zone is not None:
        when = when.astimezone(zone)
    now = now if now is not None else datetime.now(when.tzinfo)
    days = (when.date() - now.astimezone(when.tzinfo).date()).days
    if days == 0:
        return f"{when:%H:%M}"
    return f"{when:%a %H:%M}" if -7 < days < 7 else f"{when:%Y-%m-%d %H:%M}"
