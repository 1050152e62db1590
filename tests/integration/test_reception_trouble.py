"""CASES section 1, the rows about time, number and trouble: slow, silent, vanishing clients, full disks, stops."""

from __future__ import annotations

import asyncio
import ipaddress
import os

import pytest

from gateway.config.settings import AcceptSettings
from gateway.errors import SpoolError, SpoolFull
from gateway.events import Alarm, Received
from gateway.mail.envelope import Recipient
from gateway.reception.host import RECEIVE_OCTETS, RelayOffers
from gateway.reception.inbox import HIGH_WATER
from gateway.reception.session import Session
from gateway.reception.timers import ReceptionTimers
from tests.support.clock import FakeClock
from tests.support.fakespool import FakeSpool
from tests.support.smtp import Client, Door, open_door, stranger_settings


async def ready(door: Door, source: str | None = None) -> Client:
    client = await door.connect(source=source)
    await client.greet()
    await client.envelope()
    return client


async def in_data(door: Door) -> Client:
    client = await ready(door)
    assert (await client.say("DATA")).code == 354
    return client


def test_s59_above_fifty_connections_of_one_address_it_gets_421_and_others_are_served() -> None:
    async def body() -> None:
        async with open_door() as door:
            clients = [await door.connect() for _ in range(200)]
            codes = [(await client.answer()).code for client in clients]
            assert (codes.count(220), codes.count(421)) == (50, 150)
            assert (await (await door.connect(source="127.0.0.2")).answer()).code == 220
            await clients[codes.index(220)].close()
            await door.until(lambda: len(door.reception.guests) <= 51)
            assert (await (await door.connect()).answer()).code == 220

    asyncio.run(body())


def test_s60_a_reset_in_the_middle_of_data_stores_nothing_and_leaves_no_draft() -> None:
    async def body() -> None:
        async with open_door() as door:
            for _ in range(20):
                client = await in_data(door)
                await client.send(b"x" * 10_000)
                client.reset()
            await door.until(lambda: len(door.reception.guests) == 0 and not door.spool.open_drafts)
            assert not door.spool.stored
            assert (await (await ready(door)).data(b"x\r\n.\r\n")).code == 250

    asyncio.run(body())


def test_s61_half_close_after_the_dot_gets_250_and_exactly_one_copy_also_when_the_disk_is_slow() -> None:
    async def body() -> None:
        spool = FakeSpool(gate=asyncio.Event())
        timers = ReceptionTimers().scaled(0.001)  # the disk takes longer than every wait for the client
        async with open_door(spool=spool, timers=timers) as door:
            client = await in_data(door)
            await client.send(b"x\r\n.\r\n")
            client.half_close()
            await door.until(lambda: spool.committing == 1)
            await asyncio.sleep(0.4)
            assert spool.gate is not None
            spool.gate.set()
            assert (await client.answer()).code == 250
            assert await client.is_closed()
            assert len(spool.stored) == 1

    asyncio.run(body())


def test_s64_one_octet_a_second_in_a_command_is_421_by_sixty_seconds() -> None:
    async def body() -> None:
        async with open_door(timers=ReceptionTimers().scaled(0.005)) as door:  # 60 s are 0.3 s
            client = await door.connect()
            await client.answer()
            loop = asyncio.get_running_loop()
            started = loop.time()
            answered = asyncio.ensure_future(client.answer())
            while not answered.done():
                await client.send(b"N")
                await asyncio.sleep(0.005)
            assert (await answered).code == 421
            assert loop.time() - started < 1.4  # a new wait for each octet would never end

    asyncio.run(body())


def test_s66_silent_connections_are_gone_after_sixty_seconds() -> None:
    async def body() -> None:
        async with open_door(timers=ReceptionTimers().scaled(0.005)) as door:
            silent = [await door.connect() for _ in range(40)]
            for client in silent:
                assert (await client.answer()).code == 220
            for client in silent:
                assert (await client.answer()).code == 421
                assert await client.is_closed()

    asyncio.run(body())


def test_s66_a_listed_device_gets_in_while_strangers_fill_all_places() -> None:
    async def body() -> None:
        accept = AcceptSettings(
            networks=(ipaddress.ip_network("127.0.0.9/32"),), max_connections=60, max_connections_per_client=50
        )
        async with open_door(accept) as door:
            silent = [await door.connect(source=f"127.0.0.{2 + n % 4}") for n in range(60)]
            for client in silent:
                assert (await client.answer()).code == 220
            assert (await (await door.connect(source="127.0.0.3")).answer()).code == 421
            device = await door.connect(source="127.0.0.9")
            assert (await device.answer()).code == 220
            assert (await silent[0].answer()).code == 421

    asyncio.run(body())


def test_s66_strangers_who_began_a_message_and_dawdle_do_not_keep_a_listed_device_out() -> None:
    async def body() -> None:
        accept = AcceptSettings(
            networks=(ipaddress.ip_network("127.0.0.9/32"),), domains=("hq.example",), max_connections=5
        )
        async with open_door(accept) as door:
            dawdlers = [await ready(door) for _ in range(5)]
            for client in dawdlers[2:]:
                assert (await client.say("DATA")).code == 354
            for _ in range(5):
                device = await ready(door, source="127.0.0.9")
                assert (await device.data(b"x\r\n.\r\n")).code == 250
            for client in dawdlers:
                assert (await client.answer()).code == 421
            assert (await (await door.connect(source="127.0.0.9")).answer()).code == 421

    asyncio.run(body())


def test_s67_a_body_at_a_snails_pace_is_cut() -> None:
    async def body() -> None:
        timers = ReceptionTimers(rate_window=0.2, minimum_rate=1000)
        async with open_door(timers=timers) as door:
            client = await in_data(door)
            answered = asyncio.ensure_future(client.answer())
            while not answered.done():
                await client.send(b"x")
                await asyncio.sleep(0.01)
            answer = await answered
            assert (answer.code, answer.text[:5]) == (421, "4.4.2")
            assert not door.spool.stored

    asyncio.run(body())


def test_s66_strangers_who_do_not_read_or_linger_at_their_end_do_not_keep_a_listed_device_out() -> None:
    async def body() -> None:
        accept = AcceptSettings(networks=(ipaddress.ip_network("127.0.0.9/32"),), max_connections=2)
        async with open_door(accept) as door:
            deaf = await door.connect()
            await deaf.greet()
            deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport that reads
            session = next(iter(door.reception.guests.present))
            assert isinstance(session, Session)
            session.pause_writing()  # as the transport does when nobody takes what it has to send
            await deaf.send(b"NOOP\r\n")
            lingering = await door.connect()
            await lingering.greet()
            await lingering.send(b"GET / HTTP/1.1\r\n")
            assert (await lingering.answer()).code == 554  # and it does not hang up
            for _ in range(2):
                device = await door.connect(source="127.0.0.9")
                assert (await device.greet()).code == 250
                await device.envelope()
            await door.until(lambda: len(door.reception.guests) == 2)

    asyncio.run(body())


def test_s67_a_body_in_chunks_at_a_snails_pace_is_cut() -> None:
    async def body() -> None:
        timers = ReceptionTimers(rate_window=0.2, minimum_rate=1000)
        async with open_door(timers=timers) as door:
            client = await ready(door)
            codes = {250}
            async with asyncio.timeout(3):
                while codes == {250}:
                    await client.send(b"BDAT 1\r\nx")
                    codes.add((await client.answer()).code)
                    await asyncio.sleep(0.01)
            assert codes == {250, 421}
            assert not door.spool.stored

    asyncio.run(body())


def test_s58_empty_chunks_are_small_talk() -> None:
    async def body() -> None:
        async with open_door() as door:
            client = await ready(door)
            await client.send(b"BDAT 0\r\n" * 150)
            codes = []
            while not codes or codes[-1] == 250:
                codes.append((await client.answer()).code)
            assert codes[-1] == 421
            assert len(codes) <= 101

    asyncio.run(body())


def test_s67_a_slow_but_steady_body_is_served_to_the_end() -> None:
    async def body() -> None:
        timers = ReceptionTimers(block=1.0, rate_window=0.2, minimum_rate=50)  # less than it takes in all
        async with open_door(timers=timers) as door:
            client = await in_data(door)
            for _ in range(120):
                await client.send(b"steady steady steady steady\r\n")
                await asyncio.sleep(0.01)
            await client.send(b".\r\n")
            assert (await client.answer()).code == 250

    asyncio.run(body())


def test_s67_a_body_that_stalls_is_let_go() -> None:
    async def body() -> None:
        async with open_door(timers=ReceptionTimers(block=0.1)) as door:
            client = await in_data(door)
            await client.send(b"x\r\n")
            assert (await client.answer()).code == 421

    asyncio.run(body())


@pytest.mark.parametrize("step", ["room", "mail", "draft", "write", "commit"])
def test_s68_a_full_disk_is_452_wherever_it_shows_and_250_when_room_is_back(step: str) -> None:
    async def body() -> None:
        async with open_door() as door:
            client = await door.connect()
            await client.greet()
            if step == "mail":
                door.spool.free = door.spool.reserve - 1
            else:
                door.spool.fail[step] = SpoolFull("no room in /var/spool/secret")
            answer = await client.say("MAIL FROM:<a@b.c>")
            if step not in ("room", "mail"):
                assert answer.code == 250
                assert (await client.say("RCPT TO:<d@e.f>")).code == 250
                answer = await client.data(b"x\r\n.\r\n")
            assert (answer.code, answer.text[:5]) == (452, "4.3.1")
            assert "secret" not in answer.text
            door.spool.fail.clear()
            door.spool.free = 10**12
            await client.say("RSET")
            await client.envelope()
            assert (await client.data(b"x\r\n.\r\n")).code == 250
            assert len(door.spool.stored) == 1

    asyncio.run(body())


def test_s68_a_declared_size_that_does_not_fit_is_452_at_mail() -> None:
    async def body() -> None:
        async with open_door() as door:
            door.spool.free = door.spool.reserve + 10_000
            client = await door.connect()
            await client.greet()
            assert (await client.say("MAIL FROM:<a@b.c> SIZE=10001")).code == 452
            assert (await client.say("MAIL FROM:<a@b.c> SIZE=9999")).code == 250

    asyncio.run(body())


@pytest.mark.parametrize("step", ["draft", "write", "commit"])
def test_trouble_with_the_disk_is_451_and_never_a_path(step: str) -> None:
    async def body() -> None:
        async with open_door() as door:
            client = await ready(door)
            door.spool.fail[step] = SpoolError("EIO /var/spool/secret")
            answer = await client.data(b"x\r\n.\r\n")
            assert (answer.code, answer.text[:5]) == (451, "4.3.0")
            assert "secret" not in answer.text
            assert (await client.say("NOOP")).code == 250

    asyncio.run(body())


@pytest.mark.parametrize("state", ["greeted", "mail", "rcpt", "data", "committing"])
def test_s69_a_stop_in_any_state_is_421_or_250_and_stored(state: str) -> None:
    async def body() -> None:
        spool = FakeSpool(gate=asyncio.Event() if state == "committing" else None)
        async with open_door(spool=spool) as door:
            client = await door.connect()
            await client.greet()
            if state != "greeted":
                assert (await client.say("MAIL FROM:<a@b.c>")).code == 250
            if state not in ("greeted", "mail"):
                assert (await client.say("RCPT TO:<d@e.f>")).code == 250
            if state in ("data", "committing"):
                assert (await client.say("DATA")).code == 354
                await client.send(b"half a line" + (b"\r\n.\r\n" if state == "committing" else b""))
            if state == "committing":
                await door.until(lambda: spool.committing == 1)
            stopping = asyncio.create_task(door.reception.stop(0.1))
            if spool.gate is not None:
                await asyncio.sleep(0.05)
                spool.gate.set()
                assert (await client.answer()).code == 250
            answer = await client.answer()
            assert (answer.code, answer.text[:5]) == (421, "4.3.2")
            await client.close()
            await stopping
            assert len(spool.stored) == (1 if state == "committing" else 0)

    asyncio.run(body())


def test_s69_what_is_under_way_at_a_stop_is_finished_and_what_is_pipelined_behind_it_not_begun() -> None:
    async def body() -> None:
        async with open_door() as door:
            client = await in_data(door)
            await client.send(b"first\r\n")
            stopping = asyncio.create_task(door.reception.stop(5))
            await asyncio.sleep(0)
            await client.send(b".\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nsecond\r\n.\r\n")
            assert [(await client.answer()).code, (await client.answer()).code] == [250, 421]
            await client.close()
            await stopping
            assert [item.body for item in door.spool.stored] == [b"first\r\n"]

    asyncio.run(body())


def test_what_a_client_sends_while_its_message_is_made_safe_is_kept_within_a_bound() -> None:
    async def body() -> None:
        spool = FakeSpool(gate=asyncio.Event())
        async with open_door(spool=spool) as door:
            client = await in_data(door)
            client.writer.write(b"x\r\n.\r\n" + b"NOOP\r\n" * 2_000_000)
            await door.until(lambda: spool.committing == 1)
            [session] = [guest for guest in door.reception.guests.present if isinstance(guest, Session)]
            await door.until(lambda: session.transport is not None and not session.transport.is_reading())
            assert len(session.inbox.buffer) <= HIGH_WATER + RECEIVE_OCTETS
            assert spool.gate is not None
            spool.gate.set()
            assert (await client.answer()).code == 250
            client.reset()

    asyncio.run(body())


def test_s70_a_client_that_vanishes_after_the_dot_leaves_one_copy() -> None:
    async def body() -> None:
        spool = FakeSpool(gate=asyncio.Event())
        async with open_door(spool=spool) as door:
            client = await in_data(door)
            await client.send(b"x\r\n.\r\n")
            await door.until(lambda: spool.committing == 1)
            client.reset()
            await door.until(lambda: len(door.reception.guests) == 0)
            assert spool.gate is not None
            spool.gate.set()
            await door.until(lambda: len(spool.stored) == 1)
            await door.until(lambda: any(isinstance(event, Received) for event in door.events))

    asyncio.run(body())


def test_s71_the_same_message_twice_is_stored_twice() -> None:
    async def body() -> None:
        async with open_door() as door:
            client = await door.connect()
            await client.greet()
            for _ in range(2):
                await client.envelope()
                assert (await client.data(b"Message-ID: <1@x>\r\n\r\nsame\r\n.\r\n")).code == 250
            first, second = door.spool.stored
            assert first.body == second.body
            assert first.id != second.id

    asyncio.run(body())


def test_s72_without_date_and_message_id_a_message_is_taken_as_it_is() -> None:
    async def body() -> None:
        async with open_door() as door:
            client = await ready(door)
            assert (await client.data(b"Subject: bare\r\n\r\nx\r\n.\r\n")).code == 250
            assert door.spool.stored[0].body == b"Subject: bare\r\n\r\nx\r\n"

    asyncio.run(body())


def test_s73_with_the_clock_in_1970_the_received_field_has_the_best_time_known_and_says_that_it_is_not_set() -> None:
    async def body() -> None:
        async with open_door(clock=FakeClock(3600.0), clock_not_set=lambda: 1_780_000_000.0) as door:
            client = await ready(door)
            assert (await client.data(b"x\r\n.\r\n")).code == 250
            assert b"\r\n\tThu, 28 May 2026 20:26:40 +0000 (clock not set)\r\n" in door.spool.stored[0].received
        async with open_door(clock=FakeClock(1_780_000_000.0), clock_not_set=lambda: None) as door:
            client = await ready(door)
            assert (await client.data(b"x\r\n.\r\n")).code == 250
            assert b"\r\n\tThu, 28 May 2026 20:26:40 +0000\r\n" in door.spool.stored[0].received

    asyncio.run(body())


def test_the_250_says_when_the_message_leaves_to_those_who_may_relay() -> None:
    async def body() -> None:
        def when_leaves(_: object) -> str:
            return "leaves about 12:30, window Arbeitsstunden \u2014 \r\n"

        async with open_door(when_leaves=when_leaves) as door:
            client = await ready(door)
            answer = await client.data(b"x\r\n.\r\n")
            assert answer.text == "2.0.0 queued as fake00000001 leaves about 12:30, window Arbeitsstunden ? ??"
        async with open_door(stranger_settings(domains=("hq.example",)), when_leaves=when_leaves) as door:
            client = await ready(door)
            assert (await client.data(b"x\r\n.\r\n")).text == "2.0.0 queued as fake00000001"

    asyncio.run(body())


def test_what_no_window_would_take_is_refused_with_552_and_the_sentence() -> None:
    async def body() -> None:
        asked: list[tuple[str, int]] = []

        def refuses(message_class: str, size: int) -> str | None:
            asked.append((message_class, size))
            return "no window takes more than 1 kB" if size > 1000 else None

        async with open_door(refuses=refuses) as door:
            client = await ready(door)
            answer = await client.data(b"x" * 1000 + b"\r\n.\r\n")
            assert (answer.code, answer.text) == (552, "5.3.4 no window takes more than 1 kB")
            await client.envelope()
            assert (await client.data(b"x" * 100 + b"\r\n.\r\n")).code == 250
            assert asked == [("normal", 1002), ("normal", 102)]

    asyncio.run(body())


def test_what_the_relay_cannot_carry_is_refused_while_the_sender_is_there() -> None:
    async def body() -> None:
        offers = RelayOffers(smtputf8=False, size=10_000)
        async with open_door(relay_offers=lambda: offers) as door:
            client = await door.connect()
            words = await client.greet()
            assert "SIZE 8976" in words.lines
            assert "SMTPUTF8" not in words.lines
            assert (await client.say("MAIL FROM:<a@b.c> SMTPUTF8")).code == 555
            assert (await client.say("MAIL FROM:<a@b.c> SIZE=9000")).code == 552

    asyncio.run(body())


def test_a_message_that_comes_straight_back_is_put_off_and_an_alarm_raised() -> None:
    async def body() -> None:
        async with open_door() as door:
            client = await ready(door)
            assert (await client.data(b"Subject: x\r\n\r\nx\r\n.\r\n")).code == 250
            looped = door.spool.stored[0].content
            await client.envelope()
            answer = await client.data(looped + b".\r\n")
            assert (answer.code, answer.text[:5]) == (451, "4.4.6")
            assert [event.about for event in door.events if isinstance(event, Alarm)] == ["relay"]
            assert len(door.spool.stored) == 1
            await client.envelope()
            forwarded = b"Received: from gw.test by list.example; now\r\n" + looped
            assert (await client.data(forwarded + b".\r\n")).code == 250

    asyncio.run(body())


def test_who_sent_what_came_straight_back_is_told_its_id_and_raises_the_alarm_itself() -> None:
    async def body() -> None:
        told: list[str] = []

        def looped(item: str) -> bool:
            told.append(item)
            return True

        async with open_door(looped=looped) as door:
            client = await ready(door)
            assert (await client.data(b"Subject: x\r\n\r\nx\r\n.\r\n")).code == 250
            await client.envelope()
            assert (await client.data(door.spool.stored[0].content + b".\r\n")).code == 451
            assert told == [door.spool.stored[0].id]
            assert not [event for event in door.events if isinstance(event, Alarm)]

    asyncio.run(body())


def test_dsn_and_deadline_reach_the_envelope() -> None:
    async def body() -> None:
        clock = FakeClock(1_780_000_000.0)
        async with open_door(clock=clock) as door:
            client = await door.connect()
            await client.greet()
            await client.say("MAIL FROM:<a@b.c> RET=hdrs ENVID=Qq+2B1 BY=3600;NT")
            await client.say("RCPT TO:<d@e.f> NOTIFY=success,DELAY ORCPT=rfc822;D+2Be@E.f")
            assert (await client.data(b"x\r\n.\r\n")).code == 250
            envelope = door.spool.stored[0].envelope
            assert (envelope.ret, envelope.envid) == ("HDRS", "Qq+2B1")
            assert envelope.recipients == (Recipient("d@e.f", "success,DELAY", "rfc822;D+2Be@E.f"),)
            assert (envelope.deliver_by, envelope.by_mode, envelope.by_trace) == (1_780_003_600.0, "N", True)

    asyncio.run(body())


def test_replies_nobody_reads_do_not_heap_up() -> None:
    async def body() -> None:
        async with open_door(timers=ReceptionTimers(write=0.2)) as door:
            client = await door.connect()
            await client.greet()
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport that reads
            command = b"RCPT TO:<d@e.f>\r\n" * 4000
            await client.send(b"MAIL FROM:<a@b.c>\r\n")
            try:
                async with asyncio.timeout(5):
                    while len(door.reception.guests):
                        client.writer.write(command)
                        await asyncio.sleep(0.005)
            except ConnectionError:
                pass
            assert len(door.reception.guests) == 0

    asyncio.run(body())


def test_s62_three_hundred_random_streams_leave_it_alive() -> None:
    async def body() -> None:
        async with open_door(timers=ReceptionTimers(first_mail=0.5, command_line=0.5, block=0.5)) as door:
            for number in range(300):
                client = await door.connect()
                await client.send(os.urandom(1 + number * 7))
                client.half_close()
                await client.rest()
                await client.close()
            assert not door.spool.stored
            client = await ready(door)
            assert (await client.data(b"x\r\n.\r\n")).code == 250

    asyncio.run(body())
