"""Deadlines of senders (RFC 2852): returned or told when they have passed, passed on while they have not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.courier.contract import Feed, SessionEnd
from gateway.dispatch import deadlines as module
from gateway.dispatch.deadlines import Deadlines, has_passed, time_left
from gateway.events import Alarm, FailedTo
from gateway.mail.envelope import Envelope, Peer, Recipient
from gateway.spool.record import Record
from tests.support.faultydisk import FaultyDisk
from tests.support.house import DONE, FakeCourier, House
from tests.support.spools import a_spool, until
from tests.support.telling import Telling, groups_of

HOUR = 3600.0


def played(
    folder: Path, scene: Callable[[Telling, Deadlines], Awaitable[None]], disk: FaultyDisk | None = None
) -> None:
    async def play() -> None:
        async with a_spool(folder / "spool", **({"disk": disk} if disk is not None else {})) as spool:
            house = Telling(spool)
            deadlines = Deadlines(spool, house.reporter, house.clock, house.journal)
            telling = asyncio.create_task(house.teller.run())
            running = asyncio.create_task(deadlines.run())
            try:
                await scene(house, deadlines)
            finally:
                running.cancel()
                await house.teller.close(telling)

    asyncio.run(play())


async def with_deadline(house: Telling, mode: str, **how: object) -> str:
    return await house.hand_in(deliver_by=house.clock.now() + HOUR, by_mode=mode, **how)  # type: ignore[arg-type]


def test_what_is_to_be_returned_is_returned_when_its_time_has_passed(tmp_path: Path) -> None:
    async def scene(house: Telling, deadlines: Deadlines) -> None:
        item = await with_deadline(house, "R")
        entry = house.spool.entries[item]
        assert not has_passed(entry, house.clock.now())
        house.clock.advance(HOUR)  # type: ignore[attr-defined]  # a FakeClock
        assert has_passed(entry, house.clock.now())
        deadlines.passed(item)
        await until(lambda: item not in house.spool.entries)
        [(record, report)] = await house.reports()
        assert record.recipients[0].address == "anna@branch.test"
        fields = groups_of(report)[1]
        assert (fields["Action"], fields["Status"]) == ("failed", "5.4.7")
        assert [event.to for event in house.events if isinstance(event, FailedTo)] == ["bob@dest.test"]

    played(tmp_path, scene)


def test_its_sender_is_told_once_of_what_is_to_be_told_and_it_goes_on_waiting(tmp_path: Path) -> None:
    async def scene(house: Telling, deadlines: Deadlines) -> None:
        item = await with_deadline(house, "N")
        house.clock.advance(HOUR)  # type: ignore[attr-defined]  # a FakeClock
        deadlines.passed(item)
        await until(lambda: len(house.spool.entries) == 2)
        entry = house.spool.entries[item]
        assert (entry.outside, entry.deliver_by, entry.claimed) == (True, None, False)
        [(_, report)] = await house.reports()
        fields = groups_of(report)[1]
        assert (fields["Action"], fields["Status"]) == ("delayed", "4.4.7")
        assert not has_passed(entry, house.clock.now() + HOUR)

    played(tmp_path, scene)


def test_who_did_not_ask_to_be_told_is_not_and_the_message_ends_all_the_same(tmp_path: Path) -> None:
    async def scene(house: Telling, deadlines: Deadlines) -> None:
        item = await with_deadline(house, "R", to=[Recipient("bob@dest.test", notify="NEVER")])
        house.clock.advance(HOUR)  # type: ignore[attr-defined]  # a FakeClock
        deadlines.passed(item)
        await until(lambda: any(isinstance(event, FailedTo) for event in house.events))
        assert not house.spool.entries
        assert [event.id for event in house.events if isinstance(event, FailedTo)] == [item]

    played(tmp_path, scene)


def test_what_is_being_sent_or_held_is_left_alone(tmp_path: Path) -> None:
    async def scene(house: Telling, deadlines: Deadlines) -> None:
        sent, held = await with_deadline(house, "R"), await with_deadline(house, "R")
        claim = await house.spool.claim(sent)

        def hold(record: Record) -> None:
            record.held = True

        await house.spool.update([held], hold)
        later = house.clock.now() + HOUR
        assert not has_passed(house.spool.entries[sent], later)
        assert not has_passed(house.spool.entries[held], later)
        house.clock.advance(HOUR)  # type: ignore[attr-defined]  # a FakeClock
        deadlines.passed(sent)
        await until(lambda: not deadlines._waiting)
        house.spool.give_back(claim)
        assert house.spool.entries[sent].deliver_by is not None

    played(tmp_path, scene)


def test_what_the_disk_refuses_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN", 0.01)
    disk = FaultyDisk()

    async def scene(house: Telling, deadlines: Deadlines) -> None:
        item = await with_deadline(house, "R")
        house.clock.advance(HOUR)  # type: ignore[attr-defined]  # a FakeClock
        disk.fail("fdatasync", times=1)
        deadlines.passed(item)
        await until(lambda: any(isinstance(event, Alarm) for event in house.events))
        await until(lambda: item not in house.spool.entries)
        assert len(await house.reports()) == 1

    played(tmp_path, scene, disk)


@pytest.mark.parametrize(
    ("left", "mode", "trace", "words"),
    [
        (90.7, "R", False, "90;R"),
        (90.7, "N", True, "90;NT"),
        (0.5, "R", False, None),
        (-10.0, "N", False, None),
        (5e9, "R", False, "999999999;R"),
        (90.0, None, False, None),
    ],
)
def test_a_relay_gets_what_is_left_of_the_time(left: float, mode: str | None, trace: bool, words: str | None) -> None:
    record = Record(
        id="a",
        created=0.0,
        reverse_path="anna@branch.test",
        recipients=[],
        size=1,
        sha256="",
        deliver_by=1000.0 + left,
        by_mode=mode,  # type: ignore[arg-type]  # R, N or none
        by_trace=trace,
    )
    assert time_left(record, 1000.0) == words


def test_the_dispatcher_sees_the_moment_pass(tmp_path: Path) -> None:
    async def nobody(number: int, feed: Feed) -> SessionEnd:
        return SessionEnd("unreachable", "nobody answers")

    async def check() -> None:
        async with House(tmp_path, FakeCourier(nobody)) as house:
            soon = time.time() + 0.05
            envelope = Envelope("anna@branch.test", (Recipient("bob@dest.test"),), deliver_by=soon, by_mode="R")
            draft = house.spool.draft([lambda item: b""])
            await draft.write(b"Subject: x\r\n\r\n")
            entry = await house.spool.commit(draft, envelope, message_class="normal", peer=Peer())
            house.run()
            await house.until(lambda: entry.id not in house.spool.entries)
            assert any(isinstance(event, FailedTo) for event in house.events)

    asyncio.run(check())


def test_what_is_held_beyond_its_time_does_not_keep_the_gateway_busy(tmp_path: Path) -> None:
    def hold(record: Record) -> None:
        record.held, record.deliver_by, record.by_mode = True, time.time() - HOUR, "R"

    async def check() -> None:
        async with House(tmp_path, FakeCourier(lambda number, feed: asyncio.sleep(0, DONE))) as house:
            item = await house.message("held")
            await house.spool.update([item], hold)
            turns = 0
            take = house.dispatcher._waking.take

            def counted() -> frozenset[str] | None:
                nonlocal turns
                turns += 1
                return take()

            house.dispatcher._waking.take = counted  # type: ignore[method-assign]
            house.run()
            await house.until(lambda: turns)
            await asyncio.sleep(0.1)
            assert turns < 5
            assert item in house.spool.entries

    asyncio.run(check())
