"""The courier against Postfix's smtp-sink, a bad relay with options for it (CASES section 2)."""

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.sending import send
from tests.support.shipping import ListFeed, shipment

SINK = shutil.which("smtp-sink", path="/usr/sbin:/usr/bin:/usr/local/sbin")

pytestmark = pytest.mark.skipif(SINK is None, reason="smtp-sink (Debian package postfix) is not installed")


@contextlib.asynccontextmanager
async def sink(*options: str, folder: Path | None = None) -> AsyncIterator[int]:
    """Its port. It ends with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert SINK is not None
    process = await asyncio.create_subprocess_exec(
        SINK,
        *(("-u", "nobody") if os.geteuid() == 0 else ()),  # it insists, as root
        *options,
        f"127.0.0.1:{port}",
        "100",
        cwd=folder,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(ConnectionRefusedError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.01)
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def against(*options: str, count: int = 3, size: int = 500) -> Any:
    ships = [shipment(f"m{n}", b"Subject: x\r\n\r\n" + b".line\r\n" * (size // 7)) for n in range(count)]

    async def go() -> Any:
        async with sink(*options) as port:
            return await send(port, *ships)

    return asyncio.run(go())


def kinds(feed: ListFeed) -> set[str]:
    return {kind for id in feed.outcomes for kind in feed.kinds(id)}


@pytest.mark.parametrize("options", [(), ("-p",), ("-e",), ("-P",), ("-8",), ("-T", "1024")])
def test_an_honest_sink_takes_everything(options: tuple[str, ...]) -> None:
    end, feed = against(*options, count=30, size=5000)

    assert (end.why, end.took) == ("done", 30)
    assert kinds(feed) == {"Delivered"}


@pytest.mark.parametrize(
    ("options", "why", "outcomes"),
    [
        (("-f", "CONNECT"), "refused", set()),
        (("-r", "CONNECT"), "refused", set()),
        (("-Q", "CONNECT"), "busy", set()),
        (("-q", "CONNECT"), "unreachable", set()),
        (("-f", "EHLO"), "done", {"Delivered"}),
        (("-r", "EHLO"), "done", {"Delivered"}),
        (("-q", "EHLO"), "broken", set()),
        (("-Q", "EHLO"), "busy", set()),
        (("-r", "MAIL"), "done", {"Deferred"}),
        (("-f", "MAIL"), "done", {"Failed"}),
        (("-r", "RCPT"), "done", {"Deferred"}),
        (("-f", "RCPT"), "done", {"Failed"}),
        (("-Q", "RCPT"), "busy", {"Deferred", "Interrupted"}),
        (("-p", "-r", "DATA"), "done", {"Deferred"}),
        (("-f", "DATA"), "done", {"Failed"}),
        (("-q", "DATA"), "broken", {"Interrupted"}),
        (("-Q", "DATA"), "busy", {"Deferred", "Interrupted"}),
        (("-r", "."), "done", {"Deferred"}),
        (("-f", "."), "done", {"Failed"}),
        (("-q", "."), "broken", {"Unconfirmed", "Interrupted"}),
        (("-Q", "."), "busy", {"Deferred", "Interrupted"}),
        (("-f", "QUIT"), "done", {"Delivered"}),
        (("-q", "QUIT"), "done", {"Delivered"}),
        (("-A", "0"), "broken", {"Failed", "Interrupted"}),
    ],
    ids=lambda value: "".join(value) if isinstance(value, tuple) else "",
)
def test_c01_to_c16_a_bad_sink_costs_no_message(options: tuple[str, ...], why: str, outcomes: set[str]) -> None:
    end, feed = against(*options)

    assert end.why == why
    assert kinds(feed) <= outcomes
    assert bool(feed.taken) == bool(outcomes)


def test_c16_a_slow_reader_is_waited_for() -> None:
    end, feed = against("-H", "1", "-T", "1024", count=1, size=300_000)

    assert (end.why, kinds(feed)) == ("done", {"Delivered"})
