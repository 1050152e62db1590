"""A message as a program writes it on standard input, and what it becomes before it is handed in. Pure.

Lines end in CR LF; `Bcc` is gone; `From`, `Date` and `Message-ID` are there (RFC 5322 3.6; RFC 6409 8). With -t the recipients
are those of the header. Addresses are taken from lists as RFC 5322 3.4 writes them: comments, groups, quoted names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.errors import Exit, GatewayError

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\\.|<[^<>]*>|\[[^\[\]]*\]|[,;:()]|[^",;:()<>\[\]\\]+|.', re.DOTALL)
_COMMENT = re.compile(r"\\.|[()]|[^()\\]+", re.DOTALL)
_USUAL = re.compile(
    r"[A-Za-z0-9_+=-]+(?:\.[A-Za-z0-9_+=-]+)*@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*"
    r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)
_RECIPIENTS = (b"to", b"cc", b"bcc")
_RESENT = (b"resent-to", b"resent-cc", b"resent-bcc")
_HIDDEN = frozenset((b"bcc", b"resent-bcc"))

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class BadMessage(GatewayError):
    """What was handed in is no message that can be sent."""

    exit_code = Exit.DATA


def until_dot(octets: bytes) -> bytes:
    """What stands before the first line that is a single dot; all of it where there is none."""
    for dot in (b".\n", b".\r\n"):
        if octets.startswith(dot):
            return b""
    ends = [at + 1 for dot in (b"\n.\n", b"\n.\r\n") if (at := octets.find(dot)) >= 0]
    if ends:
        return octets[: min(ends)]
    return octets[:-1] if octets.endswith(b"\n.") else octets


def with_crlf(octets: bytes) -> bytes:
    """Every line ended by CR LF, the last one too; no other CR or LF, and no NUL, is left."""
    octets = octets.replace(b"\0", b"").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if octets and not octets.endswith(b"\n"):
        octets += b"\n"
    return octets.replace(b"\n", b"\r\n")


def split_header(octets: bytes) -> tuple[list[bytes], bytes]:
    """The fields, each with its folded lines and CR LF, and the body without the empty line above it.

    A first line of a mailbox file (`From …`) is left out. The first line that cannot be of a header begins the body.
    """
    if octets.startswith((b"From ", b">From ")):
        octets = octets[octets.index(b"\r\n") + 2 :]
    fields: list[bytes] = []
    at = start = 0
    while at < len(octets):
        end = octets.find(b"\r\n", at) + 2
        if octets[at] in b" \t" and at > start:
            at = end
            continue
        if at > start:
            fields.append(octets[start:at])
        start = at
        if not _FIELD.match(octets, at, end):
            break
        at = end
    else:
        if at > start:
            fields.append(octets[start:at])
        start = at
    return fields, octets[start:].removeprefix(b"\r\n")


def field_name(field: bytes) -> bytes:
    found = _FIELD.match(field)
    return found[1].lower() if found is not None else b""


def header_recipients(fields: Sequence[bytes]) -> list[str]:
    """The addresses of To, Cc and Bcc, or of their Resent- namesakes if there are any. Raises BadMessage."""
    names = [field_name(field) for field in fields]
    wanted = _RESENT if any(name in _RESENT for name in names) else _RECIPIENTS
    found: list[str] = []
    for name, field in zip(names, fields, strict=True):
        if name in wanted:
            found += addresses(field.partition(b":")[2].decode("utf-8", "surrogateescape"))
    return found


def addresses(text: str) -> list[str]:
    """The addresses of a list, without names, comments, groups and routes. Raises BadMessage for what cannot be read."""
    found: list[str] = []
    bare: list[str] = []  # what stands outside of angle brackets, by token
    angle: str | None = None
    at = 0
    while at <= len(text):
        match = _TOKEN.match(text, at)
        token = match[0] if match is not None else ","
        at += len(token)
        if token == "(":
            at = _comment_end(text, at)
        elif token in (",", ";"):
            address = angle.strip() if angle is not None else _joined(bare)
            if angle is not None and not address:
                raise BadMessage("an empty address <> cannot be sent to")
            if address.startswith("@") and ":" in address:
                address = address.rpartition(":")[2].strip()  # a route (RFC 5322 4.4): recognised, not obeyed
            if address:
                found.append(address)
            angle = None
            bare.clear()
        elif token == ":":
            bare.clear()  # it was the name of a group
        elif token[0] == "<" and len(token) > 1:
            if angle is not None:
                raise BadMessage(f"two addresses without a comma between them: {text.strip()[:80]!r}")
            angle = token[1:-1]
        else:
            bare.append(token)
    return found


def _comment_end(text: str, at: int) -> int:
    """Where the comment ends whose first parenthesis stands before `at`. In it, quotation marks mean nothing."""
    depth = 1
    while depth:
        match = _COMMENT.match(text, at)
        if match is None:
            raise BadMessage(f"a comment without end: {text.strip()[:80]!r}")
        at = match.end()
        depth += {"(": 1, ")": -1}.get(match[0], 0)
    return at


def _joined(tokens: Sequence[str]) -> str:
    """An address written without brackets; blanks around its dots and its @ mean nothing."""
    text = "".join(tokens).strip()
    return text if '"' in text else re.sub(r"\s*([.@])\s*", r"\1", text)


def qualified(address: str, hostname: str) -> str:
    """The address with a domain. Raises BadMessage for what no envelope can hold (RFC 5321 4.1.2)."""
    if "@" not in address:
        address = f"{address}@{hostname}"
    if len(address) <= 64 and _USUAL.fullmatch(address):
        return address
    from gateway.mail.address import AddressError, split_mailbox  # slow to load, and nearly never needed

    try:
        split_mailbox(address)
    except AddressError as exc:
        raise BadMessage(f"{address[:80]!a} is {exc}") from None
    except UnicodeEncodeError:
        raise BadMessage(f"{address[:80]!a} is not UTF-8") from None
    return address


def completed(
    octets: bytes, *, sender: str, name: str, hostname: str, date: str, token: str
) -> tuple[bytes, list[bytes]]:
    """The content to hand in, and the fields as they were written. `octets` have CR LF line ends."""
    fields, body = split_header(octets)
    names = {field_name(field) for field in fields}
    added: list[bytes] = []
    if b"from" not in names:
        added.append(b"From: " + from_words(sender or f"MAILER-DAEMON@{hostname}", name).encode() + b"\r\n")
    if b"date" not in names:
        added.append(f"Date: {date}\r\n".encode())
    if b"message-id" not in names:
        added.append(f"Message-ID: <{token}@{hostname}>\r\n".encode())
    kept = [field for field in fields if field_name(field) not in _HIDDEN]
    return b"".join((*added, *kept, b"\r\n", body)), fields


def from_words(address: str, name: str) -> str:
    """A mailbox with its display name: as it is, quoted, or encoded (RFC 2047)."""
    name = " ".join(name.split())
    if not name:
        return address
    if name.isascii() and name.isprintable():
        if re.fullmatch(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+", name):
            return f"{name} <{address}>"
        return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + f'" <{address}>'
    return f"{_encoded(name)} <{address}>"


def _encoded(name: str) -> str:
    from base64 import b64encode

    words: list[str] = []
    piece = b""
    for character in name:
        octets = character.encode("utf-8", "replace")
        if len(piece) + len(octets) > 45:
            words.append(f"=?utf-8?b?{b64encode(piece).decode()}?=")
            piece = b""
        piece += octets
    words.append(f"=?utf-8?b?{b64encode(piece).decode()}?=")
    return "\r\n ".join(words)


def date_words(seconds: float, offset: int) -> str:
    """RFC 5322 3.3, whatever the locale. `offset`: seconds east of Greenwich."""
    import time

    at = time.gmtime(seconds + offset)
    sign = "-" if offset < 0 else "+"
    minutes = abs(offset) // 60
    return (
        f"{DAYS[at.tm_wday]}, {at.tm_mday} {MONTHS[at.tm_mon - 1]} {at.tm_year:04d} "
        f"{at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d} {sign}{minutes // 60:02d}{minutes % 60:02d}"
    )
