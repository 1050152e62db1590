r"""Runs the transcripts beside this file, one test a file.

A transcript is a name, settings, and a conversation:

    # what is shown, in a sentence
    set: stranger                  the client is not in accept.networks
    set: max_message 2 kB          any key of `accept` that takes a size, a number or a word
    set: tls starttls              the listener's keys tls and auth; certificate and user "u", password "p", are there
    C: MAIL FROM:<a@b.c>           what the client says; CR LF follows, unless the line ends with \
    C+ RCPT TO:<d@e.f>             in the same packet as the line above
    C* 200 x                       "x" repeated so often
    S: 250 2.1.0 *                 a reply, all its lines joined by "|"; * stands for anything
    = TLS                          the client begins TLS
    = half-close                   the client ends its side
    = closed                       the server has closed without another word
    = stored 2                     so many messages are in the spool now
    = body Subject: x\r\n          the content of the last one, behind our Received field
    = received *repaired*          its Received field, unfolded

\r, \n, \0, \t, \\ and \xNN are octets. At the end the spool holds what the last `stored` said, or nothing.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from gateway import eventloop
from gateway.config.scalars import parse_size
from gateway.config.settings import AcceptSettings, Address, ListenSettings, Settings
from tests.support.servertls import ListenerCertificate, make_listener_certificate
from tests.support.smtp import Client, Door, open_door
from tests.support.users import write_users


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ListenerCertificate:
    return make_listener_certificate(tmp_path_factory.mktemp("tls"))


FOLDER = Path(__file__).parent
_ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|[rn0t\\])")
_PLAIN = {"r": "\r", "n": "\n", "0": "\0", "t": "\t", "\\": "\\"}


def unescape(text: str) -> bytes:
    """The octets that a line of a transcript stands for; what is beyond ASCII in it stands for its UTF-8."""
    raw = text.encode().decode("latin-1")
    return _ESCAPE.sub(lambda found: _PLAIN.get(found[1]) or chr(int(found[1][1:], 16)), raw).encode("latin-1")


@dataclass
class Transcript:
    path: Path
    accept: dict[str, Any] = field(default_factory=dict)
    listen: dict[str, Any] = field(default_factory=dict)
    steps: list[tuple[int, str, str]] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Transcript:
        transcript = cls(path)
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if not line or line.startswith("#"):
                continue
            mark, rest = line[:2], line[3:]
            if line.startswith("set: "):
                transcript._set(line[5:])
            elif mark in ("C:", "C+", "C*", "S:"):
                transcript.steps.append((number, mark, rest))
            elif line.startswith("= "):
                transcript.steps.append((number, "=", line[2:]))
            else:
                raise AssertionError(f"{path.name}:{number}: {line!r} is no line of a transcript")
        return transcript

    def _set(self, text: str) -> None:
        name, _, value = text.partition(" ")
        if name == "stranger":
            self.accept["networks"] = ()
        elif name in ("tls", "auth"):
            self.listen[name] = value
        elif name in ("max_message",):
            self.accept[name] = parse_size(value)
        elif name == "domains":
            self.accept[name] = tuple(value.split())
        else:
            self.accept[name] = int(value) if value.isdigit() else value


class Player:
    """Plays one transcript against a door."""

    def __init__(self, transcript: Transcript, door: Door, client: Client, certificate: ListenerCertificate) -> None:
        self.transcript = transcript
        self.door = door
        self.client = client
        self.certificate = certificate
        self.pending = b""
        self.stored = 0

    async def play(self) -> None:
        for number, mark, rest in self.transcript.steps:
            where = f"{self.transcript.path.name}:{number}"
            if mark == "C+":
                self.pending += self.octets(rest)
                continue
            await self.say()
            if mark == "C:":
                self.pending = self.octets(rest)
            elif mark == "C*":
                count, _, text = rest.partition(" ")
                self.pending = unescape(text) * int(count)
            elif mark == "S:":
                answer = await self.client.answer()
                said = f"{answer.code} {'|'.join(answer.lines)}"
                assert fnmatch.fnmatchcase(said, rest.replace("[", "[[]")), f"{where}: {said!r}, not {rest!r}"
            else:
                await self.check(rest, where)
        await self.say()
        assert len(self.door.spool.stored) == self.stored

    @staticmethod
    def octets(text: str) -> bytes:
        return unescape(text[:-1]) if text.endswith("\\") else unescape(text) + b"\r\n"

    async def say(self) -> None:
        if self.pending:
            await self.client.send(self.pending)
            self.pending = b""

    async def check(self, text: str, where: str) -> None:
        what, _, rest = text.partition(" ")
        if what == "TLS":
            await self.client.writer.start_tls(self.certificate.client_context(), server_hostname="localhost")
        elif what == "half-close":
            self.client.half_close()
        elif what == "closed":
            assert await self.client.is_closed(), f"{where}: still open"
        elif what == "stored":
            self.stored = int(rest)
            await self.door.until(lambda: len(self.door.spool.stored) == self.stored)
        elif what == "body":
            assert self.door.spool.stored[-1].body == unescape(rest), where
        elif what == "received":
            field_text = re.sub(r"\r\n[ \t]", " ", self.door.spool.stored[-1].received.decode())
            assert fnmatch.fnmatchcase(field_text.rstrip("\r\n"), rest.replace("[", "[[]")), f"{where}: {field_text!r}"
        else:
            raise AssertionError(f"{where}: {text!r}")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_dialog(path: Path, tmp_path: Path, certificate: ListenerCertificate) -> None:
    transcript = Transcript.read(path)

    async def body() -> None:
        accept = AcceptSettings(**transcript.accept)
        if transcript.listen.get("auth", "none") != "none":
            accept = replace(accept, users=write_users(tmp_path / "users.yaml", {"u": "p"}))
        settings = Settings(
            path=None,
            hostname="gw.test",
            spool=tmp_path,
            listen=(ListenSettings(Address("127.0.0.1", 0), **transcript.listen),),
            certificate=certificate.settings,
            accept=accept,
        )
        async with open_door(settings=settings) as door:
            if transcript.listen.get("tls") == "implicit":
                client = await door.connect(ssl=certificate.client_context(), server_hostname="localhost")
            else:
                client = await door.connect()
            await Player(transcript, door, client, certificate).play()

    eventloop.run(body())


def test_every_line_end_is_what_it_says() -> None:
    assert unescape(r"a\r\n\0\x1b\\é") == b"a\r\n\0\x1b\\" + "é".encode()
