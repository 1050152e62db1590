"""`send` over a long queue: one answer, and meanwhile everybody else has a turn. Over a real spool, without sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from gateway.desk import pushing
from gateway.desk.pushing import push
from gateway.dispatch.facts import Wish
from gateway.errors import NotNow
from gateway.mail.envelope import CLASSES
from tests.support.branch import Branch, a_branch

SEND = Wish("send")


@pytest.fixture(autouse=True)
def short_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "SLICE", 4)


def pushed(branch: Branch, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the dispatcher is asked at once, as it is asked."""
    asked: list[list[str]] = []
    really = branch.dispatcher.wishes.push

    def noting(ids: Iterable[str], wish: Wish) -> Any:
        asked.append(list(ids))
        return really(asked[-1], wish)

    monkeypatch.setattr(branch.dispatcher.wishes, "push", noting)
    return asked


def test_between_two_slices_of_a_long_queue_others_have_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        async with a_branch(tmp_path) as branch:
            ids = [await branch.hand_in() for _ in range(11)]
            asked = pushed(branch, monkeypatch)
            sending = asyncio.create_task(push(branch.dispatcher, branch.spool, ids, SEND))
            reached = []
            while not sending.done():
                await asyncio.sleep(0)
                reached.append(sum(map(len, asked)))
            assert [n for n in dict.fromkeys(reached) if n] == [4, 8, 11], "a turn for others after each slice"
            assert (await sending)["messages"] == 11

    asyncio.run(check())


def test_what_is_answered_does_not_depend_on_the_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        async with a_branch(tmp_path) as branch:
            ids = [await branch.hand_in(message_class=CLASSES[n % 3], size=n * 100) for n in range(11)]
            in_slices = await push(branch.dispatcher, branch.spool, ids, SEND)
            monkeypatch.setattr(pushing, "SLICE", 1000)
            assert await push(branch.dispatcher, branch.spool, ids, SEND) == in_slices
            octets = sum(entry.size for entry in branch.spool.entries.values())
            assert in_slices == {
                "messages": 11,
                "octets": octets,
                "ids": ids,
                "relay": "isp",
                "link": "default",
                "text": f"sending 11 messages, {octets / 1000:.1f} kB, through isp over default",
            }

    asyncio.run(check())


def test_the_more_urgent_are_pushed_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session may begin before the last slice: what leaves with the first slice is what would have left first."""

    async def check() -> None:
        async with a_branch(tmp_path) as branch:
            bulk = [await branch.hand_in(message_class="bulk") for _ in range(5)]
            urgent = [await branch.hand_in(message_class="urgent") for _ in range(2)]
            normal = [await branch.hand_in() for _ in range(2)]
            asked = pushed(branch, monkeypatch)
            answer = await push(branch.dispatcher, branch.spool, [*bulk, *urgent, *normal], SEND)
            assert [item for some in asked for item in some] == [*urgent, *normal, *bulk]
            assert answer["ids"] == [*bulk, *urgent, *normal], "named as asked"

    asyncio.run(check())


def test_what_ends_between_two_slices_is_not_named(tmp_path: Path) -> None:
    async def check() -> None:
        async with a_branch(tmp_path) as branch:
            ids = [await branch.hand_in() for _ in range(6)]
            sending = asyncio.create_task(push(branch.dispatcher, branch.spool, ids, SEND))
            await asyncio.sleep(0)
            await branch.spool.remove(ids[5:], by="operator", tell_sender=False)
            first = branch.spool.entries[ids[0]].size
            answer = await sending
            assert answer["octets"] >= first * answer["messages"] > 0

    asyncio.run(check())


def test_where_nothing_can_leave_the_commonest_reason_is_given(tmp_path: Path) -> None:
    async def check() -> None:
        async with a_branch(tmp_path) as branch:
            ids = [await branch.hand_in() for _ in range(6)]
            branch.dispatcher.timetable.set_mode("stopped")
            await branch.dispatcher.settled()
            with pytest.raises(NotNow, match="nothing can leave now: "):
                await push(branch.dispatcher, branch.spool, ids, SEND)

    asyncio.run(check())
