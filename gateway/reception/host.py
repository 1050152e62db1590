"""What a session is given: the parts of the gateway that it uses, and the rules in force when it began."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.clock import Clock
from gateway.config.settings import AcceptSettings, ClassRule, ListenSettings, Settings
from gateway.events import Journal
from gateway.mail.envelope import Class
from gateway.reception.guests import Guests
from gateway.reception.timers import ReceptionTimers

if TYPE_CHECKING:
    from gateway.spool.spool import Entry, Spool

RECEIVE_OCTETS = 64 * 1024


@dataclass(frozen=True, slots=True)
class Rules:
    """One listener's rules, made from the settings once and not for every session."""

    hostname: str
    listen: ListenSettings
    accept: AcceptSettings
    domains: frozenset[str]
    classes: tuple[ClassRule, ...]

    @classmethod
    def of(cls, settings: Settings, listen: ListenSettings) -> Rules:
        return cls(
            hostname=settings.hostname,
            listen=listen,
            accept=settings.accept,
            domains=frozenset(domain.lower() for domain in settings.accept.domains),
            classes=settings.classes,
        )


@dataclass(slots=True)
class Host:
    """Shared by all sessions of one Reception.

    `when_leaves`: in words, when a message just queued will leave. `refuses`: why a message of this class and size
    (octets) is not taken now, or None. `clock_not_set`: see DESIGN section 6. `token`: see `gateway.reception.received`.
    """

    spool: Spool
    clock: Clock
    journal: Journal
    timers: ReceptionTimers
    token: str = ""
    when_leaves: Callable[[Entry], str | None] | None = None
    refuses: Callable[[Class, int], str | None] | None = None
    clock_not_set: Callable[[], bool] | None = None
    guests: Guests = field(default_factory=Guests)
    receive_view: memoryview = field(default_factory=lambda: memoryview(bytearray(RECEIVE_OCTETS)))
    is_stopping: bool = False
