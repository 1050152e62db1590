"""What a relay offers, as its EHLO said (RFC 5321 4.1.1.1). Unknown keywords are nothing to us."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`sizes`: SIZE is understood; `size`: the largest message in octets, None for no limit said.

    `rcpt_max`, `mail_max`: LIMITS (RFC 9422). `peer`: which of several hosts said so, where it is not the relay that the
    session was asked for; empty where no host was asked at all.
    """

    pipelining: bool = False
    chunking: bool = False
    eightbitmime: bool = False
    smtputf8: bool = False
    dsn: bool = False
    starttls: bool = False
    deliver_by: bool = False
    sizes: bool = False
    size: int | None = None
    auth: frozenset[str] = field(default_factory=frozenset)
    rcpt_max: int | None = None
    mail_max: int | None = None
    peer: str | None = None


def read_capabilities(text: str) -> Capabilities:
    """From the text of the 250 to EHLO, lines joined by newlines; the first line is the relay's name."""
    words: dict[str, list[str]] = {}
    for line in text.split("\n")[1:]:
        keyword, _, rest = line.strip().partition(" ")
        if keyword.upper().startswith("AUTH="):  # an old way of saying it
            keyword, rest = "AUTH", f"{keyword[5:]} {rest}"
        words.setdefault(keyword.upper(), []).extend(rest.split())
    limits = dict(word.upper().partition("=")[::2] for word in words.get("LIMITS", ()))
    return Capabilities(
        pipelining="PIPELINING" in words,
        chunking="CHUNKING" in words,
        eightbitmime="8BITMIME" in words,
        smtputf8="SMTPUTF8" in words,
        dsn="DSN" in words,
        starttls="STARTTLS" in words,
        deliver_by="DELIVERBY" in words,
        sizes="SIZE" in words,
        size=_positive(next(iter(words.get("SIZE", ())), "")),
        auth=frozenset(word.upper() for word in words.get("AUTH", ())),
        rcpt_max=_positive(limits.get("RCPTMAX", "")),
        mail_max=_positive(limits.get("MAILMAX", "")),
    )


def _positive(text: str) -> int | None:
    """A plain decimal number over 0; None for anything else (SIZE 0 means no fixed limit, RFC 1870)."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        return None
    return int(text) or None
