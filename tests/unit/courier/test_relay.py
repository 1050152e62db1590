"""The scripted relay does what it is told, seen by a plain client."""

import asyncio
from typing import Any

from tests.support.relay import HANG_UP, RESET, Relay, Say


async def talk(relay: Relay, *blocks: bytes) -> bytes:
    """What it says to these octets, to the end of the connection."""
    reader, writer = await asyncio.open_connection(relay.host, relay.port)
    try:
        for block in blocks:
            writer.write(block)
            await writer.drain()
        return await reader.read()
    except ConnectionError:
        return b"(reset)"
    finally:
        writer.close()


def ask(script: Any, *blocks: bytes, **settings: Any) -> tuple[bytes, Relay]:
    async def go() -> tuple[bytes, Relay]:
        async with Relay(script, **settings) as relay:
            return await talk(relay, *blocks), relay

    return asyncio.run(go())


ENVELOPE = b"EHLO x\r\nMAIL FROM:<a@b> SIZE=3\r\nRCPT TO:<c@d> NOTIFY=NEVER\r\n"


def test_it_takes_messages_by_data_and_by_bdat_as_they_came() -> None:
    said, relay = ask(
        None,
        ENVELOPE
        + b"DATA\r\n..a\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<c@d>\r\nBDAT 3\r\n.\r\nBDAT 2 LAST\r\n\xff\n\r\nQUIT\r\n",
    )

    assert [(m.sender, m.recipients, m.octets, m.by) for m in relay.messages] == [
        ("a@b", ["c@d"], b".a\r\n", "DATA"),
        ("", ["c@d"], b".\r\n\xff\n", "BDAT"),
    ] or said
    assert relay.messages[0].mail_parameters == "SIZE=3"
    assert relay.messages[0].rcpt_parameters == ["NOTIFY=NEVER"]


def test_it_says_what_the_script_says_in_its_order() -> None:
    said, relay = ask({"RCPT": ["450 later", None], "QUIT": "221 so long"}, ENVELOPE + b"RCPT TO:<e@f>\r\nQUIT\r\n")

    assert b"450 later\r\n250 2.1.5 ok\r\n221 so long\r\n" in said
    assert not relay.messages


def test_it_hangs_up_and_resets() -> None:
    closed, _ = ask({"MAIL": HANG_UP}, ENVELOPE)
    reset, _ = ask({"CONNECT": RESET}, b"")

    assert closed.endswith(b"250 ENHANCEDSTATUSCODES\r\n")
    assert reset == b"(reset)"


def test_it_says_more_in_the_same_packet() -> None:
    said, _ = ask({"CONNECT": Say("220 x", also=b"250 early\r\n")}, b"QUIT\r\n")

    assert said == b"220 x\r\n250 early\r\n221 2.0.0 bye\r\n"


def test_it_refuses_what_is_out_of_order() -> None:
    said, _ = ask(
        None, b"RCPT TO:<a@b>\r\nDATA\r\nMAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\nBDAT 2 LAST\r\nxxXYZ\r\nQUIT\r\n"
    )

    assert [line[:3] for line in said.split(b"\r\n")[1:-1]] == [b"503", b"503", b"250", b"503", b"554", b"500", b"221"]


def test_it_limits_recipients() -> None:
    said, _ = ask(None, ENVELOPE + b"RCPT TO:<e@f>\r\nQUIT\r\n", capacity=1)

    assert b"452 4.5.3" in said


def test_it_keeps_what_was_cut() -> None:
    async def go() -> Relay:
        async with Relay() as relay:
            reader, writer = await asyncio.open_connection(relay.host, relay.port)
            writer.write(ENVELOPE + b"BDAT 10 LAST\r\nabc")
            writer.write_eof()
            await reader.read()
            writer.close()
            return relay

    assert asyncio.run(go()).partial == [b"abc"]
