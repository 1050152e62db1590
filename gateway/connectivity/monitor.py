"""The monitor of the links: gathers the kernel's facts, probes and sessions' ends, and says what is up and usable.

Outside probes on permanent links it puts no packet on any line (DESIGN section 6, Silence). What follows from the facts is
`watch`'s and `hysteresis`'s; which mode follows, `mode`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Literal, Protocol

from gateway.clock import Clock
from gateway.config.settings import LinkSettings, RelaySettings, Settings
from gateway.connectivity.devices import DeviceFacts
from gateway.connectivity.hysteresis import Belief, Sign
from gateway.connectivity.judge import DEFAULT, judge_line
from gateway.connectivity.kernel import Kernel, LinuxKernel
from gateway.connectivity.netlink import KernelEvents
from gateway.connectivity.probe import Probed, Question, probe
from gateway.connectivity.state import LinkState
from gateway.connectivity.watch import Watch
from gateway.events import Alarm, Journal, LinkChanged
from gateway.lookup import SocketAddress

Prober = Callable[[Question], Awaitable[Probed]]
"""Asks a relay whether it answers."""


class Devices(Protocol):
    """What programs that look after the network say of its devices (`NetworkManager`)."""

    def facts(self, interface: str) -> DeviceFacts | None: ...

    async def start(self) -> None:
        """Returns when there is a first answer, or none is to be expected."""
        ...

    def ask(self) -> None:
        """Begin anew if they were lost."""
        ...

    async def stop(self) -> None: ...


class Events(Protocol):
    """Word of the kernel that something changed; `start` is False where it cannot be heard."""

    def start(self) -> bool: ...

    def stop(self) -> None: ...


DEAF_INTERVAL = 30.0
"""Seconds between looks where the kernel's events cannot be heard (a sandbox without rtnetlink)."""


class Monitor:
    """`states` is always current; `on_change` is called, in the loop, after every change of it."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        journal: Journal,
        on_change: Callable[[], None],
        kernel: Kernel | None = None,
        prober: Prober = probe,
        events: Callable[[Callable[[], None]], Events] = KernelEvents,
        devices: Callable[[Callable[[], None]], Devices] | None = None,
        may_probe: Callable[[str], bool] = lambda link: True,
        on_probed: Callable[[str, int], None] = lambda link, octets: None,
    ) -> None:
        """`devices`: who says which lines are metered; None where nobody is asked. `may_probe(link)`: is there a budget for it;
        `on_probed(link, octets)`: so much was put on the line."""
        self._settings, self._clock, self._journal = settings, clock, journal
        self._on_change = on_change
        self._kernel: Kernel = kernel if kernel is not None else LinuxKernel()
        self._prober, self._may_probe, self._on_probed = prober, may_probe, on_probed
        self._events = events(self.look)
        self._devices = devices(self._judge_all) if devices is not None else None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._wakes: dict[str, asyncio.Event] = {}
        self._addresses: dict[str, tuple[SocketAddress, ...]] = {}  # of relays that were asked, by host
        self._timer: asyncio.TimerHandle | None = None
        self._deaf: asyncio.Task[None] | None = None
        self._started = False
        self._watches = self._make_watches()
        self._look()

    @property
    def states(self) -> tuple[LinkState, ...]:
        """In order of preference."""
        return tuple(watch.state for watch in self._watches.values())

    async def start(self) -> None:
        """Hear the kernel and probe. The first facts are there when this returns, and `on_change` was called for them."""
        if self._devices is not None:
            await self._devices.start()
        self._started = True
        if not self._events.start():
            self._deaf = asyncio.create_task(self._look_now_and_then())
        self._look()
        self._start_probes()
        self._arm()
        self._on_change()

    async def stop(self) -> None:
        self._started = False
        self._events.stop()
        if self._devices is not None:
            await self._devices.stop()
        if self._timer is not None:
            self._timer.cancel()
        tasks = [*self._tasks.values(), *([self._deaf] if self._deaf is not None else [])]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def replace(self, settings: Settings) -> None:
        """A reload: what is known of links and relays that did not change is kept."""
        before = self._watches
        self._settings = settings
        self._watches = self._make_watches()
        for name, watch in self._watches.items():
            former = before.get(name)
            if former is not None and former.settings == watch.settings:
                watch.inherit(former)
        for name in [*self._tasks]:
            self._tasks.pop(name).cancel()
        if self._devices is not None:
            self._devices.ask()
        self._look()
        self._start_probes()
        self._arm()
        self._on_change()

    def session_succeeded(self, link: str, relay: str) -> None:
        """A real session got its answers: that counts more than any probe."""
        self._session(link, relay, Sign.SESSION_OK, "a session succeeded", None)

    def session_failed(self, link: str, relay: str, why: str, try_again_at: float | None) -> None:
        """A real session failed on the line. A link that is not probed is usable again at `try_again_at` (wall clock; the
        retry interval from now where it is None)."""
        if try_again_at is None:
            try_again_at = self._clock.now() + self._settings.queue.retry_interval
        self._session(link, relay, Sign.SESSION_FAILED, why, try_again_at)

    def session_doubted(self, link: str, relay: str) -> None:
        """Somebody answered a real session and did not encrypt as our relay does: perhaps a portal in its place. Where the link
        is probed, it is asked for its certificate at once, and until it shows the right one; elsewhere it has answered."""
        watch = self._watches.get(link)
        if watch is not None and watch.is_probed:
            watch.doubted.add(relay)
            self._wake(watch)
        else:
            self.session_succeeded(link, relay)

    def link_event(self, interface: str, state: Literal["up", "down"]) -> tuple[str, ...]:
        """A hook's word on an interface (`tidegate link event`). Returns the names of the links over it.

        The kernel's facts are read again. Up: what failed is tried again at once. Down, where the kernel sees nothing of it:
        a permanent link is not used until a probe succeeds or the retry interval is over.
        """
        facts = self._kernel.facts()
        concerned = [
            watch
            for watch in self._watches.values()
            if watch.settings.interface == interface
            or (watch.settings.interface == DEFAULT and (state == "up" or interface in facts.default_routes))
        ]
        for watch in concerned:
            if state == "up":
                watch.give_another_chance()
                self._wake(watch)
            else:
                again = self._clock.now() + self._settings.queue.retry_interval
                watch.distrust(f"a hook said that {interface} is down", again)
        self.look()
        return tuple(watch.settings.name for watch in concerned)

    def clock_stepped(self, seconds: float) -> None:
        """The wall clock jumped: a link that failed is not kept waiting for an instant that has moved away (P7)."""
        for watch in self._watches.values():
            watch.state = replace(watch.state, since=watch.state.since + seconds)
        if seconds < 0:
            latest = self._clock.now() + min(self._settings.queue.retry_interval, 3600.0)
            for watch in self._watches.values():
                watch.clock_stepped_back(latest)
        self.time_passed()

    def look(self) -> None:
        """Read the kernel's facts again, and say so if anything follows from them."""
        if self._look():
            self._on_change()
        self._arm()

    # -- signs --------------------------------------------------------------------------------------------------

    def _session(self, link: str, relay: str, sign: Sign, why: str, try_again_at: float | None) -> None:
        watch = self._watches.get(link)
        if watch is None:
            return  # a reload took the link away while its session ended
        watch.heard_at = self._clock.monotonic()
        watch.sign(relay, sign, why, try_again_at)
        self._judge_all()

    def _look(self) -> bool:
        try:
            facts = self._kernel.facts()
            costly = {
                watch.settings.interface: name
                for name, watch in self._watches.items()
                if watch.kind != "permanent" and watch.settings.interface != DEFAULT
            }
            lines = [
                judge_line(
                    watch.settings.interface,
                    [relay.host for relay in watch.relays],
                    facts,
                    self._kernel,
                    costly if watch.settings.kind == "permanent" else None,
                )
                for watch in self._watches.values()
            ]
        except OSError as exc:  # no descriptor is left: what was known last stands until the next word
            self._journal.record(Alarm("links", f"the kernel cannot be asked: {exc.strerror or exc}"))
            return False
        changed = False
        for watch, line in zip(self._watches.values(), lines, strict=True):
            if watch.look(line, self._clock.monotonic()):
                self._wake(watch)
            changed = self._judge(watch) or changed
        return changed

    def _judge_all(self) -> None:
        changed = [self._judge(watch) for watch in self._watches.values()]
        if any(changed):
            self._on_change()
        self._arm()

    def _judge(self, watch: Watch) -> bool:
        """Work out the state from facts and signs; True if it changed in anything."""
        before = watch.state
        watch.told = self._devices.facts(watch.device) if self._devices is not None else None
        state, changed = watch.judge(self._clock.now(), self._clock.monotonic())
        if changed and state.kind != before.kind:
            self._wake(watch)
        if changed:
            word = "up" if state.up and (state.usable or state.kind != "permanent") else "down"
            self._journal.record(LinkChanged(state.name, word, state.why))
        return state != before

    # -- time -----------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """One timer for the next moment at which time alone changes a state."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._started:
            return
        now, monotonic = self._clock.now(), self._clock.monotonic()
        waits = [w for watch in self._watches.values() if (w := watch.next_moment(now, monotonic)) is not None]
        if waits:
            # A moment longer, so that it has come by either clock; never longer than an hour, in case the clock is set.
            delay = min(min(waits) + 0.01, 3600.0)
            self._timer = asyncio.get_running_loop().call_later(delay, self.time_passed)

    def time_passed(self) -> None:
        """The moment is there at which a link that failed is given another chance, or one that fell is trusted again."""
        for watch in self._watches.values():
            watch.give_another_chance(self._clock.now())
        self._judge_all()

    async def _look_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(DEAF_INTERVAL)
            self.look()

    # -- probes ---------------------------------------------------------------------------------------------------

    def _start_probes(self) -> None:
        if not self._started:
            return
        for name, watch in self._watches.items():
            if watch.is_probed and name not in self._tasks:
                self._wakes[name] = asyncio.Event()
                self._tasks[name] = asyncio.create_task(self._probing(watch), name=f"probe {name}")

    def _wake(self, watch: Watch) -> None:
        """Probe at once: the line has come back."""
        if (wake := self._wakes.get(watch.settings.name)) is not None:
            wake.set()

    async def _probing(self, watch: Watch) -> None:
        """While the line is up and idle, ask its relays in turn until one answers; while they waver, ask again sooner."""
        interval = watch.settings.probe
        wake = self._wakes[watch.settings.name]
        assert interval is not None
        while True:
            wake.clear()
            # NetworkManager may call a line metered that the file says nothing of: then nothing is asked over it (Silence).
            if watch.state.up and watch.kind == "permanent":
                if self._may_probe(watch.settings.name):  # else what is believed stands until there is a budget again
                    await self._probe_relays(watch)
                delay: float | None = max(1.0, interval / 4) if watch.is_wavering else interval
            else:
                delay = None  # the kernel, or NetworkManager, will say when there is anything to ask
            while delay is not None and delay > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        await wake.wait()
                # A session that ended meanwhile said more than a probe could: the line is not idle.
                heard = watch.heard_at
                delay = 0.0 if wake.is_set() or heard is None else heard + interval - self._clock.monotonic()
            if delay is None:
                await wake.wait()

    async def _probe_relays(self, watch: Watch) -> None:
        settings = watch.settings
        interface = None if settings.interface == DEFAULT else settings.interface
        for relay in watch.relays:
            if watch.kind != "permanent":
                return  # it became one that costs while the one before was asked
            # A certificate costs a handshake: asked for where an answer would be news, and may be somebody else's.
            is_news = watch.belief(relay.name) is not Belief.ANSWERS or relay.name in watch.doubted
            question = Question(
                relay,
                self._settings.hostname,
                interface,
                certificate=is_news,
                known=self._addresses.get(relay.host, ()),
                may_look_up=self._may_look_up(),
            )
            try:
                probed = await self._prober(question)
                failed = probed.failed
                self._on_probed(settings.name, probed.octets)
                if probed.addresses:
                    self._addresses[relay.host] = probed.addresses
            except Exception as exc:  # the top of a worker's loop: a probe that breaks is a probe that failed
                failed = f"{relay.host} could not be asked ({type(exc).__name__}: {exc})"
            if not watch.state.up:
                return  # it fell meanwhile; what the probe met is the fall
            sign = Sign.PROBE_OK if failed is None else Sign.PROBE_FAILED
            if failed is None:
                watch.doubted.discard(relay.name)
            watch.sign(relay.name, sign, failed or "the relay answers")
            self._judge_all()
            if failed is None:
                return

    def _may_look_up(self) -> bool:
        """The question for a name is a packet, too, and may leave by another line than the probe: not by one that costs (DESIGN
        section 6, Silence)."""
        costly = {watch.device for watch in self._watches.values() if watch.state.up and watch.kind != "permanent"}
        return not costly or not any(self._kernel.route(server) in costly for server in self._kernel.nameservers())

    # -- parts ----------------------------------------------------------------------------------------------------

    def _make_watches(self) -> dict[str, Watch]:
        now = self._clock.now()
        return {link.name: Watch(link, self._relays(link), now) for link in self._settings.links}

    def _relays(self, link: LinkSettings) -> Sequence[RelaySettings]:
        """Those that this link may use: its own, else all in order."""
        return [relay for relay in self._settings.relays if relay.name == link.relay] or self._settings.relays
