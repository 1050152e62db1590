"""Reception over the real spool: what is answered 250 lies on disk, octet for octet, and memory does not depend on it."""

from __future__ import annotations

import asyncio
import errno
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.config.settings import AcceptSettings, Address, ListenSettings, Settings
from gateway.events import Event, Journal, Received
from gateway.reception.reception import Reception
from gateway.reception.timers import ReceptionTimers
from gateway.spool.spool import Spool
from tests.support.faultydisk import FaultyDisk
from tests.support.smtp import Client
from tests.support.spools import a_spool


async def connect(address: Address) -> Client:
    client = Client(*await asyncio.open_connection(address.host, address.port))
    await client.greet()
    return client


def test_small_and_large_messages_are_on_disk_octet_for_octet_after_a_restart(tmp_path: Path) -> None:
    async def body() -> None:
        journal = Journal()
        events: list[Event] = []
        journal.subscribe(events.append)
        settings = Settings(
            path=None,
            hostname="gw.test",
            spool=tmp_path,
            listen=(ListenSettings(Address("127.0.0.1", 0)),),
            accept=AcceptSettings(max_message=3_000_000),
        )
        spool = await Spool.open(tmp_path, clock=SystemClock(), journal=journal, reserve=0)
        reception = Reception(settings, spool, clock=SystemClock(), journal=journal, timers=ReceptionTimers())
        [address] = await reception.start()
        contents = [b"Subject: x\r\n\r\nsmall\r\n", b"y" * 900 + b"\r\n", (b"z" * 70 + b"\r\n") * 30_000, b"\r\n"]
        ids = []
        client = await connect(address)
        for content in contents:
            await client.envelope("<a@b.c>", "<d@e.f>", "<g@h.i>")
            answer = await client.data(content + b".\r\n")
            found = re.fullmatch(r"2\.0\.0 queued as (\w+)", answer.text)
            assert found is not None
            ids.append(found[1])
        await client.say("MAIL FROM:<a@b.c>")
        await client.say("RCPT TO:<d@e.f>")
        assert (await client.say("DATA")).code == 354
        await client.send(b"too long\r\n" * 400_000 + b".\r\n")
        assert (await client.answer()).code == 552
        await client.close()
        await reception.stop(5)
        await spool.close()
        assert [event.id for event in events if isinstance(event, Received)] == ids

        spool = await Spool.open(tmp_path, clock=SystemClock(), journal=journal, reserve=0)
        assert set(spool.entries) == set(ids)
        for id, content in zip(ids, contents, strict=True):
            record = await spool.record(id)
            stored = await spool.content(id)
            octets = await stored.read(0, stored.size)
            assert (record.reverse_path, [r.address for r in record.recipients]) == ("a@b.c", ["d@e.f", "g@h.i"])
            assert record.client == "127.0.0.1"
            assert octets.endswith(b"+0000\r\n" + content)
            assert octets.startswith(b"Received: from client.example ([127.0.0.1])\r\n\tby gw.test (Tidegate ")
            stored.close()
        await spool.close()
        assert not list((tmp_path / "incoming").glob("*"))

    asyncio.run(body())


@pytest.mark.parametrize(
    ("calls", "path", "octets"),
    [
        ((), "", 100),  # seen at MAIL
        (("write",), "incoming", 600_000),
        (("fsync", "fdatasync"), "", 100),
        (("fsync", "fdatasync", "fsync_dir"), "", 600_000),
        (("rename", "link"), "", 600_000),
    ],
    ids=[
        "at MAIL",
        "in DATA",
        "at the flush of the journal",
        "at the flush of large content",
        "at the link into the queue",
    ],
)
def test_s68_a_full_disk_is_452_at_every_step_and_250_again_when_room_is_back(
    tmp_path: Path, calls: tuple[str, ...], path: str, octets: int
) -> None:
    async def body() -> None:
        disk = FaultyDisk()
        async with a_spool(tmp_path, disk=disk, clock=SystemClock()) as spool:
            settings = Settings(
                path=None, hostname="gw.test", spool=tmp_path, listen=(ListenSettings(Address("127.0.0.1", 0)),)
            )
            reception = Reception(settings, spool, clock=SystemClock(), journal=Journal())
            [address] = await reception.start()
            client = await connect(address)
            content = b"x" * 98 + b"\r\n"
            content = content * (octets // len(content)) + b".\r\n"
            if calls:
                disk.fail(*calls, error=errno.ENOSPC, path=path)
            else:
                disk.free = 0

            async def hand_in() -> str:
                await client.say("RSET")
                answer = await client.say("MAIL FROM:<a@b.c>")
                if answer.code == 250:
                    assert (await client.say("RCPT TO:<d@e.f>")).code == 250
                    answer = await client.data(content)
                return f"{answer.code} {answer.text[:5]}"

            promised = 0
            async with asyncio.timeout(
                10
            ):  # a link fails after a 250, for what lies in the journal; then comes the refusal
                while (said := await hand_in()) == "250 2.0.0":
                    promised += 1
            assert said == "452 4.3.1"
            assert promised == 0 or "link" in calls
            assert len(spool.entries) == promised
            disk.heal()
            disk.free = None
            async with asyncio.timeout(10):
                while (said := await hand_in()) == "452 4.3.1":
                    await asyncio.sleep(0.05)
            assert said == "250 2.0.0"
            assert len(spool.entries) == promised + 1
            await client.close()
            await reception.stop(5)

    asyncio.run(body())


def test_s60_resets_in_the_middle_of_data_leave_no_file(tmp_path: Path) -> None:
    async def body() -> None:
        journal = Journal()
        settings = Settings(
            path=None, hostname="gw.test", spool=tmp_path, listen=(ListenSettings(Address("127.0.0.1", 0)),)
        )
        spool = await Spool.open(tmp_path, clock=SystemClock(), journal=journal, reserve=0)
        reception = Reception(settings, spool, clock=SystemClock(), journal=journal, timers=ReceptionTimers())
        [address] = await reception.start()
        incoming = tmp_path / "incoming"
        for _ in range(20):
            client = await connect(address)
            await client.envelope()
            assert (await client.say("DATA")).code == 354
            await client.send(b"x" * 998 + b"\r\n" + b"y" * 600_000)
            async with asyncio.timeout(10):
                while not list(incoming.iterdir()):  # large content lies there while it comes
                    await asyncio.sleep(0.001)
            client.reset()
            async with asyncio.timeout(10):
                while list(incoming.iterdir()):
                    await asyncio.sleep(0.001)
        assert not spool.entries
        await reception.stop(5)
        await spool.close()
        assert not list((tmp_path / "queue").iterdir())

    asyncio.run(body())


def test_ten_messages_of_twenty_megabyte_at_once_cost_less_than_sixteen(tmp_path: Path) -> None:
    program = Path(__file__).parent.parent / "support" / "reception_memory.py"
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path), "10", "20000000"], capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    grown = int(done.stdout.split()[-1])
    assert grown < 16 * 1024, f"{grown} KiB"
