"""CASES S49 and what belongs to it: nobody relays who is not listed or signed in (P13)."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config.settings import AcceptSettings, Address, ListenSettings, Network, Settings
from gateway.errors import SpoolError
from tests.support.fakespool import FakeSpool
from tests.support.smtp import Client, open_door, stranger_settings

OWN = "gw.test"
OWN_LITERAL = "[127.0.0.1]"
OUT = "victim.example"

SENDERS = [
    "<>",
    f"<spamtest@{OUT}>",
    f"<spamtest@{OWN}>",
    f"<spamtest@{OWN_LITERAL}>",
    "<spamtest>",
    "<spamtest@localhost>",
    f"<postmaster@{OWN}>",
]


def recipients() -> list[bytes]:
    """The ways to write user@victim.example that abuse.net, nmap and the DSBL tester know."""
    user = "relaytest"
    written = [f"<{user}@{OUT}>", f'<"{user}@{OUT}">', f"<{user}%{OUT}>", f'<"{user}%{OUT}">', f"<{OUT}!{user}>"]
    for own in (OWN, OWN_LITERAL, "localhost", "[127.0.0.2]", ""):
        at = f"@{own}" if own else ""
        written += [
            f"<{user}%{OUT}{at}>",
            f"<{user}@{OUT}{at}>",
            f'<"{user}@{OUT}"{at}>',
            f'<"{user}%{OUT}"{at}>',
            f"<{OUT}!{user}{at}>",
        ]
        if own:
            written += [f"<@{own}:{user}@{OUT}>", f"<@{own},@x.example:{user}@{OUT}>", f"<@{own}:{user}%{OUT}@{own}>"]
    written += [
        f"<{user}@{OUT}.>",
        f"<{user}@{OUT}\t>",
        f"< {user}@{OUT} >",
        f"<{user}@{OUT}(comment)>",
        f"<(comment){user}@{OUT}>",
        f"<<{user}@{OUT}>>",
        f"{user}@{OUT}",
        f'"{user}@{OUT}"',
    ]
    return [text.encode() for text in written] + [f"<{user}@{OUT}".encode() + b"\0>"]


TRICKS = list(itertools.product(SENDERS, recipients()))


def test_s49_there_are_at_least_323_tricks() -> None:
    assert len(TRICKS) >= 323


@pytest.mark.parametrize("domains", [(), (OWN, "localhost")], ids=["no inbound domains", "own name inbound"])
def test_s49_none_of_the_relay_tricks_is_taken(domains: tuple[str, ...]) -> None:
    async def body() -> None:
        async with open_door(stranger_settings(domains=domains, max_connections_per_client=500)) as door:
            client: Client | None = None
            for number, (sender, recipient) in enumerate(TRICKS):
                if number % 40 == 0:
                    if client is not None:
                        await client.close()
                    client = await door.connect()
                    await client.greet("mail.stranger.example")
                assert client is not None
                answer = await client.say("MAIL FROM:" + sender)
                if sender == "<spamtest>":  # no address at all: refused before it has a recipient
                    assert answer.code == 501
                    assert (await client.say(b"RCPT TO:" + recipient)).code in (501, 503)
                    continue
                assert answer.code == 250
                answer = await client.say(b"RCPT TO:" + recipient)
                if b"\0" in recipient:  # S17 answers first
                    assert answer.code == 501
                else:
                    assert (answer.code, answer.text[:5]) == (550, "5.7.1"), recipient
                assert (await client.say("DATA")).code in (503, 554)
                assert (await client.say("RSET")).code == 250
            assert not door.spool.stored

    asyncio.run(body())


def test_mail_for_an_inbound_domain_is_taken_from_anybody_whatever_its_case() -> None:
    async def body() -> None:
        async with open_door(stranger_settings(domains=("brno.example.net",))) as door:
            client = await door.connect()
            await client.greet()
            await client.say("MAIL FROM:<who@else.where>")
            assert (await client.say("RCPT TO:<Lucie@Brno.Example.NET>")).code == 250
            assert (await client.say("RCPT TO:<x@brno.example.net.evil.example>")).code == 550
            assert (await client.say("RCPT TO:<x@sub.brno.example.net>")).code == 550
            assert (await client.data(b"x\r\n.\r\n")).code == 250
            assert [r.address for r in door.spool.stored[0].envelope.recipients] == ["Lucie@Brno.Example.NET"]

    asyncio.run(body())


def test_the_listed_may_write_percent_signs_and_routes_and_the_route_is_dropped() -> None:
    async def body() -> None:
        async with open_door() as door:
            client = await door.connect()
            await client.greet()
            await client.envelope("<a@b.c>", "<user%there@out.example>", "<@x.y,@z.w:Who@out.example>")
            assert (await client.data(b"x\r\n.\r\n")).code == 250
            addresses = [r.address for r in door.spool.stored[0].envelope.recipients]
            assert addresses == ["user%there@out.example", "Who@out.example"]

    asyncio.run(body())


def network(text: str) -> Network:
    return ipaddress.ip_network(text)


def test_a_listener_lets_connect_only_its_networks() -> None:
    async def body() -> None:
        listen = ListenSettings(Address("127.0.0.1", 0), networks=(network("127.0.0.2/32"),))
        settings = Settings(path=None, hostname=OWN, spool=Path("spool"), listen=(listen,))
        async with open_door(settings=settings) as door:
            outside = await door.connect(source="127.0.0.1")
            assert (await outside.answer()).code == 554
            assert await outside.is_closed()
            welcome = await door.connect(source="127.0.0.2")
            assert (await welcome.answer()).code == 220

    asyncio.run(body())


def test_accept_networks_decide_by_address_who_may_relay() -> None:
    async def body() -> None:
        accept = AcceptSettings(networks=(network("127.0.0.2/31"),))
        async with open_door(accept) as door:
            for source, code in (("127.0.0.1", 550), ("127.0.0.2", 250), ("127.0.0.3", 250), ("127.0.0.4", 550)):
                client = await door.connect(source=source)
                await client.greet()
                await client.say("MAIL FROM:<a@b.c>")
                assert (await client.say("RCPT TO:<d@e.f>")).code == code

    asyncio.run(body())


def test_ipv6_clients_are_judged_by_their_own_networks() -> None:
    async def body() -> None:
        listen = ListenSettings(Address("::1", 0))
        settings = Settings(path=None, hostname=OWN, spool=Path("spool"), listen=(listen,))
        for networks, code in (((network("::1/128"),), 250), ((network("127.0.0.0/8"),), 550)):
            async with open_door(replace(settings.accept, networks=networks), settings=settings) as door:
                client = await door.connect()
                await client.greet()
                await client.say("MAIL FROM:<a@b.c>")
                assert (await client.say("RCPT TO:<d@e.f>")).code == code
                if code == 250:
                    assert (await client.data(b"x\r\n.\r\n")).code == 250
                    assert b"([IPv6:::1])" in door.spool.stored[0].received

    asyncio.run(body())


def test_messages_of_a_client_are_counted_by_the_hour() -> None:
    async def body() -> None:
        async with open_door(AcceptSettings(max_messages_per_client=2)) as door:
            for source, code in (("127.0.0.1", 450), ("127.0.0.2", 250)):
                client = await door.connect(source=source)
                assert "LIMITS RCPTMAX=1000 MAILMAX=2" in (await client.greet()).text
                for _ in range(2 if code == 450 else 1):
                    await client.envelope()
                    assert (await client.data(b"x\r\n.\r\n")).code == 250
                assert (await client.say("MAIL FROM:<a@b.c>")).code == code

    asyncio.run(body())


def test_of_messages_begun_at_once_no_more_pass_than_the_hour_allows() -> None:
    async def body() -> None:
        spool = FakeSpool(gate=asyncio.Event())
        async with open_door(AcceptSettings(max_messages_per_client=2), spool=spool) as door:
            clients = [await door.connect() for _ in range(4)]
            for client in clients:
                await client.greet()
                await client.envelope()
                assert (await client.say("DATA")).code == 354
            for client in clients:
                await client.send(b"x\r\n.\r\n")
            assert spool.gate is not None
            await door.until(lambda: spool.committing == 2)
            spool.gate.set()
            assert sorted([(await client.answer()).code for client in clients]) == [250, 250, 450, 450]
            assert len(spool.stored) == 2

    asyncio.run(body())


def test_a_message_that_could_not_be_stored_is_not_counted() -> None:
    async def body() -> None:
        async with open_door(AcceptSettings(max_messages_per_client=1)) as door:
            client = await door.connect()
            await client.greet()
            for fault, code in ((SpoolError("no"), 451), (None, 250)):
                door.spool.fail = {"commit": fault} if fault is not None else {}
                await client.envelope()
                assert (await client.data(b"x\r\n.\r\n")).code == code

    asyncio.run(body())
