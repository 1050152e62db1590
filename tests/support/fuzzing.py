"""Any octets as a conversation with reception's session, and what must be true at its end.

`decode` makes moves out of octets, so that a fuzzer's small change is a small change of the conversation: another command,
a packet's end elsewhere, a pause, a full disk. `Stage.play` lets them happen and raises AssertionError where the session
broke a promise. The session is the real one; the spool is the fake one; TLS is a word, but where a profile says `raw`.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from unittest import mock

from gateway.config.settings import AcceptSettings, Address, ClassRule, ListenSettings, Settings
from gateway.errors import SpoolError, SpoolFull
from gateway.events import Event, Journal
from gateway.mail.address import fold_domain
from gateway.reception import connection as reception_connection
from gateway.reception import replies
from gateway.reception.host import Host, Rules
from gateway.reception.inbox import HIGH_WATER
from gateway.reception.session import Session
from gateway.reception.timers import ReceptionTimers
from gateway.reception.tls import server_context
from gateway.reception.users import UserRegister
from tests.support.fakespool import FakeSpool, Stored
from tests.support.servertls import make_listener_certificate
from tests.support.smtp import Faults
from tests.support.users import write_users
from tests.support.wire import LoopClock, StillLoop, Wire

DOCUMENTED = frozenset({214, 220, 221, 235, 250, 252, 334, 354}) | frozenset(
    int(value[:3]) for name, value in vars(replies).items() if name.isupper() and isinstance(value, bytes)
)
"""Codes that reception can give: those of success, and those in `gateway/reception/replies.py`."""

WORDS = tuple(
    word.encode("latin-1").decode("unicode_escape").encode("latin-1")
    for word in r"""
EHLO client.example\r\n|HELO x\r\n|MAIL FROM:<a@b.c>\r\n|RCPT TO:<d@e.f>\r\n|DATA\r\n|\r\n.\r\n|QUIT\r\n|RSET\r\n
NOOP\r\n|VRFY x\r\n|EXPN x\r\n|HELP\r\n|HELP MAIL\r\n|STARTTLS\r\n|MAIL FROM:<> SIZE=10 BODY=8BITMIME\r\n
MAIL FROM:<a@b.c> SMTPUTF8 RET=FULL ENVID=x BY=60;N\r\n|MAIL FROM:<a@b.c> SIZE=999999 AUTH=<>\r\n
MAIL FROM:<postmaster>\r\n|RCPT TO:<d@e.f> NOTIFY=NEVER ORCPT=rfc822;x@y\r\n|RCPT TO:<@a.b:d%x@e.f>\r\n
RCPT TO:<"x@y"@e.f>\r\n|RCPT TO:<z@elsewhere.example>\r\n|RCPT TO:<d@[127.0.0.1]>\r\n|RCPT TO:<postmaster>\r\n
RCPT TO:<\xc3\xa9@e.f>\r\n|BDAT 5\r\n|BDAT 5 LAST\r\n|BDAT 0 LAST\r\n|BDAT 1500\r\n|BDAT 99999999999 LAST\r\n
BDAT x\r\n|AUTH PLAIN \x00|AUTH LOGIN\r\n|AUTH PLAIN\r\n|AUTH PLAIN AHUAcA==\r\n|AUTH PLAIN AHUAeA==\r\n|*\r\n
dQ==\r\n|cA==\r\n|=\r\n|Subject: x\r\n|Received: x\r\n|\r\n|\n|\r|\x00|.|..\r\n|.\r\n|\r\n.\n|\n.\r\n|\r.\r|hello
hello|hi\r\n|\r\n.\r|\r\n.\r\nMAIL FROM:<evil@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\n|GET / HTTP/1.1\r\n
XCLIENT ADDR=1.2.3.4\r\n|PROXY TCP4 1 2 3 4\r\n|\xff|<|>|:|@|=|;| |+|From: <u@b.c>\r\nTo: x\r\n\r\n
MAIL FROM:<u@e.f>\r\n|Received: from x by y (Tidegate aaaaaaaaaaaa)\r\n\tid z; x\r\n|\x16\x03\x01\x02
""".strip("\n")
    .replace("\n", "|")
    .split("|")
)

_QUEUED = re.compile(rb"250 2\.0\.0 queued as (\w+)")
_OUR_FIELD = re.compile(rb"Received: .*?;\r\n\t[^\r]*\+0000\r\n", re.DOTALL)
_LINE = re.compile(rb"[0-9]{3}[ -][\x20-\x7e]*")
_CUT_MATTERS = (
    *(replies.TALKS_TOO_EARLY, replies.BAD_CHUNK, replies.START_TLS, replies.SYNTAX),
    *(replies.NUL_CONTENT, replies.BARE_ENDINGS, replies.TOO_BIG, replies.TOO_LONG),
)
"""Where one of these was said, it matters in which packets the same octets came: what waits behind is dropped, the first of
two faults is told, a client is cut off sooner or later."""


@dataclass(frozen=True)
class Profile:
    """One kind of client at one kind of listener. `raw`: the handshake is a real one, and the octets are its."""

    name: str
    listen: dict[str, Any]
    accept: dict[str, Any]
    listed: bool
    raw: bool = False


PROFILES = (
    Profile("listed", {}, {}, True),
    Profile("stranger", {}, {}, False),
    Profile("stranger, STARTTLS, AUTH", {"tls": "starttls", "auth": "optional"}, {"senders": "own"}, False),
    Profile("people, implicit TLS", {"tls": "implicit", "auth": "required"}, {}, False),
    Profile("listed, refuse", {}, {"line_endings": "refuse"}, True),
    Profile("stranger, repair", {}, {"line_endings": "repair"}, False),
    Profile("few messages an hour", {}, {"max_messages_per_client": 2}, True),
    Profile("octets for a TLS handshake", {"tls": "implicit"}, {}, True, raw=True),
)

Move = tuple[str, Any]


def decode(octets: bytes) -> tuple[Profile, list[Move]]:
    """A profile and the moves of a client, the disk and the operator; any octets make some."""
    profile = PROFILES[octets[0] % len(PROFILES)] if octets else PROFILES[0]
    moves: list[Move] = []
    packet = bytearray()
    word = b""
    at = 1

    def end_packet() -> None:
        if packet:
            moves.append(("send", bytes(packet)))
            packet.clear()

    while at < len(octets) and len(packet) + 100 * len(moves) < 100_000:
        code = octets[at]
        at += 1
        if code < 0xC0:
            word = WORDS[code % len(WORDS)]
            packet += word
        elif code < 0xE0:
            count = (code & 0x1F) + 1
            packet += octets[at : at + count]
            at += count
        elif code < 0xF0:
            count = (code & 0x0F) + 1
            packet += base64.b64encode(octets[at : at + count]) + b"\r\n"
            at += count
        elif code == 0xFE:
            packet += word * 120
        elif code == 0xFF:
            packet += b"x" * 1500 if len(word) % 2 else b"one line of many\r\n" * 4000
        else:
            end_packet()
            moves.append(_MOVES[code - 0xF0])
    end_packet()
    return profile, moves


_MOVES: tuple[Move, ...] = (
    ("packet", None),
    ("wait", 1),
    ("wait", 30),
    ("wait", 61),
    ("wait", 200),
    ("half-close", None),
    ("reset", None),
    ("stop reading", None),
    ("read again", None),
    ("disk", ("room", SpoolFull)),
    ("disk", ("write", SpoolFull)),
    ("disk", ("commit", SpoolError)),
    ("slow disk", None),
    ("stop", None),
)


@dataclass(frozen=True)
class Course:
    """What came of it. `stored`: of each message, the envelope's sender, its recipients and the content but for our field."""

    said: bytes
    stored: tuple[tuple[str, tuple[str, ...], bytes], ...]
    was_reset: bool


class Stage:
    """Plays conversations, one after another, on one loop. `close` it at the end."""

    def __init__(self, folder: Path) -> None:
        self.loop = StillLoop()
        asyncio.set_event_loop(self.loop)
        self.spool = FakeSpool()
        self.events: list[Event] = []
        self._faults: list[object] = []
        self.loop.set_exception_handler(lambda _, context: self._faults.append(context))
        self._listening = Faults(self._faults)
        for name in ("gateway.reception", "asyncio"):
            logging.getLogger(name).addHandler(self._listening)
        self._users = UserRegister(write_users(folder / "users.yaml", {"u": "p"}, {"u": ("u@b.c",)}), self.loop.time)
        self._tls = server_context(make_listener_certificate(folder).settings)
        self._rules = {profile.name: self._make_rules(profile) for profile in PROFILES}
        self._patch = mock.patch.object(reception_connection, "begin_tls", self._begin_tls)
        self._begin_raw = reception_connection.begin_tls
        self._raw = False
        self._patch.start()
        self.largest_buffer = 0

    def close(self) -> None:
        self._patch.stop()
        self._users.close()
        for name in ("gateway.reception", "asyncio"):
            logging.getLogger(name).removeHandler(self._listening)
        asyncio.set_event_loop(None)
        self.loop.close()

    def _make_rules(self, profile: Profile) -> Rules:
        accept = AcceptSettings(max_message=2000, max_recipients=5, **profile.accept)
        if not profile.listed:
            accept = replace(accept, networks=(), domains=("e.f",))
        listen = ListenSettings(Address("127.0.0.1", 0), **profile.listen)
        settings = Settings(path=None, hostname="gw.test", spool=Path("spool"), listen=(listen,), accept=accept)
        settings = replace(settings, classes=(ClassRule("urgent", header=("subject", "x")),))
        return Rules.of(settings, listen, self._tls, self._users)

    async def _begin_tls(self, transport: asyncio.Transport, protocol: Any, context: Any, **options: Any) -> Any:
        if self._raw:
            return await self._begin_raw(transport, protocol, context, **options)
        wire = cast("Wire", transport)
        wire.is_secure = True
        wire.resume_reading()
        return wire

    # One conversation.

    def play(self, profile: Profile, moves: Iterable[Move]) -> Course:
        """Let it happen to the end, and check what must hold of every conversation."""
        spool = self.spool = FakeSpool()
        self.events.clear()
        journal = Journal()
        journal.subscribe(self.events.append)
        self._raw = profile.raw
        host = Host(
            spool=cast("Any", spool),
            clock=LoopClock(self.loop),
            journal=journal,
            timers=ReceptionTimers(),
            secret="aaaaaaaaaaaa",
        )
        session = Session(host, self._rules[profile.name], self.loop)
        wire = Wire(self.loop, session, "127.0.0.1" if profile.listed else "192.0.2.1")
        was_reset = False
        for kind, value in moves:
            self.loop.settle()
            self.largest_buffer = max(self.largest_buffer, len(session.inbox.buffer))
            match kind:
                case "send":
                    self.loop.call_soon(wire.arrive, value)
                case "wait":
                    self.loop.advance(value)
                case "half-close":
                    self.loop.call_soon(wire.half_close)
                case "reset":
                    self.loop.call_soon(wire.reset)
                    was_reset = True
                case "stop reading":
                    self.loop.call_soon(wire.stop_reading)
                case "read again":
                    self.loop.call_soon(wire.read_again)
                case "disk":
                    step, kind_of_error = value
                    if spool.fail.pop(step, None) is None:
                        spool.fail[step] = kind_of_error("the disk")  # its own each time: it keeps its tracebacks
                case "slow disk":
                    _toggle_gate(spool)
                case "stop":
                    host.is_stopping = True
                    if not session.is_taking:
                        self.loop.call_soon(session.dismiss, replies.SHUTTING_DOWN)
        self.loop.settle()
        if spool.gate is not None:
            _toggle_gate(spool)
        # A client that says nothing more, and does not even close, is let go all the same.
        self.loop.advance(1000)
        assert session.serving is None, "the session has not ended"
        assert wire.is_lost, "the connection was not closed"
        assert len(host.guests) == 0, "a guest is still counted"
        assert not host.guests.serving, "a guest is still served"
        assert not spool.open_drafts, "a draft was left open"
        self.loop.rewind()
        faults, self._faults[:] = list(self._faults), []
        assert not faults, faults
        assert self.largest_buffer <= HIGH_WATER + 64 * 1024, self.largest_buffer
        course = Course(
            bytes(wire.said) if not profile.raw else b"",
            tuple((item.envelope.reverse_path, _forward(item), item.content[_head(item) :]) for item in spool.stored),
            was_reset,
        )
        self._check(profile, course)
        self.spool = FakeSpool()  # nothing of it is kept: who measures memory measures ours
        self.events.clear()
        return course

    def _check(self, profile: Profile, course: Course) -> None:
        for line in course.said.split(b"\r\n")[:-1]:
            assert _LINE.fullmatch(line), line
            assert int(line[:3]) in DOCUMENTED, line
        acknowledged = [found.decode() for found in _QUEUED.findall(course.said)]
        stored = [item.id for item in self.spool.stored]
        assert acknowledged == stored[: len(acknowledged)], (acknowledged, stored)
        # The answer may be lost with its connection; and over TLS a client that closes hears nothing more.
        if not course.was_reset and profile.listen.get("tls", "none") == "none":
            assert len(acknowledged) == len(stored), (acknowledged, stored)
        for item in self.spool.stored:
            content = item.content
            assert b"\0" not in content, "NUL"
            assert content.count(b"\r\n") == content.count(b"\r") == content.count(b"\n"), "a bare CR or LF"
            assert item.size <= 2000 + _head(item)
            if item.peer.user is None and not profile.listed:
                assert item.received == content[: _head(item)], "a stranger folded our field"
                assert profile.listen.get("auth") != "required", "a stranger's message where one has to sign in"
                for recipient in item.envelope.recipients:
                    local, _, domain = recipient.address.rpartition("@")
                    assert fold_domain(domain) == "e.f", f"relayed to {recipient.address}"
                    assert not set("%!@") & set(local), recipient.address
            if item.peer.user is not None:
                assert item.peer.tls
                assert item.envelope.reverse_path in ("", "u@b.c") or profile.accept.get("senders") != "own"

    def play_octets(self, octets: bytes) -> Course:
        """`decode`, `play`, and what holds between two conversations: packets may be cut anywhere."""
        profile, moves = decode(octets)
        course = self.play(profile, moves)
        if profile.raw or any(kind not in ("send", "packet") for kind, _ in moves):
            return course
        whole = b"".join(value for kind, value in moves if kind == "send")
        cuts = sorted({cut for cut in itertools.accumulate(octets[:64], initial=1) if cut < len(whole)})
        pieces = [whole[start:end] for start, end in itertools.pairwise([0, *cuts, len(whole)])]
        again = self.play(profile, [("send", piece) for piece in pieces])
        said = course.said + again.said
        if not any(word in said for word in _CUT_MATTERS):
            assert again.stored == course.stored, "other packets, other messages"
            assert _without_ids(again.said) == _without_ids(course.said), "other packets, other replies"
        return course


def _without_ids(said: bytes) -> bytes:
    return _QUEUED.sub(b"250 queued", said)


def _head(item: Stored) -> int:
    found = _OUR_FIELD.match(item.content)
    assert found is not None, item.content[:300]
    return found.end()


def _forward(item: Stored) -> tuple[str, ...]:
    return tuple(recipient.address for recipient in item.envelope.recipients)


def _toggle_gate(spool: FakeSpool) -> None:
    if spool.gate is None:
        spool.gate = asyncio.Event()
    else:
        spool.gate.set()
        spool.gate = None
