"""Text into parts of a 7-bit message: folding, quoted-printable, and what strangers wrote made harmless."""

from __future__ import annotations

import binascii
import contextlib
import re
import time
from email.errors import HeaderParseError
from email.header import decode_header, make_header

MAX_HEADER = 64 * 1024
FOLD = 76
MAX_LINE = 998

_LINE_END = re.compile(rb"\r\n|\r|\n")
_PLAIN = re.compile(rb"[\t\r\n\x20-\x7e]*")


def field(name: str, value: str) -> bytes:
    """A header field, folded at its blanks, CRLF at the end. What is not ASCII is escaped: `\\xe9`."""
    octets = " ".join(value.split()).encode("ascii", "backslashreplace")
    return fold(name.encode() + b": " + _printable(octets))


def field_utf8(name: str, value: str) -> bytes:
    """The same in UTF-8, for the parts in which RFC 6533 allows it."""
    text = "".join(character if character.isprintable() else "?" for character in " ".join(value.split()))
    return fold(f"{name}: {text}".encode("utf-8", "backslashreplace"))


def fold(line: bytes) -> bytes:
    """At blanks, to lines of at most 76 octets where it can; a longer word stays whole."""
    lines: list[bytes] = []
    current = b""
    for number, word in enumerate(line.split(b" ")):
        # The first blank is the one behind the field's name: a fold there would leave a line with a name alone.
        if number > 1 and len(current) + 1 + len(word) > FOLD:
            lines.append(current)
            current = b" " + word
        else:
            current = current + b" " + word if number else word
    lines.append(current)
    return b"\r\n".join(lines) + b"\r\n"


def part(content_type: str, octets: bytes) -> bytes:
    """Header and body of a MIME part: as it is if it is 7-bit and short-lined, else quoted-printable.

    `octets` have CRLF line ends; text is UTF-8.
    """
    if is_seven_bit(octets):
        charset, encoding, body = "us-ascii", "7bit", octets
    else:
        charset, encoding, body = "utf-8", "quoted-printable", binascii.b2a_qp(octets, istext=True)
    label = f"; charset={charset}" if content_type.startswith("text/") else ""
    return f"Content-Type: {content_type}{label}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + body


def is_seven_bit(octets: bytes) -> bool:
    """True if every line is printable ASCII and at most 998 octets (RFC 5322 2.1.1)."""
    return _PLAIN.fullmatch(octets) is not None and all(len(line) <= MAX_LINE for line in octets.split(b"\r\n"))


def header_of(content: bytes) -> bytes:
    """The header section, at most 64 KiB of whole lines, CRLF throughout, without the blank line."""
    cut = content[: MAX_HEADER + 4]
    end = cut.find(b"\r\n\r\n")
    if content.startswith(b"\r\n"):
        return b""
    if end >= 0:
        header = cut[: end + 2]
    elif len(cut) <= MAX_HEADER:
        header = cut
    else:
        header = cut[:MAX_HEADER]
        header = header[: header.rfind(b"\r\n") + 2] or header
    header = crlf(header).replace(b"\0", b"")
    return header if header.endswith(b"\r\n") or not header else header + b"\r\n"


def crlf(octets: bytes) -> bytes:
    return _LINE_END.sub(b"\r\n", octets)


def subject_of(header: bytes) -> str:
    """The subject as a person reads it: decoded, on one line, printable, at most 200 characters; empty if none."""
    found = re.search(rb"(?im)^subject:[ \t]*((?:[^\r\n]|\r\n[ \t]){0,4000})", header)
    if found is None:
        return ""
    text = found.group(1).replace(b"\r\n", b"").decode("utf-8", "replace")
    with contextlib.suppress(HeaderParseError, UnicodeError, LookupError, ValueError):  # else shown as it came
        text = str(make_header(decode_header(text)))
    text = " ".join(text.split())
    return "".join(character if character.isprintable() else "?" for character in text)[:200]


def message_id_of(header: bytes) -> str:
    """What stands in its Message-ID, printable, at most 200 characters; empty if there is none."""
    found = re.search(rb"(?im)^message-id:(?:[ \t]|\r\n[ \t])*([\x21-\x7e]{1,200})", header)
    return found.group(1).decode() if found is not None else ""


def date(instant: float) -> str:
    """RFC 5322 3.3, in UTC."""
    moment = time.gmtime(instant)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[moment.tm_wday]
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[moment.tm_mon - 1]
    clock = f"{moment.tm_hour:02}:{moment.tm_min:02}:{moment.tm_sec:02}"
    return f"{day}, {moment.tm_mday:02} {month} {moment.tm_year} {clock} +0000"


def unxtext(text: str) -> str:
    """Undo xtext (RFC 3461 4): `+3D` is `=`. What is no such code stays as it is."""
    return re.sub(r"\+([0-9A-F]{2})", lambda code: chr(int(code.group(1), 16)), text)


def _printable(octets: bytes) -> bytes:
    return bytes(octet if 32 <= octet < 127 else 63 for octet in octets)
