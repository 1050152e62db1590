"""From what the name service said of a domain to the hosts that take its mail, in order (RFC 5321 5.1, RFC 7505). Pure.

Plain values in, plain values out; who asks, and how long an answer is kept, is `names`'s.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Mapping, MutableSequence
from dataclasses import dataclass

from gateway.mail.address import fold_domain
from gateway.mail.outcome import Reply

MAX_EXCHANGERS = 8
"""Hosts of a domain that are looked up, best first; whoever names more has more than we need."""

MAX_TARGETS = 6
"""Addresses tried in one session: each dead one costs the time-out of a connection."""

UNPROVEN = "does not exist, if one may believe the name service, which shows no proof"

NULL = "."
"""The host of a null MX: the domain takes no mail (RFC 7505)."""


@dataclass(frozen=True, slots=True)
class Exchanger:
    """One MX record. `host` in ASCII without a dot at its end; `NULL` is the root itself."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """The name service answered: there is no such name, or (`exists`) nothing of this kind at it.

    `proven`: the answer came with the SOA of its zone, as RFC 2308 wants it. Resolvers that are cut off say no to everything,
    and without it; what they say must not end anybody's mail.
    """

    exists: bool
    proven: bool = True


@dataclass(frozen=True, slots=True)
class Silence:
    """The name service did not answer, or not with an answer; `why` completes "example.com …"."""

    why: str


Exchangers = tuple[Exchanger, ...] | Nothing | Silence
Addresses = tuple[str, ...] | Nothing | Silence
"""IP addresses as text, at least one."""


@dataclass(frozen=True, slots=True)
class Own:
    """What is ourselves: names folded to lower case, and addresses of this machine."""

    names: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Target:
    """A host to be tried, at these addresses in turn."""

    host: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Targets:
    """To be tried in order until one lets us in; at least one, `MAX_TARGETS` addresses in all."""

    hosts: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """No mail for this domain ever leaves us: what its senders are told."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class NotNow:
    """Nobody can say now where its mail goes; a plain sentence."""

    why: str


@dataclass(frozen=True, slots=True)
class Ours:
    """Its mail would come back to ourselves; a plain sentence."""

    why: str


Direction = Targets | Undeliverable | NotNow | Ours


def exchangers_to_ask(domain: str, found: Exchangers, own: Own) -> tuple[Exchanger, ...]:
    """Whose addresses must be known: the MX of the domain, best first, or, where it has none, the domain itself.

    What follows a host with our name is left out: it would only bring the mail back to us (RFC 5321 5.1).
    """
    if isinstance(found, Silence) or (isinstance(found, Nothing) and not found.exists):
        return ()
    return _named(domain, found, own)[:MAX_EXCHANGERS]


def _named(domain: str, found: tuple[Exchanger, ...] | Nothing, own: Own) -> tuple[Exchanger, ...]:
    named = (Exchanger(0, domain),) if isinstance(found, Nothing) else found
    best = sorted((e for e in named if e.host != NULL), key=lambda e: e.preference)
    ours = min((e.preference for e in best if fold_domain(e.host) in own.names), default=None)
    return tuple(e for e in best if ours is None or e.preference < ours)


def direction(
    domain: str,
    found: Exchangers,
    addresses: Mapping[str, Addresses],
    own: Own,
    shuffle: Callable[[MutableSequence[Exchanger]], object],
    *,
    usable: Callable[[str], bool] | None = None,
) -> Direction:
    """Where mail for the domain goes. `addresses`: by host, of those that `exchangers_to_ask` names. `shuffle`: mixes hosts
    of equal preference, in place (RFC 5321 5.1). `usable(address)`: may it be the address of somebody else at all?"""
    if isinstance(found, Silence):
        return NotNow(f"{domain} {found.why}")
    if isinstance(found, Nothing) and not found.exists:
        if not found.proven:
            return NotNow(f"{domain} {UNPROVEN}")
        return Undeliverable(Reply(550, f"5.1.2 The domain {domain} does not exist"))
    if isinstance(found, tuple) and found and all(e.host == NULL for e in found):
        return Undeliverable(Reply(556, f"5.1.10 The domain {domain} takes no mail (null MX)"))
    hosts = exchangers_to_ask(domain, found, own)
    if not hosts:
        return Ours(f"mail for {domain} would come back to us: this machine is its best MX")
    at_us = [e.preference for e in hosts if _is_at(addresses[e.host], own.addresses)]
    if at_us:
        hosts = tuple(e for e in hosts if e.preference < min(at_us))
        if not hosts:
            return Ours(f"mail for {domain} would come back to us: its best MX has an address of this machine")
    way = _targets(domain, _mixed(hosts, shuffle), addresses, usable or _is_usable)
    if isinstance(way, Undeliverable) and len(_named(domain, found, own)) > MAX_EXCHANGERS:
        # Those that nobody was asked about may have an address: our bound ends nobody's mail.
        return NotNow(f"none of the first {MAX_EXCHANGERS} servers for mail of {domain} has a usable address")
    return way


def _targets(
    domain: str,
    hosts: tuple[Exchanger, ...],
    addresses: Mapping[str, Addresses],
    usable: Callable[[str], bool],
) -> Direction:
    targets: list[Target] = []
    room = MAX_TARGETS
    silent: Silence | None = None
    for exchanger in hosts:
        at = addresses[exchanger.host]
        if isinstance(at, Silence):
            silent = silent or at
        elif isinstance(at, Nothing) and not at.proven:
            silent = silent or Silence("has no address, if one may believe the name service, which shows no proof")
        elif isinstance(at, tuple) and room:
            # Addresses of the older kind first: where both work, small senders are turned away more often by the newer.
            good = sorted(filter(usable, at), key=lambda address: ":" in address)[: min(room, MAX_TARGETS - 2)]
            if good:
                targets.append(Target(exchanger.host, tuple(good)))
                room -= len(good)
    if targets:
        return Targets(tuple(targets))
    if silent is not None:
        return NotNow(f"{hosts[0].host}, which takes mail for {domain}, {silent.why}")
    if len(hosts) == 1 and hosts[0].host == domain:
        return Undeliverable(Reply(550, f"5.1.2 The domain {domain} has no server for mail"))
    return Undeliverable(Reply(550, f"5.4.4 The servers for mail of {domain} have no usable address"))


def _mixed(
    hosts: tuple[Exchanger, ...], shuffle: Callable[[MutableSequence[Exchanger]], object]
) -> tuple[Exchanger, ...]:
    mixed = list(hosts)
    shuffle(mixed)
    return tuple(sorted(mixed, key=lambda e: e.preference))


def _is_at(found: Addresses, addresses: Collection[str]) -> bool:
    return isinstance(found, tuple) and any(address in addresses for address in found)


def _is_usable(address: str) -> bool:
    """False for what means every machine itself, everybody or nobody: a domain can say so and be nowhere all the same."""
    known = ipaddress.ip_address(address)
    return not (known.is_loopback or known.is_unspecified or known.is_multicast or known.is_reserved)
