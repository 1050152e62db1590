"""The courier on an emulated line that is cut (linklab): what survives is kept, what died is given up in time."""

import asyncio
import contextlib
import ctypes
import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.courier import Nudge
from tests.support.labs import require
from tests.support.linklab import LinkLab
from tests.support.relay import SILENCE, Relay, Say
from tests.support.sending import QUICK, send
from tests.support.shipping import ListFeed, shipment

pytestmark = pytest.mark.lab

NEW_NETWORK = 0x40000000  # CLONE_NEWNET
BIG = b"Subject: x\r\n\r\n" + b"y" * 70 + b"\r\n" * 1_000_000
PATIENT = dataclasses.replace(QUICK, block=20.0, final=20.0, ehlo=20.0, mail=20.0, suspicion=0.5, silence=0.5)


class Line(LinkLab):
    """A line between the namespaces `branch` and `hq`, for sockets of this process."""

    @contextlib.contextmanager
    def inside(self, side: str) -> Iterator[None]:
        """Sockets made in this block belong to that side; they stay there."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{side}-{self.name}") as there:
            assert libc.setns(there.fileno(), NEW_NETWORK) == 0, os.strerror(ctypes.get_errno())
            try:
                yield
            finally:
                assert libc.setns(home.fileno(), NEW_NETWORK) == 0


@pytest.fixture
def line(request: pytest.FixtureRequest) -> Iterator[Line]:
    made = Line(require("linklab", "/dev/net/tun"), f"c{os.getpid() % 10000}")
    made.ask("up", "--preset", "plain", "rate=4M", f"flows={request.param}")
    try:
        yield made
    finally:
        made.ask("down", "--kill")


def send_over(line: Line, *, cut: str, nudge: Nudge | None = None) -> Any:
    """A megabyte over a line that is cut while it is under way."""

    async def go() -> Any:
        with line.inside("hq"):
            relay = await Relay(host="10.77.0.2").__aenter__()
        feed = ListFeed([shipment("m0", BIG)])
        with line.inside("branch"):
            task = asyncio.create_task(send(relay, feed=feed, timers=PATIENT, nudge=nudge))
            await feed.reached(200_000)
            await asyncio.to_thread(line.ask, "set", "--down", "--for", cut)
            if nudge is not None:
                await asyncio.sleep(0.1)
                nudge.poke()
            end, _ = await task
        await relay.__aexit__(None, None, None)
        return end, feed, relay

    return asyncio.run(go())


@pytest.mark.parametrize("line", ["drop"], indirect=True)
def test_a_connection_that_the_cut_killed_is_given_up_when_the_line_is_back(line: Line) -> None:
    end, feed, relay = send_over(line, cut="1.5s")

    assert (end.why, end.line_works) == ("broken", True)
    assert end.text == "10.77.0.2 does not know this connection any more: the line was cut"
    assert feed.kinds("m0") == ["Interrupted"]
    assert end.seconds < 10
    assert not relay.messages
    assert abs(line.offered() - end.segments_out) <= 4  # also those of the connections by which it was found out


@pytest.mark.parametrize("line", ["drop"], indirect=True)
def test_a_connection_that_the_cut_killed_before_the_first_message_is_given_up_as_soon(line: Line) -> None:
    """Nothing of ours is unacknowledged, and the answer to EHLO, for which one waits for minutes, never comes."""

    async def go() -> Any:
        with line.inside("hq"):
            asked, relay = asyncio.Event(), Relay({"EHLO": lambda _: (asked.set(), SILENCE)[1]}, host="10.77.0.2")
            await relay.__aenter__()
        nudge = Nudge()
        with line.inside("branch"):
            task = asyncio.create_task(send(relay, shipment("m0"), timers=PATIENT, nudge=nudge))
            await asked.wait()
            await asyncio.to_thread(line.ask, "set", "--down", "--for", "0.5s")
            await asyncio.sleep(0.6)
            nudge.poke()
            end, feed = await task
        await relay.__aexit__(None, None, None)
        return end, feed

    end, feed = asyncio.run(go())

    assert (end.why, end.line_works, feed.taken) == ("broken", True, 0)
    assert end.seconds < 10


@pytest.mark.parametrize("line", ["drop"], indirect=True)
def test_one_that_was_not_greeted_yet_does_not_wait_its_five_minutes(line: Line) -> None:
    timers = dataclasses.replace(PATIENT, greeting=60.0)

    async def go() -> Any:
        with line.inside("hq"):
            connected = asyncio.Event()
            relay = Relay({"CONNECT": lambda _: (connected.set(), SILENCE)[1]}, host="10.77.0.2")
            await relay.__aenter__()
        nudge = Nudge()
        with line.inside("branch"):
            task = asyncio.create_task(send(relay, shipment("m0"), timers=timers, nudge=nudge))
            await connected.wait()
            await asyncio.to_thread(line.ask, "set", "--down", "--for", "0.5s")
            await asyncio.sleep(0.6)
            nudge.poke()
            end, feed = await task
        await relay.__aexit__(None, None, None)
        return end, feed

    end, feed = asyncio.run(go())

    assert (end.why, feed.taken) == ("broken", 0)
    assert end.text == "10.77.0.2 does not know this connection any more: the line was cut"
    assert end.seconds < 10


@pytest.mark.parametrize("line", ["keep"], indirect=True)
def test_a_relay_that_greets_slowly_is_waited_for_where_the_line_works(line: Line) -> None:
    async def go() -> Any:
        with line.inside("hq"):
            ready = asyncio.Event()
            relay = Relay({"CONNECT": Say("220 at last", after=ready)}, host="10.77.0.2")
            await relay.__aenter__()
        nudge = Nudge()
        with line.inside("branch"):
            task = asyncio.create_task(
                send(relay, shipment("m0"), timers=dataclasses.replace(PATIENT, greeting=60.0), nudge=nudge)
            )
            await asyncio.sleep(0.3)
            nudge.poke()
            await asyncio.sleep(3.0)  # far more than it would have to show life if it were dead
            ready.set()
            end, feed = await task
        await relay.__aexit__(None, None, None)
        return end, feed

    end, feed = asyncio.run(go())
    assert (end.why, feed.kinds("m0")) == ("done", ["Delivered"])


@pytest.mark.parametrize("line", ["keep"], indirect=True)
def test_a_connection_that_survives_the_cut_goes_on_where_it_was(line: Line) -> None:
    end, feed, relay = send_over(line, cut="1.5s", nudge=Nudge())

    assert (end.why, feed.kinds("m0")) == ("done", ["Delivered"])
    assert [message.octets for message in relay.messages] == [BIG]
    assert len(relay.visits) <= 3  # the others are probes


@pytest.mark.parametrize("line", ["keep"], indirect=True)
@pytest.mark.parametrize("cut_at", ["content", "QUIT"])
def test_after_the_end_of_a_session_nothing_of_it_is_put_on_the_line_any_more(line: Line, cut_at: str) -> None:
    """The far side is dark and the carrier stays: neither what was not acknowledged nor a FIN is sent again (DESIGN 6)."""
    hasty = dataclasses.replace(QUICK, block=1.5, final=1.5, quit=0.5)

    def go_dark(command: str) -> Say:
        line.ask("set", "--down")
        return SILENCE

    async def go() -> tuple[Any, int]:
        with line.inside("hq"):
            relay = await Relay({"QUIT": go_dark}, host="10.77.0.2").__aenter__()
        feed = ListFeed([shipment("m0", BIG if cut_at == "content" else b"Subject: x\r\n\r\nshort\r\n")])
        with line.inside("branch"):
            task = asyncio.create_task(send(relay, feed=feed, timers=hasty))
            if cut_at == "content":
                await feed.reached(200_000)
                await asyncio.to_thread(line.ask, "set", "--down")
            end, _ = await task
        before = await asyncio.to_thread(line.offered)
        await asyncio.sleep(4)  # retransmissions come within a second or two of each other
        after = await asyncio.to_thread(line.offered)
        await relay.__aexit__(None, None, None)
        return end, after - before

    end, late = asyncio.run(go())
    assert end.why == ("broken" if cut_at == "content" else "done")
    assert late == 0
