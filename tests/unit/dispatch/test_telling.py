"""One report for what one cause did to many messages of a sender; no failure untold, and nothing told twice without a crash."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.dispatch import reports, telling
from gateway.dispatch.removals import Removals
from gateway.errors import SpoolError, SpoolFull
from gateway.events import Alarm, DeliveredTo, FailedTo, Received, SetAside
from gateway.mail.envelope import Recipient
from gateway.mail.outcome import Deferred, Delivered, Failed, Reply
from tests.support.clock import FakeClock
from tests.support.spools import a_spool, names, until
from tests.support.telling import QUOTA, Telling, groups_of

UNKNOWN = Failed(Reply(550, "5.1.1 no such user"))
LATER = Deferred("450 4.2.1 later", Reply(450, "4.2.1 later"))
TAKEN = Delivered(Reply(250, "2.0.0 taken"))


@asynccontextmanager
async def a_house(folder: Path) -> AsyncIterator[Telling]:
    async with a_spool(folder / "spool") as spool:
        yield Telling(spool)


@asynccontextmanager
async def running(house: Telling) -> AsyncIterator[None]:
    task = asyncio.create_task(house.teller.run())
    try:
        yield
    finally:
        await house.teller.close(task)


def check(folder: Path, body: Callable[[Telling], Awaitable[None]]) -> None:
    async def go() -> None:
        async with a_house(folder) as house:
            await body(house)

    asyncio.run(go())


async def tell(house: Telling) -> None:
    """One round, now."""
    async with running(house):
        pass


def test_a_hundred_refusals_for_one_reason_are_one_report_that_names_each(tmp_path: Path) -> None:
    async def body(house: Telling) -> None:
        sent = [await house.hand_in(f"order {n}", [f"user{n}@dest.test"]) for n in range(100)]
        for item in sent:
            await house.settle(item, QUOTA)
        assert set(sent) == set(house.spool.entries), "they stay until they are told"
        await tell(house)
        [(record, report)] = await house.reports()
        assert set(house.spool.entries) == {record.id}
        assert [r.address for r in record.recipients] == ["anna@branch.test"]
        assert (record.reverse_path, record.report_for) == ("", " ".join(sent))
        groups = groups_of(report)[1:]
        assert [g["X-Queue-Id"] for g in groups] == sent
        assert [g["X-Subject"] for g in groups] == [f"order {n}" for n in range(100)]
        assert [g["Final-Recipient"] for g in groups] == [f"rfc822; user{n}@dest.test" for n in range(100)]
        assert {g["Action"] for g in groups} == {"failed"}
        assert {g["Status"] for g in groups} == {"5.2.2"}
        text = next(report.iter_parts()).get_content()
        for n, item in enumerate(sent):
            assert f"Queue ID: {item}\nSubject:  order {n}\n" in text.replace("\r\n", "\n")
            assert f"To:       user{n}@dest.test" in text
        assert text.count("quota exceeded") == 1
        failed = [event for event in house.events if isinstance(event, FailedTo)]
        assert [(event.id, event.report) for event in failed] == [(item, record.id) for item in sent]

    check(tmp_path, body)


def test_senders_causes_and_relays_are_kept_apart(tmp_path: Path) -> None:
    async def body(house: Telling) -> None:
        for sender, outcome, relay in (
            ("anna@branch.test", QUOTA, "isp"),
            ("anna@branch.test", UNKNOWN, "isp"),
            ("anna@branch.test", QUOTA, "hq"),
            ("jan@branch.test", QUOTA, "isp"),
        ):
            for _ in range(2):
                await house.settle(await house.hand_in(sender=sender), outcome, relay=relay)
        await tell(house)
        found = [(r.recipients[0].address, len(groups_of(report)) - 1) for r, report in await house.reports()]
        assert found == [("anna@branch.test", 2)] * 3 + [("jan@branch.test", 2)]

    check(tmp_path, body)


@pytest.mark.parametrize("asked", [{"envid": "QQ1"}, {"ret": "HDRS"}, {"ret": "FULL"}])
def test_who_asked_for_something_of_one_message_gets_a_report_of_its_own(tmp_path: Path, asked: dict[str, str]) -> None:
    async def body(house: Telling) -> None:
        for n in range(2):
            await house.settle(await house.hand_in(f"asked {n}", **asked), QUOTA)
            await house.settle(await house.hand_in(f"plain {n}"), QUOTA)
        await tell(house)
        found = await house.reports()
        assert sorted(len(groups_of(report)) - 1 for _, report in found) == [1, 1, 2]
        alone = [report for _, report in found if len(groups_of(report)) == 2]
        for report in alone:
            groups = groups_of(report)
            assert groups[0]["Original-Envelope-Id"] == asked.get("envid")
            assert len(list(report.iter_parts())) == 3
            assert (b"hello" in report.as_bytes()) == (asked.get("ret") == "FULL")

    check(tmp_path, body)


def test_a_report_is_bounded_and_the_rest_is_in_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MOST_MESSAGES", 3)
    monkeypatch.setattr(reports, "MOST_RECIPIENTS", 5)

    async def body(house: Telling) -> None:
        for to in (1, 1, 1, 1, 3, 3, 9, 1):
            people = [f"user{n}@dest.test" for n in range(to)]
            await house.settle(await house.hand_in(to=people), *[QUOTA] * to)
        await tell(house)
        sizes = [len((r.report_for or "").split()) for r, _ in await house.reports()]
        assert sizes == [3, 2, 1, 1, 1]

    check(tmp_path, body)


def test_failures_are_gathered_while_mail_is_sent_and_told_when_it_is_over(tmp_path: Path) -> None:
    async def body(house: Telling) -> None:
        house.is_idle = False
        async with running(house):
            for _ in range(3):
                await house.settle(await house.hand_in(), QUOTA)
                await asyncio.sleep(0.02)
            assert not [event for event in house.events if isinstance(event, Received)]
            assert house.teller.is_about_to_tell
            house.is_idle = True
            house.teller.look()
            await until(lambda: len(house.spool.entries) == 1)
            await until(lambda: not house.teller.is_about_to_tell)
        assert len(await house.reports()) == 1

    check(tmp_path, body)


def test_a_line_is_not_put_down_while_a_report_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(house: Telling) -> None:
        update, may_go_on = house.spool.update, asyncio.Event()
        told: list[bool] = []

        async def slow_update(*args: Any) -> Any:
            await may_go_on.wait()
            return await update(*args)

        async with running(house):
            await house.settle(await house.hand_in(), QUOTA)
            monkeypatch.setattr(house.spool, "update", slow_update)
            await until(lambda: any(isinstance(event, FailedTo) for event in house.events))
            told.append(house.teller.is_about_to_tell)
            may_go_on.set()
            await until(lambda: not house.teller.is_about_to_tell)
            assert (told, len(house.spool.entries)) == ([True], 1), "the report"

    check(tmp_path, body)


def test_a_session_without_end_keeps_nobody_waiting_for_longer_than_it_may(tmp_path: Path) -> None:
    async def body(house: Telling) -> None:
        assert isinstance(house.clock, FakeClock)
        house.is_idle = False
        async with running(house):
            await house.settle(await house.hand_in(), QUOTA)
            house.clock.advance(telling.GATHER - 1)
            house.teller.look()
            await asyncio.sleep(0.02)
            assert not [event for event in house.events if isinstance(event, Received)]
            house.clock.advance(1)
            house.teller.look()
            await until(lambda: any(isinstance(event, Received) for event in house.events))

    check(tmp_path, body)


def test_what_is_told_of_some_recipients_goes_on_for_the_others(tmp_path: Path) -> None:
    async def body(house: Telling) -> None:
        item = await house.hand_in(to=["a@dest.test", "b@dest.test", "c@dest.test"])
        await house.settle(item, TAKEN, LATER, UNKNOWN)
        await tell(house)
        record = await house.spool.record(item)
        assert [(r.standing, r.untold) for r in record.recipients] == [
            ("delivered", False),
            ("pending", False),
            ("failed", False),
        ]
        assert [g["Final-Recipient"] for g in groups_of((await house.reports())[0][1])[1:]] == ["rfc822; c@dest.test"]
        await house.settle(item, UNKNOWN)
        await tell(house)
        assert item not in house.spool.entries
        assert [g["Final-Recipient"] for g in groups_of((await house.reports())[1][1])[1:]] == ["rfc822; b@dest.test"]

    check(tmp_path, body)


def test_a_sender_who_wants_no_report_gets_none_and_the_message_ends_at_once(tmp_path: Path) -> None:
    async def body(house: Telling) -> None:
        item = await house.hand_in(to=[Recipient("bob@dest.test", notify="NEVER")])
        await house.settle(item, QUOTA)
        assert not house.spool.entries
        assert [(e.id, e.report) for e in house.events if isinstance(e, FailedTo)] == [(item, None)]

    check(tmp_path, body)


def test_without_room_for_the_report_the_message_stays_and_is_told_once_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "AGAIN", 0.01)

    async def body(house: Telling) -> None:
        item = await house.hand_in()
        draft, full = house.spool.draft, True

        def no_room(heads: object) -> object:
            if full:
                raise SpoolFull("the disk is full")
            return draft(heads)  # type: ignore[arg-type]  # passed on

        monkeypatch.setattr(house.spool, "draft", no_room)
        assert isinstance(house.clock, FakeClock)
        async with running(house):
            await house.settle(item, QUOTA)
            await until(lambda: any(isinstance(event, Alarm) for event in house.events))
            await until(lambda: not house.teller.is_about_to_tell)  # a line is not kept up for it
            entry = house.spool.entries[item]
            assert (entry.outside, entry.inside, entry.untold) == (False, False, True)
            full = False
            house.clock.advance(1)
            house.teller.look()
            await until(lambda: item not in house.spool.entries)
        assert len(await house.reports()) == 1
        assert len([event for event in house.events if isinstance(event, Alarm)]) == 1

    check(tmp_path, body)


def test_a_report_that_is_in_the_queue_is_not_made_again_when_the_disk_refuses_to_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(house: Telling) -> None:
        item = await house.hand_in()
        await house.settle(item, QUOTA)
        update = house.spool.update

        async def refuse(*_: object) -> list[str]:
            raise SpoolFull("the disk is full")

        monkeypatch.setattr(house.spool, "update", refuse)
        await house.teller._tell()
        assert len(await house.reports()) == 1
        assert item in house.spool.entries
        monkeypatch.setattr(house.spool, "update", update)
        await house.teller._tell()
        assert len(await house.reports()) == 1
        assert item not in house.spool.entries

    check(tmp_path, body)


def test_after_a_restart_the_failures_of_the_last_life_are_told_together(tmp_path: Path) -> None:
    async def body() -> None:
        async with a_house(tmp_path) as house:
            sent = [await house.hand_in() for _ in range(3)]
            for item in sent:
                await house.settle(item, QUOTA)
        async with a_house(tmp_path) as house:
            house.teller.note_all()
            await tell(house)
            [(record, _)] = await house.reports()
            assert record.report_for == " ".join(sent)
            assert set(house.spool.entries) == {record.id}
        async with a_house(tmp_path) as house:
            house.teller.note_all()
            await tell(house)
            assert set(house.spool.entries) == {record.id}

    asyncio.run(body())


@pytest.mark.parametrize("notify", [None, "NEVER"])
def test_c25_what_has_no_sender_is_told_to_nobody_and_set_aside(tmp_path: Path, notify: str | None) -> None:
    async def body(house: Telling) -> None:
        item = await house.hand_in(to=[Recipient("bob@dest.test", notify)], sender="")
        await house.settle(item, Failed(Reply(550, "5.1.8 no bounces")))
        await tell(house)
        assert not house.spool.entries
        assert not await house.reports()
        assert names(tmp_path / "spool" / "set-aside") == {f"{item}.eml", f"{item}.env"}
        assert [e.id for e in house.events if isinstance(e, FailedTo)] == [item]

    check(tmp_path, body)


def test_c25_put_back_by_hand_it_is_held_with_the_reason(tmp_path: Path) -> None:
    async def body() -> None:
        async with a_house(tmp_path) as house:
            item = await house.hand_in(sender="")
            await house.settle(item, UNKNOWN)
            await tell(house)
        spool = tmp_path / "spool"
        for kind in ("eml", "env"):
            (spool / "set-aside" / f"{item}.{kind}").rename(spool / "queue" / f"{item}.{kind}")
        async with a_house(tmp_path) as house:
            house.teller.note_all()
            await tell(house)
            record = await house.spool.record(item)
            assert (record.held, record.recipients[0].standing) == (True, "pending")
            assert record.hold_note == "it failed, and has no sender who could be told: 550 5.1.1 no such user"

    asyncio.run(body())


def test_c25_a_report_that_the_relay_refuses_makes_no_report(tmp_path: Path) -> None:
    async def body(house: Telling) -> None:
        await house.settle(await house.hand_in(), UNKNOWN)
        await tell(house)
        [(report, _)] = await house.reports()
        await house.settle(report.id, UNKNOWN)
        await tell(house)
        assert not house.spool.entries
        assert f"{report.id}.eml" in names(tmp_path / "spool" / "set-aside")
        assert not [event for event in house.events if isinstance(event, SetAside)], "the spool's journal has it"

    check(tmp_path, body)


def test_late_mail_of_a_sender_is_one_report_and_what_left_meanwhile_is_not_in_it(tmp_path: Path) -> None:
    async def body(house: Telling) -> None:
        sent = [await house.hand_in(f"order {n}") for n in range(4)]
        house.late = dict.fromkeys(sent, "It is tried again about 06:10.")
        house.is_idle = False
        for item in sent:
            await house.settle(item, LATER)
        await house.settle(sent[3], TAKEN)
        assert any(isinstance(event, DeliveredTo) for event in house.events)
        await tell(house)
        [(record, report)] = await house.reports()
        assert record.report_for == " ".join(sent[:3])
        groups = groups_of(report)[1:]
        assert {(g["Action"], g["Status"]) for g in groups} == {("delayed", "4.2.1")}
        assert all(g["Will-Retry-Until"] for g in groups)
        assert "It is tried again about 06:10." in next(report.iter_parts()).get_content()
        await house.settle(sent[0], LATER)
        await tell(house)
        assert len(await house.reports()) == 1, "told once"

    check(tmp_path, body)


def test_of_a_late_message_only_those_outside_are_named_and_who_wants_no_word_is_not_asked_again(
    tmp_path: Path,
) -> None:
    async def body(house: Telling) -> None:
        both = await house.hand_in("both", ["ops@hq.test", "jan@branch.test"])
        await house.spool.update([both], lambda record: setattr(record.recipients[1], "inside", True))
        never = await house.hand_in("never", [Recipient("ops@hq.test", "NEVER")])
        house.late = dict.fromkeys([both, never], "As things are, it does not leave by itself: no window sends it.")
        house.teller.note_late(both)
        house.teller.note_late(never)
        await tell(house)
        [(_, report)] = await house.reports()
        assert [g["Final-Recipient"] for g in groups_of(report)[1:]] == ["rfc822; ops@hq.test"]
        assert all(g["Last-Attempt-Date"] is None for g in groups_of(report)[1:]), "it was never tried"
        assert house.spool.entries[both].warned
        assert house.spool.entries[never].warned

    check(tmp_path, body)


def test_removals_of_one_sender_are_one_report(tmp_path: Path) -> None:
    async def body(house: Telling) -> None:
        assert isinstance(house.clock, FakeClock)
        sent = [await house.hand_in(f"order {n}") for n in range(3)]
        failed = await house.hand_in("failed", ["a@dest.test", "b@dest.test"])
        await house.settle(failed, UNKNOWN, LATER)
        quiet = await house.hand_in("quiet")
        await house.spool.remove([*sent, failed], by="operator", tell_sender=True)
        await house.spool.remove([quiet], by="operator")
        removals = Removals(house.spool, house.reporter, house.clock, house.journal, undo_time=0.0)
        await removals.finish_due()
        assert not await house.spool.removed()
        [(record, report)] = await house.reports()
        assert record.report_for == " ".join([*sent, failed])
        told = [(g["X-Queue-Id"], g["Final-Recipient"], g["Status"]) for g in groups_of(report)[1:]]
        assert told == [(item, "rfc822; bob@dest.test", "5.7.0") for item in sent] + [
            (failed, "rfc822; b@dest.test", "5.7.0"),
            (failed, "rfc822; a@dest.test", "5.1.1"),
        ]

    check(tmp_path, body)


def test_many_are_told_in_rounds_so_that_their_records_are_not_in_memory_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "AT_ONCE", 3)

    async def body(house: Telling) -> None:
        sent = [await house.hand_in() for _ in range(8)]
        for item in sent:
            await house.settle(item, QUOTA)
        await tell(house)
        assert [len((r.report_for or "").split()) for r, _ in await house.reports()] == [3, 3, 2]
        assert len(house.spool.entries) == 3

    check(tmp_path, body)


def test_a_removal_that_the_disk_does_not_let_end_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(house: Telling) -> None:
        item = await house.hand_in()
        await house.spool.remove([item], by="operator", tell_sender=True)
        removals = Removals(house.spool, house.reporter, house.clock, house.journal, undo_time=0.0)

        async def refused(ids: object) -> None:
            raise SpoolError("Input/output error")

        with monkeypatch.context() as disk:
            disk.setattr(house.spool, "finish_removals", refused)
            assert await removals.finish_due() == 60.0
        await removals.finish_due()
        assert not await house.spool.removed()
        assert len(await house.reports()) == 1

    check(tmp_path, body)
