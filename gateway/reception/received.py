"""Our `Received:` field (RFC 5321 4.4), and how we know it again.

Everything in it is ours or was strictly parsed, so that nothing a client says can end it or speak in its name (P15). A
content that begins with white space would go on with it: strangers' are refused for that, the office's own are taken as they
are (P5).

The mark in the comment behind our name is made from the queue ID with a secret of the spool: a field in which the two belong
together was written here. Who learns the ID of a message from our 250 does not learn its mark, and who has received other mail
of ours has seen other marks: nobody but those whom a message has reached can make it look as if it came back.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from gateway.mail.address import is_domain, is_literal

# Both say what was done to the line endings in the same number of octets: which of them stands is known only at the
# end of a content that by then lies on disk behind this field.
_IN_ORDER = b"\r\n\t(line endings in order)"
_REPAIRED = b"\r\n\t(line endings repaired)"

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def address_literal(address: str | None) -> str:
    """The address as RFC 5321 4.1.3 writes it: `[192.0.2.1]`, `[IPv6:2001:db8::1]`."""
    if address is None:
        return "[127.0.0.1]"
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def from_clause(helo: str | None, address: str | None) -> bytes:
    """`from NAME ([ADDRESS])`; a name that is neither domain nor literal is left out."""
    literal = address_literal(address)
    name = helo if helo and helo.isascii() and (is_domain(helo) or is_literal(helo)) else literal
    return f"from {name} ({literal})".encode()


def protocol_word(*, extended: bool, tls: bool, auth: bool, smtputf8: bool) -> bytes:
    """The `with` clause: RFC 3848, and RFC 6531 4.3 where SMTPUTF8 was asked for."""
    if not extended:
        return b"SMTP"
    word = b"UTF8SMTP" if smtputf8 else b"ESMTP"
    return word + (b"S" if tls else b"") + (b"A" if auth else b"")


def mark_of(item: str, secret: str) -> str:
    """The mark of a queue ID: 12 digits."""
    return hashlib.blake2b(item.encode(), key=secret.encode(), digest_size=6).hexdigest()


@lru_cache(maxsize=4)
def date_words(second: int) -> bytes:
    """RFC 5322 3.3 in UTC, for a whole second since 1970."""
    at = datetime.fromtimestamp(second, UTC)
    return (
        f"{_DAYS[at.weekday()]}, {at.day} {_MONTHS[at.month - 1]} {at.year:04d} "
        f"{at.hour:02d}:{at.minute:02d}:{at.second:02d} +0000"
    ).encode()


def heads(
    *,
    origin: bytes,
    hostname: str,
    secret: str,
    protocol: bytes,
    recipient: str | None,
    now: float,
    clock_not_set: bool,
    may_repair: bool,
) -> Sequence[Callable[[str], bytes]]:
    """The alternatives of the field, each a function of the queue ID, all of equal length.

    `recipient`: the only one, None where there are several (RFC 5321 7.2: each would learn of the others).
    With `may_repair` the second alternative says that line endings were repaired.
    """
    before = b"Received: %b\r\n\tby %b (Tidegate " % (origin, hostname.encode())
    between = b")\r\n\twith %b id " % protocol
    target = b"" if recipient is None else b"\r\n\tfor <%b>" % recipient.encode()
    stamp = b";\r\n\t%b%b\r\n" % (date_words(int(now)), b" (clock not set)" if clock_not_set else b"")

    def start(id: str) -> bytes:
        return before + mark_of(id, secret).encode() + between + id.encode() + target

    if not may_repair:
        return (lambda id: start(id) + stamp,)
    return (lambda id: start(id) + _IN_ORDER + stamp, lambda id: start(id) + _REPAIRED + stamp)


REPAIRED_HEAD = 1
"""The index of the alternative that tells of repairs."""

_TOP = re.compile(rb"received[ \t]*:(?:[^\r\n]|\r\n[ \t])*\r\n", re.IGNORECASE)
_MARK = re.compile(rb"\(Tidegate ([0-9a-f]{12})\)")
_ID = re.compile(rb"[ \t]id ([a-z0-9]{1,16})\b")


def came_straight_from(secret: str, header: bytes) -> str | None:
    """The queue ID under which the message was sent, if the topmost field of the header is one of ours: no other server has
    handled it in between. None for all other mail.

    A message that we sent and that comes back by way of others (a mailing list, a forwarding user) has theirs on top.
    """
    if b"(Tidegate " not in header:
        return None
    found = _TOP.match(header)
    mark = _MARK.search(found[0]) if found is not None else None
    if found is None or mark is None:
        return None
    named = _ID.search(found[0], mark.end())
    if named is None:
        return None
    item = named[1].decode()
    return item if hmac.compare_digest(mark[1].decode(), mark_of(item, secret)) else None
