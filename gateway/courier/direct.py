"""Takes mail straight to the hosts of its domain (`delivery.online: direct`): looks them up, and tries them in order.

When it is done, and what is done where it fails, is the caller's. Encryption is opportunistic: a host that strangers send to
can be asked for no certificate that we know, so any will do, and none rather than no mail (RFC 7435).
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
from collections import OrderedDict
from collections.abc import Callable, Iterator, MutableSequence
from typing import Protocol

from gateway.config.settings import RelaySettings
from gateway.courier.capabilities import Capabilities
from gateway.courier.contract import Feed, SessionEnd, Timers
from gateway.courier.entry import Door
from gateway.courier.memory import RelayMemory
from gateway.courier.mx import (
    Addresses,
    Direction,
    Exchanger,
    Exchangers,
    NotNow,
    Ours,
    Own,
    Target,
    Targets,
    Undeliverable,
    direction,
    exchangers_to_ask,
)
from gateway.courier.session import Nudge, run_through
from gateway.mail.address import fold_domain
from gateway.mail.outcome import Failed, Reply

MAX_HOSTS = 200
"""Hosts of which something is remembered; each costs some 20 kB once it was met with encryption."""

SESSIONS_A_DOMAIN = 2
"""At once: enough to hide a round trip, too few for anybody's limit."""


class Names(Protocol):
    """The name service. Neither raises anything but CancelledError."""

    async def exchangers(self, domain: str) -> Exchangers: ...

    async def addresses(self, host: str) -> Addresses: ...


class Direct:
    """Sessions with domains. Remembers hosts, not mail: forgetting costs time."""

    def __init__(
        self,
        names: Names,
        *,
        port: int = 25,
        is_own: Callable[[str], bool] | None = None,
        usable: Callable[[str], bool] | None = None,
        shuffle: Callable[[MutableSequence[Exchanger]], object] = random.shuffle,
    ) -> None:
        """`is_own(address)`: is it this machine's? `usable(address)`: may it be anybody's? Both are the kernel's and the
        registry's word unless given."""
        self._names, self._port = names, port
        self._is_own, self._usable, self._shuffle = is_own or is_of_this_machine, usable, shuffle
        self._memories: OrderedDict[str, RelayMemory] = OrderedDict()
        self._talking: dict[str, RelayMemory] = {}  # by domain, of the host that a session is with

    def room(self, domain: str) -> int:
        """How many more sessions with a domain would pay, as the one that runs has measured."""
        memory = self._talking.get(domain)
        return 0 if memory is None else max(0, min(SESSIONS_A_DOMAIN, memory.useful_sessions) - memory.open_sessions)

    async def session(
        self,
        domain: str,
        feed: Feed,
        *,
        hostname: str,
        timers: Timers,
        interface: str | None = None,
        stop: asyncio.Event | None = None,
        nudge: Nudge | None = None,
    ) -> SessionEnd:
        """As `run_session`, and two more ends: `names`, `loop`. What can never be delivered is taken from the feed and
        settled as failed, without any connection."""
        found = await self._find(domain, hostname)
        if stop is not None and stop.is_set():
            return SessionEnd("done", "sending was stopped before a connection was made")
        match found:
            case Targets(hosts):
                doors = self._doors(domain, hosts, hostname, timers, interface)
                try:
                    return await run_through(
                        domain, doors, feed, timers=timers, interface=interface, stop=stop, nudge=nudge
                    )
                finally:
                    self._talking.pop(domain, None)
            case Undeliverable(reply):
                return await _refuse(domain, feed, reply, stop)
            case NotNow(why):
                return SessionEnd("names", why)
            case Ours(why):
                return SessionEnd("loop", f"{why}; if it is ours, accept.domains lacks it", alarm=True)

    async def _find(self, domain: str, hostname: str) -> Direction:
        own = Own(frozenset({fold_domain(hostname)}))
        literal = _literal(domain)
        found: Exchangers
        if literal is not None:
            found, addresses = (Exchanger(0, domain),), {domain: (literal,)}
        else:
            found, addresses = await self._names.exchangers(domain), {}
        asked = [e.host for e in exchangers_to_ask(domain, found, own) if e.host not in addresses]
        answers = await asyncio.gather(*(self._names.addresses(host) for host in asked))
        known: dict[str, Addresses] = {**addresses, **dict(zip(asked, answers, strict=True))}
        all_addresses = {a for at in known.values() if isinstance(at, tuple) for a in at}
        own = Own(own.names, frozenset(filter(self._is_own, all_addresses)))
        return direction(domain, found, known, own, self._shuffle, usable=self._usable)

    def _doors(
        self, domain: str, hosts: tuple[Target, ...], hostname: str, timers: Timers, interface: str | None
    ) -> Iterator[Door]:
        """One after another, as long as none lets us in. Where encryption failed, the same host again without it."""
        for host in hosts:
            memory = self._memory(host)
            relay = RelaySettings(host.host, host.host, self._port, tls="opportunistic", direct=True)
            for _ in range(2):
                door = Door(relay, memory, hostname=hostname, timers=timers, interface=interface, credentials=None)
                self._talking[domain] = memory
                yield door
                if not door.gave_up_tls:
                    break

    def _memory(self, target: Target) -> RelayMemory:
        memory = self._memories.setdefault(target.host, RelayMemory())
        self._memories.move_to_end(target.host)
        while len(self._memories) > MAX_HOSTS:
            self._memories.popitem(last=False)
        family = {4: socket.AF_INET, 6: socket.AF_INET6}
        memory.addresses = tuple(
            (family[ipaddress.ip_address(address).version], (address, self._port)) for address in target.addresses
        )
        memory.addresses_at = asyncio.get_running_loop().time()
        return memory


async def _refuse(domain: str, feed: Feed, reply: Reply, stop: asyncio.Event | None) -> SessionEnd:
    offers = Capabilities(peer="")
    while (stop is None or not stop.is_set()) and (shipment := await feed.take(offers)) is not None:
        feed.settle(shipment.id, [Failed(reply) for _ in shipment.envelope.recipients])
    return SessionEnd("done", f"{reply.text.partition(' ')[2]}; nothing is sent to {domain}")


def _literal(domain: str) -> str | None:
    """The address in `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 4.1.3): no name is to be looked up."""
    if not domain.startswith("["):
        return None
    inner = domain[1:-1]
    return inner[5:] if inner[:5].lower() == "ipv6:" else inner


def is_of_this_machine(address: str) -> bool:
    """Does the kernel send what is for this address from the same one? Asking sends nothing. The loopback net, which is
    everybody's, does not count."""
    known = ipaddress.ip_address(address)
    if known.is_loopback:
        return False
    family = socket.AF_INET6 if known.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.connect((address, 9))
        except OSError:
            return False
        return ipaddress.ip_address(str(sock.getsockname()[0]).partition("%")[0]) == known
