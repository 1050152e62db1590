"""What is known of one link at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gateway.config.settings import LinkKind
from gateway.connectivity.devices import DeviceFacts


@dataclass(frozen=True, slots=True)
class LinkState:
    """`up`: carrier, address and route are there, so that a session may be tried. `usable` (permanent links): `auto` may call
    it Online. `relay_answers`: what probes and sessions showed, None where nobody asked. `since`: of `up` and `usable`.
    `try_again_at`: a link that failed is given another session then. `device`: the kernel's interface behind it, which of
    `interface: default` is the one that the way to the relay leads out of; None where there is none. `kind_said_by`: who says
    what kind it is. `told`: what NetworkManager and ModemManager say of the device, None where they say nothing; a state that
    differs only in that is no other."""

    name: str
    kind: LinkKind
    interface: str
    carrier: bool
    has_route: bool
    up: bool
    usable: bool
    why: str
    since: float
    relay_answers: bool | None = None
    addresses: tuple[str, ...] = ()
    try_again_at: float | None = None
    device: str | None = None
    kind_said_by: Literal["file", "NetworkManager"] = "file"
    told: DeviceFacts | None = field(default=None, compare=False)
