"""Reception over real sockets: from connect to committed, and what a stop or a reload does."""

from __future__ import annotations

import asyncio
import smtplib
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

from gateway.config.settings import AcceptSettings, Address, ListenSettings, Settings
from gateway.events import Received
from gateway.mail.envelope import Recipient
from tests.support.fakespool import FakeSpool
from tests.support.smtp import open_door


def test_a_message_arrives_octet_for_octet_behind_one_received_field() -> None:
    async def body() -> None:
        async with open_door() as door:
            client = await door.connect()
            assert "PIPELINING" in (await client.greet()).text
            await client.envelope("<A.b@Branch.example> SIZE=20 BODY=8BITMIME", "<Who@HQ.example>")
            answer = await client.data(b"Subject: x\r\n\r\n..dot\r\n\xe9\r\n.\r\n")
            assert answer.code == 250
            [item] = door.spool.stored
            assert answer.text == f"2.0.0 queued as {item.id}"
            assert item.body == b"Subject: x\r\n\r\n.dot\r\n\xe9\r\n"
            assert item.envelope.reverse_path == "A.b@Branch.example"
            assert item.envelope.recipients == (Recipient("Who@HQ.example"),)
            assert item.envelope.body == "8BITMIME"
            [event] = [e for e in door.events if isinstance(e, Received)]
            assert (event.id, event.size, event.client) == (item.id, item.size, "127.0.0.1")
            assert (await client.say("QUIT")).code == 221
            assert await client.is_closed()

    asyncio.run(body())


def test_smtplib_hands_over_a_large_message() -> None:
    async def body() -> None:
        async with open_door() as door:
            message = EmailMessage()
            message["Subject"] = "big"
            message.set_content("text\n")
            message.add_attachment(bytes(range(256)) * 8000, maintype="application", subtype="octet-stream")
            raw = message.as_bytes().replace(b"\n", b"\r\n")

            def hand_over() -> None:
                with smtplib.SMTP(door.addresses[0].host, door.addresses[0].port, timeout=10) as server:
                    server.sendmail("a@b.example", ["c@d.example", "e@f.example"], raw)

            await asyncio.to_thread(hand_over)
            [item] = door.spool.stored
            assert item.body == raw
            assert len(item.envelope.recipients) == 2

    asyncio.run(body())


def test_a_pipelined_group_is_answered_in_one_write() -> None:
    async def body() -> None:
        async with open_door() as door:
            client = await door.connect()
            await client.greet()
            await client.send(b"MAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nRCPT TO:<g@h.i>\r\nDATA\r\n")
            group = await client.reader.read(4096)
            assert [line[:3] for line in group.splitlines()] == [b"250", b"250", b"250", b"354"]
            await client.send(b"x\r\n.\r\nQUIT\r\n")
            assert [line[:3] for line in (await client.rest()).splitlines()] == [b"250", b"221"]

    asyncio.run(body())


def test_stop_dismisses_the_idle_and_lets_a_message_under_way_finish() -> None:
    async def body() -> None:
        spool = FakeSpool(gate=asyncio.Event())
        async with open_door(spool=spool) as door:
            idle, busy = await door.connect(), await door.connect()
            await idle.greet()
            await busy.greet()
            await busy.envelope()
            assert (await busy.say("DATA")).code == 354
            await busy.send(b"x\r\n.\r\n")
            await door.until(lambda: spool.committing == 1)
            stopping = asyncio.create_task(door.reception.stop(5.0))
            assert (await idle.answer()).code == 421
            assert spool.gate is not None
            spool.gate.set()
            assert (await busy.answer()).code == 250
            assert (await busy.answer()).code == 421
            await stopping
            assert len(spool.stored) == 1

    asyncio.run(body())


def test_replace_gives_new_sessions_new_rules_and_opens_and_closes_listeners() -> None:
    async def body() -> None:
        first = ListenSettings(Address("127.0.0.1", 0))
        second = ListenSettings(Address("127.0.0.2", 0))
        settings = Settings(path=None, hostname="gw.test", spool=Path("spool"), listen=(first,))
        async with open_door(settings=settings) as door:
            old = await door.connect()
            await old.greet()
            door.reception.replace(replace(settings, listen=(first, second), accept=AcceptSettings(max_message=1000)))
            await door.until(lambda: len(door.reception.addresses) == 2)
            door.addresses = door.reception.addresses
            assert "SIZE 1000" in (await (await door.connect(0)).greet()).text
            assert "SIZE 1000" in (await (await door.connect(1)).greet()).text
            assert "SIZE 25000000" in (await old.say("EHLO x.y")).text
            door.reception.replace(replace(settings, listen=(second,)))
            await door.until(lambda: len(door.reception.addresses) == 1 and door.addresses != door.reception.addresses)
            assert (await old.say("NOOP")).code == 250

    asyncio.run(body())
