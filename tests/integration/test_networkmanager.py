"""What NetworkManager and ModemManager say, over a bus of the test's own; the whole gateway with them, and without any."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from dbus_fast import Message, Variant
from dbus_fast.aio.message_bus import MessageBus

from gateway.connectivity.devices import DeviceFacts
from gateway.connectivity.networkmanager import NetworkManager
from gateway.events import Event, Journal, Remark
from tests.support import messagebus
from tests.support.fakenetworkmanager import (
    DEVICE_PATH,
    GUESS_NO,
    MM,
    NM,
    PROPERTIES,
    UNKNOWN,
    YES,
    FakeNetworkManager,
    NetworkManagerThread,
)
from tests.support.gateway import Gateway, eventually, letter
from tests.support.relaythread import RelayThread

LTE = DeviceFacts(True, "Vodafone CZ", 63, "LTE")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    messagebus.require()
    with messagebus.message_bus(tmp_path) as address:
        yield address


class Asking:
    """Somebody who asks, and what he was told."""

    def __init__(self, address: str) -> None:
        self.events: list[Event] = []
        self.changes = 0
        journal = Journal()
        journal.subscribe(self.events.append)
        self.network = NetworkManager(address, journal=journal, on_change=self.changed)

    def changed(self) -> None:
        self.changes += 1

    @property
    def lte(self) -> DeviceFacts | None:
        return self.network.facts("wwan0")

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def asking(address: str) -> AsyncIterator[Asking]:
    made = Asking(address)
    await made.network.start()
    try:
        yield made
    finally:
        await made.network.stop()


def test_the_first_answer_is_there_when_the_start_returns_and_changes_are_told(address: str) -> None:
    async def check() -> None:
        async with FakeNetworkManager(address, "wwan0") as fake, asking(address) as office:
            assert office.lte == LTE
            assert office.network.facts("cdc-wdm0") == LTE
            assert office.network.facts("eth0") is None
            reads = len(fake.asked)
            await fake.say_metered(GUESS_NO)
            await office.until(lambda: office.lte is not None and office.lte.metered is False)
            await fake.say_metered(UNKNOWN)
            await office.until(lambda: office.lte is not None and office.lte.metered is None)
            await fake.say_signal(12)
            await office.until(lambda: office.lte is not None and office.lte.signal == 12)
            assert len(fake.asked) == reads  # a signal says all: nothing is asked for again
            await fake.unplug()
            await office.until(lambda: office.lte is not None and office.lte.metered is None)
            assert office.events == []

    asyncio.run(check())


def test_who_goes_away_has_said_what_stands_and_is_asked_again_when_he_returns(address: str) -> None:
    async def check() -> None:
        async with FakeNetworkManager(address, "ppp0") as fake, asking(address) as office:
            assert office.network.facts("ppp0") == LTE
            await fake.leave(MM)
            await fake.leave(NM)
            await office.until(lambda: office.network.facts("ppp0") == DeviceFacts(True))
            fake.device["Metered"] = Variant("u", GUESS_NO)
            await fake.come(NM)
            await office.until(lambda: office.network.facts("ppp0") == DeviceFacts(False))
            await fake.come(MM)
            await office.until(lambda: office.network.facts("ppp0") == DeviceFacts(False, *_modem(LTE)))

    asyncio.run(check())


def _modem(facts: DeviceFacts) -> tuple[str | None, int | None, str | None]:
    return facts.operator, facts.signal, facts.access


def test_nobody_on_the_bus_is_no_trouble_and_who_comes_later_is_heard(address: str) -> None:
    async def check() -> None:
        async with asking(address) as office:
            assert office.lte is None
            assert office.events == []
            async with FakeNetworkManager(address, "wwan0"):
                await office.until(lambda: office.lte == LTE)

    asyncio.run(check())


def test_a_stranger_on_the_bus_says_nothing_that_counts(address: str) -> None:
    async def check() -> None:
        async with FakeNetworkManager(address, "wwan0") as fake, asking(address) as office:
            stranger = await MessageBus(address).connect()
            changed = {"Metered": Variant("u", GUESS_NO)}
            lie = Message.new_signal(
                DEVICE_PATH, PROPERTIES, "PropertiesChanged", "sa{sv}as", [f"{NM}.Device", changed, []]
            )
            lie.destination = ":1.3"  # sent to us alone, it passes every rule of the bus
            for number in range(1, 9):
                lie.destination = f":1.{number}"
                await stranger.send(lie)
            await fake.say_signal(12)
            await office.until(lambda: office.lte is not None and office.lte.signal == 12)
            assert office.lte == DeviceFacts(True, "Vodafone CZ", 12, "LTE")
            stranger.disconnect()
            await stranger.wait_for_disconnect()

    asyncio.run(check())


def test_a_bus_that_ends_is_said_in_one_line_and_asked_again_at_a_reload(tmp_path: Path) -> None:
    messagebus.require()

    async def check() -> None:
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(messagebus.message_bus(tmp_path))
            made = Asking(first)
            async with FakeNetworkManager(first, "wwan0"):
                await made.network.start()
            stack.close()
            await made.until(lambda: bool(made.events))
            assert made.lte is not None
            assert made.lte.metered
        assert len(made.events) == 1
        made.network.ask()  # the bus is not there: one more line
        assert [str(event.what).partition(":")[0] for event in made.events if isinstance(event, Remark)] == [
            "is not asked about metered lines",
            "is not asked about metered lines",
        ]
        (tmp_path / "bus").unlink(missing_ok=True)
        with messagebus.message_bus(tmp_path) as again:
            async with FakeNetworkManager(again, "wwan0", metered=GUESS_NO):
                made.network.ask()
                await made.until(lambda: made.lte == DeviceFacts(False, *_modem(LTE)))
                await made.network.stop()

    asyncio.run(check())


def test_without_the_package_nothing_is_said_and_without_the_bus_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def events() -> list[Event]:
        async with asking(f"unix:path={tmp_path / 'nobus'}") as office:
            assert office.lte is None
            return office.events

    assert asyncio.run(events()) == [
        Remark("NetworkManager", f"is not asked about metered lines: there is no bus at {tmp_path / 'nobus'}")
    ]
    monkeypatch.setitem(sys.modules, "dbus_fast", None)
    assert asyncio.run(events()) == []


def test_a_metered_line_that_the_file_says_nothing_of_is_offline_until_it_is_free(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay is on loopback, so the device that packets leave by is lo."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
    with (
        NetworkManagerThread(address, "lo", metered=YES) as network,
        RelayThread() as relay,
        Gateway(tmp_path / "gw", relay.settings, "timezone: UTC\n") as gateway,
    ):
        item = gateway.hand_in(letter())
        status = gateway.json("status")[0]
        assert (status["mode"]["now"], status["mode"]["why"]) == ("offline", "default is metered, says NetworkManager")
        link = status["links"][0]
        assert (link["kind"], link["metered"], link["up"]) == ("metered", True, True)
        assert (link["operator"], link["signal"], link["access"]) == ("Vodafone CZ", 63, "LTE")
        assert "Vodafone CZ LTE 63 %" in gateway.run("link").stdout
        assert relay.messages == []
        network.do(network.fake.say_metered(GUESS_NO))
        eventually(lambda: gateway.logged(item, "delivered"), "a free line is Online")
        assert gateway.json("link")[0]["kind"] == "permanent"
        network.do(network.fake.say_metered(YES))
        eventually(lambda: len(gateway.logged("mode ", "mode=offline")) == 2, "Offline again")
        gateway.config.write_text(gateway.config.read_text() + "links:\n  - {kind: permanent}\n")
        assert gateway.run("reload").returncode == 0
        eventually(lambda: gateway.json("status")[0]["mode"]["now"] == "online", "what the file says wins")
