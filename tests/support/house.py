"""A dispatcher over a real spool and a fake courier, whose sessions are scripts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from gateway.clock import SystemClock
from gateway.config.rules import ScheduleFile
from gateway.config.settings import LinkSettings, QueueSettings, RelaySettings, Settings
from gateway.connectivity.monitor import Monitor
from gateway.courier.capabilities import Capabilities
from gateway.courier.contract import Feed, SessionEnd
from gateway.dispatch.dispatcher import Dispatcher
from gateway.events import Event, Journal
from gateway.mail.envelope import Class, Envelope, Peer, Recipient
from gateway.mail.outcome import Deferred, Delivered, Reply
from gateway.spool.spool import Spool

ISP = RelaySettings("isp", "127.0.0.1", 2525, tls="none")
OFFERS = Capabilities(pipelining=True)
TAKEN = Delivered(Reply(250, "2.0.0 taken"))
LATER = Deferred("451 4.7.1 greylisted", Reply(451, "4.7.1 greylisted"))
DONE = SessionEnd("done", "the relay took all", reached=True)

Script = Callable[[int, Feed], Awaitable[SessionEnd]]


class FakeCourier:
    """Runs `script(number of the session, feed)`; `useful` as the courier's own measurement would say."""

    def __init__(self, script: Script, useful: int = 1) -> None:
        self._script, self._useful = script, useful
        self.started = 0
        self.running = 0
        self.most = 0

    def room(self, relay: RelaySettings) -> int:
        return max(0, self._useful - self.running)

    async def __call__(
        self, relay: RelaySettings, feed: Feed, *, link: str, interface: str | None, stop: asyncio.Event
    ) -> SessionEnd:
        self.started += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await self._script(self.started, feed)
        finally:
            self.running -= 1


class House:
    """A dispatcher over a real spool and this courier, Online, with one relay on loopback."""

    def __init__(
        self, folder: Path, courier: FakeCourier, queue: QueueSettings | None = None, grace: float = 120.0
    ) -> None:
        self.folder, self.courier, self.grace = folder, courier, grace
        self.settings = Settings(
            None,
            "gw.branch.example",
            folder / "spool",
            mode="online",
            relays=(ISP,),
            links=(LinkSettings(speed=33_600.0),),
            queue=queue or QueueSettings(),
        )
        self.events: list[Event] = []

    async def __aenter__(self) -> House:
        self.journal = Journal()
        self.journal.subscribe(self.events.append)
        clock = SystemClock()
        self.spool = await Spool.open(self.settings.spool, clock=clock, journal=self.journal, reserve=0)
        self.monitor = Monitor(self.settings, clock=clock, journal=self.journal, on_change=lambda: None)
        await self.monitor.start()
        self.dispatcher = Dispatcher(
            self.settings,
            ScheduleFile(),
            self.spool,
            self.monitor,
            self.courier,
            clock=clock,
            journal=self.journal,
            linger=0.0,
            grace=self.grace,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self.dispatcher.stop(0.1)
        await self.running
        await self.monitor.stop()
        await self.spool.close()

    def run(self) -> None:
        self.running = asyncio.create_task(self.dispatcher.run())

    async def message(self, name: str, message_class: Class = "normal", size: int = 100) -> str:
        draft = self.spool.draft([lambda item: b"Received: by gw\r\n"])
        await draft.write(b"Subject: " + name.encode() + b"\r\n\r\n" + b"x" * size)
        envelope = Envelope("anna@branch.example", (Recipient("ops@hq.example"),))
        entry = await self.spool.commit(draft, envelope, message_class=message_class, peer=Peer())
        return entry.id

    def has_started(self, number: int) -> bool:
        return self.courier.started >= number

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.005)


async def take_all(number: int, feed: Feed) -> SessionEnd:
    while (shipment := await feed.take(OFFERS)) is not None:
        await feed.on_wire([shipment.id])
        feed.settle(shipment.id, [TAKEN])
    return DONE
