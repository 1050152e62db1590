"""Start after anything, without a person: what is whole is taken up, what is not is set aside, nothing stops the rest (P11)."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest

from gateway.durable import Disk
from gateway.events import Event, InDoubt, SetAside
from gateway.spool.journal_state import read_journal
from gateway.spool.notes import Kind, find_files
from tests.support.clock import FakeClock
from tests.support.spools import SMALL_MAIL, a_spool, deliver, kill, names, open_spool, put, until
from tests.support.spools import whole_content as read


async def filled(root: Path, messages: int = 2) -> list[str]:
    """A spool that was closed in order, with so many pairs; their IDs."""
    async with a_spool(root) as spool:
        return [(await put(spool)).id for _ in range(messages)]


def set_aside(events: list[Event]) -> set[str]:
    return {event.name for event in events if isinstance(event, SetAside)}


def test_a_closed_spool_has_an_empty_journal_and_whole_pairs(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        ids = await filled(root)
        shutil.rmtree(root / "journal")
        async with a_spool(root) as spool:
            assert sorted(spool.entries) == ids

    asyncio.run(scene())


@pytest.mark.parametrize("content", [b"", b"\0" * 500, b"{", b'{"id": "other"}', b"[]"])
def test_hollow_and_torn_envelopes_are_set_aside_and_the_rest_goes_on(tmp_path: Path, content: bytes) -> None:
    async def scene() -> None:
        root, events = tmp_path / "spool", list[Event]()
        good, bad = await filled(root)
        (root / "queue" / f"{bad}.env").write_bytes(content)
        async with a_spool(root, events) as spool:
            assert set(spool.entries) == {good}
            assert set_aside(events) == names(root / "set-aside") == {f"{bad}.eml", f"{bad}.env"}
            spool.give_back(await spool.claim(good))
        async with a_spool(root) as again:
            assert set(again.entries) == {good}

    asyncio.run(scene())


@pytest.mark.parametrize("kind", ["eml", "env"])
def test_half_a_pair_is_set_aside(tmp_path: Path, kind: str) -> None:
    async def scene() -> None:
        root, events = tmp_path / "spool", list[Event]()
        _, bad = await filled(root)
        (root / "queue" / f"{bad}.{kind}").unlink()
        async with a_spool(root, events) as spool:
            assert len(spool.entries) == 1
            assert len(set_aside(events)) == 1

    asyncio.run(scene())


def test_content_of_another_length_is_set_aside(tmp_path: Path) -> None:
    async def scene() -> None:
        root, events = tmp_path / "spool", list[Event]()
        _, bad = await filled(root)
        with (root / "queue" / f"{bad}.eml").open("ab") as file:
            file.write(b"x")
        async with a_spool(root, events) as spool:
            assert len(spool.entries) == 1
            assert len(set_aside(events)) == 2

    asyncio.run(scene())


def test_what_bears_no_name_of_ours_is_set_aside_and_never_followed(tmp_path: Path) -> None:
    async def scene() -> None:
        root, events = tmp_path / "spool", list[Event]()
        (good,) = await filled(root, 1)
        outside = tmp_path / "outside"
        outside.write_text("mine")
        queue = root / "queue"
        (queue / "README").write_text("?")
        (queue / "UPPER.eml").write_text("?")
        (queue / "abc.eml").symlink_to(outside)
        (queue / "abc.env").symlink_to(outside)
        (queue / "folder").mkdir()
        os.mkfifo(queue / "pipe.env")
        (root / "incoming" / "thing").write_text("?")
        async with a_spool(root, events) as spool:
            assert set(spool.entries) == {good}
        assert names(queue) == {f"{good}.eml", f"{good}.env"}
        assert set_aside(events) == {"README", "UPPER.eml", "abc.eml", "abc.env", "folder", "pipe.env", "thing"}
        assert outside.read_text() == "mine"

    asyncio.run(scene())


def test_names_in_set_aside_are_never_overwritten(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        await filled(root)
        for n in range(3):
            (root / "queue" / "odd").write_text(str(n))
            async with a_spool(root):
                pass
        assert {(root / "set-aside" / name).read_text() for name in ("odd", "odd.1", "odd.2")} == {"0", "1", "2"}

    asyncio.run(scene())


def test_strays_of_drafts_and_rewrites_are_swept(tmp_path: Path) -> None:
    async def scene() -> None:
        root, events = tmp_path / "spool", list[Event]()
        (good,) = await filled(root, 1)
        (root / "incoming" / "a1b20000009.eml").write_bytes(b"half a draft")
        (root / "queue" / f"{good}.env.new").write_bytes(b"half a record")
        async with a_spool(root, events) as spool:
            assert set(spool.entries) == {good}
        assert names(root / "incoming") == set()
        assert len(names(root / "queue")) == 2
        assert not events

    asyncio.run(scene())


def test_a_pair_put_back_after_its_message_ended_is_set_aside(tmp_path: Path) -> None:
    async def scene() -> None:
        root, events = tmp_path / "spool", list[Event]()
        ids = await filled(root)
        shutil.copytree(root / "queue", tmp_path / "backup")
        async with a_spool(root) as spool:
            await deliver(spool, ids[0])
            await spool.remove([ids[1]], by="operator")
            await spool.finish_removals([ids[1]])
        assert names(root / "queue") == set()
        shutil.copytree(tmp_path / "backup", root / "queue", dirs_exist_ok=True)
        async with a_spool(root, events) as spool:
            assert not spool.entries
            assert len(set_aside(events)) == 4

    asyncio.run(scene())


def test_a_pair_that_never_ended_is_taken_from_a_backup(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        ids = await filled(root)
        shutil.move(root / "queue", tmp_path / "backup")
        async with a_spool(root) as spool:
            assert not spool.entries
        shutil.copytree(tmp_path / "backup", root / "queue", dirs_exist_ok=True)
        async with a_spool(root) as spool:
            assert sorted(spool.entries) == ids

    asyncio.run(scene())


def test_pairs_of_another_spool_are_taken_as_they_are_and_end_once(tmp_path: Path) -> None:
    async def scene() -> None:
        theirs, ours, events = tmp_path / "theirs", tmp_path / "ours", list[Event]()
        (item,) = await filled(theirs, 1)
        await filled(ours, 1)
        shutil.copytree(theirs / "queue", ours / "queue", dirs_exist_ok=True)
        async with a_spool(ours) as spool:
            assert item in spool.entries
            assert (await read(spool, item)).endswith(SMALL_MAIL)
            await deliver(spool, item)
        shutil.copytree(theirs / "queue", ours / "queue", dirs_exist_ok=True)
        async with a_spool(ours, events) as spool:
            assert item not in spool.entries
            assert len(set_aside(events)) == 2

    asyncio.run(scene())


def test_a_pair_copied_back_from_removed_waits_again(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        (item,) = await filled(root, 1)
        async with a_spool(root) as spool:
            await spool.remove([item], by="operator")
        for kind in ("eml", "env"):
            shutil.move(root / "removed" / f"{item}.{kind}", root / "queue" / f"{item}.{kind}")
        async with a_spool(root) as spool:
            assert set(spool.entries) == {item}
            assert (await spool.record(item)).removal is None
            assert await spool.removed() == []

    asyncio.run(scene())


def test_what_was_on_the_wire_is_in_doubt_and_due_at_once(tmp_path: Path) -> None:
    async def scene() -> None:
        root, events, clock = tmp_path / "spool", list[Event](), FakeClock()
        spool = await open_spool(root)
        sent, settled, given_back, waiting = [(await put(spool)).id for _ in range(4)]
        claims = [await spool.claim(item) for item in (sent, settled, given_back)]
        await spool.mark_on_wire([sent, settled, given_back])
        claims[0].record.due = 7.0
        claims[1].record.due = 8.0
        await spool.settle([claims[1]])
        spool.give_back(claims[2])
        await spool.update([waiting], lambda record: None)
        await kill(spool)
        again = await open_spool(root, events, clock=clock)
        assert again.in_doubt_at_start == (sent,)
        entry = again.entries[sent]
        assert entry.doubt
        assert entry.due is None
        doubt = (await again.record(sent)).doubt
        assert doubt is not None
        assert (doubt.count, doubt.at) == (1, clock.now())
        assert [event.id for event in events if isinstance(event, InDoubt)] == [sent]
        claim = await again.claim(sent)
        await again.mark_on_wire([sent])
        assert claim.record.doubt is not None
        await kill(again)
        async with a_spool(root) as third:
            doubt = (await third.record(sent)).doubt
            assert doubt is not None
            assert doubt.count == 2

    asyncio.run(scene())


def test_a_mark_on_the_wire_outlives_the_turns_of_the_journal(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        spool = await open_spool(root)
        item = (await put(spool)).id
        await spool.claim(item)
        await spool.mark_on_wire([item])
        for _ in range(3):
            assert await spool._ledger.checkpoint()
        await kill(spool)
        async with a_spool(root) as again:
            assert again.in_doubt_at_start == (item,)

    asyncio.run(scene())


def test_a_mark_whose_writer_gave_up_while_it_was_written_is_taken_back_with_the_claim(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        async with a_spool(root) as spool:
            item = (await put(spool)).id
            claim = await spool.claim(item)
            marking = asyncio.create_task(spool.mark_on_wire([item]))
            await asyncio.sleep(0)
            marking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await marking
            spool.give_back(claim)
        async with a_spool(root) as again:
            assert again.in_doubt_at_start == ()

    asyncio.run(scene())


@pytest.mark.parametrize("large", [False, True])
def test_what_has_ended_stays_ended_though_the_journal_has_lost_its_end(tmp_path: Path, large: bool) -> None:
    """P4: as rot in a file that is free, and still named by the newest header, may leave it."""

    async def scene() -> None:
        root, events = tmp_path / "spool", list[Event]()
        spool = await open_spool(root)
        ended = (await put(spool, b"x" * (300_000 if large else 500))).id
        kept = (await put(spool)).id
        await deliver(spool, ended)
        assert await spool._ledger.checkpoint()
        await kill(spool)
        for path in (root / "journal").iterdir():
            octets = bytearray(path.read_bytes())
            at = -1
            while (at := octets.find(ended.encode(), at + 1)) >= 0:
                if octets[at - 4 : at - 3] == Kind.ENDED.value:
                    octets[at] ^= 0xFF
            path.write_bytes(bytes(octets))
        assert read_journal(Disk(), find_files(Disk(), str(root / "journal"))[0]).changes[ended].place == "queue"
        async with a_spool(root, events) as again:
            assert set(again.entries) == {kept}
            await until(lambda: not again._ledger.pending)
            assert ended not in {
                name[:11] for folder in ("queue", "incoming", "set-aside") for name in names(root / folder)
            }
        assert set_aside(events) == set()

    asyncio.run(scene())


def test_rot_in_the_journal_costs_only_what_it_hit(tmp_path: Path) -> None:
    async def scene() -> None:
        root, events = tmp_path / "spool", list[Event]()
        spool = await open_spool(root)
        spool._ledger._pace = spool._ledger._pace.__class__(follow=3600.0, checkpoint=3600.0)
        ids = [(await put(spool, b"%d" % n * 500)).id for n in range(5)]
        await kill(spool)
        (journal,) = [path for path in (root / "journal").iterdir() if ids[2].encode() in path.read_bytes()]
        octets = bytearray(journal.read_bytes())
        octets[octets.index(ids[2].encode()) + 40] ^= 0xFF
        journal.write_bytes(bytes(octets))
        async with a_spool(root, events) as again:
            assert set(again.entries) >= set(ids) - {ids[2]}

    asyncio.run(scene())


def test_a_lost_counter_and_a_lost_list_of_the_ended_lose_no_mail(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        ids = await filled(root, 3)
        for name in ("ids", "ended", "lock"):
            (root / name).unlink(missing_ok=True)
            (root / name).write_bytes(b"\0" * 20)
        async with a_spool(root) as spool:
            assert set(spool.entries) == set(ids)
            assert (await put(spool)).id not in ids

    asyncio.run(scene())


def test_the_record_on_disk_is_for_people(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        (item,) = await filled(root, 1)
        fields = json.loads((root / "queue" / f"{item}.env").read_text())
        assert fields["id"] == item
        assert fields["recipients"] == [{"address": "b@dest.test"}]

    asyncio.run(scene())


def test_an_ended_list_that_outgrows_the_queue_still_knows_all(tmp_path: Path) -> None:
    async def scene() -> None:
        root, events = tmp_path / "spool", list[Event]()
        (old,) = await filled(root, 1)
        shutil.copytree(root / "queue", tmp_path / "backup")
        async with a_spool(root) as spool:
            await deliver(spool, old)
            kept = (await put(spool)).id
            spool._ledger._ended._listed = 1_000_000
            draft = spool.draft([lambda _: b""])
            assert await spool._ledger.checkpoint()
            assert (root / "ended").read_text().split()[1] == "base"
            assert kept in (root / "ended").read_text()
            assert draft.id in (root / "ended").read_text()
            await draft.abort()
        shutil.copytree(tmp_path / "backup", root / "queue", dirs_exist_ok=True)
        async with a_spool(root, events) as spool:
            assert set(spool.entries) == {kept}
            assert len(set_aside(events)) == 2

    asyncio.run(scene())


def test_a_start_reads_envelopes_only(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        (item,) = await filled(root, 1)
        path = root / "queue" / f"{item}.eml"
        path.write_bytes(b"y" * path.stat().st_size)
        async with a_spool(root) as spool:
            await until(lambda: item in spool.entries)

    asyncio.run(scene())
