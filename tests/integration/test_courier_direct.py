"""Sessions with the hosts of a domain: which of them gets the mail, and what an end of all of them says."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.connectivity.kernel import LinuxKernel
from gateway.courier import SessionEnd
from gateway.courier.direct import Direct, is_of_this_machine
from gateway.courier.mx import Addresses, Exchanger, Exchangers, Nothing, Silence
from gateway.mail.outcome import Delivered, Failed
from tests.support.certificates import make_authority, make_server
from tests.support.relay import HANG_UP, Relay, Say, Script
from tests.support.sending import QUICK
from tests.support.shipping import ListFeed, shipment

LOOPBACK = ("127.0.0.1", "::1")


class Names:
    """A name service in memory."""

    def __init__(self, exchangers: Exchangers, addresses: Mapping[str, Addresses]) -> None:
        self._exchangers, self._addresses = exchangers, addresses

    async def exchangers(self, domain: str) -> Exchangers:
        return self._exchangers

    async def addresses(self, host: str) -> Addresses:
        return self._addresses.get(host, Nothing(exists=False))


TWO = Names(
    (Exchanger(10, "first.test"), Exchanger(20, "second.test")),
    {"first.test": ("127.0.0.2",), "second.test": ("127.0.0.3",)},
)


def attempt(names: Names, port: int, domain: str = "dest.test", **changes: Any) -> Any:
    direct = Direct(names, port=port, **({"is_own": lambda address: False, "usable": lambda address: True} | changes))
    return send(direct, domain)


async def send(direct: Direct, domain: str = "dest.test") -> tuple[SessionEnd, ListFeed]:
    feed = ListFeed([shipment("m0"), shipment("m1")])
    async with asyncio.timeout(30):
        end = await direct.session(domain, feed, hostname="gw.test", timers=QUICK)
    assert feed.taken == len(feed.outcomes)
    return end, feed


def run(script: Script | None, **options: Any) -> tuple[SessionEnd, ListFeed, Relay, Relay]:
    """A session with a domain of two hosts; the first one has the script."""

    async def go() -> tuple[SessionEnd, ListFeed, Relay, Relay]:
        async with (
            Relay(script, host="127.0.0.2", **options) as first,
            Relay(host="127.0.0.3", port=first.port) as second,
        ):
            end, feed = await attempt(TWO, first.port)
            return end, feed, first, second

    return asyncio.run(go())


def test_the_best_host_gets_the_mail_and_is_named() -> None:
    end, feed, first, second = run(None)
    assert (end.why, end.took, end.text) == ("done", 2, "first.test took 2 messages")
    assert (len(first.messages), second.visits) == (2, [])
    assert feed.offers is not None
    assert feed.offers.peer == "first.test"


@pytest.mark.parametrize(
    "script", [{"CONNECT": "554 no"}, {"CONNECT": "421 later"}, {"EHLO": HANG_UP}, {"CONNECT": HANG_UP}]
)
def test_the_next_host_gets_what_the_first_one_does_not_let_in(script: Script) -> None:
    end, feed, first, second = run(script)
    assert (end.why, end.took) == ("done", 2)
    assert (first.messages, len(second.messages)) == ([], 2)
    assert feed.offers is not None
    assert feed.offers.peer == "second.test"


def test_a_refusal_of_the_message_is_no_reason_to_ask_another_host() -> None:
    end, feed, _, second = run({"RCPT": lambda line: "550 5.1.1 nobody"})
    assert feed.kinds("m0") == feed.kinds("m1") == ["Failed"]
    assert not second.visits
    assert end.reached


def test_where_no_host_lets_us_in_the_end_tells_what_each_said_and_nothing_is_taken() -> None:
    async def go() -> tuple[SessionEnd, ListFeed]:
        async with Relay({"CONNECT": "554 5.7.1 not you"}, host="127.0.0.2") as first:
            end, feed = await attempt(TWO, first.port)
            return end, feed

    end, feed = asyncio.run(go())
    assert (end.why, end.alarm, end.reached, feed.taken) == ("refused", False, True, 0)
    assert end.text.startswith(
        "no way into dest.test: first.test refuses us (554 5.7.1 not you); second.test does not answer"
    )


def test_any_certificate_will_do(tmp_path: Path) -> None:
    context = make_server(tmp_path, make_authority(tmp_path)).context()
    end, _, first, _ = run(None, tls=context)
    assert end.took == 2
    assert first.visits[0].is_encrypted


def test_where_the_handshake_fails_the_same_host_gets_it_in_clear(tmp_path: Path) -> None:
    context = make_server(tmp_path, make_authority(tmp_path)).context()
    end, _, first, second = run({"STARTTLS": Say("220 2.0.0 go", hang_up=True)}, tls=context)
    assert (end.took, len(first.messages), second.visits) == (2, 2, [])
    assert [visit.is_encrypted for visit in first.visits] == [False, False]


def test_what_can_never_be_delivered_fails_without_a_connection() -> None:
    end, feed = asyncio.run(attempt(Names((Exchanger(0, "."),), {}), 9))
    assert end.why == "done"
    assert not end.reached
    outcome = feed.outcomes["m1"][0]
    assert isinstance(outcome, Failed)
    assert (outcome.reply.code, outcome.reply.enhanced) == (556, "5.1.10")
    assert feed.marked == []


def test_silence_of_the_name_service_takes_nothing() -> None:
    end, feed = asyncio.run(attempt(Names(Silence("cannot be looked up now"), {}), 9))
    assert (end.why, end.text, feed.taken) == ("names", "dest.test cannot be looked up now", 0)


def test_mail_that_would_come_back_to_us_takes_nothing_and_asks_for_a_person() -> None:
    end, feed = asyncio.run(attempt(TWO, 9, is_own=lambda address: address == "127.0.0.2"))
    assert (end.why, end.alarm, feed.taken) == ("loop", True, 0)


@pytest.mark.parametrize("literal", ["[127.0.0.3]", "[IPv6:::ffff:127.0.0.3]"])
def test_an_address_literal_is_where_it_says(literal: str, tmp_path: Path) -> None:
    context = make_server(tmp_path, make_authority(tmp_path)).context()

    async def go() -> None:
        async with Relay(host="127.0.0.3", tls=context) as relay:
            end, feed = await attempt(Names(Silence("must not be asked"), {}), relay.port, literal)
            assert end.took == 2, end
            assert relay.visits[0].is_encrypted
            assert isinstance(feed.outcomes["m0"][0], Delivered)

    asyncio.run(go())


def test_hosts_are_remembered_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.courier.direct.MAX_HOSTS", 1)

    async def go() -> None:
        async with Relay({"CONNECT": "554 no"}, host="127.0.0.2") as relay:
            direct = Direct(TWO, port=relay.port, is_own=lambda a: False, usable=lambda a: True)
            await send(direct)
            assert set(direct._memories) == {"second.test"}

    asyncio.run(go())


def test_this_machines_addresses_are_known_and_the_loopback_net_is_nobodys() -> None:
    facts = LinuxKernel().facts()
    assert all(
        is_of_this_machine(a) for known in facts.interfaces.values() for a in known.addresses if a not in LOOPBACK
    )
    assert not is_of_this_machine("127.0.0.1")
    assert not is_of_this_machine("192.0.2.55")
    assert not is_of_this_machine("0.0.0.0")
