"""Mail addresses as the envelope writes them: RFC 5321 4.1.2 with RFC 6531 3.3, byte for byte.

One anchored expression takes an address or refuses it; nothing is decoded, folded, quoted or repaired, so that what
is judged is exactly what is sent on. Header addresses (RFC 5322: comments, folding, display names) are not our
business. Whether a client may use an address is `gateway.reception.policy`'s.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

MAX_MAILBOX_OCTETS = 254
"""RFC 5321 4.5.3.1.3: a path has at most 256 octets with its angle brackets."""

MAX_DOMAIN_OCTETS = 255
MAX_LABEL_OCTETS = 63

# Letters beyond ASCII (RFC 6531), without C1 controls, line and paragraph separators, surrogates and noncharacters
# at the end of the basic plane: no screen and no protocol has a use for them in an address.
_WIDE = "\u00a0-\u2027\u202a-\ud7ff\ue000-\uffef\U00010000-\U0010fffd"
_ANY_WIDE = "\u00e9"
"""Stands for each of them in what is matched: with all of them in each of its sets the expression takes 100 ms to compile."""


def _grammar(wide: str) -> tuple[str, str, str]:
    """Mailbox, domain and path as expressions; `wide`: the letters beyond ASCII, as in a set."""
    atext = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{wide}-]"
    dot_string = rf"{atext}+(?:\.{atext}+)*"
    quoted = rf'"(?:[ !#-\[\]-~{wide}]|\\[ -~])*"'
    let_dig = rf"[A-Za-z0-9{wide}]"
    label = rf"{let_dig}(?:[A-Za-z0-9{wide}-]*{let_dig})?"
    domain = rf"{label}(?:\.{label})*"
    literal = r"\[[0-9A-Fa-f:.IiPpVv]{1,60}\]"
    mailbox = rf"(?P<local>{dot_string}|{quoted})@(?P<domain>{domain}|{literal})"
    route = rf"@{domain}(?:,@{domain})*:"
    path = rf"<(?:(?P<route>{route})?{mailbox}|(?P<postmaster>[Pp][Oo][Ss][Tt][Mm][Aa][Ss][Tt][Ee][Rr]))?>"
    return mailbox, domain, path


_MAILBOX, _DOMAIN, _PATH = (re.compile(expression) for expression in _grammar(_ANY_WIDE))

_SMALL = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def _shape(text: str) -> str:
    """The text as it is matched, letter for letter of the same length."""
    return text if text.isascii() else re.sub(f"[{_WIDE}]", _ANY_WIDE, text)


def _parts(found: re.Match[str], text: str) -> tuple[str, str]:
    """Local part and domain as they were written, whose shape was found."""
    if found.string is text:
        return found["local"], found["domain"]
    return text[slice(*found.span("local"))], text[slice(*found.span("domain"))]


class AddressError(ValueError):
    """Not an address; the text says, in a few words, why."""


@dataclass(frozen=True, slots=True)
class Path:
    """A forward- or reverse-path as written. The null path has an empty `address`; `<postmaster>` has no `domain`.

    `address` is without brackets and without the source route (RFC 5321 appendix C: recognised, not obeyed);
    `routed` tells that there was one.
    """

    address: str
    local: str
    domain: str
    routed: bool = False


NULL_PATH = Path("", "", "")


def split_mailbox(text: str) -> tuple[str, str]:
    """Local part and domain of `local@domain`, both as written. Raises AddressError for anything else."""
    found = _MAILBOX.fullmatch(_shape(text))
    if found is None:
        raise AddressError("not an address of the form local@domain")
    local, domain = _parts(found, text)
    _check_lengths(text, domain)
    return local, domain


def is_domain(text: str) -> bool:
    """True for a domain name as RFC 5321 writes it (no trailing dot, no literal), of legal length."""
    return _DOMAIN.fullmatch(_shape(text)) is not None and _domain_fits(text)


def is_literal(text: str) -> bool:
    """True for an address literal: `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 4.1.3)."""
    if not (text.startswith("[") and text.endswith("]")):
        return False
    inner = text[1:-1]
    try:
        if inner[:5].lower() == "ipv6:":
            ipaddress.IPv6Address(inner[5:])
        else:
            ipaddress.IPv4Address(inner)
    except ValueError:
        return False
    return "%" not in inner


def read_path(text: str) -> tuple[Path, str]:
    """The path in angle brackets at the start of `text`, and all that follows it. Raises AddressError."""
    found = _PATH.match(_shape(text))
    if found is None:
        raise AddressError("not an address in angle brackets")
    rest = text[found.end() :]
    if found["domain"] is None:
        postmaster: str | None = found["postmaster"]
        return (NULL_PATH if postmaster is None else Path(postmaster, postmaster, "")), rest
    local, domain = _parts(found, text)
    address = f"{local}@{domain}"
    _check_lengths(address, domain)
    return Path(address, local, domain, found["route"] is not None), rest


def _check_lengths(address: str, domain: str) -> None:
    octets = len(address) if address.isascii() else len(address.encode())
    if octets > MAX_MAILBOX_OCTETS:
        raise AddressError(f"longer than {MAX_MAILBOX_OCTETS} octets")
    if domain[0] == "[":
        if not is_literal(domain):
            raise AddressError("not an address literal")
    elif not _domain_fits(domain):
        raise AddressError("domain or label too long")


def _domain_fits(domain: str) -> bool:
    if len(domain) <= MAX_LABEL_OCTETS and domain.isascii():
        return True
    return len(domain.encode()) <= MAX_DOMAIN_OCTETS and all(
        len(label.encode()) <= MAX_LABEL_OCTETS for label in domain.split(".")
    )


def domain_of(address: str) -> str:
    """The folded domain of a mailbox, the literal with its brackets; empty for `postmaster` alone."""
    _, at, domain = address.rpartition("@")
    return fold_domain(domain) if at else ""


def fold_domain(domain: str) -> str:
    """The form in which two domains are compared: ASCII case means nothing in them (RFC 5321 2.4).

    No other letters are folded: among them are some whose small form is an ASCII letter (the Kelvin sign), and an address
    is not to be taken for one that it is not.
    """
    return domain.lower() if domain.isascii() else domain.translate(_SMALL)
