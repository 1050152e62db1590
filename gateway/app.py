"""The gateway as a whole: builds the parts, hands them to each other, starts and stops them. Alone knows everybody."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.clock import Clock, SystemClock
from gateway.config.rules import ScheduleFile
from gateway.config.settings import Address, RelaySettings, Settings
from gateway.connectivity import clockset
from gateway.connectivity.clockwatch import ClockWatch
from gateway.connectivity.monitor import Monitor
from gateway.connectivity.networkmanager import NetworkManager
from gateway.control.server import ControlServer
from gateway.courier.contract import Feed, SessionEnd
from gateway.courier.contract import Timers as CourierTimers
from gateway.courier.memory import RelayMemory
from gateway.courier.session import Nudge, run_session
from gateway.desk.desk import Desk
from gateway.dispatch.director import LINGER
from gateway.dispatch.dispatcher import Dispatcher
from gateway.errors import GatewayError
from gateway.events import Alarm, Journal, Remark
from gateway.mail.address import fold_domain
from gateway.mail.envelope import Class, Envelope
from gateway.reception.classify import classify
from gateway.reception.host import RelayOffers
from gateway.reception.local import local_head
from gateway.reception.reception import SECRET_STATE, Reception
from gateway.reception.timers import ReceptionTimers
from gateway.spool.drop import DropFolder, Dropped
from gateway.spool.spool import Spool

if TYPE_CHECKING:
    from gateway.console.console import Console
    from gateway.courier.direct import Direct

SOCKET = "control.sock"


@dataclass(frozen=True, slots=True)
class Waits:
    """Every wait of the gateway in one place, so that tests run scaled ones. Seconds."""

    reception: ReceptionTimers = field(default_factory=ReceptionTimers)
    courier: CourierTimers = field(default_factory=CourierTimers)
    linger: float = LINGER
    stop_grace: float = 10.0
    close_grace: float = 120.0


@dataclass(frozen=True, slots=True)
class _Courier:
    """The courier, in the shape in which dispatch takes it."""

    session: Callable[..., Awaitable[SessionEnd]]
    room: Callable[[RelaySettings], int]

    async def __call__(
        self, relay: RelaySettings, feed: Feed, *, link: str, interface: str | None, stop: asyncio.Event
    ) -> SessionEnd:
        return await self.session(relay, feed, link=link, interface=interface, stop=stop)


class App:
    """One running gateway over one spool. `read_files` reads both files anew and raises ConfigurationError."""

    def __init__(
        self,
        settings: Settings,
        schedule: ScheduleFile,
        *,
        journal: Journal,
        read_files: Callable[[], tuple[Settings, ScheduleFile]],
        clock: Clock | None = None,
        waits: Waits | None = None,
        credentials: Path | None = None,
        system_bus: str | None = None,
        direct: Direct | None = None,
    ) -> None:
        """`credentials`: the folder of `$CREDENTIALS_DIRECTORY` (systemd). `system_bus`: where NetworkManager is asked which
        lines are metered; None: nowhere. `direct`: who delivers directly, where the settings ask for it; by the name servers of
        this machine and port 25 unless given."""
        self.settings, self.schedule = settings, schedule
        self._journal, self._read_files = journal, read_files
        self._clock = clock if clock is not None else SystemClock()
        self._waits = waits if waits is not None else Waits()
        self._credentials, self._system_bus = credentials, system_bus
        self._memories: dict[str, tuple[RelaySettings, RelayMemory]] = {}
        self._nudge = Nudge()
        self._direct = direct
        self._stop = asyncio.Event()
        self._console: Console | None = None
        self._reopening: asyncio.Task[None] | None = None

    async def run(self, on_ready: Callable[[list[Address]], None]) -> None:
        """Serve until `stop`. `on_ready` is called with the addresses once mail is accepted.

        Raises SpoolError (locked, not writable) and OSError (an address cannot be listened on) before that.
        """
        settings = self.settings
        spool = await Spool.open(
            settings.spool,
            clock=self._clock,
            journal=self._journal,
            reserve=settings.queue.reserve,
            is_inside=self._is_inside,
        )
        try:
            await self._with_spool(spool, on_ready)
        finally:
            await spool.close()

    async def _with_spool(self, spool: Spool, on_ready: Callable[[list[Address]], None]) -> None:
        waits, settings = self._waits, self.settings
        monitor = Monitor(
            settings,
            clock=self._clock,
            journal=self._journal,
            on_change=self._link_changed,
            devices=self._network_manager if self._system_bus is not None else None,
            may_probe=lambda link: self._dispatcher.meter.may_probe(link),
            on_probed=lambda link, octets: self._dispatcher.meter.probed(link, octets),
        )
        await monitor.start()
        self._monitor = monitor
        clock_watch = ClockWatch(
            self._clock,
            spool.load_state(clockset.STATE),
            journal=self._journal,
            on_step=lambda step: self._dispatcher.clock_stepped(step),
            on_change=lambda: self._dispatcher.clock_changed(),
            on_unsaved=self._unsaved,
        )
        self._dispatcher = dispatcher = Dispatcher(
            settings,
            self.schedule,
            spool,
            monitor,
            _Courier(self._session, self._sessions_to_add),
            clock=self._clock,
            journal=self._journal,
            linger=waits.linger,
            grace=waits.close_grace,
            clock_watch=clock_watch,
        )
        clock_watch.start()
        self._reception = reception = Reception(
            settings,
            spool,
            clock=self._clock,
            journal=self._journal,
            timers=waits.reception,
            when_leaves=dispatcher.leaves,
            refuses=dispatcher.refuses,
            relay_offers=self._relay_offers,
            clock_not_set=lambda: clock_watch.earliest,
            looped=dispatcher.sessions.looped,
        )
        drop = DropFolder(
            settings.spool, spool, journal=self._journal, head=partial(self._local_head, spool), classify=self._classify
        )
        self._desk = desk = Desk(dispatcher, spool, monitor, self._clock, self._journal, self.reload, drop.take)
        control = ControlServer(settings.spool / SOCKET, desk.handle)
        self._load_state = spool.load_state
        try:
            addresses = await reception.start()
            await control.start()
            await self._open_console()
            # After the socket is there: who puts a file into the drop folder calls, and who came too early is found now.
            dropping = asyncio.create_task(drop.run(), name="drop")
            dispatching = asyncio.create_task(dispatcher.run(), name="dispatch")
            stopping = asyncio.create_task(self._stop.wait(), name="stop")
            self._say_not_in_force()
            on_ready(addresses)
            try:
                await asyncio.wait({dispatching, stopping}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                # No new client and no new session; what is in flight has its grace (DESIGN section 10, SIGTERM).
                dispatcher.stop(waits.stop_grace)
                await asyncio.gather(reception.stop(waits.stop_grace), dispatching, drop.stop())
                await dropping
                stopping.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await stopping
        finally:
            await self._close_console()
            await control.stop()
            await desk.console.close()
            clock_watch.stop()
            await monitor.stop()

    async def _open_console(self) -> None:
        """Serve the console, if there is to be one. What is wrong with it is told, and mail goes on without it."""
        settings = self.settings.console
        if settings is None:
            return
        from gateway.console.console import Console  # only who wants a console pays for it in memory

        console = Console(
            settings,
            self.settings.hostname,
            self._desk.handle,
            clock=self._clock,
            journal=self._journal,
            load_state=self._load_state,
        )
        try:
            await console.start()
        except GatewayError as exc:
            await console.stop()
            self._journal.record(Alarm("console", str(exc)))
            return
        self._console = console
        self._desk.console.accounts_changed = console.accounts_changed

    async def _close_console(self) -> None:
        if self._reopening is not None:
            self._reopening.cancel()
            await asyncio.gather(self._reopening, return_exceptions=True)
        console, self._console = self._console, None
        if console is not None:
            await console.stop()

    async def _reopen_console(self) -> None:
        console, self._console = self._console, None
        if console is not None:
            await console.stop()
        await self._open_console()

    @property
    def console_notice(self) -> str | None:
        """Where the console is, and the one-time code while nobody has set a password; None without a console."""
        if self._console is None:
            return None
        code = self._console.code
        wanted = f"; no password is set yet, the one-time code for it is {code}" if code is not None else ""
        return f"console {self._console.url}{wanted}"

    def ask(self, operation: str, arguments: dict[str, Any]) -> AsyncIterator[Any]:
        """An operation of `control`, asked from within; only while it runs."""
        return self._desk.handle(operation, arguments)

    def stop(self) -> None:
        """Begin to end; `run` returns when all that was in flight is settled."""
        self._stop.set()

    def reload(self) -> None:
        """Read both files and put them in force. Raises ConfigurationError with all mistakes; then the old stay."""
        settings, schedule = self._read_files()
        if settings.spool != self.settings.spool:
            raise GatewayError(f"the spool cannot change while the gateway runs: it is {self.settings.spool}")
        Reception.check(settings)  # certificate, key and users are read before anything changes
        has_other_console = _console_of(settings) != _console_of(self.settings)
        self.settings, self.schedule = settings, schedule
        self._monitor.replace(settings)
        self._dispatcher.replace(settings, schedule)
        self._reception.replace(settings)
        if has_other_console and self._reopening is None:
            self._reopening = asyncio.create_task(self._reopen_console(), name="console")
            self._reopening.add_done_callback(self._reopened)
        self._journal.record(Remark("reload", "both files were read and are in force"))
        self._say_not_in_force()

    def _reopened(self, task: asyncio.Task[None]) -> None:
        self._reopening = None
        if not task.cancelled() and task.exception() is not None:
            self._journal.record(Alarm("console", f"it could not be opened anew: {task.exception()}"))

    def _say_not_in_force(self) -> None:
        waiting = [*self.settings.not_in_force, *self.schedule.not_in_force]
        if waiting:
            keys = ", ".join(str(key) for key in waiting)
            self._journal.record(Remark("configuration", f"not in force yet: {keys}"))
        if not self.settings.relays:
            waits = "Offline mail waits" if self.settings.delivery_online == "direct" else "mail is accepted and waits"
            self._journal.record(Alarm("relay", f"no relay configured: {waits}"))

    def _network_manager(self, on_change: Callable[[], None]) -> NetworkManager:
        assert self._system_bus is not None
        return NetworkManager(self._system_bus, journal=self._journal, on_change=on_change)

    def _is_inside(self, address: str) -> bool:
        """Is this recipient's mail for the server of the branch itself?"""
        domain = fold_domain(address.rpartition("@")[2])
        return any(domain == fold_domain(inside) for inside in self.settings.accept.domains)

    def _relay_offers(self) -> RelayOffers | None:
        """What the first relay said it can carry, when it was last met."""
        for relay in self.settings.relays[:1]:
            offers = self._dispatcher.experience.offers.get(relay.name)
            if offers is not None:
                return RelayOffers(smtputf8=offers.smtputf8, size=offers.size)
        return None

    def _local_head(self, spool: Spool, item: str, dropped: Dropped) -> bytes:
        secret = (spool.load_state(SECRET_STATE) or b"").decode("ascii", "replace")
        now = self._clock.now()
        return local_head(item, hostname=self.settings.hostname, secret=secret, user=dropped.user, now=now)

    def _classify(self, envelope: Envelope, header: bytes) -> Class:
        return classify(self.settings.classes, envelope, header)

    def _link_changed(self) -> None:
        if hasattr(self, "_dispatcher"):
            self._dispatcher.lines.changed()
            self._nudge.poke()

    def _unsaved(self) -> None:
        if hasattr(self, "_dispatcher"):
            self._dispatcher.wake()

    def _sessions_to_add(self, relay: RelaySettings) -> int:
        if relay.direct:
            return 0 if self._direct is None else self._direct.room(relay.host)
        known, memory = self._memories.get(relay.name, (None, None))
        return max(0, memory.useful_sessions - memory.open_sessions) if memory is not None and known == relay else 0

    async def _session(
        self, relay: RelaySettings, feed: Feed, *, link: str, interface: str | None, stop: asyncio.Event
    ) -> SessionEnd:
        del link
        if relay.direct:
            return await self._directly().session(
                relay.host,
                feed,
                hostname=self.settings.hostname,
                timers=self._waits.courier,
                interface=interface,
                stop=stop,
                nudge=self._nudge,
            )
        known, memory = self._memories.get(relay.name, (None, RelayMemory()))
        if known != relay:
            memory = RelayMemory()
            self._memories[relay.name] = (relay, memory)
        return await run_session(
            relay,
            feed,
            hostname=self.settings.hostname,
            timers=self._waits.courier,
            interface=interface,
            stop=stop,
            memory=memory,
            credentials=self._credentials,
            nudge=self._nudge,
        )

    def _directly(self) -> Direct:
        if self._direct is None:
            from gateway.courier.direct import Direct  # with dnspython, some 6.5 MB that only direct delivery needs
            from gateway.courier.names import Resolver

            self._direct = Direct(Resolver())
        return self._direct


def _console_of(settings: Settings) -> tuple[Address, tuple[Path, Path] | None] | None:
    """What makes a console another one: its address and its certificate, not the line at which they stand."""
    console = settings.console
    if console is None:
        return None
    tls = console.certificate
    return console.address, None if tls is None else (tls.certificate, tls.key)
