"""Direct delivery through the whole gateway: from the client's 250 to the hosts of the domains, by a name server of our own."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from gateway.app import App, Waits
from gateway.config.rules import ScheduleFile
from gateway.config.settings import Address, ListenSettings, QueueSettings, RelaySettings, Settings
from gateway.courier.direct import Direct
from gateway.courier.names import Resolver
from gateway.events import Alarm, DeliveredTo, Event, FailedTo, Journal, Remark
from tests.support.gateway import letter
from tests.support.nameserver import SERVFAIL, NameServer, Zone
from tests.support.relay import Relay, Say
from tests.support.sending import QUICK


@dataclass
class House:
    """A running gateway that delivers directly, on the loop of the test."""

    app: App
    names: NameServer
    port: int
    events: list[Event] = field(default_factory=list)

    async def hand_in(self, *to: str, sender: str = "anna@branch.test") -> str:
        def talk() -> str:
            with smtplib.SMTP("127.0.0.1", self.port, local_hostname="pc", timeout=30) as client:
                client.ehlo()
                client.mail(sender)
                for recipient in to:
                    client.rcpt(recipient)
                _, reply = client.data(letter())
                return reply.decode().split("queued as ")[1].split()[0].rstrip(";,")

        return await asyncio.to_thread(talk)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.01)

    async def ask(self, operation: str, **arguments: Any) -> list[Any]:
        return [msgspec.to_builtins(row) async for row in self.app.ask(operation, arguments)]

    def happened(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@asynccontextmanager
async def house(
    folder: Path, zone: Zone, host: Relay, relay: Relay | None = None, queue: QueueSettings | None = None
) -> AsyncIterator[House]:
    """Every domain's hosts listen on the port of `host`."""
    relays = () if relay is None else (RelaySettings("isp", "127.0.0.1", relay.port, tls="none"),)
    settings = Settings(
        None,
        "gw.branch.test",
        folder / "spool",
        mode="online",
        listen=(ListenSettings(Address("127.0.0.1", 0)),),
        relays=relays,
        delivery_online="direct",
        queue=queue or QueueSettings(reserve=0),
    )
    with NameServer(zone) as names:
        direct = Direct(
            Resolver(["127.0.0.1"], names.port),
            port=host.port,
            is_own=lambda address: False,
            usable=lambda address: True,
        )
        journal = Journal()
        app = App(
            settings,
            ScheduleFile(),
            journal=journal,
            read_files=lambda: (settings, ScheduleFile()),
            waits=Waits(courier=QUICK, linger=0.2, stop_grace=0.2),
            direct=direct,
        )
        made = House(app, names, 0)
        journal.subscribe(made.events.append)
        ready = asyncio.Event()

        def is_ready(addresses: list[Address]) -> None:
            made.port = addresses[0].port
            ready.set()

        running = asyncio.create_task(app.run(is_ready))
        await ready.wait()
        try:
            yield made
        finally:
            app.stop()
            await running


def test_each_domain_gets_its_recipients_from_its_own_host_and_no_relay_sees_them(tmp_path: Path) -> None:
    zone = {
        "one.test MX": ["10 dead.one.test.", "20 mx.one.test."],
        "dead.one.test A": ["127.0.0.9"],
        "mx.one.test A": ["127.0.0.1"],
        "two.test A": ["127.0.0.1"],
    }

    async def check() -> None:
        async with Relay() as host, Relay() as relay, house(tmp_path, zone, host, relay) as gateway:
            item = await gateway.hand_in("a@one.test", "b@two.test", "c@ONE.test")
            await gateway.until(lambda: len(gateway.happened(DeliveredTo)) == 3)
            assert sorted(sorted(m.recipients) for m in host.messages) == [["a@one.test", "c@ONE.test"], ["b@two.test"]]
            assert not relay.messages
            assert {(e.id, e.to, e.relay) for e in gateway.happened(DeliveredTo)} == {
                (item, "a@one.test", "mx.one.test"),
                (item, "c@ONE.test", "mx.one.test"),
                (item, "b@two.test", "two.test"),
            }

    asyncio.run(check())


def test_what_no_host_of_the_domain_takes_goes_through_the_relay_and_explain_says_so(tmp_path: Path) -> None:
    zone = {"blocked.test MX": ["10 mx.blocked.test."], "mx.blocked.test A": ["127.0.0.1"]}

    async def check() -> None:
        may_answer = asyncio.Event()
        async with (
            Relay({"CONNECT": "554 5.7.1 no mail from dynamic addresses"}) as host,
            Relay({".": Say("250 2.0.0 taken", after=may_answer)}) as relay,
            house(tmp_path, zone, host, relay) as gateway,
        ):
            item = await gateway.hand_in("a@blocked.test")
            await gateway.until(lambda: relay.visits and "BDAT" in relay.visits[0].verbs)
            [explained] = await gateway.ask("explain", id=item)
            checks = {check["name"]: (check["state"], check["text"]) for check in explained["checks"]}
            assert checks["direct"][0] == "wait"
            assert "554 5.7.1 no mail from dynamic addresses" in checks["direct"][1]
            assert checks["relay"] == ("ok", f"isp (127.0.0.1:{relay.port})")
            may_answer.set()
            await gateway.until(lambda: gateway.happened(DeliveredTo))
            assert gateway.happened(DeliveredTo)[0].relay == "isp"
            assert "its mail goes through a relay until" in gateway.happened(Remark)[-1].what
            assert not gateway.happened(Alarm)
            assert not host.messages

    asyncio.run(check())


def test_a_host_that_refuses_us_for_what_we_are_holds_the_mail_until_its_next_try_by_a_relay(tmp_path: Path) -> None:
    zone = {"picky.test A": ["127.0.0.1"]}
    queue = QueueSettings(retry_interval=0.3, retry_ceiling=60.0, reserve=0)

    async def check() -> None:
        picky = Relay({"RCPT": lambda line: "550 5.7.1 residential address"})
        async with picky as host, Relay() as relay, house(tmp_path, zone, host, relay, queue) as gateway:
            await gateway.hand_in("a@picky.test")
            await gateway.until(lambda: relay.messages or gateway.happened(FailedTo))
            assert not gateway.happened(FailedTo)
            assert not gateway.happened(Alarm)

    asyncio.run(check())


def test_a_domain_that_does_not_exist_and_one_that_takes_no_mail_are_reported_at_once(tmp_path: Path) -> None:
    zone = {"null.test MX": ["0 ."], "branch.test A": ["127.0.0.1"]}

    async def check() -> None:
        async with Relay() as host, house(tmp_path, zone, host) as gateway:
            await gateway.hand_in("a@nosuch.test", "b@null.test")
            await gateway.until(lambda: len(gateway.happened(FailedTo)) == 2)
            assert {(e.to, e.reason[:9].strip(), e.relay) for e in gateway.happened(FailedTo)} == {
                ("a@nosuch.test", "550 5.1.2", None),
                ("b@null.test", "556 5.1.1", None),
            }
            await gateway.until(lambda: host.messages)
            report = host.messages[0]
            assert (report.sender, report.recipients) == ("", ["anna@branch.test"])
            assert all(status in report.octets for status in (b"Status: 5.1.2\r\n", b"Status: 5.1.10\r\n"))
            assert b"Remote-MTA" not in report.octets

    asyncio.run(check())


def test_a_name_service_in_trouble_keeps_the_mail_and_no_relay_is_asked_at_first(tmp_path: Path) -> None:
    zone = {"away.test MX": SERVFAIL}

    async def check() -> None:
        async with Relay() as host, Relay() as relay, house(tmp_path, zone, host, relay) as gateway:
            item = await gateway.hand_in("a@away.test")

            async def row() -> Any:
                return (await gateway.ask("queue"))[0]

            while (await row())["next_try"]["kind"] != "time":
                await asyncio.sleep(0.02)
            assert "away.test cannot be looked up now: the name service fails" in (await row())["status"]
            assert not relay.visits
            gateway.names.zone = {"away.test A": ["127.0.0.1"]}
            await gateway.ask("try", ids=[item])
            await gateway.until(lambda: host.messages)

    asyncio.run(check())
