"""Which class a message gets: the rules of `classes:` over envelope and header. Pure; the first rule that matches wins."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from gateway.config.settings import ClassRule
from gateway.mail.envelope import Class, Envelope

_FOLD = re.compile(rb"\r?\n(?=[ \t])")


def classify(rules: Sequence[ClassRule], envelope: Envelope, header: bytes) -> Class:
    """The class of the first rule of which all that is given matches; `normal` if there is none.

    `header`: the header block as far as it was kept, with CRLF line ends, without the empty line.
    """
    fields: list[tuple[str, str]] | None = None
    for rule in rules:
        if rule.senders and not _any_matches(rule.senders, (envelope.reverse_path,)):
            continue
        if rule.recipients and not _any_matches(rule.recipients, tuple(r.address for r in envelope.recipients)):
            continue
        if rule.header is not None:
            if fields is None:
                fields = unfold(header)
            name, text = rule.header
            if not any(field == name and text in value for field, value in fields):
                continue
        return rule.message_class
    return "normal"


def unfold(header: bytes) -> list[tuple[str, str]]:
    """The fields as (name, value), both case-folded, folded lines joined. What is no field is left out."""
    fields: list[tuple[str, str]] = []
    for line in _FOLD.sub(b"", header).splitlines():
        name, colon, value = line.partition(b":")
        if colon and name.strip():
            fields.append((name.strip().decode("latin-1").lower(), value.strip().decode("utf-8", "replace").casefold()))
    return fields


def matches(pattern: str, address: str) -> bool:
    """True if the address is as the pattern says; `*` stands for any text, and case means nothing."""
    return _compiled(pattern).fullmatch(address) is not None


def _any_matches(patterns: tuple[str, ...], addresses: tuple[str, ...]) -> bool:
    return any(matches(pattern, address) for pattern in patterns for address in addresses)


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.IGNORECASE | re.DOTALL)
