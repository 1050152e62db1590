"""The spool as the other parts see it: accepting, claiming, settling, changing."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from gateway.errors import ContentDamaged, NoSuchItem, NotNow
from gateway.events import Event, SetAside
from gateway.mail.envelope import Envelope, Peer, Recipient
from gateway.spool import draft as drafts
from gateway.spool.ledger import Pace
from gateway.spool.record import Record
from gateway.spool.spool import Claim
from tests.support.faultydisk import FaultyDisk
from tests.support.spools import SMALL_MAIL, a_spool, deliver, kill, names, open_spool, put, say_delivered, until
from tests.support.spools import whole_content as read


@pytest.mark.parametrize("size", [0, 1, 4096, 65_535, 65_536, 65_537, 131_000, 131_100, 200_000, 1_000_000])
def test_octets_in_are_octets_out_with_our_field_on_top(tmp_path: Path, size: int) -> None:
    async def scene() -> None:
        root, content = tmp_path / "spool", bytes(n % 251 for n in range(size))
        async with a_spool(root) as spool:
            entry = await put(spool, content)
            whole = f"Received: by gw.test id {entry.id}\r\n".encode() + content
            assert await read(spool, entry.id) == whole
            await until(lambda: (root / "queue" / f"{entry.id}.env").exists())
            assert (root / "queue" / f"{entry.id}.eml").read_bytes() == whole
            claim = await spool.claim(entry.id)
            assert claim.record.sha256 == hashlib.sha256(whole).hexdigest()
            assert claim.record.size == entry.size == len(whole)
            assert await claim.content.read(10, 20) == whole[10:30]
            spool.give_back(claim)
        async with a_spool(root) as again:
            assert await read(again, entry.id) == whole

    asyncio.run(scene())


@pytest.mark.parametrize("size", [100, 300_000])
def test_the_head_is_chosen_at_the_commit(tmp_path: Path, size: int) -> None:
    async def scene() -> None:
        async with a_spool(tmp_path / "spool") as spool:
            draft = spool.draft([lambda _: b"Received: plain   \r\n", lambda _: b"Received: repaired\r\n"])
            for _ in range(size // 100):
                await draft.write(b"z" * 100)
            envelope = Envelope("", (Recipient("b@dest.test"),))
            entry = await spool.commit(draft, envelope, message_class="bulk", peer=Peer(), head=1)
            spool.give_back(await spool.claim(entry.id))
            assert (await read(spool, entry.id)).startswith(b"Received: repaired\r\nzzz")

    asyncio.run(scene())


def test_the_record_says_what_the_envelope_and_the_peer_said(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_spool(tmp_path / "spool") as spool:
            draft = spool.draft([lambda _: b""])
            await draft.write(SMALL_MAIL)
            envelope = Envelope(
                "á@branch.test",
                (Recipient("b@c", "NEVER", "rfc822;B@c"),),
                "8BITMIME",
                True,
                "HDRS",
                "env1",
                1.5,
                "R",
                True,
            )
            peer = Peer("192.0.2.1", "printer", "anna", True)
            entry = await spool.commit(
                draft, envelope, message_class="urgent", peer=peer, service="report", report_for="xyz"
            )
            record = await spool.record(entry.id)
            assert (record.reverse_path, record.body, record.smtputf8) == ("á@branch.test", "8BITMIME", True)
            assert (record.ret, record.envid, record.deliver_by, record.by_mode) == ("HDRS", "env1", 1.5, "R")
            assert (record.client, record.helo, record.user) == ("192.0.2.1", "printer", "anna")
            assert (record.recipients[0].notify, record.recipients[0].orcpt) == ("NEVER", "rfc822;B@c")
            assert (record.service, record.report_for, entry.message_class) == ("report", "xyz", "urgent")

    asyncio.run(scene())


def test_the_fault_of_no_client_is_seen_by_others(tmp_path: Path) -> None:
    """A commit whose caller is cancelled is a commit all the same."""

    async def scene() -> None:
        root = tmp_path / "spool"
        async with a_spool(root) as spool:
            for content in (SMALL_MAIL, b"x" * 140_000):
                before = len(spool.entries)
                draft = spool.draft([lambda _: b""])
                await draft.write(content)
                envelope = Envelope("a@b", (Recipient("c@d"),))
                task = asyncio.create_task(spool.commit(draft, envelope, message_class="normal", peer=Peer()))
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await until(lambda before=before: len(spool.entries) == before + 1)

    asyncio.run(scene())


def test_an_aborted_draft_leaves_nothing_and_may_be_aborted_again(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        async with a_spool(root) as spool:
            for content in (SMALL_MAIL, b"x" * 140_000):
                draft = spool.draft([lambda _: b""])
                await draft.write(content)
                await draft.abort()
                await draft.abort()
            assert names(root / "incoming") == set()
            assert spool._accepting.drafts.used == 0
            assert not spool._accepting.drafts.open

    asyncio.run(scene())


def test_memory_of_all_drafts_together_is_bounded(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        async with a_spool(root) as spool:
            open_ones = [spool.draft([lambda _: b""]) for _ in range(100)]
            for draft in open_ones:
                await draft.write(b"x" * 60_000)
            assert spool._accepting.drafts.used <= drafts.BUDGET
            assert names(root / "incoming"), "beyond the budget they went to disk before they were large"
            for draft in open_ones:
                await spool.commit(draft, Envelope("", (Recipient("c@d"),)), message_class="bulk", peer=Peer())
            assert len(spool.entries) == 100
            assert spool._accepting.drafts.used == 0

    asyncio.run(scene())


def test_many_commits_at_once_share_flushes(tmp_path: Path) -> None:
    async def scene() -> None:
        disk = FaultyDisk()
        async with a_spool(tmp_path / "spool", disk=disk) as spool:
            before = sum("fdatasync" in call for call in disk.calls)
            await asyncio.gather(*[put(spool) for _ in range(100)])
            flushes = sum("fdatasync" in call for call in disk.calls) - before
            assert flushes <= 5

    asyncio.run(scene())


def test_a_full_file_of_the_journal_is_emptied_without_giving_up_the_next(tmp_path: Path) -> None:
    async def scene() -> None:
        disk = FaultyDisk()
        async with a_spool(tmp_path / "spool", disk=disk, journal_octets=64 * 1024) as spool:
            for _ in range(60):  # a page each, fifteen pages a file
                await put(spool)
            await until(lambda: spool._ledger._log.needed == 1)
            assert spool._ledger._log.number < 8  # four full ones and a next; each of the four given up would make nine

    asyncio.run(scene())


def test_a_message_that_ends_before_its_files_exist_never_has_any(tmp_path: Path) -> None:
    async def scene() -> None:
        disk = FaultyDisk()
        async with a_spool(tmp_path / "spool", disk=disk, pace=Pace(follow=3600.0, checkpoint=3600.0)) as spool:
            entry = await put(spool)
            await deliver(spool, entry.id)
            await spool._ledger.checkpoint()
            assert not any("queue" in call for call in disk.calls if call.startswith(("open", "rename", "link")))

    asyncio.run(scene())


def test_a_claimed_message_is_not_claimed_again_until_it_is_given_back(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_spool(tmp_path / "spool") as spool:
            entry = await put(spool)
            claim = await spool.claim(entry.id)
            assert entry.claimed
            with pytest.raises(NotNow):
                await spool.claim(entry.id)
            spool.give_back(claim)
            assert not entry.claimed
            spool.give_back(await spool.claim(entry.id))

    asyncio.run(scene())


def test_several_are_claimed_in_one_visit_to_the_disk_each_with_its_claim_or_its_reason(tmp_path: Path) -> None:
    async def scene() -> None:
        disk = FaultyDisk()
        async with a_spool(tmp_path / "spool", disk=disk) as spool:
            small = [(await put(spool)).id for _ in range(3)]
            large = (await put(spool, b"x" * 78 + b"\r\n" * 80_000)).id
            await spool._ledger.follow([*small, large])
            held = await spool.claim(small[1])
            claims = await spool.claim_some([small[0], "nosuch", large, small[1], small[2]])
            found = [claim.record.id if isinstance(claim, Claim) else type(claim) for claim in claims]
            assert found == [small[0], NoSuchItem, large, NotNow, small[2]]
            for claim in (held, *claims):
                if isinstance(claim, Claim):
                    assert await claim.content.read(0, 9) == b"Received:"
                    spool.give_back(claim)

    asyncio.run(scene())


def test_claiming_several_that_is_given_up_claims_none(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_spool(tmp_path / "spool") as spool:
            items = [(await put(spool)).id for _ in range(3)]
            large = (await put(spool, b"x" * 78 + b"\r\n" * 80_000)).id
            await spool._ledger.follow([*items, large])
            claiming = asyncio.create_task(spool.claim_some([*items, large]))
            while not any(spool.entries[item].claimed for item in items):
                await asyncio.sleep(0)
            claiming.cancel()
            with pytest.raises(asyncio.CancelledError):
                await claiming
            assert not any(entry.claimed for entry in spool.entries.values())
            for claim in await spool.claim_some([*items, large]):
                assert isinstance(claim, Claim)
                spool.give_back(claim)

    asyncio.run(scene())


@pytest.mark.parametrize("item", ["nosuch", "../../etc/passwd", "", "A", "x" * 17])
def test_what_is_no_message_is_no_such_item(tmp_path: Path, item: str) -> None:
    async def scene() -> None:
        async with a_spool(tmp_path / "spool") as spool:
            for asking in (spool.claim, spool.record, spool.content):
                with pytest.raises(NoSuchItem):
                    await asking(item)
            assert await spool.update([item], lambda record: None) == []
            assert await spool.remove([item], by="operator") == {item: "unknown"}

    asyncio.run(scene())


def test_settling_with_a_pending_recipient_keeps_the_message_with_its_outcomes(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        spool = await open_spool(root)
        entry = await put(spool, to=("b@dest.test", "c@dest.test"))
        claim = await spool.claim(entry.id)
        say_delivered(claim, "b@dest.test")
        claim.record.due, claim.record.attempts, claim.record.tries = 5.0, 1, 1
        await spool.settle([claim])
        assert (entry.due, entry.attempts, entry.tried, entry.claimed) == (5.0, 1, True, False)
        await kill(spool)
        async with a_spool(root) as again:
            record = await again.record(entry.id)
            assert [r.standing for r in record.recipients] == ["delivered", "pending"]
            assert again.entries[entry.id].due == 5.0

    asyncio.run(scene())


def test_a_message_without_pending_recipients_has_ended_for_good(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        spool = await open_spool(root)
        entry = await put(spool)
        await until(lambda: len(names(root / "queue")) == 2)
        await deliver(spool, entry.id)
        assert entry.id not in spool.entries
        await kill(spool)
        async with a_spool(root) as again:
            assert not again.entries
            assert names(root / "queue") == set()

    asyncio.run(scene())


def test_damaged_content_is_set_aside_and_never_sent(tmp_path: Path) -> None:
    async def scene() -> None:
        root, events = tmp_path / "spool", list[Event]()
        for size in (100, 140_000):
            async with a_spool(root, events) as spool:
                good, bad = await put(spool), await put(spool, b"x" * size)
                await until(lambda bad=bad: (root / "queue" / f"{bad.id}.env").exists())
                path = root / "queue" / f"{bad.id}.eml"
                octets = bytearray(path.read_bytes())
                octets[-1] ^= 1
                path.write_bytes(bytes(octets))
                with pytest.raises(ContentDamaged):
                    await spool.claim(bad.id)
                assert bad.id not in spool.entries
                assert {f"{bad.id}.eml", f"{bad.id}.env"} <= names(root / "set-aside")
                assert any(isinstance(event, SetAside) and bad.id in event.name for event in events)
                spool.give_back(await spool.claim(good.id))
            async with a_spool(root) as again:
                assert bad.id not in again.entries

    asyncio.run(scene())


def test_an_update_reaches_a_message_that_is_being_sent(tmp_path: Path) -> None:
    def hold(record: Record) -> None:
        record.held = True

    async def scene() -> None:
        root = tmp_path / "spool"
        spool = await open_spool(root)
        settled, given_back, waiting = [await put(spool) for _ in range(3)]
        first, second = await spool.claim(settled.id), await spool.claim(given_back.id)
        first.record.status = "busy"
        assert len(await spool.update([settled.id, given_back.id, waiting.id], hold)) == 3
        assert settled.held
        assert given_back.held
        assert first.record.held
        await spool.settle([first])
        spool.give_back(second)
        await kill(spool)
        async with a_spool(root) as again:
            assert all(entry.held for entry in again.entries.values())
            assert (await again.record(settled.id)).status == "busy"

    asyncio.run(scene())


def test_an_update_that_meets_an_ending_never_brings_the_message_back(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        spool = await open_spool(root)
        entries = [await put(spool) for _ in range(20)]
        claims = [await spool.claim(entry.id) for entry in entries]
        for claim in claims:
            say_delivered(claim)
        ids = [entry.id for entry in entries]

        def hold(record: Record) -> None:
            record.held = True

        await asyncio.gather(
            *[spool.settle([claim]) for claim in claims], *[spool.update([item], hold) for item in ids]
        )
        assert not spool.entries
        await kill(spool)
        async with a_spool(root) as again:
            assert not again.entries

    asyncio.run(scene())


def test_a_message_that_ends_while_others_are_read_for_an_update_stays_ended(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        spool = await open_spool(root)
        sent, *others = [(await put(spool)).id for _ in range(5)]
        await until(lambda: len(names(root / "queue")) == 10)  # so that the others must be read from their files
        claim = await spool.claim(sent)
        updating = asyncio.create_task(spool.update([sent, *others], lambda record: setattr(record, "held", True)))
        await asyncio.sleep(0)
        say_delivered(claim)
        await spool.settle([claim])
        assert sorted(await updating) == others
        await kill(spool)
        async with a_spool(root) as again:
            assert sorted(again.entries) == others
            assert all(entry.held for entry in again.entries.values())

    asyncio.run(scene())


def test_concurrent_updates_are_all_kept(tmp_path: Path) -> None:
    def count(record: Record) -> None:
        record.tries += 1

    async def scene() -> None:
        async with a_spool(tmp_path / "spool") as spool:
            entry = await put(spool)
            await asyncio.gather(*[spool.update([entry.id], count) for _ in range(30)])
            assert (await spool.record(entry.id)).tries == entry.tries == 30

    asyncio.run(scene())


def test_listeners_hear_of_what_appears_changes_and_goes(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_spool(tmp_path / "spool") as spool:
            heard: list[str] = []
            stop = spool.subscribe(heard.append)
            entry = await put(spool)
            assert heard == [entry.id]
            await spool.update([entry.id], lambda record: None)
            assert len(heard) == 2
            await deliver(spool, entry.id)
            assert len(heard) == 3
            stop()
            await put(spool)
            assert len(heard) == 3

    asyncio.run(scene())


def test_state_is_kept_over_restarts_and_its_names_stay_in_their_folder(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        async with a_spool(root) as spool:
            assert spool.load_state("orders.json") is None
            await asyncio.gather(*[spool.save_state("orders.json", b"%d" % n) for n in range(5)])
            assert spool.load_state("orders.json") == b"4"
            for name in ("../x", "", "x.new", "A", "a/b"):
                with pytest.raises(ValueError):
                    await spool.save_state(name, b"")
        async with a_spool(root) as again:
            assert again.load_state("orders.json") == b"4"

    asyncio.run(scene())


def test_changes_that_are_larger_than_a_file_of_the_journal_are_written_all_the_same(tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "spool"
        spool = await open_spool(root, journal_octets=64 * 1024)
        many = [f"recipient{n}@dest.test" for n in range(1000)]
        ids = [(await put(spool, to=many)).id for _ in range(5)]
        assert sorted(await spool.update(ids, lambda record: setattr(record, "held", True))) == ids
        await kill(spool)
        async with a_spool(root) as again:
            assert all(entry.held for entry in again.entries.values())
            assert len((await again.record(ids[0])).recipients) == 1000

    asyncio.run(scene())


def test_who_is_handing_in_a_message_is_counted_until_its_last_octet_or_its_end(tmp_path: Path) -> None:
    async def body() -> None:
        async with a_spool(tmp_path) as spool:
            groups, envelope = spool._ledger._groups, Envelope("a@b.test", (Recipient("c@d.test"),))
            small, large, gone = (spool.draft([lambda item: b"Received: x\r\n"]) for _ in range(3))
            assert groups.coming == 3
            await large.write(b"x" * (drafts.KEPT + 1))
            assert groups.coming == 2, "it goes to disk as it comes: nobody waits for it"
            await gone.abort()
            await gone.abort()
            assert groups.coming == 1
            await small.write(b"Subject: s\r\n\r\nbody\r\n")
            await spool.commit(small, envelope, message_class="normal", peer=Peer())
            await spool.commit(large, envelope, message_class="normal", peer=Peer())
            assert groups.coming == 0

    asyncio.run(body())
