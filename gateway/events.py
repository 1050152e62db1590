"""What happens to mail, one class an event; `gateway.maillog` renders them, `control` streams them (DESIGN section 12).

No event holds a password or content. Instants are seconds since 1970, sizes octets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Event:
    """`kind` is the word of the log line; `level` is syslog's: "info", "warning" or "error"."""

    kind: ClassVar[str] = "event"
    level: ClassVar[str] = "info"


@dataclass(frozen=True, slots=True)
class Received(Event):
    """A message is safe on disk and was, or will be, answered 250. `service`: smtp, sendmail, report, import."""

    kind: ClassVar[str] = "received"
    id: str
    reverse_path: str
    recipients: tuple[str, ...]
    size: int
    message_class: str
    client: str | None = None
    user: str | None = None
    service: str = "smtp"


@dataclass(frozen=True, slots=True)
class Attempt(Event):
    """A message is about to be sent through a relay."""

    kind: ClassVar[str] = "attempt"
    id: str
    relay: str
    number: int


@dataclass(frozen=True, slots=True)
class DeliveredTo(Event):
    """Final: the relay took it for this recipient."""

    kind: ClassVar[str] = "delivered"
    id: str
    to: str
    relay: str
    reply: str


@dataclass(frozen=True, slots=True)
class DeferredTo(Event):
    kind: ClassVar[str] = "deferred"
    id: str
    to: str
    relay: str | None
    reason: str
    next_try: float | None = None


@dataclass(frozen=True, slots=True)
class FailedTo(Event):
    """Final: a 5xx, or given up. `report` is the ID of the report to the sender, None where none is due."""

    kind: ClassVar[str] = "failed"
    id: str
    to: str
    relay: str | None
    reason: str
    report: str | None = None


@dataclass(frozen=True, slots=True)
class InDoubt(Event):
    """The line broke after the final dot and before the answer."""

    kind: ClassVar[str] = "in-doubt"
    level: ClassVar[str] = "warning"
    id: str
    to: tuple[str, ...]
    relay: str | None
    reason: str
    next_try: float | None = None


@dataclass(frozen=True, slots=True)
class RemovedItem(Event):
    """Final, but for `undo`. `final` is False when it moved to `removed/`, True when its ten minutes were over."""

    kind: ClassVar[str] = "removed"
    id: str
    by: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class RestoredItem(Event):
    kind: ClassVar[str] = "restored"
    id: str


@dataclass(frozen=True, slots=True)
class HeldItem(Event):
    kind: ClassVar[str] = "held"
    id: str
    note: str | None = None


@dataclass(frozen=True, slots=True)
class ReleasedItem(Event):
    kind: ClassVar[str] = "released"
    id: str


@dataclass(frozen=True, slots=True)
class SetAside(Event):
    """Recovery put files that it could not take into `set-aside/`."""

    kind: ClassVar[str] = "set-aside"
    level: ClassVar[str] = "warning"
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Refused(Event):
    """A client, a command or a message was refused."""

    kind: ClassVar[str] = "refused"
    client: str
    reply: str
    reverse_path: str | None = None
    to: str | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class WindowEdge(Event):
    """A window opened or closed."""

    kind: ClassVar[str] = "window"
    window: str
    state: str  # open, closed, skipped
    until: float | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class LinkChanged(Event):
    kind: ClassVar[str] = "link"
    link: str
    state: str  # up, down
    why: str


@dataclass(frozen=True, slots=True)
class ModeChanged(Event):
    kind: ClassVar[str] = "mode"
    mode: str  # what is in force: online, offline, stopped
    set: str  # what was chosen: auto, online, offline, stopped
    why: str


@dataclass(frozen=True, slots=True)
class Dialled(Event):
    kind: ClassVar[str] = "dial"
    link: str
    state: str
    why: str | None = None


@dataclass(frozen=True, slots=True)
class SessionEnded(Event):
    """One real use of the link. Octets on the line, with headers and what was sent again; `money` by the link's tariff."""

    kind: ClassVar[str] = "session"
    relay: str
    link: str
    sent: int
    fetched: int
    octets_out: int
    octets_in: int
    seconds: float
    why: str
    money: float | None = None


@dataclass(frozen=True, slots=True)
class Alarm(Event):
    """Something of our own needs a person: a relay refuses our login, the disk is full, the configuration is bad."""

    kind: ClassVar[str] = "alarm"
    level: ClassVar[str] = "error"
    about: str
    what: str


@dataclass(frozen=True, slots=True)
class Remark(Event):
    """What an operator may like to read: start, stop, reload, not in force yet."""

    kind: ClassVar[str] = "remark"
    about: str
    what: str


class Journal:
    """Hands each event to all who listen, at once and in order. A listener must not block and must not raise."""

    __slots__ = ("_listeners",)

    def __init__(self) -> None:
        self._listeners: list[Callable[[Event], None]] = []

    def record(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            listener(event)

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Start listening; call what is returned to stop."""
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop
