"""A gateway without a process of its own: dispatcher, spool and monitor as they are over a clock of the test's, with real
sessions to a scripted relay, or with a courier that does as told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gateway.config.rules import ScheduleFile
from gateway.config.settings import ModeName, QueueSettings, RelaySettings, Settings
from gateway.connectivity.monitor import Monitor
from gateway.control.rows import QueueRow
from gateway.courier import RelayMemory, run_session
from gateway.courier.contract import Feed, SessionEnd
from gateway.desk.view import queue_row
from gateway.dispatch.dispatcher import Dispatcher
from gateway.dispatch.sessions import RunSession
from gateway.events import Event, Journal, SessionEnded
from gateway.mail.envelope import Class, Envelope, Peer, Recipient
from gateway.spool.spool import Spool
from tests.support.clock import FakeClock
from tests.support.relay import Relay
from tests.support.sending import QUICK

ONE = ("bob@dest.test",)


class Courier:
    """Real sessions with one relay."""

    def __init__(self) -> None:
        self.memory = RelayMemory()

    async def __call__(
        self, relay: RelaySettings, feed: Feed, *, link: str, interface: str | None, stop: asyncio.Event
    ) -> SessionEnd:
        return await run_session(relay, feed, hostname="gw.test", timers=QUICK, stop=stop, memory=self.memory)

    def room(self, relay: RelaySettings) -> int:
        return 0


@dataclass
class Branch:
    """See the module. `start` begins the sending."""

    spool: Spool
    dispatcher: Dispatcher
    clock: FakeClock
    events: list[Event] = field(default_factory=list)

    running: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.running = asyncio.create_task(self.dispatcher.run())

    async def later(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.dispatcher.reconsider()
        for _ in range(5):
            await asyncio.sleep(0)

    def reload(self, **relay: Any) -> None:
        """Other settings of its only relay, as read from a changed file."""
        settings = self.dispatcher.settings
        changed = replace(settings, relays=(replace(settings.relays[0], **relay),))
        self.dispatcher.replace(changed, self.dispatcher.timetable.schedule)

    async def hand_in(self, to: tuple[str, ...] = ONE, size: int = 500, message_class: Class = "normal") -> str:
        draft = self.spool.draft([lambda item: b"Received: by gw.test\r\n"])
        await draft.write(f"Subject: order {draft.id}\r\n\r\n".encode() + (b"x" * 70 + b"\r\n") * (size // 72 + 1))
        envelope = Envelope("anna@branch.test", tuple(Recipient(address) for address in to))
        return (await self.spool.commit(draft, envelope, message_class=message_class, peer=Peer())).id

    def count(self, *kinds: type[Event]) -> int:
        return sum(isinstance(event, kinds) for event in self.events)

    @property
    def is_quiet(self) -> bool:
        sessions = self.dispatcher.sessions
        return not (
            sessions.sending
            or sessions.have_mail
            or any(lane.tasks for lane in sessions._lanes.values())
            or self.dispatcher._settler.unsettled
            or self.dispatcher.teller.is_about_to_tell
            or any(entry.claimed or entry.untold for entry in self.spool.entries.values())
        )

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.002)

    async def settled(self, sessions: int) -> None:
        await self.until(lambda: self.count(SessionEnded) >= sessions and self.is_quiet)

    async def empty(self) -> None:
        """Nothing is left, and all of it is told."""
        await self.until(lambda: not self.spool.entries and not self.dispatcher._settler.unsettled)

    async def rows(self) -> list[QueueRow]:
        records = [await self.spool.record(item) for item in sorted(self.spool.entries)]
        return [queue_row(record, self.dispatcher.situation()) for record in records if record.service != "report"]


@asynccontextmanager
async def a_branch(
    folder: Path,
    *relays: Relay,
    courier: RunSession | None = None,
    mode: ModeName = "online",
    schedule: ScheduleFile | None = None,
    clock: FakeClock | None = None,
    **target: Any,
) -> AsyncIterator[Branch]:
    """`relays` in order; `target`: what is said of each in the settings besides host and port. Begins with `start`."""
    journal, clock = Journal(), clock or FakeClock()
    events: list[Event] = []
    journal.subscribe(events.append)
    named = [{"host": relay.host, "port": relay.port, "tls": "none"} | target for relay in relays]
    named = named or [{"host": "127.0.0.1", "tls": "none"}]
    settings = Settings(
        None,
        "gw.test",
        folder / "spool",
        mode=mode,
        relays=tuple(RelaySettings(f"relay{n}" if n else "isp", **how) for n, how in enumerate(named)),
        queue=QueueSettings(),
    )
    spool = await Spool.open(settings.spool, clock=clock, journal=journal, reserve=0)
    started: list[Dispatcher] = []
    monitor = Monitor(
        settings, clock=clock, journal=journal, on_change=lambda: started[0].lines.changed() if started else None
    )
    await monitor.start()
    dispatcher = Dispatcher(
        settings,
        schedule or ScheduleFile(),
        spool,
        monitor,
        courier or Courier(),
        clock=clock,
        journal=journal,
        linger=0.0,
    )
    started.append(dispatcher)
    branch = Branch(spool, dispatcher, clock, events)
    try:
        yield branch
    finally:
        dispatcher.stop(0.1)
        if branch.running is not None:
            await branch.running
        await monitor.stop()
        await spool.close()
