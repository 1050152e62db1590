"""How messages follow each other in a session: nothing waited for, nothing mixed up, nothing forgotten."""

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.courier import Capabilities, Nudge, RelayMemory, Shipment
from gateway.courier.exchange import MARKED_AT_ONCE
from gateway.courier.pace import MOST_UNANSWERED
from tests.support.certificates import make_server
from tests.support.relay import HANG_UP, RESET, Relay, Say
from tests.support.sending import BDAT, DATA, MANNERS, QUICK, send
from tests.support.shipping import ListFeed, shipment

manner = pytest.mark.parametrize("extensions", MANNERS.values(), ids=MANNERS)


def small(count: int, size: int = 1000) -> list[Shipment]:
    line = b"x" * 78 + b"\r\n"
    return [
        shipment(f"m{n}", b"Subject: %d\r\n\r\n" % n + line * (size // 80), sender=f"s{n}@x.test", to=(f"r{n}@x.test",))
        for n in range(count)
    ]


@manner
def test_messages_arrive_octet_for_octet_in_their_order(extensions: tuple[str, ...]) -> None:
    contents = [
        b"",
        b"\r\n",
        b".\r\n",
        b"..\r\n.\r\n",
        b"Subject: x\r\n\r\n\xff\xfe 8-bit\r\n",
        b"Subject: big\r\n\r\n" + b".dots\r\n" * 30_000,
        b"x" * 100_000 + b"\r\n",
        b"Subject: end\r\n\r\n.\r\n",
    ]

    async def go() -> Any:
        async with Relay(extensions=extensions) as relay:
            _, feed = await send(relay, *[shipment(f"m{n}", c) for n, c in enumerate(contents)])
            return feed, relay

    feed, relay = asyncio.run(go())

    assert {kind for id in feed.outcomes for kind in feed.kinds(id)} == {"Delivered"}
    assert [message.octets for message in relay.messages] == contents


def test_content_without_a_last_line_end_is_kept_by_bdat_and_completed_by_data() -> None:
    async def go(extensions: tuple[str, ...]) -> bytes:
        async with Relay(extensions=extensions) as relay:
            await send(relay, shipment("m1", b"Subject: x\r\n\r\nno end"))
            return relay.messages[0].octets

    assert asyncio.run(go(BDAT)) == b"Subject: x\r\n\r\nno end"
    assert asyncio.run(go(DATA)) == b"Subject: x\r\n\r\nno end\r\n"


def test_by_bdat_many_messages_go_out_before_the_first_answer() -> None:
    async def go() -> Any:
        async with Relay(extensions=BDAT, withhold=40) as relay:
            return await send(relay, *small(40))

    end, _ = asyncio.run(go())

    assert (end.why, end.took) == ("done", 40)


def test_by_data_the_final_dot_goes_with_the_next_envelope() -> None:
    async def raw() -> list[bytes]:
        blocks: list[bytes] = []
        done = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 x\r\n")
            while block := await reader.read(1 << 16):
                blocks.append(block)
                if block.startswith(b"EHLO"):
                    writer.write(b"250-x\r\n250 PIPELINING\r\n")
                else:
                    ends = b"250 taken\r\n" * block.count(b"\r\n.\r\n")
                    envelope = b"250 ok\r\n250 ok\r\n354 go\r\n" if b"DATA\r\n" in block else b""
                    writer.write(ends + envelope + (b"221 bye\r\n" if b"QUIT" in block else b""))
                if b"QUIT" in block:
                    break
            writer.close()
            done.set()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            end, _ = await send(server.sockets[0].getsockname()[1], *small(3))
            assert end.took == 3
            await done.wait()
        return blocks

    blocks = asyncio.run(raw())

    together = [block for block in blocks if b"\r\n.\r\nMAIL FROM:" in block and block.endswith(b"DATA\r\n")]
    assert len(together) == 2


@manner
@pytest.mark.parametrize("key", ["MAIL", "RCPT", "content", "."])
def test_a_refused_message_never_lends_its_envelope_to_the_next(extensions: tuple[str, ...], key: str) -> None:
    if key == "content":
        key = "." if "CHUNKING" in extensions else "DATA"
    answers: list[Any] = [None, "451 4.3.0 later", None, "554 5.6.0 no", "451 4.3.0 later"]

    async def go() -> Any:
        async with Relay({key: answers}, extensions=extensions) as relay:
            end, feed = await send(relay, *small(8))
            return end, feed, relay

    end, feed, relay = asyncio.run(go())

    assert end.why == "done"
    assert [feed.kinds(f"m{n}")[0] for n in range(8)] == [
        "Delivered",
        "Deferred",
        "Delivered",
        "Failed",
        "Deferred",
        "Delivered",
        "Delivered",
        "Delivered",
    ]
    for message in relay.messages:
        number = message.sender[1:].partition("@")[0]
        assert message.recipients == [f"r{number}@x.test"]
        assert message.octets.startswith(f"Subject: {number}\r\n".encode())


@manner
def test_a_large_message_is_not_sent_to_nobody(extensions: tuple[str, ...]) -> None:
    big = shipment("m0", b"x" * 78 + b"\r\n" * 100_000, to=("a@x.test", "b@x.test"))

    async def go() -> Any:
        async with Relay({"RCPT": ["550 5.1.1 no", "550 5.1.1 no"]}, extensions=extensions) as relay:
            end, feed = await send(relay, big, shipment("m1"))
            return end, feed

    end, feed = asyncio.run(go())

    assert feed.kinds("m0") == ["Failed", "Failed"]
    assert feed.kinds("m1") == ["Delivered"]
    assert end.octets_out < 2000


@manner
def test_before_the_first_octet_of_a_message_leaves_that_is_recorded(extensions: tuple[str, ...]) -> None:
    class Watching(ListFeed):
        async def on_wire(self, ids: Sequence[str]) -> None:
            commands = [command for visit in relay.visits for command in visit.commands]
            for id in ids:
                assert not any(f"s{id[1:]}@x.test" in command for command in commands)
            await super().on_wire(ids)

    relay = Relay(extensions=extensions)

    async def go() -> Any:
        async with relay:
            feed = Watching(small(40))
            return await send(relay, feed=feed)

    end, feed = asyncio.run(go())

    assert end.took == 40
    assert sorted(id for ids in feed.marked for id in ids) == sorted(f"m{n}" for n in range(40))
    assert max(map(len, feed.marked)) <= MARKED_AT_ONCE  # a cut leaves so many in doubt at once, and no more


def test_never_more_than_64_messages_are_unsettled() -> None:
    """The relay answers nothing to messages so small that their octets are no bound."""

    async def go() -> Any:
        async with Relay(extensions=BDAT, withhold=1000) as relay:
            timers = dataclasses.replace(QUICK, mail=0.3)
            return await send(relay, *small(300, 80), timers=timers)

    end, feed = asyncio.run(go())

    assert end.why == "broken"
    assert feed.taken == feed.most_unsettled == 64


def test_octets_without_an_answer_are_bounded() -> None:
    """The relay answers nothing: what was taken by then is what a cut would leave in doubt."""

    async def go() -> Any:
        async with Relay(extensions=BDAT, withhold=1000) as relay:
            timers = dataclasses.replace(QUICK, mail=0.3)
            return await send(relay, *small(60, 60_000), timers=timers)

    end, feed = asyncio.run(go())

    assert end.why == "broken"
    assert feed.taken * 60_000 <= MOST_UNANSWERED + 60_000


def test_what_the_kernel_never_sent_is_no_doubt() -> None:
    """The relay stops reading: what fits its buffers may be there, the rest certainly is not."""

    async def go() -> Any:
        stuck = Say(b"250-x\r\n250-PIPELINING\r\n250 CHUNKING\r\n", stop_reading=True)
        async with Relay({"EHLO": stuck}, receive_buffer=2048) as relay:
            timers = dataclasses.replace(QUICK, block=0.4, mail=0.4)
            return await send(relay, *small(20, 30_000), timers=timers)

    end, feed = asyncio.run(go())

    assert end.why == "broken"
    kinds = [feed.kinds(f"m{n}")[0] for n in range(feed.taken)]
    assert set(kinds) <= {"Interrupted", "Unconfirmed"}
    assert kinds[-1] == "Interrupted"
    assert kinds == sorted(kinds, reverse=True)  # those in doubt first


@pytest.mark.parametrize("how", [HANG_UP, RESET, Say("421 4.3.2 bye", hang_up=True)])
def test_an_idle_session_that_the_relay_closes_ends_well(how: Say) -> None:
    async def go() -> Any:
        async with Relay({"NOOP": how}, extensions=BDAT) as relay:
            feed = ListFeed(small(1), lingers=True)
            task = asyncio.create_task(send(relay, feed=feed))
            await feed.settled.wait()
            writer = relay.writers[0]
            if how.text is not None:
                writer.write(b"421 4.3.2 bye\r\n")
                await writer.drain()
            if how is RESET:
                writer.transport.abort()
            else:
                writer.close()
            return await task

    end, feed = asyncio.run(go())

    assert (end.why, end.alarm, end.took) == ("done", False, 1)
    assert feed.kinds("m0") == ["Delivered"]


@manner
def test_stop_lets_what_is_under_way_finish_and_takes_nothing_new(extensions: tuple[str, ...]) -> None:
    async def go() -> Any:
        stop = asyncio.Event()

        class Stopping(ListFeed):
            def settle(self, id: str, outcomes: Any) -> None:
                stop.set()
                super().settle(id, outcomes)

        async with Relay(extensions=extensions) as relay:
            feed = Stopping(small(500, 8000))
            end, _ = await send(relay, feed=feed, stop=stop)
            return end, feed, relay

    end, feed, relay = asyncio.run(go())

    assert end.why == "done"
    assert 1 <= feed.taken < 100
    assert {kind for id in feed.outcomes for kind in feed.kinds(id)} == {"Delivered"}
    assert "QUIT" in relay.visits[0].verbs


def test_stop_ends_a_session_that_waits_for_mail() -> None:
    async def go() -> Any:
        stop = asyncio.Event()
        async with Relay() as relay:
            feed = ListFeed(small(1), lingers=True)
            task = asyncio.create_task(send(relay, feed=feed, stop=stop))
            await feed.settled.wait()
            stop.set()
            return await task

    end, _ = asyncio.run(go())

    assert end.why == "done"


@manner
def test_cancelling_settles_everything_that_was_taken(extensions: tuple[str, ...]) -> None:
    async def go() -> Any:
        never = asyncio.Event()
        async with Relay({".": Say("250 ok", after=never)}, extensions=extensions) as relay:
            feed = ListFeed(small(20))
            task = asyncio.create_task(send(relay, feed=feed))
            await feed.awaiting_answer.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return feed

    feed = asyncio.run(go())

    assert feed.taken == len(feed.outcomes) >= 1
    assert {kind for id in feed.outcomes for kind in feed.kinds(id)} <= {"Unconfirmed", "Interrupted"}


def test_cancelling_before_the_greeting_leaves_nothing_open() -> None:
    async def go() -> Any:
        never = asyncio.Event()
        async with Relay({"CONNECT": Say("220 x", after=never)}) as relay:
            task = asyncio.create_task(send(relay, *small(1)))
            await relay.visited.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(go())


def test_a_relay_that_closes_after_421_never_looked_at_what_came_behind() -> None:
    async def go() -> Any:
        async with Relay({".": [None, Say("421 4.3.2 enough", hang_up=True)]}, extensions=BDAT) as relay:
            return await send(relay, *small(5))

    end, feed = asyncio.run(go())

    assert end.why == "busy"
    assert [feed.kinds(f"m{n}")[0] for n in range(5)] == [
        "Delivered",
        "Deferred",
        "Interrupted",
        "Interrupted",
        "Interrupted",
    ]


@manner
def test_progress_is_told_for_each_message(extensions: tuple[str, ...]) -> None:
    big = b"x" * 78 + b"\r\n" * 100_000

    async def go() -> Any:
        async with Relay(extensions=extensions) as relay:
            return await send(relay, shipment("m0", big))

    _, feed = asyncio.run(go())

    phases = [phase for _, phase, _ in feed.phases]
    assert phases[:2] == ["waiting", "envelope"]
    assert phases[-1] == "answer"
    sizes = [octets for _, phase, octets in feed.phases if phase == "content"]
    assert sizes == sorted(sizes)
    assert sizes[-1] == len(big)


def test_offers_are_told_and_octets_counted() -> None:
    async def go() -> Any:
        async with Relay() as relay:
            return await send(relay, *small(10))

    end, feed = asyncio.run(go())

    assert isinstance(feed.offers, Capabilities)
    assert feed.offers == end.offers
    assert end.octets_out > 10_000
    assert end.octets_in > 300


def test_a_relay_that_offers_bdat_and_does_not_know_it_is_remembered_and_fails_no_message() -> None:
    async def go() -> Any:
        memory = RelayMemory()
        async with Relay() as relay:
            relay.unknown = frozenset({"BDAT"})
            first = await send(relay, *small(3), memory=memory)
            second = await send(relay, *small(3), memory=memory)
            return first, second, relay

    (end, feed), (_, again), relay = asyncio.run(go())

    assert end.why == "broken"
    assert "offers CHUNKING and does not know it" in end.text
    assert {kind for id in feed.outcomes for kind in feed.kinds(id)} == {"Interrupted"}
    assert {kind for id in again.outcomes for kind in again.kinds(id)} == {"Delivered"}
    assert {message.by for message in relay.messages} == {"DATA"}


def test_a_relay_that_offers_pipelining_and_gets_out_of_step_is_remembered() -> None:
    async def go() -> Any:
        memory = RelayMemory()
        async with Relay({"RCPT": [b"250 ok\r\n250 ok\r\n"]}, extensions=DATA) as relay:
            first = await send(relay, *small(3), memory=memory)
            second = await send(relay, *small(3), memory=memory)
            return first, second, memory

    (end, _), (again, feed), memory = asyncio.run(go())

    assert (end.why, again.why) == ("broken", "done")
    assert memory.no_pipelining > 0
    assert len(feed.marked) == 3


def test_word_of_a_link_ends_an_idle_session_at_once() -> None:
    async def go() -> Any:
        nudge = Nudge()
        async with Relay() as relay:
            feed = ListFeed(small(1), lingers=True)
            task = asyncio.create_task(send(relay, feed=feed, nudge=nudge))
            await feed.settled.wait()
            await asyncio.sleep(0)
            nudge.poke()
            return await task

    end, feed = asyncio.run(go())

    assert (end.why, feed.kinds("m0")) == ("done", ["Delivered"])


def test_word_of_a_link_during_a_message_does_no_harm_to_a_connection_that_lives() -> None:
    async def go() -> Any:
        nudge = Nudge()
        now = asyncio.Event()
        async with Relay({".": Say("250 2.0.0 ok", after=now)}) as relay:
            feed = ListFeed(small(1))
            task = asyncio.create_task(send(relay, feed=feed, nudge=nudge))
            await feed.awaiting_answer.wait()
            nudge.poke()
            now.set()
            return await task

    end, feed = asyncio.run(go())

    assert (end.why, feed.kinds("m0")) == ("done", ["Delivered"])


def test_a_yes_to_octets_that_have_not_arrived_is_not_believed() -> None:
    """The relay reads nothing any more, so that they cannot have."""
    early = Say(b"250 ok\r\n" * 40, stop_reading=True)

    async def go() -> Any:
        async with Relay({"RCPT": early}, extensions=BDAT, receive_buffer=2048) as relay:
            return await send(relay, *small(10, 60_000))

    end, feed = asyncio.run(go())

    assert end.why == "broken"
    assert "out of step" in end.text
    assert feed.kinds(f"m{feed.taken - 1}") != ["Delivered"]
    assert [kind for id in feed.outcomes for kind in feed.kinds(id)].count("Delivered") <= 1


@pytest.mark.parametrize("encrypted", [False, True], ids=["clear", "tls"])
@manner
def test_on_a_far_line_everything_arrives_as_well(
    extensions: tuple[str, ...], encrypted: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("gateway.courier.pace.NEAR", 0.0)
    context = make_server(tmp_path, None).context() if encrypted else None
    ships = small(80, 3000)
    ships.insert(3, shipment("big", b"Subject: x\r\n\r\n" + b".line\r\n" * 100_000))

    async def go() -> Any:
        async with Relay(extensions=extensions, tls=context, receive_buffer=4096) as relay:
            return await send(relay, *ships, tls="opportunistic" if encrypted else "none")

    end, feed = asyncio.run(go())

    assert (end.why, end.took) == ("done", 81)
    assert {kind for id in feed.outcomes for kind in feed.kinds(id)} == {"Delivered"}
