"""The monitor of the links: gathers the kernel's facts, probes and sessions' ends, and says what is up and usable.

Outside probes on permanent links it puts no packet on any line (DESIGN section 6, Silence).
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from gateway.clock import Clock
from gateway.config.settings import LinkSettings, RelaySettings, Settings
from gateway.connectivity.hysteresis import USABLE, Line, Sign, step
from gateway.connectivity.kernel import Kernel, LinuxKernel
from gateway.connectivity.netlink import KernelEvents
from gateway.connectivity.probe import probe
from gateway.connectivity.state import LinkState
from gateway.events import Journal, LinkChanged

Prober = Callable[[RelaySettings, str], Awaitable[str | None]]


@dataclass(slots=True)
class _Watch:
    """What is kept of one link."""

    settings: LinkSettings
    state: LinkState
    line: Line = Line.UNKNOWN
    why: str = ""
    try_again_at: float | None = None
    task: asyncio.Task[None] | None = None
    again: asyncio.TimerHandle | None = field(default=None)


class Monitor:
    """`states` is always current; `on_change` is called after every change of it."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        journal: Journal,
        on_change: Callable[[], None],
        kernel: Kernel | None = None,
        prober: Prober = probe,
    ) -> None:
        self._settings, self._clock, self._journal = settings, clock, journal
        self._on_change = on_change
        self._kernel: Kernel = kernel if kernel is not None else LinuxKernel()
        self._prober = prober
        self._events = KernelEvents(self.look)
        self._watches: dict[str, _Watch] = {}
        self._started = False
        self._make_watches()

    @property
    def states(self) -> tuple[LinkState, ...]:
        """In order of preference."""
        return tuple(watch.state for watch in self._watches.values())

    async def start(self) -> None:
        self._started = True
        self._events.start()
        self.look()
        self._start_probes()

    async def stop(self) -> None:
        self._started = False
        self._events.stop()
        await self._end_tasks(list(self._watches.values()))

    def replace(self, settings: Settings) -> None:
        """A reload: what is known of links that did not change is kept."""
        before = self._watches
        self._settings, self._watches = settings, {}
        self._make_watches()
        ended = []
        for name, watch in before.items():
            if name in self._watches and watch.settings == self._watches[name].settings:
                self._watches[name] = watch
            else:
                ended.append(watch)
        for watch in ended:
            self._end(watch)
        self._start_probes()
        self.look()

    def session_succeeded(self, link: str, relay: str) -> None:
        """A real session got its answers: that counts more than any probe."""
        del relay
        self._sign(link, Sign.SESSION_OK, "a session succeeded", None)

    def session_failed(self, link: str, relay: str, why: str, try_again_at: float | None) -> None:
        """A real session failed on the line. A link that is not probed is usable again at `try_again_at`."""
        del relay
        self._sign(link, Sign.SESSION_FAILED, why, try_again_at)

    def look(self) -> None:
        """Read the kernel's facts again. A carrier that came back gives a link that failed another chance."""
        changed = False
        for watch in self._watches.values():
            was_up = watch.state.up
            changed = self._judge(watch) or changed
            if watch.state.up and not was_up and watch.line is Line.SILENT:
                watch.line, watch.try_again_at = step(watch.line, Sign.AGAIN), None
                self._judge(watch)
                changed = True
        if changed:
            self._on_change()

    # -- signs --------------------------------------------------------------------------------------------------

    def _sign(self, link: str, sign: Sign, why: str, try_again_at: float | None) -> None:
        watch = self._watches.get(link)
        if watch is None:
            return  # a reload took the link away while its session ended
        watch.line, watch.why = step(watch.line, sign), why
        if watch.again is not None:
            watch.again.cancel()
            watch.again = None
        watch.try_again_at = try_again_at if watch.line not in USABLE and watch.settings.probe is None else None
        if watch.try_again_at is not None and self._started:
            delay = max(0.0, watch.try_again_at - self._clock.now())
            watch.again = asyncio.get_running_loop().call_later(delay, self._again, watch)
        if self._judge(watch):
            self._on_change()

    def _again(self, watch: _Watch) -> None:
        watch.again, watch.try_again_at = None, None
        watch.line, watch.why = step(watch.line, Sign.AGAIN), "tried again"
        if self._judge(watch):
            self._on_change()

    # -- judging ------------------------------------------------------------------------------------------------

    def _judge(self, watch: _Watch) -> bool:
        """Work out the state from facts and signs; True if it changed."""
        settings, before = watch.settings, watch.state
        carrier, has_route, why = self._facts(settings)
        up = carrier and has_route
        usable = up and watch.line in USABLE and not (settings.probe is not None and watch.line is Line.UNKNOWN)
        if up:
            why = watch.why if watch.line not in (Line.UNKNOWN, Line.ANSWERS) and watch.why else watch.line.value
            if watch.line is Line.UNKNOWN:
                why = "waiting for the first probe" if settings.probe is not None else "there is a route"
        changed = (up, usable) != (before.up, before.usable)
        state = replace(
            before,
            carrier=carrier,
            has_route=has_route,
            up=up,
            usable=usable,
            why=why,
            since=self._clock.now() if changed else before.since,
            relay_answers=None if watch.line is Line.UNKNOWN else watch.line in USABLE,
            try_again_at=watch.try_again_at,
        )
        watch.state = state
        if changed:
            word = "up" if up and (usable or settings.kind != "permanent") else "down"
            self._journal.record(LinkChanged(settings.name, word, why))
        return state != before

    def _facts(self, settings: LinkSettings) -> tuple[bool, bool, str]:
        """Carrier, route, and why not."""
        if settings.interface == "default":
            if self._reaches_a_relay(settings):
                return True, True, "there is a route"
            return True, False, "no route to the relay"
        if not self._kernel.carrier(settings.interface):
            return False, False, f"{settings.interface} has no carrier"
        if not self._kernel.has_address(settings.interface):
            return True, False, f"{settings.interface} has no address"
        if not self._kernel.has_default_route(settings.interface) and not self._reaches_a_relay(settings):
            return True, False, f"no route over {settings.interface}"
        return True, True, "there is a route"

    def _reaches_a_relay(self, settings: LinkSettings) -> bool:
        """A relay given by address is asked for by its route; a name by the default route, since a look-up is a packet."""
        relays = self._relays(settings)
        if not relays:
            return self._kernel.has_default_route(None)
        return any(self._reaches(relay.host) for relay in relays)

    def _reaches(self, host: str) -> bool:
        if host == "localhost":
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return self._kernel.has_default_route(None)
        return self._kernel.reaches(host)

    def _relays(self, settings: LinkSettings) -> tuple[RelaySettings, ...]:
        named = tuple(relay for relay in self._settings.relays if relay.name == settings.relay)
        return named or self._settings.relays

    # -- probes -------------------------------------------------------------------------------------------------

    def _start_probes(self) -> None:
        if not self._started:
            return
        for watch in self._watches.values():
            settings = watch.settings
            if settings.kind == "permanent" and settings.probe is not None and watch.task is None:
                watch.task = asyncio.create_task(self._probing(watch, settings.probe), name=f"probe {settings.name}")

    async def _probing(self, watch: _Watch, interval: float) -> None:
        """Probe in turn the relays of the link until one answers; while one failed probe is doubted, ask again sooner."""
        while True:
            if watch.state.up and (relays := self._relays(watch.settings)):
                failed: str | None = None
                for relay in relays:
                    failed = await self._prober(relay, self._settings.hostname)
                    if failed is None:
                        break
                sign = Sign.PROBE_OK if failed is None else Sign.PROBE_FAILED
                self._sign(watch.settings.name, sign, failed or "a probe succeeded", None)
            soon = watch.line in (Line.DOUBTED, Line.RETURNING)
            await asyncio.sleep(min(interval, max(1.0, interval / 4)) if soon else interval)

    def _make_watches(self) -> None:
        for settings in self._settings.links:
            state = LinkState(
                settings.name,
                settings.kind,
                settings.interface,
                carrier=False,
                has_route=False,
                up=False,
                usable=False,
                why="not looked at yet",
                since=self._clock.now(),
            )
            self._watches[settings.name] = watch = _Watch(settings, state)
            self._judge(watch)

    def _end(self, watch: _Watch) -> None:
        if watch.again is not None:
            watch.again.cancel()
        if watch.task is not None:
            watch.task.cancel()

    async def _end_tasks(self, watches: list[_Watch]) -> None:
        for watch in watches:
            self._end(watch)
        tasks = [watch.task for watch in watches if watch.task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)
