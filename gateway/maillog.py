"""The mail log: one line an event, queue ID first where there is one, then its kind, then `key=value` (DESIGN section 12).

Values are data (P15): whatever a stranger wrote, it can neither end the line, nor look like another key, nor reach the
terminal as a control character.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TextIO

from gateway.clock import iso
from gateway.events import (
    Alarm,
    Attempt,
    DeferredTo,
    DeliveredTo,
    Dialled,
    Event,
    FailedTo,
    HeldItem,
    InDoubt,
    LinkChanged,
    ModeChanged,
    Received,
    Refused,
    ReleasedItem,
    Remark,
    RemovedItem,
    RestoredItem,
    SessionEnded,
    SetAside,
    WindowEdge,
)

MAX_VALUE = 600
"""Characters of one value: a relay's words are at most 500 octets, an address at most 320."""

MAX_ADDRESSES = 20
"""Recipients named in one line; the rest are counted."""

_PRIORITY = {"info": "<6>", "warning": "<4>", "error": "<3>"}

Pairs = list[tuple[str, str]]


class MailLog:
    """Writes events to a stream: plain with the time in front, or, under journald, with the priority instead."""

    def __init__(self, out: TextIO, environ: Mapping[str, str], now: Callable[[], float] | None = None) -> None:
        import time

        self._out = out
        self._now = now if now is not None else time.time
        self._journald = _is_journal(out, environ.get("JOURNAL_STREAM"))

    def write(self, event: Event) -> None:
        """One line. A stream that cannot be written is no reason to stop the mail."""
        head = _PRIORITY[event.level] if self._journald else iso(self._now()) + " "
        try:
            self._out.write(f"{head}{render(event)}\n")
            self._out.flush()
        except (OSError, ValueError):
            return


def _is_journal(out: TextIO, stream: str | None) -> bool:
    """`$JOURNAL_STREAM` names device and inode of the stream that journald reads (systemd.exec(5))."""
    if not stream:
        return False
    try:
        status = os.fstat(out.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"


def render(event: Event) -> str:
    """The event as one line, without time."""
    item, pairs = _pairs(event)
    words = [item, event.kind] if item else [event.kind]
    return " ".join(words + [f"{key}={quoted(value)}" for key, value in pairs])


def quoted(value: str) -> str:
    """The value as it is where it is one plain word, else in double quotes with escapes; cut to a bound."""
    if len(value) > MAX_VALUE:
        value = value[: MAX_VALUE - 1] + "…"
    plain = value and all(c.isprintable() and c not in ' "\\=' for c in value)
    if plain:
        return value
    out = []
    for c in value:
        if c in '"\\':
            out.append("\\" + c)
        elif c.isprintable() and not _is_mark(c):
            out.append(c)
        else:
            out.append(f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}")
    return '"' + "".join(out) + '"'


def _is_mark(c: str) -> bool:
    """Bidirectional and invisible marks, which `isprintable` mostly refuses already."""
    return "\u200b" <= c <= "\u200f" or "\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069"


def _address(address: str) -> str:
    return f"<{address}>"


def _addresses(addresses: Iterable[str]) -> str:
    every = list(addresses)
    shown = ",".join(_address(a) for a in every[:MAX_ADDRESSES])
    return shown if len(every) <= MAX_ADDRESSES else f"{shown},+{len(every) - MAX_ADDRESSES}"


def _optional(*pairs: tuple[str, str | None]) -> Pairs:
    return [(key, value) for key, value in pairs if value is not None]


def _time(instant: float | None) -> str | None:
    return None if instant is None else iso(instant)


def _pairs(event: Event) -> tuple[str | None, Pairs]:
    """Queue ID (or None) and what the line says, in order."""
    match event:
        case Received():
            return event.id, [
                ("from", _address(event.reverse_path)),
                ("to", _addresses(event.recipients)),
                ("size", str(event.size)),
                ("class", event.message_class),
                *_optional(("client", event.client), ("user", event.user)),
                ("service", event.service),
            ]
        case Attempt():
            return event.id, [("relay", event.relay), ("number", str(event.number))]
        case DeliveredTo():
            return event.id, [("to", _address(event.to)), ("relay", event.relay), ("reply", event.reply)]
        case DeferredTo():
            relay, following = ("relay", event.relay), ("next", _time(event.next_try))
            return event.id, [("to", _address(event.to)), *_optional(relay, ("reason", event.reason), following)]
        case FailedTo():
            rest = _optional(("relay", event.relay), ("reason", event.reason), ("report", event.report))
            return event.id, [("to", _address(event.to)), *rest]
        case InDoubt():
            rest = _optional(("relay", event.relay), ("reason", event.reason), ("next", _time(event.next_try)))
            return event.id, [("to", _addresses(event.to)), *rest]
        case RemovedItem():
            return event.id, [("by", event.by), ("final", "yes" if event.final else "no")]
        case RestoredItem() | ReleasedItem():
            return event.id, []
        case HeldItem():
            return event.id, _optional(("note", event.note))
        case SetAside():
            return None, [("name", event.name), ("reason", event.reason)]
        case Refused():
            sender = None if event.reverse_path is None else _address(event.reverse_path)
            to = None if event.to is None else _address(event.to)
            return event.id, [
                ("client", event.client),
                *_optional(("from", sender), ("to", to), ("reply", event.reply)),
            ]
        case WindowEdge():
            rest = _optional(("until", _time(event.until)), ("why", event.why))
            return None, [("name", event.window), ("state", event.state), *rest]
        case LinkChanged():
            return None, [("name", event.link), ("state", event.state), ("why", event.why)]
        case ModeChanged():
            return None, [("mode", event.mode), ("set", event.set), ("why", event.why)]
        case Dialled():
            return None, [("link", event.link), ("state", event.state), *_optional(("why", event.why))]
        case SessionEnded():
            return None, [
                ("relay", event.relay),
                ("link", event.link),
                ("sent", str(event.sent)),
                ("fetched", str(event.fetched)),
                ("out", str(event.octets_out)),
                ("in", str(event.octets_in)),
                ("seconds", f"{event.seconds:.1f}"),
                ("why", event.why),
            ]
        case Alarm() | Remark():
            return None, [("about", event.about), ("what", event.what)]
        case _:
            raise AssertionError(f"{type(event).__name__} has no line in the mail log")
