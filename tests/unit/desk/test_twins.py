"""The same message twice in the queue (CASES S71), over a real spool."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.desk.by_age import ByAge
from gateway.desk.twins import AT_ONCE, WITHIN, Twins
from gateway.spool.spool import Entry, Spool
from tests.support.clock import FakeClock
from tests.support.spools import a_spool, deliver, put

REPORT = b"Message-ID: <1@printer>\r\nSubject: scan\r\n\r\nthe same\r\n"
OTHER = REPORT.replace(b"<1@", b"<2@")


async def ids_of(spool: Spool, twins: Twins) -> dict[str, str]:
    return await twins.of(list(spool.entries.values()))


def test_two_copies_of_one_message_name_each_other_and_a_third_the_second(tmp_path: Path) -> None:
    async def body() -> None:
        async with a_spool(tmp_path) as spool:
            twins = Twins(spool, ByAge(spool))
            first = await put(spool, REPORT)
            await put(spool, OTHER)  # of the same size, and between the copies of another message
            odd = await put(spool, REPORT + b"more\r\n")
            assert await ids_of(spool, twins) == {}
            second, third = await put(spool, OTHER), await put(spool, OTHER)
            named = await ids_of(spool, twins)
            assert named[third.id] == second.id
            assert second.id in named
            assert not {first.id, odd.id} & set(named)
            assert await twins.of([third]) == {third.id: second.id}

    asyncio.run(body())


@pytest.mark.parametrize(
    "other",
    [
        lambda spool: put(spool, REPORT, sender="b@branch.test"),
        lambda spool: put(spool, REPORT, to=("c@dest.test",)),
        lambda spool: put(spool, OTHER),
    ],
    ids=["another sender", "another recipient", "another content"],
)
def test_messages_of_one_size_that_differ_are_no_twins(tmp_path: Path, other: Callable[[Spool], Entry]) -> None:
    async def body() -> None:
        async with a_spool(tmp_path) as spool:
            await put(spool, REPORT)
            await other(spool)  # type: ignore[misc]  # a coroutine, from a lambda
            assert await ids_of(spool, Twins(spool, ByAge(spool))) == {}

    asyncio.run(body())


def test_what_came_more_than_a_day_later_and_what_has_left_is_no_twin(tmp_path: Path) -> None:
    async def body() -> None:
        clock = FakeClock()
        async with a_spool(tmp_path, clock=clock) as spool:
            twins = Twins(spool, ByAge(spool))
            await put(spool, REPORT)
            clock.advance(WITHIN + 1)
            second, third = await put(spool, REPORT), await put(spool, REPORT)
            assert await ids_of(spool, twins) == {second.id: third.id, third.id: second.id}
            await deliver(spool, third.id)
            assert await ids_of(spool, twins) == {}

    asyncio.run(body())


def test_a_look_compares_so_many_pairs_and_the_next_looks_the_rest(tmp_path: Path) -> None:
    async def body() -> None:
        async with a_spool(tmp_path) as spool:
            twins = Twins(spool, ByAge(spool))
            for _ in range(AT_ONCE + 10):
                await put(spool, REPORT)
            assert len(await ids_of(spool, twins)) == AT_ONCE + 1
            assert len(await ids_of(spool, twins)) == AT_ONCE + 10

    asyncio.run(body())
