"""The header fields in a message's content that may name a file: where its attachments say what they are called.

Nothing is parsed here: a field is given as it stands, and whoever shows it reads it. A text that quotes one looks like one.
"""

from __future__ import annotations

from gateway.spool.spool import Content

LOOKED_AT = 16 * 1024 * 1024
"""Octets of the content that are looked through."""

BLOCK = 256 * 1024
LONGEST = 2000
MOST = 100
_FIELDS = (b"content-disposition:", b"content-type:")


async def part_fields(content: Content) -> list[str]:
    """At most MOST fields of at most LONGEST characters, folded as they are; without those that name nothing."""
    found: list[str] = []
    kept = b"\n"
    end = min(content.size, LOOKED_AT)
    for offset in range(0, end, BLOCK):
        kept += await content.read(offset, min(BLOCK, end - offset))
        is_last = offset + BLOCK >= end
        judged = (
            len(kept) if is_last else max(0, len(kept) - LONGEST)
        )  # what begins later is looked at with what follows
        found += _in(kept, judged)
        if len(found) >= MOST:
            break
        kept = kept[judged:]
    return found[:MOST]


def _in(octets: bytes, before: int) -> list[str]:
    folded = octets.lower()
    found = []
    at = folded.find(b"\ncontent-")
    while 0 <= at < before:
        field = folded[at + 1 : at + 1 + LONGEST]
        if field.startswith(_FIELDS):
            length = _length(field)
            if b"name" in field[:length]:
                found.append(octets[at + 1 : at + 1 + length].decode("utf-8", "replace"))
        at = folded.find(b"\ncontent-", at + 1)
    return found


def _length(field: bytes) -> int:
    """Up to the end of the line after which none continues it (RFC 5322 2.2.3)."""
    at = field.find(b"\n")
    while at >= 0 and field[at + 1 : at + 2] in (b" ", b"\t"):
        at = field.find(b"\n", at + 1)
    return len(field) if at < 0 else at
