"""CASES section 1, the rows about time, with the times of a real gateway: the loop's clock is ours, nothing is scaled."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.config.settings import AcceptSettings, Address, ListenSettings, Settings
from gateway.events import Journal
from gateway.reception.host import Host, Rules
from gateway.reception.session import Session
from gateway.reception.timers import ReceptionTimers
from gateway.reception.tls import server_context
from gateway.reception.users import UserRegister
from tests.support.fakespool import FakeSpool
from tests.support.servertls import make_listener_certificate
from tests.support.users import write_users
from tests.support.wire import LoopClock, StillLoop, Wire

LISTED = "192.168.7.9"
ENVELOPE = b"EHLO client.example\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\n"


class Office:
    """A listener in memory: strangers may write to e.f, `LISTED` to everybody."""

    def __init__(self, **listen: Any) -> None:
        self.loop = StillLoop()
        asyncio.set_event_loop(self.loop)
        self.spool = FakeSpool()
        clock = LoopClock(self.loop)
        self.host = Host(cast("Any", self.spool), clock, Journal(), ReceptionTimers(), secret="aaaaaaaaaaaa")
        accept = AcceptSettings(networks=(ipaddress.ip_network(LISTED),), domains=("e.f",))
        listener = ListenSettings(Address("127.0.0.1", 0), **listen)
        settings = Settings(path=None, hostname="gw.test", spool=Path("spool"), listen=(listener,), accept=accept)
        self.rules = Rules.of(settings, listener, None, None)

    def connect(self, address: str, rules: Rules | None = None) -> Wire:
        wires: list[Wire] = []
        session = Session(self.host, rules or self.rules, self.loop)
        self.loop.call_soon(lambda: wires.append(Wire(self.loop, session, address)))
        self.loop.settle()
        return wires[0]

    def send(self, wire: Wire, octets: bytes) -> None:
        self.loop.call_soon(wire.arrive, octets)
        self.loop.settle()

    def passes(self, seconds: float) -> None:
        self.loop.advance(seconds)


@pytest.fixture
def office() -> Iterator[Office]:
    office = Office()
    yield office
    office.loop.advance(10_000)
    assert len(office.host.guests) == 0
    office.loop.rewind()
    asyncio.set_event_loop(None)
    office.loop.close()


def test_s66_five_hundred_silent_connections_are_gone_after_sixty_seconds(office: Office) -> None:
    silent = [office.connect(f"198.51.{n % 10}.1") for n in range(500)]
    assert {bytes(wire.said) for wire in silent} == {b"220 gw.test ESMTP\r\n"}
    office.passes(59.9)
    assert not any(wire.is_closing() for wire in silent)
    office.passes(0.2)
    assert {bytes(wire.said).splitlines()[-1] for wire in silent} == {b"421 4.4.2 waited too long"}
    office.passes(10)  # in which a client may read why
    assert all(wire.is_lost for wire in silent)
    assert len(office.host.guests) == 0


def test_s66_a_listed_device_gets_in_while_five_hundred_are_silent(office: Office) -> None:
    silent = [office.connect(f"198.51.{n % 10}.1") for n in range(500)]
    assert office.connect("203.0.113.1").said.startswith(b"421 4.7.0 too many connections")
    device = office.connect(LISTED)
    office.send(device, ENVELOPE + b"DATA\r\nx\r\n.\r\n")
    assert b"\r\n250 2.0.0 queued as " in device.said
    assert bytes(silent[0].said).endswith(b"421 4.7.0 others are waiting\r\n")
    assert sum(wire.is_closing() or b"421" in wire.said for wire in silent) == 1


def test_s64_one_octet_a_second_in_a_command_is_421_by_sixty_seconds(office: Office) -> None:
    wire = office.connect(LISTED)
    office.passes(20)
    for _ in range(59):
        office.send(wire, b"N")
        office.passes(1)
    assert b"421" not in wire.said
    office.send(wire, b"N")
    office.passes(1)
    assert wire.said.endswith(b"421 4.4.2 waited too long\r\n")


def test_s67_a_body_of_one_octet_a_second_is_cut_and_one_of_a_kilobyte_served_to_the_end(office: Office) -> None:
    snail, walker = office.connect(LISTED), office.connect(LISTED)
    for wire in (snail, walker):
        office.send(wire, ENVELOPE + b"DATA\r\n")
    block = b"x" * 998 + b"\r\n"
    for second in range(3600):
        if not snail.is_closing():
            office.send(snail, b"x")
        office.send(walker, block)
        office.passes(1)
        if second == 61:
            assert snail.said.endswith(b"421 4.4.2 too slow\r\n")
    office.send(walker, b".\r\n")
    assert b"250 2.0.0 queued as " in walker.said
    assert [len(item.body) for item in office.spool.stored] == [3_600_000]


def test_s61_half_close_after_the_dot_with_a_flush_of_ten_minutes_is_250_and_one_copy(office: Office) -> None:
    wire = office.connect(LISTED)
    office.spool.gate = asyncio.Event()
    office.send(wire, ENVELOPE + b"DATA\r\nx\r\n.\r\n")
    office.loop.call_soon(wire.half_close)
    office.passes(600)
    assert not wire.is_closing()
    office.loop.call_soon(office.spool.gate.set)
    office.passes(1)
    assert b"\r\n250 2.0.0 queued as " in wire.said
    assert wire.is_lost
    assert len(office.spool.stored) == 1


def test_s65_who_says_ehlo_in_plain_on_the_tls_port_is_closed_at_once_and_who_is_silent_after_ten_seconds(
    office: Office, tmp_path: Path
) -> None:
    listener = ListenSettings(Address("127.0.0.1", 0), tls="implicit")
    settings = Settings(path=None, hostname="gw.test", spool=tmp_path, listen=(listener,))
    rules = Rules.of(settings, listener, server_context(make_listener_certificate(tmp_path).settings), None)
    talker, silent, slow = (office.connect(LISTED, rules) for _ in range(3))
    office.send(talker, b"EHLO client.example\r\n")
    assert talker.is_lost
    assert b"220" not in talker.said
    for _ in range(9):
        office.send(slow, b"\x16")
        office.passes(1)
    assert not silent.is_lost
    office.passes(1.1)
    assert silent.is_lost
    assert slow.is_lost
    assert silent.said == b""


def test_s45_wrong_passwords_are_answered_after_1_2_4_8_and_16_seconds_and_the_address_blocked_for_10_minutes(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def begin_tls(transport: Wire, *_: object, **__: object) -> Wire:
        transport.is_secure = True
        transport.resume_reading()
        return transport

    monkeypatch.setattr("gateway.reception.connection.begin_tls", begin_tls)
    users = UserRegister(write_users(tmp_path / "users.yaml", {"anna": "right"}), office.loop.time)
    listener = ListenSettings(Address("127.0.0.1", 0), tls="implicit", auth="required")
    settings = Settings(path=None, hostname="gw.test", spool=tmp_path, listen=(listener,))
    rules = Rules.of(settings, listener, cast("Any", object()), users)

    def say(wire: Wire, password: bytes) -> bytes:
        before = len(wire.said)
        office.send(wire, b"AUTH PLAIN " + base64.b64encode(b"\0anna\0" + password) + b"\r\n")
        return bytes(wire.said[before:])

    for _ in range(4):
        wire = office.connect("198.51.100.1", rules)
        office.send(wire, b"EHLO x\r\n")
        for told, delay in enumerate((1, 2, 4, 8, 16)):
            say(wire, b"wrong")
            office.passes(delay - 0.1)
            assert wire.said.count(b"535 5.7.8 ") == told
            office.passes(0.1)
            assert wire.said.count(b"535 5.7.8 ") == told + 1
        assert wire.said.endswith(b"535 5.7.8 name or password is wrong\r\n")
        assert wire.is_closing()
    for wait, code in ((0, b"421 4.7.0 "), (580, b"421 4.7.0 "), (20, b"235 2.7.0 ")):  # counted from the last guess
        office.passes(wait)
        wire = office.connect("198.51.100.1", rules)
        office.send(wire, b"EHLO x\r\n")
        assert say(wire, b"right").startswith(code), wait
    users.close()
