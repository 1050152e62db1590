"""Listening sockets and the sessions behind them: started, stopped, replaced on a reload.

Leaves to others: what a session says (`session`), who is let in (`policy`, `guests`), where mail goes (the spool).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.clock import Clock
from gateway.config.settings import Address, ListenSettings, Settings
from gateway.errors import Exit, GatewayError
from gateway.events import Alarm, Journal
from gateway.mail.envelope import Class
from gateway.reception import replies
from gateway.reception.acceptor import Acceptor
from gateway.reception.guests import Guests
from gateway.reception.host import Host, RelayOffers, Rules
from gateway.reception.session import Session
from gateway.reception.timers import ReceptionTimers
from gateway.reception.tls import server_context
from gateway.reception.users import UserRegister, load_users

if TYPE_CHECKING:
    from gateway.spool.spool import Entry, Spool

BACKLOG = 512
"""Connections that the kernel keeps for us: with few, a burst loses SYNs and clients lose seconds."""

LAST_WORDS = 1.0
"""Seconds at a stop in which clients may read their 421 before they are cut off."""

SECRET_STATE = "reception-token"
"""The name is from when it was shown; what is saved under it in that form is no secret, and made anew."""


_Place = tuple[Address, int]


class ListenError(GatewayError):
    """An address cannot be listened on; the text says which and why."""

    exit_code = Exit.CANT_CREATE


class Listener:
    """One bound address. Its rules may be replaced; new sessions get the new ones."""

    def __init__(self, host: Host, rules: Rules) -> None:
        self._host = host
        self.rules = rules
        self._acceptor: Acceptor | None = None
        self.address = rules.listen.address

    def open(self) -> None:
        """Raises ListenError."""
        loop = asyncio.get_running_loop()
        wanted = self.rules.listen.address
        listening = _bind(wanted)
        try:
            self._acceptor = Acceptor(
                listening, BACKLOG, lambda: Session(self._host, self.rules, loop), self._cannot_accept
            )
        except OSError as exc:
            listening.close()
            raise ListenError(f"cannot listen on {wanted}: {exc.strerror or exc}") from exc
        self.address = Address(wanted.host, listening.getsockname()[1])

    def close(self) -> None:
        """Take no more connections; those there are go on."""
        if self._acceptor is not None:
            self._acceptor.close()
            self._acceptor = None

    def _cannot_accept(self, why: str) -> None:
        self._host.journal.record(Alarm(about="listen", what=f"{self.address}: {why}"))


class Reception:
    """Takes mail on the configured addresses and commits it to the spool.

    `when_leaves(entry)`: when this message will leave, in words, for the 250. `refuses(class, octets)`: the sentence with
    which such a message is refused now, or None. `clock_not_set()`: None, or the time that it is at least; the Received field
    then says both. `looped(id)`: what we sent under this ID came straight back; True if that is seen to.
    """

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        *,
        clock: Clock,
        journal: Journal,
        timers: ReceptionTimers | None = None,
        when_leaves: Callable[[Entry], str | None] | None = None,
        refuses: Callable[[Class, int], str | None] | None = None,
        clock_not_set: Callable[[], float | None] | None = None,
        relay_offers: Callable[[], RelayOffers | None] | None = None,
        looped: Callable[[str], bool] | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._journal = journal
        self._spool = spool
        self._users: UserRegister | None = None
        self._tls: ssl.SSLContext | None = None
        self._host = Host(
            spool=spool,
            clock=clock,
            journal=journal,
            timers=timers or ReceptionTimers(),
            when_leaves=when_leaves,
            refuses=refuses,
            clock_not_set=clock_not_set,
            relay_offers=relay_offers,
            looped=looped,
        )
        self._listeners: dict[_Place, Listener] = {}
        self._changing: asyncio.Task[None] | None = None

    async def start(self) -> list[Address]:
        """Listen. Returns the actual addresses in the order of the settings.

        Raises ListenError, and ConfigurationError where certificate, key or users cannot be used; then none is open.
        """
        self._tls, self._users = self._load_files(self._settings)
        self._host.secret = await self._load_secret()
        try:
            for place, listen in _places(self._settings):
                self._open(place, listen)
        except ListenError:
            self._close_listeners()
            raise
        return self.addresses

    @staticmethod
    def check(settings: Settings) -> None:
        """Raises ConfigurationError if the files that these settings name for TLS and signing in cannot be used."""
        if settings.certificate is not None and any(listen.tls != "none" for listen in settings.listen):
            server_context(settings.certificate)
        if settings.accept.users is not None:
            load_users(settings.accept.users)

    @property
    def addresses(self) -> list[Address]:
        """Where it listens now, in the order of the settings."""
        return [self._listeners[place].address for place, _ in _places(self._settings) if place in self._listeners]

    @property
    def guests(self) -> Guests:
        """Who is connected."""
        return self._host.guests

    async def stop(self, grace: float) -> None:
        """Take no new connection and begin no new message; what is under way gets `grace` seconds.

        Idle clients are told 421 at once. Afterwards no session is left; a message whose commit had begun is stored
        and, where its client still listened, answered.
        """
        self._host.is_stopping = True
        if self._changing is not None:
            await asyncio.wait([self._changing])
        self._close_listeners()
        for session in self._sessions():
            if not session.is_taking:
                session.dismiss(replies.SHUTTING_DOWN)
        await self._wait_for_sessions(grace)
        for session in self._sessions():
            session.dismiss(replies.SHUTTING_DOWN)
        await self._wait_for_sessions(grace)
        for session in self._sessions():
            if session.serving is not None:
                session.serving.cancel()
            if session.transport is not None:
                session.transport.abort()
        await self._wait_for_sessions(grace)
        with contextlib.suppress(TimeoutError):  # let the last replies be read
            await asyncio.wait_for(self._host.guests.gone(), min(grace, LAST_WORDS))
        for guest in self._host.guests.present:
            if isinstance(guest, Session) and guest.transport is not None:
                guest.transport.abort()
        if self._users is not None:
            self._users.close()

    def replace(self, settings: Settings) -> None:
        """New rules for new sessions; listeners that differ are closed and opened. Sessions there are go on as they began.

        Raises ConfigurationError where certificate, key or users cannot be used; then all stays as it was. A new address
        that cannot be listened on is recorded as an alarm, and the other listeners work.
        """
        tls, users = self._load_files(settings)
        previous, replaced = self._changing, self._users
        self._settings, self._tls, self._users = settings, tls, users
        if replaced is not None:
            replaced.close()
        self._changing = asyncio.get_running_loop().create_task(self._change(settings, previous))

    async def _change(self, settings: Settings, previous: asyncio.Task[None] | None) -> None:
        if previous is not None:
            await asyncio.wait([previous])
        if settings is not self._settings:
            return  # replaced again in the meantime
        wanted = dict(_places(settings))
        for place in [place for place in self._listeners if place not in wanted]:
            self._listeners.pop(place).close()
        for place, listen in wanted.items():
            if self._host.is_stopping:
                return
            try:
                rules = self._rules(settings, listen)
                if place in self._listeners:
                    self._listeners[place].rules = rules
                else:
                    self._open(place, listen)
            except GatewayError as exc:
                self._journal.record(Alarm(about="listen", what=str(exc)))
                if place in self._listeners:
                    self._listeners.pop(place).close()

    def _load_files(self, settings: Settings) -> tuple[ssl.SSLContext | None, UserRegister | None]:
        tls = None
        if settings.certificate is not None and any(listen.tls != "none" for listen in settings.listen):
            tls = server_context(settings.certificate)
        users = None
        if settings.accept.users is not None:
            users = UserRegister(settings.accept.users, self._clock.monotonic)
        return tls, users

    def _rules(self, settings: Settings, listen: ListenSettings) -> Rules:
        """Raises ListenError where the listener would be less than what is written."""
        rules = Rules.of(settings, listen, self._tls, self._users)
        if listen.tls != "none" and rules.tls is None:
            raise ListenError(f"cannot listen on {listen.address}: there is no certificate for its TLS")
        if listen.auth != "none" and rules.users is None:
            raise ListenError(f"cannot listen on {listen.address}: there are no users for its AUTH")
        return rules

    def _open(self, place: _Place, listen: ListenSettings) -> None:
        listener = Listener(self._host, self._rules(self._settings, listen))
        listener.open()
        self._listeners[place] = listener

    def _close_listeners(self) -> None:
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()

    def _sessions(self) -> list[Session]:
        return [guest for guest in self._host.guests.serving if isinstance(guest, Session)]

    async def _wait_for_sessions(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._host.guests.all_served(), seconds)

    async def _load_secret(self) -> str:
        known = self._spool.load_state(SECRET_STATE)
        if known is not None and known.isalnum() and len(known) == 32:
            return known.decode()
        secret = secrets.token_hex(16)
        await self._spool.save_state(SECRET_STATE, secret.encode())
        return secret


def _places(settings: Settings) -> list[tuple[_Place, ListenSettings]]:
    """Each listener with what tells it from the others: its address and, since port 0 may stand twice, its turn."""
    counts: dict[Address, int] = {}
    places = []
    for listen in settings.listen:
        counts[listen.address] = counts.get(listen.address, 0) + 1
        places.append(((listen.address, counts[listen.address]), listen))
    return places


def _bind(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Each family has its own line under `listen`, so that what is written is what is open.
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.setblocking(False)
        listening.bind((address.host, address.port))
    except OSError as exc:
        listening.close()
        raise ListenError(f"cannot listen on {address}: {exc.strerror or exc}") from exc
    return listening
