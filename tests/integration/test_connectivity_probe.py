"""Probes against relays that answer, that do not, and that are somebody else (DESIGN 6)."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config.settings import RelaySettings
from gateway.connectivity.probe import Question, probe
from tests.support.certificates import ServerCertificate, make_authority, make_server

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def probed(
    talk: Talk, relay: RelaySettings, *, timeout: float = 5.0, certificate: bool = True, **tls: object
) -> str | None:
    """What a probe makes of a relay that talks like this."""

    async def main() -> str | None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await talk(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, **tls)  # type: ignore[arg-type]  # only ssl= is given
        async with server:
            port = server.sockets[0].getsockname()[1]
            asked = Question(replace(relay, port=port), "gw.example", certificate=certificate)
            return (await probe(asked, timeout)).failed

    return asyncio.run(main())


PLAIN = RelaySettings("hq", "127.0.0.1", tls="none")


def answers(*replies: bytes, seen: list[bytes] | None = None) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            writer.write(reply)
            line = await reader.readline()
            if seen is not None:
                seen.append(line)
            if line in (b"", b"QUIT\r\n"):
                return

    return talk


GREETING, EHLO = b"220 hq.example ESMTP\r\n", b"250-hq.example\r\n250 8BITMIME\r\n"


def test_a_relay_that_greets_and_answers_ehlo_answers() -> None:
    seen: list[bytes] = []
    assert probed(answers(GREETING, EHLO, b"221 bye\r\n", seen=seen), PLAIN) is None
    assert seen == [b"EHLO gw.example\r\n", b"QUIT\r\n"]


def test_a_greeting_of_several_lines_is_one() -> None:
    assert probed(answers(b"220-welcome\r\n220-to\r\n220 hq\r\n", EHLO, b""), PLAIN) is None


@pytest.mark.parametrize(
    ("replies", "words"),
    [
        ([b"554 not you\r\n"], "does not greet like a mail server"),
        ([b"HTTP/1.1 302 Found\r\n"], "does not greet like a mail server"),
        ([GREETING, b"550 no\r\n"], "does not answer EHLO like a mail server"),
        ([GREETING, b"421 shutting down\r\n"], "does not answer EHLO like a mail server"),
        ([GREETING], "hung up"),
        ([b""], "does not answer within"),
        ([b"x" * 100_000], "did not talk like a mail server"),
        ([b"220-a\r\n" * 1000], "did not talk like a mail server"),
        ([b"\r\n"], "does not greet"),
    ],
)
def test_anything_else_is_told_in_a_sentence(replies: list[bytes], words: str) -> None:
    told = probed(answers(*replies), PLAIN, timeout=0.5)
    assert told is not None
    assert told.startswith("127.0.0.1 ")
    assert words in told


def test_nobody_there_is_told() -> None:
    relay = replace(PLAIN, port=1)
    told = asyncio.run(probe(Question(relay, "gw.example"), 5.0)).failed
    assert told is not None
    assert "does not answer" in told


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".example", "x..y"])
def test_a_name_that_cannot_be_looked_up_is_told(host: str) -> None:
    told = asyncio.run(probe(Question(replace(PLAIN, host=host), "gw.example"), 5.0)).failed
    assert told is not None


def test_an_interface_that_is_gone_is_told() -> None:
    told = asyncio.run(probe(Question(replace(PLAIN, port=1), "gw.example", interface="gone0"), 5.0)).failed
    assert told is not None
    assert "does not answer" in told


def test_a_relay_that_may_not_be_looked_up_is_asked_where_it_was_last_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_look_up(*_: object, **__: object) -> None:
        raise AssertionError("looked up")

    monkeypatch.setattr("socket.getaddrinfo", no_look_up)
    nobody = Question(replace(PLAIN, host="smtp.hq.example"), "gw.example", may_look_up=False)
    told = asyncio.run(probe(nobody, 5.0))
    assert told.failed is not None
    assert told.failed.startswith("smtp.hq.example is not asked")
    there = replace(nobody, known=((socket.AF_INET, ("127.0.0.1", 1)),))
    told = asyncio.run(probe(there, 5.0))
    assert told.failed == "smtp.hq.example does not answer (connection refused)"
    assert told.addresses == there.known


def test_a_name_service_that_does_not_answer_leaves_what_was_known() -> None:
    known = ((socket.AF_INET, ("127.0.0.1", 1)),)
    told = asyncio.run(probe(Question(replace(PLAIN, host="no-such-host.invalid"), "gw.example", known=known), 5.0))
    assert told.failed is not None
    assert "connection refused" in told.failed


def starting_tls(context: ssl.SSLContext) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        await reader.readline()
        writer.write(b"250-hq.example\r\n250-STARTTLS\r\n250 8BITMIME\r\n")
        assert await reader.readline() == b"STARTTLS\r\n"
        writer.write(b"220 go ahead\r\n")
        await writer.start_tls(context)
        await reader.readline()

    return talk


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ServerCertificate, ServerCertificate]:
    """The path of our CA, the relay's certificate, and one of the same CA for another name."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = make_authority(folder)
    return (
        authority.path,
        make_server(folder, authority),
        make_server(folder, authority, name="portal", names=("portal.example",)),
    )


def test_the_relay_with_its_own_certificate_answers(own: tuple[Path, ServerCertificate, ServerCertificate]) -> None:
    ca, server, _ = own
    relay = RelaySettings("hq", "127.0.0.1", tls="required", ca=ca)
    assert probed(starting_tls(server.context()), relay) is None
    assert probed(answers(GREETING, EHLO, b""), replace(relay, tls="implicit"), ssl=server.context()) is None


def test_somebody_else_in_its_place_is_known_by_the_certificate(
    own: tuple[Path, ServerCertificate, ServerCertificate],
) -> None:
    ca, _, portal = own
    relay = RelaySettings("hq", "127.0.0.1", tls="required", ca=ca)
    for told in (
        probed(starting_tls(portal.context()), relay),
        probed(answers(GREETING, EHLO, b""), replace(relay, tls="implicit"), ssl=portal.context()),
    ):
        assert told is not None
        assert "certificate that is not its own" in told


def test_encryption_that_is_no_longer_offered_is_told(own: tuple[Path, ServerCertificate, ServerCertificate]) -> None:
    relay = RelaySettings("hq", "127.0.0.1", tls="required", ca=own[0])
    assert probed(answers(GREETING, EHLO, b""), relay) == "127.0.0.1 does not offer encryption"
    assert probed(answers(GREETING, EHLO, b""), relay, certificate=False) is None
    assert probed(answers(GREETING, EHLO, b""), replace(relay, tls="opportunistic")) is None


def test_a_relay_with_a_pinned_key_is_left_to_the_sessions(
    own: tuple[Path, ServerCertificate, ServerCertificate],
) -> None:
    relay = RelaySettings("hq", "127.0.0.1", tls="implicit", pin=own[1].pin)
    assert probed(answers(GREETING, EHLO, b""), relay, ssl=own[2].context()) is None


def test_a_ca_file_that_cannot_be_read_is_told() -> None:
    relay = RelaySettings("hq", "127.0.0.1", tls="implicit", ca=Path("/no/such/file"))
    told = probed(answers(GREETING), relay)
    assert told is not None
