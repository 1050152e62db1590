"""Who may connect and who may send what to whom: pure decisions over settings and what is known of the client (P13).

What is not expressly allowed is refused, so that a mistake in the configuration closes and never opens.
"""

from __future__ import annotations

import ipaddress
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from gateway.config.settings import LineEndings, Network
from gateway.mail.address import Path, fold_domain
from gateway.reception import replies
from gateway.reception.classify import matches

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Standing:
    """What a client is to us. `listed`: its address is in `accept.networks`; `user`: the name it signed in with."""

    listed: bool = False
    user: str | None = None

    @property
    def may_relay(self) -> bool:
        return self.listed or self.user is not None


def client_address(peername: object) -> IpAddress | None:
    """The address of a socket's peer; an IPv4 address mapped into IPv6 is that IPv4 address. None if it is no IP."""
    if not isinstance(peername, tuple) or not peername or not isinstance(peername[0], str):
        return None
    return _address_of(peername[0])


@lru_cache(maxsize=256)
def _address_of(text: str) -> IpAddress | None:
    """Devices come again and again."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def origin_of(address: IpAddress | None) -> str:
    """What a stranger is counted by: his address, or its /64, since an IPv6 client has a whole one to come from."""
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def is_within(networks: Sequence[Network], address: IpAddress | None) -> bool:
    """True if the address lies in one of the networks. No address lies in none."""
    return address is not None and any(address in network for network in networks)


def repairs(rule: LineEndings, standing: Standing) -> bool:
    """True if wrong line endings from this client are mended, False if they are refused."""
    return rule == "repair" or (rule == "auto" and standing.may_relay)


def judge_sender(path: Path, standing: Standing, senders: Literal["any", "own"], own: Sequence[str]) -> bytes | None:
    """The refusal of this reverse-path, or None. `own`: the signed-in user's addresses, as patterns.

    The null reverse-path is nobody's: reports and vacation notes leave with it (RFC 5321 4.5.5).
    """
    if senders == "any" or standing.user is None or not path.address:
        return None
    return None if any(matches(pattern, path.address) for pattern in own) else replies.NOT_YOUR_ADDRESS


def judge_recipient(path: Path, standing: Standing, domains: frozenset[str]) -> bytes | None:
    """The refusal of this recipient, or None. `domains`: `accept.domains`, folded to lower case.

    The address is judged exactly as it will be sent on: for those who may not relay anywhere a route, a `%`, a `!` or
    an `@` in the local part is another way to write somebody else's address, whatever its domain says; and so is a letter that
    a server further on may take for one of these signs (a full-width `@`).
    """
    if standing.may_relay:
        return None
    local = path.local if path.local.isascii() else unicodedata.normalize("NFKC", path.local)
    if path.routed or not path.domain or any(sign in local for sign in "%!@"):
        return replies.RELAY_DENIED
    if fold_domain(path.domain) not in domains:
        return replies.RELAY_DENIED
    return None
