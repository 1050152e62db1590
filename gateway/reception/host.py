"""What a session is given: the parts of the gateway that it uses, and the rules in force when it began."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.clock import Clock
from gateway.config.settings import AcceptSettings, ClassRule, ListenSettings, Settings
from gateway.events import Journal
from gateway.mail.address import fold_domain
from gateway.mail.envelope import Class
from gateway.reception.auth import Failures
from gateway.reception.guests import Guests
from gateway.reception.timers import ReceptionTimers
from gateway.reception.users import UserRegister

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
    tls: ssl.SSLContext | None
    users: UserRegister | None

    @classmethod
    def of(
        cls, settings: Settings, listen: ListenSettings, tls: ssl.SSLContext | None, users: UserRegister | None
    ) -> Rules:
        """`tls` and `users`: what the files named in the settings hold; left aside where the listener does not use them."""
        return cls(
            tls=tls if listen.tls != "none" else None,
            users=users if listen.auth != "none" else None,
            hostname=settings.hostname,
            listen=listen,
            accept=settings.accept,
            domains=frozenset(fold_domain(domain) for domain in settings.accept.domains),
            classes=settings.classes,
        )


@dataclass(frozen=True, slots=True)
class RelayOffers:
    """What the relay's last greeting said it can carry; `size` in octets, None where it set no limit or said nothing."""

    smtputf8: bool = True
    size: int | None = None


@dataclass(slots=True)
class Host:
    """Shared by all sessions of one Reception.

    `when_leaves`: in words, when a message just queued will leave. `refuses`: why a message of this class and size
    (octets) is not taken now, or None. `clock_not_set`: where the clock cannot be right, the earliest time that it can be.
    `secret`: see `gateway.reception.received`. `relay_offers`: what the relay can carry, as far as is known. `looped`:
    told of the queue ID of a message that came straight back; True if that is seen to.
    """

    spool: Spool
    clock: Clock
    journal: Journal
    timers: ReceptionTimers
    secret: str = ""
    when_leaves: Callable[[Entry], str | None] | None = None
    refuses: Callable[[Class, int], str | None] | None = None
    clock_not_set: Callable[[], float | None] | None = None
    relay_offers: Callable[[], RelayOffers | None] | None = None
    looped: Callable[[str], bool] | None = None
    failures: Failures = field(default_factory=Failures)
    guests: Guests = field(default_factory=Guests)
    receive_view: memoryview = field(default_factory=lambda: memoryview(bytearray(RECEIVE_OCTETS)))
    is_stopping: bool = False
