"""What a program that hands in one message must know of gateway.yaml, read in a millisecond instead of fifty.

Most files write these few keys plainly, one a line, and those are read here as text. Whatever is written in another way, and
every file with a mistake in sight, goes to `load_settings`, whose word counts: this module may be slow, never different.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Sequence

MAX_OCTETS = 1024 * 1024

_TOP = re.compile(r"([a-z_]+):(?: +(.*))?")
_SCALAR = re.compile(
    r"(?:\"([^\"\\]+)\"|'([^']+)'|([A-Za-z0-9/._~-](?:[A-Za-z0-9/._~ -]*[A-Za-z0-9/._~-])?))\s*(?: #.*)?"
)
_NAME = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){0,9}[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)
_SIZE = re.compile(r"([0-9]{1,9}) ?(B|kB|MB|GB)")
_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
_ADDRESS = re.compile(r"\"?(?:([0-9.]{7,15})|\[([0-9A-Fa-f:]{2,39})\]):([0-9]{1,5})\"?")

_BRACES = re.compile(r"\{[^{}]*\}")
_BRACKETS = re.compile(r"\[ *(\{[^{}]*\}(?: *, *\{[^{}]*\})*) *,? *\]")

MAX_MESSAGE = 25_000_000
MAX_RECIPIENTS = 1000
RESERVE = 0.05
PORT = 2525


class Brief:
    """`spool` is absolute. `listeners`: (host, port) to which a program on this machine may connect and speak, the best first.

    Sizes are octets. `reserve` of the disk is kept free: octets as an int, a share as a float.
    """

    __slots__ = ("hostname", "listeners", "max_message", "max_recipients", "reserve", "spool")

    def __init__(
        self,
        spool: str,
        hostname: str | None = None,
        max_message: int = MAX_MESSAGE,
        max_recipients: int = MAX_RECIPIENTS,
        listeners: Sequence[tuple[str, int]] = (("127.0.0.1", PORT),),
        reserve: float | int = RESERVE,
    ) -> None:
        self.spool = os.path.abspath(spool)
        self.hostname = hostname or machine_name()
        self.max_message, self.max_recipients = max_message, max_recipients
        self.listeners = tuple(listeners)
        self.reserve = reserve


def machine_name() -> str:
    """The machine's name made fit for EHLO; no DNS is asked (a look-up may wake a line)."""
    labels = (re.sub(r"[^A-Za-z0-9-]+", "-", label).strip("-")[:63] for label in socket.gethostname().split("."))
    name = ".".join(label for label in labels if label)[:253].strip(".-")
    return name if name and not name.rsplit(".", 1)[-1].isdigit() else "localhost"


def read_brief(path: str | None) -> Brief:
    """From the file, or all defaults without one. Raises ConfigurationError with every mistake, as `load_settings` does."""
    if path is None:
        return Brief("spool")
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_OCTETS + 1).decode()
    except (OSError, UnicodeDecodeError):
        return _whole(path)
    return parse_brief(text, os.path.dirname(os.path.abspath(path))) or _whole(path)


def parse_brief(text: str, folder: str) -> Brief | None:
    """What is written plainly; None where anything that counts here is written otherwise."""
    sections = _sections(text)
    if sections is None:
        return None
    try:
        accept = sections.get("accept", [""])
        hostname = _scalar(sections.get("hostname"))
        if hostname is not None and not _NAME.fullmatch(hostname):
            return None
        return Brief(
            os.path.join(folder, _scalar(sections.get("spool")) or "spool"),
            hostname,
            _number(accept, "max_message", _SIZE, MAX_MESSAGE),
            _number(accept, "max_recipients", re.compile(r"([1-9][0-9]{0,4})()"), MAX_RECIPIENTS),
            _listeners(sections.get("listen")),
            _reserve(sections.get("queue", [""])),
        )
    except ValueError:
        return None


def _sections(text: str) -> dict[str, list[str]] | None:
    """The lines of each key at the left margin, beginning with what stands behind the key."""
    if "\t" in text or "\r" in text or len(text) > MAX_OCTETS:
        return None
    sections: dict[str, list[str]] = {}
    lines: list[str] | None = None
    for line in text.split("\n"):
        if not line.strip(" ") or line.lstrip(" ").startswith("#"):
            continue
        if line[0] in " -" and lines is not None and not line.startswith("---"):
            lines.append(line)
            continue
        found = _TOP.fullmatch(line)
        if found is None or found[1] in sections:
            return None
        lines = sections[found[1]] = [found[2] or ""]
    return sections


def _scalar(lines: list[str] | None) -> str | None:
    """The one value of a key; ValueError for what is not written on one line, plainly."""
    if lines is None:
        return None
    found = _SCALAR.fullmatch(lines[0]) if len(lines) == 1 else None
    if found is None:
        raise ValueError
    return found[1] or found[2] or found[3]


def _number(lines: list[str], key: str, form: re.Pattern[str], default: int) -> int:
    """A number below a key, in a block or in braces on one line."""
    text = "\n".join(lines)
    mentions = len(re.findall(rf"\b{key}\b", text))
    if not mentions:
        return default
    before, _, after = text.partition(key + ":")
    value = re.split(r"[,}\n]| #", after, maxsplit=1)[0].strip(" ")
    found = form.fullmatch(value)
    if found is None or int(found[1]) == 0 or mentions != 1 or before[-1:] not in (" ", "{", ","):
        raise ValueError
    return int(found[1]) * _UNITS.get(found[2], 1)


def _reserve(lines: list[str]) -> float | int:
    if "%" in "".join(lines):
        return _number(lines, "reserve", re.compile(r"([1-9][0-9]?) ?(%)"), 0) / 100
    return _number(lines, "reserve", _SIZE, 0) or RESERVE


def _listeners(lines: list[str] | None) -> list[tuple[str, int]]:
    """Those that this machine reaches without TLS and without signing in, loopback first."""
    if lines is None:
        return [("127.0.0.1", PORT)]
    lines = [_without_comment(line) for line in lines]
    if lines[0]:
        items = _in_brackets(lines)
    else:
        items = []
        for line in lines[1:]:
            if line.lstrip(" ").startswith("- "):
                items.append("")
            if not items:
                raise ValueError
            items[-1] += line + "\n"
    return in_order([_listener(item) for item in items])


def _without_comment(line: str) -> str:
    text, sign, _ = (" " + line).partition(" #")
    text = text[1:]
    if "#" in text or (sign and ("'" in text or '"' in text) and line.count('"') != text.count('"')):
        raise ValueError  # perhaps no comment, but part of a text in quotes
    return text.rstrip(" ")


def _in_brackets(lines: Sequence[str]) -> list[str]:
    """The items of a list of blocks in braces that stands on one line."""
    found = _BRACKETS.fullmatch(lines[0])
    if found is None or len(lines) > 1:
        raise ValueError
    return [item + "\n" for item in _BRACES.findall(found[1])]


def _listener(item: str) -> tuple[str, int, str, str]:
    values = {}
    for key in ("address", "tls", "auth"):
        found = re.findall(rf"(?<=[ {{,]){key}: +([^ ,}}\n]+) *(?=[,}}\n])", item)
        if len(found) != len(re.findall(rf"\b{key}\b[\"']? *:", item)) or len(found) > 1:
            raise ValueError
        values[key] = found[0] if found else "none"
    address = _ADDRESS.fullmatch(values["address"])
    if address is None:
        raise ValueError
    return address[1] or address[2], int(address[3]), values["tls"], values["auth"]


def in_order(listeners: Sequence[tuple[str, int, str, str]]) -> list[tuple[str, int]]:
    """From (host, port, tls, auth) as written: where to connect, the best first. A port that the kernel chooses is left out."""
    found = []
    for host, port, tls, auth in listeners:
        if tls == "implicit" or auth == "required" or not port:
            continue
        target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        found.append((not (target.startswith("127.") or target == "::1"), target, port))
    return [(target, port) for _, target, port in sorted(found, key=lambda entry: entry[0])]


def _whole(path: str) -> Brief:
    from pathlib import Path

    from gateway.config.load import load_settings

    settings = load_settings(Path(path))
    accept = settings.accept
    listeners = [(listen.address.host, listen.address.port, listen.tls, listen.auth) for listen in settings.listen]
    return Brief(
        str(settings.spool),
        settings.hostname,
        accept.max_message,
        accept.max_recipients,
        in_order(listeners),
        settings.queue.reserve,
    )
