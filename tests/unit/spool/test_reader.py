"""Looking at a spool while no gateway runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.errors import NoSuchItem, SpoolError
from gateway.spool.ledger import Pace
from gateway.spool.reader import is_running, read_content, read_queue, read_record, read_removed, read_state
from tests.support.spools import SMALL_MAIL, a_spool, deliver, kill, open_spool, put, until


def snapshot(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_the_reader_shows_what_a_start_would_find(tmp_path: Path, how: str) -> None:
    async def scene() -> list[str]:
        spool = await open_spool(root)
        ids = [(await put(spool, b"x" * size)).id for size in (10, 140_000, 10, 10, 10)]
        await until(lambda: (root / "queue" / f"{ids[2]}.env").exists())
        if how == "killed":
            spool._ledger._pace = Pace(
                follow=3600.0, checkpoint=3600.0
            )  # so that the files of what ended are still there
        await deliver(spool, ids[2])
        await spool.remove([ids[3]], by="operator")
        await spool.update([ids[4]], lambda record: setattr(record, "held", True))
        await spool.save_state("orders.json", b"{}")
        assert is_running(root)
        await (kill(spool) if how == "killed" else spool.close())
        return ids

    root = tmp_path / "spool"
    ids = asyncio.run(scene())
    before = snapshot(root)
    assert not is_running(root)
    assert [record.id for record in read_queue(root)] == [ids[0], ids[1], ids[4]]
    assert [record.id for record in read_removed(root)] == [ids[3]]
    assert read_record(root, ids[4]).held
    assert read_record(root, ids[3]).removal is not None
    assert read_content(root, ids[1], 200_000).endswith(b"x" * 140_000)
    assert read_content(root, ids[0], 8) == b"Received"
    assert read_state(root, "orders.json") == b"{}"
    assert read_state(root, "nothing") is None
    for asking in (read_record, lambda where, item: read_content(where, item, 10)):
        for item in (ids[2], "nosuch", "../x"):
            with pytest.raises(NoSuchItem):
                asking(root, item)
    assert snapshot(root) == before


def test_journal_only_mail_is_shown(tmp_path: Path) -> None:
    async def scene() -> str:
        spool = await open_spool(root)
        spool._ledger._pace = spool._ledger._pace.__class__(follow=3600.0)
        item = (await put(spool)).id
        await kill(spool)
        return item

    root = tmp_path / "spool"
    item = asyncio.run(scene())
    assert not list((root / "queue").iterdir())
    assert [record.id for record in read_queue(root)] == [item]
    assert read_content(root, item, 1000).endswith(SMALL_MAIL)


def test_without_a_spool_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(SpoolError):
        list(read_queue(tmp_path / "nothing"))
    assert not is_running(tmp_path / "nothing")


def test_what_cannot_be_understood_is_left_out(tmp_path: Path) -> None:
    async def scene() -> str:
        async with a_spool(root) as spool:
            return (await put(spool)).id

    root = tmp_path / "spool"
    item = asyncio.run(scene())
    (root / "queue" / "broken1.env").write_bytes(b"{")
    (root / "queue" / "broken1.eml").write_bytes(b"{")
    assert [record.id for record in read_queue(root)] == [item]
