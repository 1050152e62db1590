"""CASES section 1, the rows about TLS and signing in (P14)."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import os
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.config.settings import AcceptSettings, Address, ListenSettings, Settings
from gateway.errors import ConfigurationError
from gateway.reception.reception import Reception
from gateway.reception.timers import ReceptionTimers
from tests.support.clock import FakeClock
from tests.support.servertls import ListenerCertificate, make_listener_certificate
from tests.support.smtp import Client, Door, open_door, stranger_settings
from tests.support.users import write_users

QUICK = ReceptionTimers(auth_delay=0.001)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ListenerCertificate:
    return make_listener_certificate(tmp_path_factory.mktemp("tls"))


def plain(identity: str, name: str, password: str) -> str:
    return base64.b64encode(f"{identity}\0{name}\0{password}".encode()).decode()


@asynccontextmanager
async def tls_door(
    certificate: ListenerCertificate,
    folder: Path,
    *,
    listen: dict[str, Any] | None = None,
    accept: AcceptSettings | None = None,
    timers: ReceptionTimers = QUICK,
    **options: Any,
) -> AsyncIterator[Door]:
    users = write_users(folder / "users.yaml", {"brno": "right", "c@d.example": "too"}, {"brno": ("*@brno.example",)})
    settings = Settings(
        path=None,
        hostname="gw.test",
        spool=folder,
        listen=(
            ListenSettings(Address("127.0.0.1", 0), **(listen or {"tls": "starttls", "auth": "required"})),
            ListenSettings(Address("127.0.0.1", 0)),
        ),
        certificate=certificate.settings,
        accept=replace(accept or stranger_settings(), users=users),
    )
    async with open_door(settings=settings, timers=timers, **options) as door:
        yield door


async def secured(door: Door, certificate: ListenerCertificate, source: str | None = None) -> Client:
    """A client that has begun TLS and said EHLO again."""
    client = await door.connect(source=source)
    await client.greet()
    assert (await client.say("STARTTLS")).code == 220
    await client.writer.start_tls(certificate.client_context(), server_hostname="localhost")
    assert (await client.say("EHLO client.example")).code == 250
    return client


def test_s15_commands_ended_by_bare_lf_are_taken_from_the_signed_in_and_close_before(
    certificate: ListenerCertificate, tmp_path: Path
) -> None:
    async def body() -> None:
        async with tls_door(certificate, tmp_path) as door:
            client = await secured(door, certificate)
            await client.say("AUTH PLAIN " + plain("", "brno", "right"))
            await client.send(b"NOOP\nMAIL FROM:<a@b.c>\n")
            assert [(await client.answer()).code, (await client.answer()).code] == [250, 250]
            stranger = await secured(door, certificate)
            await stranger.send(b"NOOP\n")
            assert (await stranger.answer()).code == 500
            assert await stranger.is_closed()

    asyncio.run(body())


def test_s40_a_tls_hello_on_the_plain_port_is_closed_and_the_next_client_is_served() -> None:
    async def body() -> None:
        async with open_door() as door:
            client = await door.connect()
            await client.answer()
            await client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(200).replace(b"\n", b""))
            assert (await client.rest()).startswith(b"500 ")
            assert (await (await door.connect()).greet()).code == 250

    asyncio.run(body())


def test_s41_a_command_in_the_starttls_packet_is_never_executed(
    certificate: ListenerCertificate, tmp_path: Path
) -> None:
    async def body() -> None:
        async with tls_door(certificate, tmp_path) as door:
            client = await door.connect()
            await client.greet()
            await client.send(b"STARTTLS\r\nEHLO injected.example\r\nNOOP\r\n")
            assert (await client.answer()).code == 220
            await client.writer.start_tls(certificate.client_context(), server_hostname="localhost")
            # Were the injected EHLO believed, MAIL would be answered otherwise, and replies would be one ahead.
            assert (await client.say("MAIL FROM:<a@b.c>")).code == 503
            assert (await client.say("EHLO client.example")).code == 250

    asyncio.run(body())


def test_s42_a_transaction_does_not_survive_starttls(certificate: ListenerCertificate, tmp_path: Path) -> None:
    async def body() -> None:
        async with tls_door(certificate, tmp_path, listen={"tls": "starttls"}, accept=AcceptSettings()) as door:
            client = await door.connect()
            await client.greet()
            assert (await client.say("MAIL FROM:<a@b.c>")).code == 250
            assert (await client.say("STARTTLS")).code == 220
            await client.writer.start_tls(certificate.client_context(), server_hostname="localhost")
            assert (await client.say("RCPT TO:<d@e.f>")).code == 503
            await client.say("EHLO client.example")
            assert (await client.say("RCPT TO:<d@e.f>")).code == 503

    asyncio.run(body())


def test_s43_starttls_takes_no_argument_and_works_once(certificate: ListenerCertificate, tmp_path: Path) -> None:
    async def body() -> None:
        async with tls_door(certificate, tmp_path) as door:
            client = await door.connect()
            await client.greet()
            assert (await client.say("STARTTLS x")).code == 501
            client = await secured(door, certificate)
            assert (await client.say("STARTTLS")).code == 503
            assert "STARTTLS" not in (await client.say("EHLO client.example")).text

    asyncio.run(body())


def test_s44_auth_without_tls_is_not_offered_and_538(certificate: ListenerCertificate, tmp_path: Path) -> None:
    async def body() -> None:
        async with tls_door(certificate, tmp_path) as door:
            client = await door.connect()
            assert "AUTH" not in (await client.greet()).text
            assert (await client.say("AUTH PLAIN " + plain("", "brno", "right"))).code == 538
            assert (await client.say("MAIL FROM:<a@b.c>")).code == 530
            bare = await door.connect(1)
            assert "AUTH" not in (await bare.greet()).text
            assert (await bare.say("AUTH PLAIN " + plain("", "brno", "right"))).code == 502

    asyncio.run(body())


def test_s45_five_wrong_passwords_end_the_connection_with_growing_delays(
    certificate: ListenerCertificate, tmp_path: Path
) -> None:
    async def body() -> None:
        async with tls_door(certificate, tmp_path, timers=ReceptionTimers(auth_delay=0.004)) as door:
            client = await secured(door, certificate)
            loop = asyncio.get_running_loop()
            started = loop.time()
            names = ("brno", "nobody", "brno", "nobody", "brno")
            replies = [await client.say("AUTH PLAIN " + plain("", name, "wrong")) for name in names]
            assert {(reply.code, reply.text) for reply in replies} == {(535, replies[0].text)}
            assert loop.time() - started >= 0.004 * (1 + 2 + 4 + 8 + 16)
            assert await client.is_closed()

    asyncio.run(body())


def test_s45_after_twenty_wrong_passwords_the_address_is_blocked_for_ten_minutes(
    certificate: ListenerCertificate, tmp_path: Path
) -> None:
    async def body() -> None:
        clock = FakeClock()
        timers = ReceptionTimers(auth_delay=0.0)
        async with tls_door(certificate, tmp_path, timers=timers, clock=clock) as door:
            for _ in range(4):
                client = await secured(door, certificate)
                for _ in range(5):
                    assert (await client.say("AUTH PLAIN " + plain("", "brno", "wrong"))).code == 535
            client = await secured(door, certificate)
            assert (await client.say("AUTH PLAIN " + plain("", "brno", "right"))).code == 421
            assert await client.is_closed()
            other = await secured(door, certificate, source="127.0.0.2")
            assert (await other.say("AUTH PLAIN " + plain("", "brno", "right"))).code == 235
            clock.advance(601)
            client = await secured(door, certificate)
            assert (await client.say("AUTH PLAIN " + plain("", "brno", "right"))).code == 235

    asyncio.run(body())


@pytest.mark.parametrize(
    ("command", "codes"),
    [
        ("AUTH", (501,)),
        ("AUTH CRAM-MD5", (504,)),
        ("AUTH PLAIN !!!!", (501,)),
        ("AUTH PLAIN AGEAYg", (501,)),
        ("AUTH PLAIN =", (501,)),
        ("AUTH PLAIN " + base64.b64encode(b"a\0b\0c\0d").decode(), (501,)),
        ("AUTH PLAIN " + base64.b64encode(b"\0\0\0").decode(), (501,)),
        ("AUTH PLAIN " + base64.b64encode(b"ab").decode(), (501,)),
        ("AUTH PLAIN a b", (501,)),
        ("AUTH PLAIN " + plain("", "brno", "right") + "!", (501,)),
        ("AUTH PLAIN " + plain("", "brno", "right").replace("=", ""), (501,)),
        ("AUTH PLAIN " + "A" * 20000, (500,)),
        ("AUTH PLAIN " + "A" * 12000, (501,)),
    ],
)
def test_s46_malformed_auth_is_refused_and_the_session_stays_in_step(
    certificate: ListenerCertificate, tmp_path: Path, command: str, codes: tuple[int, ...]
) -> None:
    async def body() -> None:
        async with tls_door(certificate, tmp_path) as door:
            client = await secured(door, certificate)
            assert (await client.say(command)).code in codes
            assert (await client.say("NOOP")).code == 250
            assert (await client.say("AUTH PLAIN " + plain("", "brno", "right"))).code == 235

    asyncio.run(body())


@pytest.mark.parametrize(
    ("answer", "code"), [(b"*", 501), (b"@@", 501), (b"A" * 20000, 500), (b"", 501), (b"A" * 5000, 501)]
)
def test_s46_malformed_answers_to_a_challenge_end_the_exchange(
    certificate: ListenerCertificate, tmp_path: Path, answer: bytes, code: int
) -> None:
    async def body() -> None:
        async with tls_door(certificate, tmp_path) as door:
            client = await secured(door, certificate)
            assert (await client.say("AUTH PLAIN")).code == 334
            assert (await client.say(answer)).code == code
            assert (await client.say("NOOP")).code == 250

    asyncio.run(body())


def test_s47_a_foreign_authorization_identity_is_535(certificate: ListenerCertificate, tmp_path: Path) -> None:
    async def body() -> None:
        async with tls_door(certificate, tmp_path) as door:
            client = await secured(door, certificate)
            assert (await client.say("AUTH PLAIN " + plain("root", "brno", "right"))).code == 535
            assert (await client.say("AUTH PLAIN " + plain("brno", "brno", "right"))).code == 235

    asyncio.run(body())


def test_s48_auth_in_a_transaction_and_twice_is_503(certificate: ListenerCertificate, tmp_path: Path) -> None:
    async def body() -> None:
        listen = {"tls": "starttls", "auth": "optional"}
        async with tls_door(certificate, tmp_path, listen=listen, accept=AcceptSettings()) as door:
            client = await secured(door, certificate)
            await client.say("MAIL FROM:<a@b.c>")
            assert (await client.say("AUTH PLAIN " + plain("", "brno", "right"))).code == 503
            await client.say("RSET")
            assert (await client.say("AUTH PLAIN " + plain("", "brno", "right"))).code == 235
            assert (await client.say("AUTH PLAIN " + plain("", "brno", "right"))).code == 503

    asyncio.run(body())


def test_s65_plain_ehlo_on_the_tls_port_is_closed_within_the_handshake_time(
    certificate: ListenerCertificate, tmp_path: Path
) -> None:
    async def body() -> None:
        timers = ReceptionTimers(handshake=0.2)
        async with tls_door(certificate, tmp_path, listen={"tls": "implicit"}, timers=timers) as door:
            talker, silent = await door.connect(), await door.connect()
            await talker.send(b"EHLO client.example\r\n")
            assert b"220" not in await talker.rest()
            assert await silent.is_closed()
            good = await door.connect(ssl=certificate.client_context(), server_hostname="localhost")
            assert (await good.greet()).code == 250

    asyncio.run(body())


def test_s66_strangers_who_never_shake_hands_do_not_keep_a_listed_device_out(
    certificate: ListenerCertificate, tmp_path: Path
) -> None:
    async def body() -> None:
        accept = AcceptSettings(networks=(ipaddress.ip_network("127.0.0.9/32"),), max_connections=2)
        async with tls_door(certificate, tmp_path, listen={"tls": "implicit"}, accept=accept) as door:
            silent = [await door.connect() for _ in range(2)]
            await door.until(lambda: len(door.reception.guests) == 2)
            for client in silent:
                device = await door.connect(
                    source="127.0.0.9", ssl=certificate.client_context(), server_hostname="localhost"
                )
                assert (await device.greet()).code == 250
                await device.say("MAIL FROM:<a@b.c>")
                assert await client.is_closed()

    asyncio.run(body())


def test_s45_guesses_begun_before_the_block_are_not_answered_after_it(
    certificate: ListenerCertificate, tmp_path: Path
) -> None:
    async def body() -> None:
        async with tls_door(certificate, tmp_path, timers=ReceptionTimers(auth_delay=0.0)) as door:
            clients = [await secured(door, certificate) for _ in range(23)]
            for client in clients:
                assert (await client.say("AUTH LOGIN " + base64.b64encode(b"brno").decode())).code == 334
            codes = [(await client.say(base64.b64encode(b"wrong"))).code for client in clients[:20]]
            codes += [(await client.say(base64.b64encode(b"right"))).code for client in clients[20:]]
            assert codes == 20 * [535] + 3 * [421]

    asyncio.run(body())


def test_old_versions_of_tls_and_broken_handshakes_are_refused_and_the_next_client_is_served(
    certificate: ListenerCertificate, tmp_path: Path
) -> None:
    async def body() -> None:
        async with tls_door(certificate, tmp_path, listen={"tls": "implicit"}) as door:
            old = certificate.client_context()
            old.set_ciphers("DEFAULT:@SECLEVEL=0")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await door.connect(ssl=old, server_hostname="localhost")
            for octets in (b"", b"\x16\x03\x01", os.urandom(500)):
                client = await door.connect()
                await client.send(octets)
                client.half_close()
                await client.rest()
            good = await door.connect(ssl=certificate.client_context(), server_hostname="localhost")
            assert (await good.greet()).code == 250
            await door.until(lambda: len(door.reception.guests) == 1)

    asyncio.run(body())


def test_only_the_group_that_everybody_knows_is_taken_for_the_key_exchange(
    certificate: ListenerCertificate, tmp_path: Path
) -> None:
    async def body() -> None:
        async with tls_door(certificate, tmp_path, listen={"tls": "implicit"}) as door:
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                context = certificate.client_context()
                context.minimum_version = context.maximum_version = version
                good = await door.connect(ssl=context, server_hostname="localhost")
                assert (await good.greet()).code == 250
                context.set_ecdh_curve("secp521r1")
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    await door.connect(ssl=context, server_hostname="localhost")

    asyncio.run(body())


def test_starttls_and_auth_are_not_the_last_line_of_the_reply_to_ehlo(
    certificate: ListenerCertificate, tmp_path: Path
) -> None:
    async def body() -> None:
        async with tls_door(certificate, tmp_path) as door:
            client = await door.connect()
            assert "STARTTLS" in (await client.greet()).lines[:-1]
            client = await secured(door, certificate)
            assert "AUTH PLAIN LOGIN" in (await client.say("EHLO client.example")).lines[:-1]

    asyncio.run(body())


def test_signed_in_users_relay_have_their_line_ends_repaired_and_are_named_in_the_record(
    certificate: ListenerCertificate, tmp_path: Path
) -> None:
    async def body() -> None:
        async with tls_door(certificate, tmp_path) as door:
            client = await secured(door, certificate)
            await client.say("AUTH PLAIN " + plain("", "brno", "right"))
            await client.envelope()
            assert (await client.data(b"a\nb\r\n.\r\n")).code == 250
            [item] = door.spool.stored
            assert (item.peer.user, item.peer.tls) == ("brno", True)
            assert b"with ESMTPSA id " in item.received
            assert item.body == b"a\r\nb\r\n"

    asyncio.run(body())


def test_under_senders_own_a_user_sends_only_from_own_addresses(
    certificate: ListenerCertificate, tmp_path: Path
) -> None:
    async def body() -> None:
        async with tls_door(certificate, tmp_path, accept=stranger_settings(senders="own")) as door:
            for name, password, sender, code in (
                ("brno", "right", "<x@Brno.example>", 250),
                ("brno", "right", "<>", 250),
                ("brno", "right", "<c@d.example>", 550),
                ("c@d.example", "too", "<c@d.example>", 250),
                ("c@d.example", "too", "<x@brno.example>", 550),
            ):
                client = await secured(door, certificate)
                assert (await client.say("AUTH PLAIN " + plain("", name, password))).code == 235
                assert (await client.say(f"MAIL FROM:{sender}")).code == code

    asyncio.run(body())


def test_a_changed_file_of_users_is_in_force_at_once(certificate: ListenerCertificate, tmp_path: Path) -> None:
    async def body() -> None:
        async with tls_door(certificate, tmp_path) as door:
            client = await secured(door, certificate)
            assert (await client.say("AUTH PLAIN " + plain("", "new", "word"))).code == 535
            write_users(tmp_path / "users.yaml", {"new": "word"})
            assert (await client.say("AUTH PLAIN " + plain("", "new", "word"))).code == 235
            late = await secured(door, certificate)
            assert (await late.say("AUTH PLAIN " + plain("", "brno", "right"))).code == 535

    asyncio.run(body())


def test_a_damaged_file_of_users_lets_nobody_in(certificate: ListenerCertificate, tmp_path: Path) -> None:
    async def body() -> None:
        async with tls_door(certificate, tmp_path) as door:
            client = await secured(door, certificate)
            (tmp_path / "users.yaml").write_text("brno: right\n")
            assert (await client.say("AUTH PLAIN " + plain("", "brno", "right"))).code == 454

    asyncio.run(body())


def test_a_password_and_its_hash_are_in_no_event(certificate: ListenerCertificate, tmp_path: Path) -> None:
    async def body() -> None:
        async with tls_door(certificate, tmp_path) as door:
            client = await secured(door, certificate)
            secret = plain("", "brno", "Secret-Canary")
            await client.say("AUTH PLAIN " + secret)
            await client.say("AUTH PLAIN x " + secret)
            await client.say("AUTH FOO " + secret)
            await client.say("MAIL FROM:<a@b.c>")
            said = repr(door.events)
            assert "Canary" not in said
            assert secret not in said

    asyncio.run(body())


@pytest.mark.parametrize("missing", ["certificate", "key", "users"])
def test_without_its_files_a_listener_does_not_open(
    certificate: ListenerCertificate, tmp_path: Path, missing: str
) -> None:
    nowhere = tmp_path / "nowhere"
    given = certificate.settings
    if missing == "certificate":
        given = replace(given, certificate=nowhere)
    elif missing == "key":
        given = replace(given, key=nowhere)
    users = nowhere if missing == "users" else write_users(tmp_path / "users.yaml", {"a": "b"})
    settings = Settings(
        path=None,
        hostname="gw.test",
        spool=tmp_path,
        listen=(ListenSettings(Address("127.0.0.1", 0), tls="starttls", auth="required"),),
        certificate=given,
        accept=AcceptSettings(users=users),
    )
    with pytest.raises(ConfigurationError) as caught:
        Reception.check(settings)
    assert "nowhere" in str(caught.value)
