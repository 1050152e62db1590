"""Names and places in networks: hosts, addresses to listen on, networks, patterns of mail addresses, key pins."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re

from gateway.config.hints import Misread, quoted
from gateway.config.settings import Address, Network

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\Z")
_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}\Z")


def parse_port(text: str, least: int = 1) -> int:
    """A TCP port."""
    if re.fullmatch(r"[0-9]{1,5}", text) and least <= int(text) <= 65535:
        return int(text)
    raise Misread(f"{quoted(text)} is not a port", f"a number from {least} to 65535.")


def parse_hostname(text: str) -> str:
    """A host name of letters, digits and hyphens (RFC 1123 2.1), as written, no trailing dot."""
    if not text.isascii():
        raise Misread(f"{quoted(text)} is not a host name", _ascii_form(text))
    labels = text.split(".")
    if len(text) > 253 or not all(_LABEL.match(label) for label in labels) or labels[-1].isdigit():
        raise Misread(f"{quoted(text)} is not a host name", _host_hint(text))
    return text


def _ascii_form(text: str) -> str:
    try:
        return f"write the name in its ASCII form: {text.encode('idna').decode('ascii')}."
    except UnicodeError:
        return "letters a to z, digits, hyphens and dots."


def _host_hint(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9.-]+:[0-9]+", text):
        return f"the port has a key of its own: port: {text.rsplit(':', 1)[1]}."
    if "://" in text:
        return "the bare name, without smtp:// before it."
    if "@" in text:
        return "a host, not a mail address."
    if text.endswith(".") and len(text) > 1:
        return "without the dot at the end."
    if "_" in text:
        return "an underscore is not allowed in the name of a host."
    return "letters a to z, digits, hyphens and dots."


def parse_host(text: str) -> str:
    """A host name, or an IP address literal (brackets are taken off)."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        return parse_hostname(text)


def parse_domain(text: str) -> str:
    """A mail domain, folded to lower case."""
    if text.startswith("@"):
        raise Misread(f"{quoted(text)} is not a domain", f"without the @: {text[1:]}.")
    return parse_hostname(text).lower()


def parse_address(text: str) -> Address:
    """`127.0.0.1:8025`, `[::1]:25`: an IP address and a port to listen on. Port 0 lets the kernel choose."""
    host, colon, port = text.rpartition(":")
    if not colon or host.endswith(":") or (":" in host and not host.startswith("[")):
        raise Misread(f"{quoted(text)} is not an address with a port", _address_hint(text))
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        parsed = ipaddress.ip_address(bare)
    except ValueError:
        hint = {"": f"for all addresses write 0.0.0.0:{port}.", "*": f"for all addresses write 0.0.0.0:{port}."}
        hint["localhost"] = f"write 127.0.0.1:{port}."
        raise Misread(
            f"{quoted(host)} is not an IP address",
            hint.get(host.lower(), "an address of this machine, like 127.0.0.1:2525 or [::1]:2525."),
            start=0,
            end=max(1, len(host)),
        ) from None
    if parsed.version == 6 and not host.startswith("["):
        raise Misread(f"{quoted(text)} is not an address with a port", f"write [{host}]:{port}.")
    try:
        return Address(str(parsed), parse_port(port, least=0))
    except Misread as wrong:
        raise wrong.moved(len(host) + 1, len(port)) from None


def _address_hint(text: str) -> str:
    if text.isdigit():
        return f"write 127.0.0.1:{text} for this machine alone, 0.0.0.0:{text} for everybody."
    if text.count(":") > 1 and not text.startswith("["):
        return "an IPv6 address stands in brackets before its port, like [::1]:2525."
    try:
        parsed = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return "an address of this machine and a port, like 127.0.0.1:2525 or [::1]:2525."
    return f"the port is missing; write {Address(str(parsed), 25)}."


def parse_network(text: str) -> Network:
    """`192.168.7.0/24`, `::1/128`; a single address is a network of one."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        hint = "write it like 192.168.7.0/24 or 2001:db8::/32; names are not looked up."
        raise Misread(f"{quoted(text)} is not a network", hint) from None
    alone = text.split("/", 1)[0]
    hint = f"write {meant} for the whole network, {alone} for this address alone."
    raise Misread(f"{quoted(text)} has bits set behind its prefix", hint)


def parse_pattern(text: str) -> str:
    """A pattern of mail addresses: `*` matches any text; folded to lower case."""
    if text == "*":
        return text
    local, at, domain = text.rpartition("@")
    if not at or not local or not domain:
        bare = text.strip("@")
        hint = (
            f"write *@{bare} for a whole domain."
            if "." in bare
            else "write it like alarm@example.net or *@example.net."
        )
        raise Misread(f"{quoted(text)} is not an address or a pattern of addresses", hint)
    if not text.isprintable() or len(text) > 320 or " " in domain:
        raise Misread(f"{quoted(text)} is not an address or a pattern of addresses")
    return text.casefold()


def parse_header(text: str) -> tuple[str, str]:
    """`Importance: high`: the name of a field, and text to find in it; both folded."""
    name, colon, wanted = text.partition(":")
    if not colon or not _FIELD_NAME.match(name) or not wanted.strip():
        hint = 'a field and a text to find in it, in quotes: "Importance: high".'
        raise Misread(f"{quoted(text)} is not a header field", hint)
    return name.lower(), wanted.strip().casefold()


def parse_pin(text: str) -> str:
    """The SHA-256 of a public key: 64 hexadecimal digits (colons allowed) or base64; as lower-case hex."""
    bare = re.sub(r"\Asha256(//|[:=])", "", text.strip(), flags=re.IGNORECASE)
    digits = bare.replace(":", "").lower()
    if re.fullmatch(r"[0-9a-f]{64}", digits):
        return digits
    try:
        octets = base64.b64decode(bare, validate=True)
    except (binascii.Error, ValueError):
        octets = b""
    if len(octets) == 32:
        return octets.hex()
    raise Misread(f"{quoted(text)} is not the SHA-256 of a key", "64 hexadecimal digits, or base64 of 32 octets.")
