"""When a connection counts as dead, on a wire that is only numbers."""

import asyncio
import dataclasses
import errno
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from gateway.courier.contract import Timers
from gateway.courier.kernel import Traffic
from gateway.courier.watch import Watch, try_connection
from gateway.courier.wire import Wire

TIMERS = dataclasses.replace(Timers(), block=1.0, suspicion=0.05, silence=0.05)


class NumbersWire:
    """What Watch looks at. `unacked`: octets that nobody acknowledges."""

    def __init__(self, unacked: int = 0, outstanding: int = 1) -> None:
        self.lost: str | None = None
        self.line_works = False
        self.is_writable = True
        self.outstanding = [object()] * outstanding
        self.last_heard = self.last_answered = 0.0
        self.tcp = None
        self.acked = 1000
        self.unacked = unacked
        self.ack_age = 1000.0
        self.gone = asyncio.Event()

    def traffic(self) -> Traffic:
        sent = self.acked + self.unacked
        return Traffic(written=sent, sent=sent, acked=self.acked, received=0, rtt=0.001, ack_age=self.ack_age)

    def give_up(self, why: str) -> None:
        self.lost = why
        self.gone.set()


async def watching(
    wire: NumbersWire,
    probe: Callable[[], Awaitable[bool]],
    meanwhile: Callable[[Watch], Awaitable[None]],
    timers: Timers = TIMERS,
) -> None:
    watch = Watch(cast(Wire, wire), timers, lambda: 5.0, probe)
    watch.start()
    try:
        async with asyncio.timeout(10):
            await meanwhile(watch)
    finally:
        watch.stop()


async def answers() -> bool:
    return True


async def is_cut() -> bool:
    return False


def test_a_connection_without_life_on_a_line_that_works_is_given_up() -> None:
    async def go() -> NumbersWire:
        wire = NumbersWire(unacked=5000)
        await watching(wire, answers, lambda _: cast(Awaitable[None], wire.gone.wait()))
        return wire

    wire = asyncio.run(go())

    assert wire.lost == "does not know this connection any more: the line was cut"
    assert wire.line_works


def test_while_the_line_itself_is_cut_the_connection_is_kept() -> None:
    async def go() -> NumbersWire:
        wire = NumbersWire(unacked=5000)
        tries = 0
        enough = asyncio.Event()

        async def cut() -> bool:
            nonlocal tries
            tries += 1
            if tries > 1:
                enough.set()
            return False

        await watching(wire, cut, lambda _: cast(Awaitable[None], enough.wait()))
        return wire

    assert asyncio.run(go()).lost is None


def test_a_connection_that_goes_on_after_the_cut_is_kept() -> None:
    async def go() -> NumbersWire:
        wire = NumbersWire(unacked=5000)
        probed = asyncio.Event()

        async def back() -> bool:
            wire.acked += 1000
            probed.set()
            return True

        async def meanwhile(_: Watch) -> None:
            await probed.wait()
            for _ in range(100):
                wire.acked += 1000
                await asyncio.sleep(0.002)

        await watching(wire, back, meanwhile)
        return wire

    assert asyncio.run(go()).lost is None


def test_a_connection_that_revives_by_itself_is_not_probed_any_longer() -> None:
    async def go() -> tuple[NumbersWire, int]:
        wire = NumbersWire(unacked=5000)
        tries = 0

        async def cut() -> bool:
            nonlocal tries
            tries += 1
            wire.acked += 1000
            wire.unacked = 0
            return False

        async def meanwhile(watch: Watch) -> None:
            watch.suspect()
            await asyncio.sleep(0.7)

        await watching(wire, cut, meanwhile, dataclasses.replace(TIMERS, suspicion=1000.0))
        return wire, tries

    wire, tries = asyncio.run(go())

    assert (wire.lost, tries) == (None, 1)


def test_word_of_a_link_makes_it_look_at_once() -> None:
    async def go() -> NumbersWire:
        wire = NumbersWire()

        async def meanwhile(watch: Watch) -> None:
            watch.suspect()
            await wire.gone.wait()

        await watching(wire, answers, meanwhile, dataclasses.replace(TIMERS, suspicion=1000.0, block=1000.0))
        return wire

    assert asyncio.run(go()).line_works


def test_a_relay_that_takes_its_time_and_acknowledges_our_asking_is_waited_for() -> None:
    async def go() -> NumbersWire:
        wire = NumbersWire()
        wire.ack_age = 0.0

        async def meanwhile(watch: Watch) -> None:
            watch.suspect()
            await asyncio.sleep(0.3)

        await watching(wire, answers, meanwhile)
        return wire

    assert asyncio.run(go()).lost is None


def test_where_nothing_is_awaited_nothing_is_suspected() -> None:
    async def go() -> NumbersWire:
        wire = NumbersWire(outstanding=0)

        async def meanwhile(watch: Watch) -> None:
            watch.suspect()
            await asyncio.sleep(0.3)

        await watching(wire, answers, meanwhile)
        return wire

    assert asyncio.run(go()).lost is None


def test_octets_that_nobody_acknowledges_end_the_wait_even_so() -> None:
    async def go() -> NumbersWire:
        wire = NumbersWire(unacked=10)
        timers = dataclasses.replace(TIMERS, block=0.1, suspicion=1000.0)
        await watching(wire, is_cut, lambda _: cast(Awaitable[None], wire.gone.wait()), timers)
        return wire

    assert asyncio.run(go()).lost == "no longer takes what we send"


def test_a_probe_is_answered_by_whoever_is_there_and_by_a_refusal() -> None:
    async def go() -> tuple[Any, ...]:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        there = await try_connection(("127.0.0.1", port), None, 2.0)
        server.close()
        await server.wait_closed()
        refused = await try_connection(("127.0.0.1", port), None, 2.0)
        nowhere = await try_connection(("127.0.0.1", port), "nosuchlink0", 2.0)
        return there, refused, nowhere

    assert asyncio.run(go()) == (True, True, False)


def test_a_probe_for_which_there_is_no_socket_says_nothing_of_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "too many open files")

    async def go() -> bool:
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", none_left)
            return await try_connection(("127.0.0.1", 9), None, 2.0)

    assert asyncio.run(go()) is False


def test_what_a_probe_puts_on_the_line_is_counted() -> None:
    async def go() -> tuple[int, int]:
        wire = Wire(asyncio.get_running_loop())
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        async with server:
            peer = server.sockets[0].getsockname()
            for _ in range(2):
                await try_connection(peer, None, 2.0, wire.count_aside)
        return wire.segments_aside

    out, into = asyncio.run(go())
    assert out >= 4  # each time a SYN and the acknowledgement of its answer
    assert into >= 2


def test_an_answer_that_never_ends_is_given_up_however_often_an_octet_of_it_comes() -> None:
    async def go() -> NumbersWire:
        wire = NumbersWire()
        loop = asyncio.get_running_loop()
        wire.last_answered = loop.time()

        async def drip(_: Watch) -> None:
            while wire.lost is None:
                wire.last_heard = loop.time()
                await asyncio.sleep(0.002)

        watch = Watch(cast(Wire, wire), TIMERS, lambda: 0.05, answers)
        watch.start()
        try:
            async with asyncio.timeout(10):
                await drip(watch)
        finally:
            watch.stop()
        return wire

    assert asyncio.run(go()).lost == "does not come to the end of its answer"
