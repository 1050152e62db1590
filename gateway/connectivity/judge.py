"""Is a link's line there: carrier, address, route? Pure, from what the kernel said (DESIGN section 6)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.connectivity.kernel import ANYWHERE, Kernel, KernelFacts

DEFAULT = "default"
"""The `interface:` of a link that is up when the kernel has a route to the relay."""


@dataclass(frozen=True, slots=True)
class Line:
    """`why` says in a few words what is missing, or that nothing is. `device`: the interface that packets leave by."""

    carrier: bool
    has_route: bool
    why: str
    addresses: tuple[str, ...] = ()
    device: str | None = None

    @property
    def up(self) -> bool:
        return self.carrier and self.has_route


def judge_line(
    interface: str, hosts: Sequence[str], facts: KernelFacts, kernel: Kernel, others: Mapping[str, str] | None = None
) -> Line:
    """`hosts`: of the relays that this link may use, in order, as configured. `others`: interfaces that are no way for a link
    over the default route, since they are lines that cost; and by the name of which link."""
    if interface == DEFAULT:
        return _default(hosts, facts, kernel, others or {})
    found = facts.interfaces.get(interface)
    if found is None:
        return Line(False, False, f"there is no interface {interface}")
    if not found.carrier:
        return Line(False, False, f"{interface} has no carrier", found.addresses, interface)
    if not found.addresses:
        return Line(True, False, f"{interface} has no address", device=interface)
    leads_out = interface in facts.default_routes or any(
        kernel.route(address) == interface for host in hosts for address in _addresses(host, kernel)
    )
    why = "there is a route" if leads_out else f"no route over {interface}"
    return Line(True, leads_out, why, found.addresses, interface)


def _default(hosts: Sequence[str], facts: KernelFacts, kernel: Kernel, others: Mapping[str, str]) -> Line:
    """Up by the way to a relay whose address is known; to a name by a default route, since a look-up would be a packet.

    While a modem is connected its pppd has often moved the default route to it. It is the modem's line then, and not this one:
    else the call for a window would make the gateway Online, and probes would go over it.
    """
    taken: list[str] = []  # interfaces of other links
    dark: list[str] = []  # interfaces that routes lead to and that have no carrier
    for host in hosts or ("",):
        addresses = _addresses(host, kernel)
        ways = {kernel.route(address) for address in addresses} if addresses else set(facts.default_routes)
        if not addresses and len(ways) > 1 and (preferred := kernel.route(ANYWHERE)) in others:
            ways = {preferred}
        for way in sorted(way for way in ways if way is not None):
            if way in others:
                taken.append(way)
                continue
            if facts.has_carrier(way):
                return Line(True, True, f"there is a route over {way}", facts.interfaces[way].addresses, way)
            dark.append(way)
    if taken:
        return Line(True, False, f"the route leads over {taken[0]}, the line of {others[taken[0]]}", device=taken[0])
    if dark:
        return Line(False, True, f"{dark[0]} has no carrier", device=dark[0])
    return Line(True, False, f"no route to {hosts[0]}" if hosts else "no route")


def _addresses(host: str, kernel: Kernel) -> tuple[str, ...]:
    literal = host.removeprefix("[").removesuffix("]").partition("%")[0]
    try:
        return (str(ipaddress.ip_address(literal)),)
    except ValueError:
        return kernel.known_addresses(host) if host else ()
