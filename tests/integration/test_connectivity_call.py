"""A call as the gateway makes it: the dialler raises an interface, and the monitor sees it by the kernel's word."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.clock import SystemClock
from gateway.config.settings import DialSettings, LinkSettings, RelaySettings, Settings
from gateway.connectivity.dial import Dialler, DialWaits
from gateway.connectivity.monitor import Monitor
from gateway.errors import NotNow
from gateway.events import Dialled, Event, Journal
from tests.support import namespaces
from tests.support.namespaces import Namespaces

UP = (
    "sh -c 'ip link add $TIDEGATE_INTERFACE type veth peer name isp0; ip link set isp0 up;"
    " ip link set $TIDEGATE_INTERFACE up;"
    " ip addr add 10.5.0.2/24 dev $TIDEGATE_INTERFACE; ip route add default dev $TIDEGATE_INTERFACE'"
)
DOWN = "ip link del ppp0"


@pytest.fixture
def branch() -> Iterator[Namespaces]:
    with namespaces.made("tc", ipv6=True) as both:
        yield both


def office(up: str, journal: Journal, within: float = 5.0) -> tuple[Monitor, Dialler]:
    dial = DialSettings(tuple(shlex.split(up)), tuple(shlex.split(DOWN)), within=within)
    link = LinkSettings("modem", "ppp0", "dialled", dial=dial)
    relay = RelaySettings("isp", "smtp.isp.example", tls="none")
    settings = Settings(None, "gw.example", Path("spool"), links=(link,), relays=(relay,))

    async def save(octets: bytes) -> None:
        assert octets

    monitor = Monitor(settings, clock=SystemClock(), journal=journal, on_change=lambda: dialler.link_changed())
    dialler = Dialler(
        settings.links,
        None,
        clock=SystemClock(),
        journal=journal,
        zone=ZoneInfo("UTC"),
        is_up=lambda name: any(state.name == name and state.up for state in monitor.states),
        save=save,
        waits=DialWaits(down=5.0, gone=2.0, patience=1.0),
    )
    return monitor, dialler


def test_a_line_that_a_command_raises_is_seen_used_and_gone_again(branch: Namespaces) -> None:
    events: list[Event] = []

    async def main() -> None:
        journal = Journal()
        journal.subscribe(events.append)
        monitor, dialler = office(UP, journal)
        await monitor.start()
        try:
            assert not monitor.states[0].up
            await dialler.raise_line("modem")
            assert monitor.states[0].up
            assert monitor.states[0].addresses == ("10.5.0.2",)
            await dialler.hang_up("modem", "the session is done")
            assert not monitor.states[0].up
            assert monitor.states[0].why == "there is no interface ppp0"
        finally:
            await dialler.stop()
            await monitor.stop()

    branch.inside(lambda: asyncio.run(main()))
    told = [event.state for event in events if isinstance(event, Dialled)]
    assert told == ["dialling", "up", "hanging up", "down"]


def test_a_command_that_raises_half_a_line_is_found_out_and_cleared_away(branch: Namespaces) -> None:
    half = "sh -c 'ip link add ppp0 type veth peer name isp0; ip link set isp0 up; ip link set ppp0 up'"  # no address

    async def main() -> None:
        monitor, dialler = office(half, Journal(), within=1.0)
        await monitor.start()
        try:
            with pytest.raises(NotNow, match="did not come up within 1 s"):
                await dialler.raise_line("modem")
            async with asyncio.timeout(5):
                while monitor.states[0].carrier:  # the kernel's word comes through the loop
                    await asyncio.sleep(0.01)
            assert not dialler.is_raised("modem")
        finally:
            await monitor.stop()

    branch.inside(lambda: asyncio.run(main()))
