"""The mail log: one line an event, queue ID first where there is one, then its kind, then `key=value` (DESIGN section 12).

Values are data (P15): whatever a stranger wrote, it can neither end the line, nor look like another key, nor reach the
terminal as a control character.
"""

from __future__ import annotations

import os
import re
import select
import stat
import time
from collections import deque
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

MAX_LINE = 4000
"""Octets of a line: below PIPE_BUF (4096), so that a pipe that is ready takes it whole and does not block."""

MAX_BACKLOG = 2000
"""Lines kept while whoever reads the log does not; beyond that the oldest are dropped, and their number is logged."""

MAX_GATHERED = 100
"""Lines that are gathered; far fewer than are ever kept, so that none is dropped of what comes in one go."""

_PRIORITY = {"info": "<6>", "warning": "<4>", "error": "<3>"}

_NEEDS_QUOTES = re.compile(r'[ "\\=]').search

Pairs = list[tuple[str, str]]


class MailLog:
    """Writes events to a stream: plain with the time in front, or, under journald, with the priority instead.

    A reader that stands still (a full pipe, a journald that hangs) does not stop the mail: lines wait, bounded, and go out with
    the next one that finds room.
    """

    def __init__(self, out: TextIO, environ: Mapping[str, str], now: Callable[[], float] = time.time) -> None:
        self._out, self._now = out, now
        self._journald = _is_journal(out, environ.get("JOURNAL_STREAM"))
        self._poller = _poller(out)
        self._backlog: deque[tuple[float, Event]] = deque()
        self._dropped = 0
        self._soon: Callable[[Callable[[], None]], object] | None = None
        self._is_due = False

    def write(self, event: Event) -> None:
        """One line. A stream that cannot be written is no reason to stop the mail."""
        self._backlog.append((self._now(), event))
        if len(self._backlog) > MAX_BACKLOG:
            self._backlog.popleft()
            self._dropped += 1
        if self._soon is None or len(self._backlog) >= MAX_GATHERED:
            self._write_out()
        elif not self._is_due:
            self._is_due = True
            self._soon(self._write_out)

    def gather(self, soon: Callable[[Callable[[], None]], object] | None) -> None:
        """From now on lines leave by a call handed to `soon`, as an event loop's `call_soon`: all of one round in one go. None:
        at once again, and what waits leaves now."""
        self._soon = soon
        if soon is None:
            self._write_out()

    def _line(self, at: float, event: Event) -> str:
        """Made when it leaves: many in one go cost a fraction of what each costs by itself."""
        head = _PRIORITY[event.level] if self._journald else iso(at) + " "
        return head + cut(render(event)) + "\n"

    def _write_out(self) -> None:
        self._is_due = False
        try:
            while self._backlog and self._has_room():
                if self._dropped:
                    lost = Remark("log", f"{self._dropped} lines were lost: nobody read them")
                    self._dropped = 0
                    self._out.write(self._line(self._now(), lost))
                    self._out.flush()
                    continue
                if self._poller is None:  # a file takes any number of them
                    waiting, self._backlog = self._backlog, deque()
                    lines = "".join([self._line(at, event) for at, event in waiting])
                else:
                    lines = self._line(*self._backlog.popleft())
                self._out.write(lines)
                self._out.flush()
        except (OSError, ValueError):
            return

    def _has_room(self) -> bool:
        return self._poller is None or bool(self._poller.poll(0))


def _is_journal(out: TextIO, stream: str | None) -> bool:
    """`$JOURNAL_STREAM` names device and inode of the stream that journald reads (systemd.exec(5))."""
    if not stream:
        return False
    try:
        status = os.fstat(out.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"


def _poller(out: TextIO) -> select.poll | None:
    """Tells whether a pipe, socket or terminal takes a line without waiting; None for what never makes one wait."""
    try:
        descriptor = out.fileno()
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
    except (OSError, ValueError, AttributeError):
        return None
    poller = select.poll()
    poller.register(descriptor, select.POLLOUT)
    return poller


def render(event: Event) -> str:
    """The event as one line, without time."""
    item, pairs = _pairs(event)
    words = [item, event.kind] if item else [event.kind]
    return " ".join(words + [f"{key}={quoted(value, MAX_LINE if key == 'to' else MAX_VALUE)}" for key, value in pairs])


def cut(line: str) -> str:
    """The line in at most MAX_LINE octets, with room for a time in front."""
    octets = line.encode("utf-8", "backslashreplace")
    if len(octets) <= MAX_LINE - 50:
        return line
    return octets[: MAX_LINE - 60].decode("utf-8", "ignore") + "…"


def quoted(value: str, most: int = MAX_VALUE) -> str:
    """The value as it is where it is one plain word, else in double quotes with escapes; cut to a bound.

    `isprintable` refuses controls, all spaces but the plain one, lone surrogates, and invisible or bidirectional marks.
    """
    if len(value) > most:
        value = value[: most - 1] + "…"
    if value and value.isprintable() and not _NEEDS_QUOTES(value):
        return value
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(c: str) -> str:
    if c in '"\\':
        return "\\" + c
    if c.isprintable():
        return c
    number = ord(c)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


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
                ("octets", str(event.octets_out + event.octets_in)),
                ("out", str(event.octets_out)),
                ("in", str(event.octets_in)),
                ("seconds", f"{event.seconds:.1f}"),
                *_optional(("money", None if event.money is None else f"{event.money:.2f}")),
                ("why", event.why),
            ]
        case Alarm() | Remark():
            return None, [("about", event.about), ("what", event.what)]
        case _:
            raise AssertionError(f"{type(event).__name__} has no line in the mail log")
