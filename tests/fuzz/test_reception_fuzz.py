"""Whatever a client says ends in documented answers, with nothing stored that was not acknowledged.

Bounded here; `TIDEGATE_LONG=1` tries 100,000 examples of each (an hour), any other number that many.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import os
import re
import resource

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import eventloop
from gateway.config.settings import AcceptSettings
from gateway.reception import auth
from gateway.reception.timers import ReceptionTimers
from tests.support.smtp import open_door, stranger_settings

LONG = int(os.environ.get("TIDEGATE_LONG", "0"))
EXAMPLES = {0: 150, 1: 100_000}.get(LONG, LONG)

DOCUMENTED = {
    *(214, 220, 221, 250, 252, 354),
    *(421, 450, 451, 452),
    *(500, 501, 502, 503, 538, 550, 552, 553, 554, 555),
}
"""Codes that a listener without TLS can give; see gateway/reception/replies.py."""

WORDS = st.sampled_from(
    [
        b"EHLO client.example\r\n",
        b"HELO x\r\n",
        b"MAIL FROM:<a@b.c>\r\n",
        b"MAIL FROM:<> SIZE=10 BODY=8BITMIME\r\n",
        b"MAIL FROM:<a@b.c> SMTPUTF8 RET=FULL ENVID=x BY=60;N\r\n",
        b"RCPT TO:<d@e.f>\r\n",
        b"RCPT TO:<d@e.f> NOTIFY=NEVER ORCPT=rfc822;x@y\r\n",
        b"RCPT TO:<@a.b:d%x@e.f>\r\n",
        b"DATA\r\n",
        b"BDAT 5\r\n",
        b"BDAT 5 LAST\r\n",
        b"BDAT 0 LAST\r\n",
        b"BDAT 99999999999 LAST\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"QUIT\r\n",
        b"VRFY x\r\n",
        b"HELP\r\n",
        b"STARTTLS\r\n",
        b"AUTH PLAIN AGEAYg==\r\n",
        b"Subject: x\r\n",
        b"Received: x\r\n",
        b"\r\n",
        b".\r\n",
        b"\r\n.\r\n",
        b"..\r\n",
        b"\n.\n",
        b"\r.\r",
        b"\r",
        b"\n",
        b"\0",
        b"hello",
        b"x" * 1500,
        b"GET / HTTP/1.1\r\n",
    ]
)
STREAM = st.lists(st.one_of(WORDS, WORDS, WORDS, st.binary(max_size=30)), max_size=40)
TRANSACTION = st.tuples(
    st.just([b"EHLO client.example\r\n", b"MAIL FROM:<a@b.c>\r\n", b"RCPT TO:<d@e.f>\r\n"]), STREAM
).map(lambda parts: parts[0] + parts[1])
QUEUED = re.compile(rb"250 2\.0\.0 queued as (\w+)")


async def say(accept: AcceptSettings, pieces: list[bytes], packets: list[int]) -> None:
    timers = ReceptionTimers(first_mail=2.0, command=2.0, command_line=2.0, block=2.0, refusal=0.5)
    async with open_door(accept, timers=timers) as door:
        client = await door.connect()
        octets = b"".join(pieces)
        marks = sorted({min(mark, len(octets)) for mark in packets} | {0, len(octets)})
        with contextlib.suppress(OSError):  # closed already, or reset
            for start, end in itertools.pairwise(marks):
                client.writer.write(octets[start:end])
                await asyncio.sleep(0)
            client.writer.write_eof()
        said = await client.rest()
        await client.close()
        await door.until(lambda: len(door.reception.guests) == 0 and not door.reception.guests.serving)
        for line in said.split(b"\r\n")[:-1]:
            assert re.fullmatch(rb"[0-9]{3}[ -][\x20-\x7e]*", line), line
            assert int(line[:3]) in DOCUMENTED, line
        acknowledged = [found.decode() for found in QUEUED.findall(said)]
        stored = [item.id for item in door.spool.stored]
        # A reset may take replies with it, never messages.
        assert acknowledged == stored[: len(acknowledged)]
        assert said == b"" or len(acknowledged) == len(stored)
        for item in door.spool.stored:
            assert b"\0" not in item.content
            assert item.content.count(b"\r\n") == item.content.count(b"\r") == item.content.count(b"\n")


def run(accept: AcceptSettings, pieces: list[bytes], packets: list[int]) -> None:
    eventloop.run(asyncio.wait_for(say(accept, pieces, packets), 30))


CONFIG = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@CONFIG
@given(st.one_of(STREAM, TRANSACTION), st.lists(st.integers(0, 600), max_size=5))
def test_any_stream_of_a_listed_client_ends_in_documented_answers(pieces: list[bytes], packets: list[int]) -> None:
    run(AcceptSettings(max_message=2000, max_recipients=5), pieces, packets)


@CONFIG
@given(st.one_of(STREAM, TRANSACTION), st.lists(st.integers(0, 600), max_size=5))
def test_any_stream_of_a_stranger_ends_in_documented_answers(pieces: list[bytes], packets: list[int]) -> None:
    run(stranger_settings(domains=("e.f",), max_message=2000, max_recipients=5), pieces, packets)


def test_memory_is_flat_over_many_streams() -> None:
    async def body() -> None:
        timers = ReceptionTimers(first_mail=2.0, command_line=2.0, block=2.0, refusal=0.5)
        async with open_door(AcceptSettings(max_message=100_000), timers=timers) as door:

            async def burst(count: int) -> None:
                for number in range(count):
                    client = await door.connect()
                    client.writer.write(b"EHLO x\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\n")
                    client.writer.write(os.urandom(3000 + number * 13))
                    client.writer.write_eof()
                    await client.rest()
                    await client.close()
                door.clients.clear()
                door.events.clear()

            await burst(100)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            await burst(200)
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4 * 1024
            assert not door.spool.stored

    eventloop.run(body())


WORD = st.one_of(
    st.binary(max_size=20).map(lambda octets: base64.b64encode(octets)),
    st.sampled_from([b"", b"*", b"=", b"AGEAYg==", b"AGEAYg", b"!", b"AAAA"]),
    st.binary(max_size=10),
)


@CONFIG
@given(st.sampled_from(auth.MECHANISMS), st.one_of(st.none(), WORD), st.lists(WORD, min_size=2, max_size=2))
def test_any_exchange_of_auth_ends_in_a_name_or_in_a_refusal(
    mechanism: str, initial: bytes | None, answers: list[bytes]
) -> None:
    async def challenge(_: bytes) -> bytes:
        return auth.decode_answer(answers.pop(0))

    async def body() -> None:
        word = initial.decode("utf-8", "surrogateescape") if initial is not None else None
        refusal = b"501"
        try:
            found = await auth.credentials(mechanism, word, challenge)
        except auth.Cancelled as exc:
            refusal = exc.reply[:3]
        else:
            assert found is None or isinstance(found[1], bytes)
        assert refusal == b"501"

    eventloop.run(body())
