"""Removal and undo: nothing that was removed is sent, nothing that can be brought back is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.errors import NoSuchItem, NotNow, SpoolError
from tests.support.spools import a_spool, deliver, kill, names, open_spool, put, say_delivered
from tests.support.spools import whole_content as read


@pytest.mark.parametrize("size", [100, 140_000])
def test_a_removed_pair_lies_in_removed_and_comes_back_whole(tmp_path: Path, size: int) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        async with a_spool(root) as spool:
            entry = await put(spool, b"x" * size)
            content = await read(spool, entry.id)
            assert await spool.remove([entry.id], by="operator", tell_sender=True) == {entry.id: "removed"}
            assert names(root / "removed") == {f"{entry.id}.eml", f"{entry.id}.env"}
            assert names(root / "queue") == set()
            with pytest.raises(NoSuchItem):
                await spool.claim(entry.id)
            (record,) = await spool.removed()
            assert record.removal is not None
            assert (record.removal.by, record.removal.tell_sender) == ("operator", True)
            assert await read(spool, entry.id) == content
            assert await spool.undo() == [entry.id]
            assert names(root / "removed") == set()
            assert await read(spool, entry.id) == content
            assert (await spool.record(entry.id)).removal is None
            spool.give_back(await spool.claim(entry.id))

    asyncio.run(scene())


def test_undo_reverses_the_last_removal_and_then_the_one_before(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        spool = await open_spool(root)
        ids = [(await put(spool)).id for _ in range(5)]
        await spool.remove(ids[:2], by="operator")
        await spool.remove(ids[2:4], by="operator")
        await kill(spool)
        async with a_spool(root) as again:
            assert sorted(await again.undo()) == ids[2:4]
            assert sorted(await again.undo()) == ids[:2]
            with pytest.raises(NotNow):
                await again.undo()

    asyncio.run(scene())


def test_a_finished_removal_has_ended(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        spool = await open_spool(root)
        entry = await put(spool)
        await spool.remove([entry.id], by="operator")
        await spool.finish_removals([entry.id, "unknown"])
        with pytest.raises(NotNow):
            await spool.undo()
        assert await spool.remove([entry.id], by="operator") == {entry.id: "ended"}
        await kill(spool)
        async with a_spool(root) as again:
            assert not again.entries
            assert await again.removed() == []
            assert names(root / "removed") == set()

    asyncio.run(scene())


def test_removal_waits_for_the_attempt_and_says_what_became_of_it(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_spool(tmp_path / "spool") as spool:
            delivered, deferred, failed = [await put(spool) for _ in range(3)]
            claims = [await spool.claim(entry.id) for entry in (delivered, deferred, failed)]
            ids = [claim.record.id for claim in claims]
            removing = asyncio.create_task(spool.remove(ids, by="operator"))
            await asyncio.sleep(0.01)
            assert not removing.done()
            say_delivered(claims[0])
            claims[2].record.recipients[0].standing = "failed"
            await spool.settle(claims)
            assert await removing == dict(zip(ids, ("delivered", "removed", "ended"), strict=True))

    asyncio.run(scene())


def test_what_is_being_removed_is_not_claimed_any_more(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_spool(tmp_path / "spool") as spool:
            entry = await put(spool)
            claim = await spool.claim(entry.id)
            removing = asyncio.create_task(spool.remove([entry.id], by="operator"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            spool.give_back(claim)
            with pytest.raises(NotNow):
                await spool.claim(entry.id)
            assert await removing == {entry.id: "removed"}

    asyncio.run(scene())


def test_removing_twice_at_once_removes_once(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_spool(tmp_path / "spool") as spool:
            entry = await put(spool)
            first, second = await asyncio.gather(*[spool.remove([entry.id], by="operator") for _ in range(2)])
            assert "removed" in (first[entry.id], second[entry.id])
            assert await spool.remove([entry.id], by="operator") == {entry.id: "removed"}
            assert len(await spool.removed()) == 1

    asyncio.run(scene())


def test_many_are_removed_and_brought_back_with_few_flushes_of_folders(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_spool(tmp_path / "spool") as spool:
            ids = [entry.id for entry in await asyncio.gather(*[put(spool) for _ in range(600)])]
            assert set((await spool.remove(ids, by="operator")).values()) == {"removed"}
            assert sorted(await spool.undo()) == sorted(ids)
            for item in ids[:10]:
                await deliver(spool, item)
            assert len(spool.entries) == 590

    asyncio.run(scene())


def test_what_could_not_be_removed_is_there_for_those_who_were_turned_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with a_spool(tmp_path / "spool") as spool:
            entry = await put(spool)
            changed: list[tuple[str, bool]] = []

            async def refused(*args: object) -> list[str]:
                with pytest.raises(NotNow):
                    await spool.claim(entry.id)
                raise SpoolError("Input/output error")

            monkeypatch.setattr(spool._removing, "_move", refused)
            spool.subscribe(lambda item: changed.append((item, item in spool._removing.leaving)))
            with pytest.raises(SpoolError):
                await spool.remove([entry.id], by="operator")
            assert changed == [(entry.id, False)]
            spool.give_back(await spool.claim(entry.id))

    asyncio.run(scene())
