"""What is taken of a feed, and how much of it at once: nothing is written here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

from gateway.courier.capabilities import Capabilities
from gateway.courier.content import BLOCK
from gateway.courier.contract import Shipment
from gateway.courier.kernel import Traffic
from gateway.courier.memory import RelayMemory
from gateway.courier.pace import LEAST_AHEAD, MOST_UNANSWERED, Pace
from gateway.courier.settling import Settling
from gateway.courier.taker import MAX_UNSETTLED, Taker
from gateway.courier.transaction import Parcel
from gateway.courier.wire import Wire
from gateway.mail.outcome import Failed
from tests.support.shipping import ListFeed, shipment

NEAR, FAR = 0.0001, 0.5
PIPELINING = Capabilities(pipelining=True)


class Taking:
    """A taker over a feed of so many messages, and what a test says of the wire."""

    def __init__(
        self,
        count: int,
        octets: int = 100,
        *,
        rtt: float = NEAR,
        offers: Capabilities = PIPELINING,
        feed: ListFeed | None = None,
        stop: asyncio.Event | None = None,
    ) -> None:
        self.feed = feed if feed is not None else ListFeed([shipment(f"m{n}", b"x" * octets) for n in range(count)])
        self.wire = SimpleNamespace(lost=None, is_writable=True)
        self.troubles: list[str] = []
        self.memory = RelayMemory()
        self.stop = stop
        traffic = Traffic(written=0, sent=0, acked=0, received=0, rtt=rtt)
        room = asyncio.Event()
        self.settling = Settling(self.feed, room.set, self.troubles.append)
        self.taker = Taker(
            cast(Wire, self.wire),
            self.feed,
            offers,
            self.memory,
            Pace(traffic, 0.0),
            self.settling,
            stop,
            pipelines=offers.pipelining,
            room=room,
            work=asyncio.Event(),
            on_trouble=self.troubles.append,
        )

    @property
    def ready(self) -> list[str]:
        return [transaction.parcel.shipment.id for transaction in self.taker.ready]

    async def rest(self) -> None:
        """Until it has taken what it may for now."""
        for _ in range(5 * len(self.feed.waiting) + 20):
            await asyncio.sleep(0)

    def write_first(self) -> None:
        """The first that is ready is begun."""
        self.taker.ready.popleft()
        self.taker.room.set()

    def answer_first(self) -> None:
        """The first that is ready is written and answered."""
        transaction = self.taker.ready.popleft()
        self.taker.release(transaction)
        self.settling.end(transaction.parcel)


def run(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(10):
            await scene()

    asyncio.run(within())


async def while_taking(taking: Taking, scene: Callable[[], Awaitable[None]]) -> None:
    task = asyncio.create_task(taking.taker.run())
    await taking.rest()
    await scene()
    taking.taker.end()
    await task


def test_all_that_the_feed_gives_is_laid_ready_in_its_order() -> None:
    async def scene() -> None:
        taking = Taking(3)
        await taking.taker.run()
        assert taking.ready == ["m0", "m1", "m2"]
        assert taking.feed.phases == [("m0", "waiting", 0), ("m1", "waiting", 0), ("m2", "waiting", 0)]
        assert not taking.taker.has_more

    run(scene)


def test_no_more_than_sixty_four_are_unsettled() -> None:
    async def scene() -> None:
        taking = Taking(MAX_UNSETTLED + 10)

        async def settle_one() -> None:
            assert taking.feed.taken == MAX_UNSETTLED
            taking.answer_first()
            await taking.rest()
            assert taking.feed.taken == MAX_UNSETTLED + 1

        await while_taking(taking, settle_one)

    run(scene)


def test_octets_not_answered_are_bounded_and_those_of_a_large_message_count_as_a_block() -> None:
    async def scene() -> None:
        taking = Taking(30, 3 * BLOCK)
        most = MOST_UNANSWERED // BLOCK

        async def release_one() -> None:
            assert taking.feed.taken == most
            taking.taker.release(taking.taker.ready[0])
            taking.taker.release(taking.taker.ready[0])
            await taking.rest()
            assert taking.feed.taken == most + 1

        await while_taking(taking, release_one)

    run(scene)


def test_on_a_thin_line_the_next_is_taken_when_the_last_is_on_its_way() -> None:
    async def scene() -> None:
        taking = Taking(5, LEAST_AHEAD, rtt=FAR)

        async def begin_two() -> None:
            assert taking.ready == ["m0"]
            taking.wire.is_writable = False
            taking.write_first()
            await taking.rest()
            assert taking.ready == []
            taking.wire.is_writable = True
            taking.taker.room.set()
            await taking.rest()
            assert taking.ready == ["m1"]

        await while_taking(taking, begin_two)

    run(scene)


def test_a_relay_that_wants_one_command_at_a_time_gets_one_message_at_a_time() -> None:
    async def scene() -> None:
        taking = Taking(3, offers=Capabilities())

        async def answer_one() -> None:
            assert taking.ready == ["m0"]
            taking.answer_first()
            await taking.rest()
            assert taking.ready == ["m1"]

        await while_taking(taking, answer_one)

    run(scene)


def test_a_relay_gets_no_more_messages_than_it_says_that_it_takes() -> None:
    async def scene() -> None:
        taking = Taking(3, offers=Capabilities(pipelining=True, mail_max=2))
        await taking.taker.run()
        assert taking.ready == ["m0", "m1"]

    run(scene)


def test_nothing_is_taken_over_a_connection_that_is_lost_already_nor_when_told_to_stop() -> None:
    async def scene() -> None:
        lost, stopped = Taking(1), Taking(1, stop=asyncio.Event())
        lost.wire.lost = "closed the connection"
        assert stopped.stop is not None
        stopped.stop.set()
        for taking in (lost, stopped):
            await taking.taker.run()
            assert taking.feed.taken == 0

    run(scene)


def test_a_wait_for_more_mail_is_given_up_when_the_session_is_to_stop() -> None:
    async def scene() -> None:
        taking = Taking(0, feed=ListFeed([shipment("m0")], lingers=True), stop=asyncio.Event())
        task = asyncio.create_task(taking.taker.run())
        await taking.rest()
        assert taking.stop is not None
        taking.stop.set()
        await task
        assert taking.ready == ["m0"]
        assert not taking.taker.has_more
        assert not taking.troubles

    run(scene)


def test_it_may_be_ended_again_while_the_feed_still_comes_back_from_being_given_up() -> None:
    class Slow(ListFeed):
        was_given_up = asyncio.Event()
        comes_back = asyncio.Event()

        async def take(self, offers: Capabilities) -> Shipment | None:
            try:
                return await super().take(offers)
            except asyncio.CancelledError:
                self.was_given_up.set()
                await self.comes_back.wait()
                raise

    async def scene() -> None:
        feed = Slow([], lingers=True)
        taking = Taking(0, feed=feed)
        task = asyncio.create_task(taking.taker.run())
        await taking.rest()
        taking.taker.end()
        await feed.was_given_up.wait()
        taking.taker.end()  # the relay hangs up meanwhile
        feed.comes_back.set()
        await task
        assert not taking.troubles

    run(scene)


def test_a_feed_that_fails_is_told_and_what_was_taken_stays_ready() -> None:
    class Failing(ListFeed):
        async def take(self, offers: Capabilities) -> Shipment | None:
            if not self.waiting:
                raise OSError("the disk is gone")
            return await super().take(offers)

    async def scene() -> None:
        taking = Taking(0, feed=Failing([shipment("m0")]))
        await taking.taker.run()
        assert taking.ready == ["m0"]
        assert taking.troubles == ["the next message cannot be read (the disk is gone)"]

    run(scene)


def test_what_the_relay_can_never_take_is_settled_and_never_ready() -> None:
    async def scene() -> None:
        taking = Taking(1, 500, offers=Capabilities(pipelining=True, sizes=True, size=400))
        await taking.taker.run()
        assert taking.ready == []
        assert [type(outcome) for outcome in taking.feed.outcomes["m0"]] == [Failed]

    run(scene)


def test_a_transaction_has_as_many_recipients_as_the_relay_takes_at_once() -> None:
    async def scene() -> None:
        taking = Taking(0, offers=Capabilities(pipelining=True, rcpt_max=3))
        to = [f"u{n}@dest.test" for n in range(5)]
        parcel = Parcel(shipment("m0", to=to), [None] * 5)
        taking.taker.lay_ready(parcel)
        taking.memory.rcpt_max = 2
        taking.taker.lay_ready(parcel)
        assert [transaction.indices for transaction in taking.taker.ready] == [(0, 1, 2), (0, 1)]

    run(scene)
