"""A kernel whose interfaces, addresses and routes are what the test says, and which tells of changes like the real one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gateway.connectivity.kernel import Interface, KernelFacts


class FakeKernel:
    """Implements `Kernel`. Changes are told to the monitor at once, if `events` was given to it; `silently` keeps one back,
    as the real kernel does with the loss of a default route."""

    def __init__(self) -> None:
        self._interfaces: dict[str, Interface] = {"lo": Interface("lo", True, ("127.0.0.1", "::1"))}
        self._defaults: set[str] = set()
        self._routes: dict[str, str] = {"127.0.0.1": "lo", "::1": "lo"}
        self.hosts: dict[str, tuple[str, ...]] = {"localhost": ("127.0.0.1",)}
        self.servers: tuple[str, ...] = ()
        self.listeners: list[Callable[[], None]] = []
        self.is_silent = False

    # -- what the monitor asks --------------------------------------------------------------------------------------

    def facts(self) -> KernelFacts:
        return KernelFacts(dict(self._interfaces), frozenset(self._defaults))

    def route(self, address: str) -> str | None:
        if address in self._routes:
            return self._routes[address]
        return sorted(self._defaults)[0] if self._defaults else None

    def known_addresses(self, host: str) -> tuple[str, ...]:
        return self.hosts.get(host, ())

    def nameservers(self) -> tuple[str, ...]:
        return self.servers

    def events(self, on_change: Callable[[], None]) -> FakeEvents:
        """For the monitor's argument `events`."""
        return FakeEvents(self, on_change)

    # -- what the test does -------------------------------------------------------------------------------------------

    def add(self, name: str, *addresses: str, carrier: bool = True, default: bool = True) -> None:
        self._interfaces[name] = Interface(name, carrier, addresses)
        if default:
            self._defaults.add(name)
        self._tell()

    def remove(self, name: str) -> None:
        self._interfaces.pop(name, None)
        self._defaults.discard(name)
        self._tell()

    def carrier(self, name: str, there: bool) -> None:
        self._interfaces[name] = replace(self._interfaces[name], carrier=there)
        self._tell()

    def default_route(self, name: str, there: bool) -> None:
        (self._defaults.add if there else self._defaults.discard)(name)
        self._tell()

    def route_over(self, address: str, name: str | None) -> None:
        if name is None:
            self._routes.pop(address, None)
        else:
            self._routes[address] = name
        self._tell()

    def _tell(self) -> None:
        if not self.is_silent:
            for listener in tuple(self.listeners):
                listener()


class FakeEvents:
    """The events' side of it."""

    def __init__(self, kernel: FakeKernel, on_change: Callable[[], None]) -> None:
        self._kernel, self._on_change = kernel, on_change

    def start(self) -> bool:
        self._kernel.listeners.append(self._on_change)
        return True

    def stop(self) -> None:
        if self._on_change in self._kernel.listeners:
            self._kernel.listeners.remove(self._on_change)
