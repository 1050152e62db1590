"""CASES section 1, the rows about content: where a message ends, what its lines are, how big it may be."""

from __future__ import annotations

import asyncio
import resource

import pytest

from gateway.config.settings import AcceptSettings
from tests.support.fakespool import FakeSpool
from tests.support.smtp import Client, Door, open_door, stranger_settings

SMUGGLED = b"MAIL FROM:<smuggled@evil.example>\r\nRCPT TO:<victim@e.f>\r\nDATA\r\nSubject: smuggled\r\n\r\n"

BAD_ENDS = {
    "s01_lf_dot_lf": b"\n.\n",
    "s02_lf_dot_crlf": b"\n.\r\n",
    "s03_cr_dot_cr": b"\r.\r",
    "s04_cr_dot_lf": b"\r.\n",
    "s05_cr_dot_crlf": b"\r.\r\n",
    "s06_crlf_dot_lf": b"\r\n.\n",
    "s07_crlf_dot_cr": b"\r\n.\r",
    "s08_lf_dot_cr": b"\n.\r",
    "s09_crlf_nul_dot_crlf": b"\r\n\0.\r\n",
    "s10_crlf_dot_nul_crlf": b"\r\n.\0\r\n",
    "s11_crlf_dot_crcrlf": b"\r\n.\r\r\n",
    "s12_crcrlf_dot_crcrlf": b"\r\r\n.\r\r\n",
}
FAULTY = BAD_ENDS | {"s13_bare_lf": b"\n", "s14_bare_cr": b"\r"}


def inside(**changes: object) -> AcceptSettings:
    """A stranger who may write to e.f."""
    return stranger_settings(domains=("e.f",), **changes)


async def ready(door: Door, source: str | None = None) -> Client:
    """A client with an envelope, about to say DATA."""
    client = await door.connect(source=source)
    await client.greet()
    await client.envelope("<a@b.c>", "<d@e.f>")
    return client


async def next_client_is_served(door: Door, source: str | None = None) -> None:
    client = await ready(door, source)
    assert (await client.data(b"good\r\n.\r\n")).code == 250


@pytest.mark.parametrize("end", FAULTY.values(), ids=FAULTY.keys())
def test_a_stranger_with_wrong_line_ends_gets_one_refusal_and_stores_nothing(end: bytes) -> None:
    async def body() -> None:
        async with open_door(inside()) as door:
            client = await ready(door)
            assert (await client.say("DATA")).code == 354
            await client.send(b"x" + end + SMUGGLED + b"y\r\n.\r\nRSET\r\n")
            said = await client.rest()
            expected = b"550 5.6.0 " if b"\0" in end else b"550 5.6.11 "
            assert said.startswith(expected)
            assert said.count(b"\r\n") == 1
            assert not door.spool.stored
            await next_client_is_served(door)

    asyncio.run(body())


@pytest.mark.parametrize("end", FAULTY.values(), ids=FAULTY.keys())
def test_a_listed_client_with_wrong_line_ends_hands_over_one_repaired_message(end: bytes) -> None:
    async def body() -> None:
        async with open_door() as door:
            client = await ready(door)
            answer = await client.data(b"x" + end + SMUGGLED + b"y\r\n.\r\n")
            assert answer.code == 250
            assert (await client.say("NOOP")).code == 250
            [item] = door.spool.stored
            body = item.body
            assert b"\0" not in body
            assert body.count(b"\r\n") == body.count(b"\r") == body.count(b"\n")
            assert body.endswith(SMUGGLED + b"y\r\n")
            if b"." in end:
                assert b"\r\n.\r\n" in body  # the lone dot is content, which the courier stuffs
            assert b"(line endings repaired)" in item.received
            assert item.envelope.reverse_path == "a@b.c"

    asyncio.run(body())


@pytest.mark.parametrize("rule", ["refuse", "repair"])
def test_s13_line_endings_refuse_and_repair_hold_for_everybody(rule: str) -> None:
    async def body() -> None:
        for accept in (inside(line_endings=rule), AcceptSettings(line_endings=rule)):  # type: ignore[arg-type]  # parametrized
            async with open_door(accept) as door:
                client = await ready(door)
                answer = await client.data(b"a\nb\r\n.\r\n")
                assert answer.code == (550 if rule == "refuse" else 250)
                assert [item.body for item in door.spool.stored] == ([] if rule == "refuse" else [b"a\r\nb\r\n"])

    asyncio.run(body())


def test_s18_nul_inside_the_message_is_refused_to_strangers_and_removed_for_the_listed() -> None:
    async def body() -> None:
        async with open_door(inside()) as door:
            client = await ready(door)
            answer = await client.data(b"a\0b\r\n.\r\n")
            assert (answer.code, answer.text[:5]) == (550, "5.6.0")
            await next_client_is_served(door)
        async with open_door() as door:
            client = await ready(door)
            assert (await client.data(b"a\0b\r\n.\r\n")).code == 250
            assert door.spool.stored[0].body == b"ab\r\n"

    asyncio.run(body())


@pytest.mark.parametrize("length", [998, 5000, 900_000])
def test_s21_s22_long_lines_are_taken_unchanged(length: int) -> None:
    async def body() -> None:
        async with open_door(inside()) as door:
            client = await ready(door)
            line = b"x" * length + b"\r\n"
            assert (await client.data(line + b".\r\n")).code == 250
            assert door.spool.stored[0].body == line

    asyncio.run(body())


def test_s22_a_line_over_a_mebibyte_is_550_when_the_message_ends_in_time() -> None:
    async def body() -> None:
        async with open_door() as door:
            client = await ready(door)
            answer = await client.data(b"x" * (1 << 20) + b"\r\n.\r\n")
            assert (answer.code, answer.text[:5]) == (550, "5.6.0")
            assert not door.spool.stored
            await client.envelope()
            assert (await client.data(b"y" * ((1 << 20) - 2) + b"\r\n.\r\n")).code == 250

    asyncio.run(body())


def test_s23_a_line_of_256_mebibyte_is_cut_off_soon_after_the_limit_and_costs_no_memory() -> None:
    async def body() -> None:
        async with open_door(AcceptSettings(max_message=4_000_000)) as door:
            client = await ready(door)
            assert (await client.say("DATA")).code == 354
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            block = b"x" * 65536
            sent = 0
            try:
                while sent < 256 << 20:
                    await client.send(block)
                    sent += len(block)
            except ConnectionError:
                pass
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            assert sent < 24 << 20
            assert grown < 16 * 1024
            assert not door.spool.stored
            await next_client_is_served(door)

    asyncio.run(body())


def test_s23_the_reply_to_a_line_without_end_is_552_and_then_the_connection_closes() -> None:
    async def body() -> None:
        async with open_door(AcceptSettings(max_message=100_000)) as door:
            client = await ready(door)
            assert (await client.say("DATA")).code == 354
            await client.send(b"x" * 300_000)
            assert (await client.rest()).startswith(b"552 5.3.4 ")

    asyncio.run(body())


def test_s26_too_big_and_undeclared_is_552_at_the_end_and_cut_at_twice_the_limit() -> None:
    async def body() -> None:
        async with open_door(AcceptSettings(max_message=10_000)) as door:
            client = await ready(door)
            answer = await client.data(b"x" * 99 * 100 + b"\r\n" + b"y" * 5000 + b"\r\n.\r\n")
            assert (answer.code, answer.text[:5]) == (552, "5.3.4")
            await client.envelope()
            assert (await client.data(b"x\r\n.\r\n")).code == 250
            await client.envelope()
            assert (await client.say("DATA")).code == 354
            await client.send(b"line\r\n" * 4000)
            assert (await client.rest()).startswith(b"552 5.3.4 ")
            assert len(door.spool.stored) == 1

    asyncio.run(body())


def test_s31_eight_bit_header_and_body_are_kept_octet_for_octet() -> None:
    async def body() -> None:
        async with open_door(inside()) as door:
            client = await ready(door)
            content = b"Subject: \xfc\xff\x80\r\n\r\n" + bytes(range(0x80, 0x100)) + b"\x01\x7f\t\r\n"
            assert (await client.data(content + b".\r\n")).code == 250
            assert door.spool.stored[0].body == content

    asyncio.run(body())


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"just a body\r\n.\r\n", b"just a body\r\n"),
        (b"Subject: only\r\n.\r\n", b"Subject: only\r\n"),
        (b"..\r\n...\r\n....\r\n.\r\n", b".\r\n..\r\n...\r\n"),
        (b".a\r\n.\r\n", b"a\r\n"),
        (b"\r\n..\r\n\r\n.\r\n", b"\r\n.\r\n\r\n"),
    ],
)
def test_s32_odd_but_legal_contents_are_taken_and_the_session_stays_in_step(sent: bytes, kept: bytes) -> None:
    async def body() -> None:
        async with open_door(inside()) as door:
            client = await ready(door)
            assert (await client.data(sent)).code == 250
            assert (await client.say("NOOP")).code == 250
            assert door.spool.stored[0].body == kept

    asyncio.run(body())


def test_s36_content_in_the_packet_of_data_is_refused_to_strangers_and_taken_from_the_listed() -> None:
    async def body() -> None:
        async with open_door(inside()) as door:
            client = await ready(door)
            await client.send(b"DATA\r\nSubject: x\r\n\r\nbody\r\n.\r\n")
            assert (await client.rest()).startswith(b"554 5.5.0 ")
            assert not door.spool.stored
        async with open_door() as door:
            client = await ready(door)
            await client.send(b"DATA\r\nSubject: x\r\n\r\nbody\r\n.\r\n")
            assert [(await client.answer()).code, (await client.answer()).code] == [354, 250]

    asyncio.run(body())


@pytest.mark.parametrize("white", [b" ", b"\t"])
def test_a_strangers_content_that_would_go_on_with_our_field_is_refused_and_the_offices_own_taken(white: bytes) -> None:
    async def body() -> None:
        for accept, code in ((inside(), 550), (AcceptSettings(), 250)):
            async with open_door(accept) as door:
                client = await ready(door)
                answer = await client.data(white + b"by liar.example; today\r\n.\r\n")
                assert (answer.code, answer.text[:5]) == (code, "5.6.0" if code == 550 else "2.0.0")
                await client.envelope("<a@b.c>", "<d@e.f>")
                assert (await client.data(b"\r\n" + white + b"x\r\n.\r\n")).code == 250

    asyncio.run(body())


@pytest.mark.parametrize(("count", "code"), [(50, 250), (51, 554), (150, 554)])
def test_s56_more_than_fifty_received_fields_are_a_loop(count: int, code: int) -> None:
    async def body() -> None:
        async with open_door() as door:
            client = await ready(door)
            header = b"".join(b"Received: from a by b\r\n\twith c; %d\r\n" % n for n in range(count))
            answer = await client.data(header + b"Subject: x\r\n\r\nReceived: no\r\n.\r\n")
            assert answer.code == code
            assert code == 250 or answer.text.startswith("5.4.6 ")

    asyncio.run(body())


def test_every_split_of_a_stuffed_message_gives_the_same_content() -> None:
    async def body() -> None:
        async with open_door() as door:
            sent = b"a\r\n..b\r\n\r\n.. c\r\n.\r\n"
            client = await door.connect()
            await client.greet()
            for at in range(1, len(sent)):
                await client.envelope()
                assert (await client.say("DATA")).code == 354
                await client.send(sent[:at])
                await asyncio.sleep(0)
                await client.send(sent[at:])
                assert (await client.answer()).code == 250
            assert {item.body for item in door.spool.stored} == {b"a\r\n.b\r\n\r\n. c\r\n"}

    asyncio.run(body())


def test_ten_large_messages_at_once_cost_less_than_16_megabyte() -> None:
    async def body() -> None:
        async with open_door(spool=FakeSpool(keeps_content=False)) as door:
            clients = [await ready(door) for _ in range(10)]
            for client in clients:
                assert (await client.say("DATA")).code == 354
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            block = (b"x" * 62 + b"\r\n") * 1024

            async def send(client: Client) -> None:
                for _ in range(20_000_000 // len(block)):
                    await client.send(block)
                await client.send(b".\r\n")
                assert (await client.answer()).code == 250

            await asyncio.gather(*(send(client) for client in clients))
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024

    asyncio.run(body())
