"""What is asked again, and when: by events at once, by time at its moment, and gathered while nothing can leave."""

from __future__ import annotations

import asyncio

import pytest

from gateway.dispatch import waking as module
from gateway.dispatch.waking import Waking
from tests.support.clock import FakeClock


async def comes(waking: Waking) -> bool:
    """Does it wake now, without the passing of time?"""
    waiting = asyncio.create_task(waking.wait())
    await asyncio.sleep(0)
    has_come = waiting.done()
    waiting.cancel()
    return has_come


def test_everything_is_asked_first_and_once() -> None:
    waking = Waking(FakeClock())
    assert waking.take() is None
    assert waking.take() == frozenset()


def test_a_message_that_changed_is_asked_alone_and_at_once() -> None:
    async def check() -> None:
        waking = Waking(FakeClock())
        waking.take()
        waking.for_one("a", can_wait=True)
        assert waking.items == {"a"}
        await waking.wait()
        assert waking.take() == {"a"}
        assert not waking.items

    asyncio.run(check())


def test_while_all_is_quiet_changes_are_gathered_but_for_what_cannot_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        waking = Waking(FakeClock())
        waking.take()
        waking.is_quiet = True
        monkeypatch.setattr(module, "GATHER", 3600.0)
        waking.for_one("a", can_wait=True)
        assert not await comes(waking)
        waking.for_one("b", can_wait=False)
        await waking.wait()
        assert waking.take() == {"a", "b"}
        waking.close()
        monkeypatch.setattr(module, "GATHER", 0.001)
        gathered = Waking(FakeClock())
        gathered.take()
        gathered.is_quiet = True
        gathered.for_one("c", can_wait=True)
        gathered.for_one("d", can_wait=True)
        await asyncio.wait_for(gathered.wait(), 10)
        assert gathered.take() == {"c", "d"}

    asyncio.run(check())


def test_time_asks_for_one_or_for_all_at_its_moment() -> None:
    async def check() -> None:
        clock = FakeClock()
        waking = Waking(clock)
        waking.take()
        waking.one_at(clock.now() + 100, "late")
        waking.one_at(clock.now() + 10, "soon")
        waking.all_at(clock.now() + 50)
        waking.all_at(clock.now() + 60)
        clock.advance(10)
        waking.arm(None)
        await asyncio.wait_for(waking.wait(), 10)
        assert waking.take() == {"soon"}
        clock.advance(40)
        waking.arm(None)
        await asyncio.wait_for(waking.wait(), 10)
        assert waking.take() is None
        clock.advance(100)
        waking.arm(None)
        assert waking._timer is None  # what was noted before all were asked counts no more

    asyncio.run(check())


def test_another_moment_may_ring_the_same_timer() -> None:
    async def check() -> None:
        clock = FakeClock()
        waking = Waking(clock)
        waking.take()
        waking.arm(clock.now())
        await asyncio.wait_for(waking.wait(), 10)
        assert waking.take() == frozenset()

    asyncio.run(check())


def test_what_is_noted_waits_for_the_next_turn() -> None:
    async def check() -> None:
        waking = Waking(FakeClock())
        waking.take()
        waking.note(["a"])
        waking.note_all()
        assert not await comes(waking)
        assert waking.has_all
        assert waking.take() is None

    asyncio.run(check())
