"""CASES section 2, every row's own sentence: nothing lost, nothing bounced and no second copy unless the row says so, and one
plain sentence in the queue view. Dispatcher, spool and courier as they are, against a scripted relay; what each row means on
the wire is tested with the courier alone.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.events import Alarm, DeliveredTo, FailedTo, Received
from tests.support.branch import ONE, a_branch
from tests.support.relay import HANG_UP, RESET, Relay, Say
from tests.support.sending import BDAT, DATA

THREE = ("ann@dest.test", "bob@dest.test", "cid@dest.test")


@dataclass(frozen=True)
class Row:
    """What the relay does, and what must follow for two messages: `delivered` copies and `reports` in all; `says`: what the
    queue view says of each that stays; `state` of these; `alarms`."""

    name: str
    script: dict[str, Any]
    says: str = ""
    stays: int = 2
    delivered: int = 0
    failed: int = 0
    reports: int = 0
    alarms: int = 0
    state: str = "deferred"
    to: tuple[str, ...] = ONE
    size: int = 500
    how: dict[str, Any] = field(default_factory=dict)
    target: dict[str, Any] = field(default_factory=dict)


def once_each(*answers: Any) -> Callable[[str], Any]:
    """The recipients of THREE are answered so, whoever asks and however often."""
    said = dict(zip(THREE, answers, strict=True))
    return lambda line: next((answer for address, answer in said.items() if address in line), None)


def but_reports(answer: Any) -> Callable[[str], Any]:
    """To MAIL or RCPT of all but the gateway's reports to anna@branch.test."""
    return lambda line: None if "FROM:<>" in line or "TO:<anna@" in line else answer


ROWS = [
    Row("c01 5xx greeting", {"CONNECT": "554 5.7.1 go away"}, r"refuses us \(554 5.7.1 go away\); next try"),
    Row("c02 4xx greeting", {"CONNECT": Say("450 4.3.2 later", hang_up=True)}, r"\(450 4.3.2 later\); next try"),
    Row("c02 421 greeting", {"CONNECT": Say("421 4.3.2 full", hang_up=True)}, r"is busy \(421 4.3.2 full\); next try"),
    Row("c03 closes at once", {"CONNECT": HANG_UP}, "closes the connection without a word; next try"),
    Row("c04 HELO will do", {"EHLO": "500 5.5.1 what?"}, stays=0, delivered=2),
    Row(
        "c04 but not where TLS is required",
        {"EHLO": "500 5.5.1 what?"},
        "offers no encryption",
        alarms=1,
        target={"tls": "required"},
    ),
    Row("c05 closes at EHLO", {"EHLO": HANG_UP}, "closed the connection; next try"),
    Row("c06 MAIL refused for now", {"MAIL": "450 4.3.2 later"}, "450 4.3.2 later; next try"),
    Row("c06 MAIL refused for good", {"MAIL": but_reports("550 5.1.8 bad sender")}, stays=0, failed=2, reports=1),
    Row(
        "c06 not signed in",
        {"MAIL": "530 5.7.0 sign in"},
        r"takes no mail from us.*530 5.7.0 sign in\)?; next try",
        alarms=1,
    ),
    Row("c07 all recipients refused for now", {"RCPT": "450 4.2.1 later"}, "450 4.2.1 later; next try", to=THREE),
    Row("c08 unknown recipients", {"RCPT": but_reports("550 5.1.1 unknown")}, stays=0, failed=6, reports=1, to=THREE),
    Row(
        "c08 relaying denied",
        {"RCPT": "554 5.7.1 relay access denied"},
        r"takes no mail from us.*554 5.7.1 relay access denied\)?; next try",
        alarms=1,
        to=THREE,
    ),
    Row(
        "c09 one 250, one 450, one 550",
        {"RCPT": once_each("250 ok", "450 4.2.1 later", "550 5.1.1 no")},
        "450 4.2.1 later; next try",
        delivered=2,
        failed=2,
        reports=1,
        to=THREE,
    ),
    Row(
        "c10 421 in the middle",
        {"RCPT": once_each("250 ok", Say("421 4.3.2 no", hang_up=True), "250 ok")},
        r"421 4.3.2 no\)?; next try",
        to=THREE,
    ),
    Row("c11 DATA refused for now", {"DATA": "450 4.3.2 later"}, "450 4.3.2 later", how={"extensions": DATA}),
    Row(
        "c11 DATA refused for good",
        {"DATA": ["550 5.6.0 no"] * 2},
        stays=0,
        failed=2,
        reports=1,
        how={"extensions": DATA},
    ),
    Row("c11 hangs up at DATA", {"DATA": HANG_UP}, "closed the connection", how={"extensions": DATA}),
    Row("c11 421 to DATA", {"DATA": Say("421 4.3.2 no", hang_up=True)}, "421 4.3.2 no", how={"extensions": DATA}),
    Row("c12 content refused for now", {".": "451 4.3.0 later"}, "451 4.3.0 later; next try"),
    Row("c12 content refused for good", {".": ["554 5.6.0 no"] * 2}, stays=0, failed=2, reports=1),
    Row("c15 QUIT refused", {"QUIT": "500 5.5.1 no"}, stays=0, delivered=2),
    Row("c15 hangs up at QUIT", {"QUIT": RESET}, stays=0, delivered=2),
    Row("c17 TLS stripped", {}, "offers no encryption", alarms=1, target={"tls": "required"}),
    Row("c23 garbage", {"MAIL": b"\xff\xfe without a code\r\n"}, "the relay sent something that is no SMTP answer"),
    Row("c23 354 to MAIL", {"MAIL": "354 go on"}, r"the relay answers out of step \(354 go on\)"),
    Row("c24 markup", {"RCPT": "450 4.2.0 <script>alert(1)</script>\x1b[2J"}, r"<script>alert\(1\)</script>\\x1b\[2J"),
    Row("c28 no such name", {}, "relay.invalid cannot be found", target={"host": "relay.invalid"}),
    Row("c29 few recipients", {}, stays=0, delivered=6, to=THREE, how={"capacity": 2}),
    Row(
        "c29 too big for the relay",
        {},
        stays=0,
        failed=2,
        reports=1,
        size=5000,
        how={"extensions": (*BDAT, "SIZE 4000")},
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_the_relay_does_costs_no_mail_and_is_said(tmp_path: Path, row: Row) -> None:
    async def check() -> None:
        async with (
            Relay(row.script, **({"extensions": BDAT} | row.how)) as relay,
            a_branch(tmp_path, relay, **row.target) as branch,
        ):
            sent = [await branch.hand_in(row.to, row.size) for _ in range(2)]
            branch.start()
            await branch.settled(1)
            rows = await branch.rows()
            assert {r.id for r in rows} <= set(sent)
            assert len(rows) == row.stays
            for shown in rows:
                assert re.search(row.says, shown.status), shown.status
                assert shown.state == row.state
                assert shown.next_try.kind == "time"
                assert "\n" not in shown.status
            assert len([e for e in branch.events if isinstance(e, DeliveredTo) and e.id in sent]) == row.delivered
            assert branch.count(FailedTo) == row.failed
            assert branch.count(Received) == row.reports
            alarms = [event for event in branch.events if isinstance(event, Alarm)]
            assert len(alarms) == row.alarms, alarms
            copies = [(m.octets, address) for m in relay.messages if m.sender for address in m.recipients]
            assert len(copies) == len(set(copies)) == row.delivered
            if row.target.get("tls") == "required":
                assert not any("MAIL" in visit.verbs for visit in relay.visits), "nothing in clear"

    asyncio.run(check())


def test_c09_the_second_is_retried_alone(tmp_path: Path) -> None:
    async def check() -> None:
        answers = once_each("250 ok", "450 4.2.1 later", "550 5.1.1 no")
        async with Relay({"RCPT": answers}) as relay, a_branch(tmp_path, relay) as branch:
            item = await branch.hand_in(THREE, 500)
            branch.start()
            await branch.settled(1)
            relay.script = {}
            await branch.later(1799)
            assert item in branch.spool.entries
            await branch.later(1)
            await branch.until(lambda: item not in branch.spool.entries)
            taken = [message.recipients for message in relay.messages if message.sender]
            assert taken == [["ann@dest.test"], ["bob@dest.test"]]

    asyncio.run(check())


def test_c13_the_answer_lost_is_said_waits_ten_minutes_and_may_double(tmp_path: Path) -> None:
    async def check() -> None:
        async with Relay({".": HANG_UP}, extensions=BDAT) as relay, a_branch(tmp_path, relay) as branch:
            item = await branch.hand_in(ONE, 500)
            branch.start()
            await branch.settled(1)
            [shown] = await branch.rows()
            assert shown.status.startswith("in doubt: ")
            assert shown.state == "deferred"
            entry = branch.spool.entries[item]
            assert entry.doubt
            assert entry.due is not None
            assert entry.last_try is not None
            assert entry.due - entry.last_try == 600
            relay.script = {}
            await branch.later(599)
            assert len(relay.visits) == 1
            await branch.later(1)
            await branch.empty()
            assert len(relay.messages) == 1
            assert branch.count(Received) == 0

    asyncio.run(check())


def test_c29_a_limit_for_each_session_is_respected_and_costs_no_pause(tmp_path: Path) -> None:
    """Exim takes ten messages a session at once, others close with 421 after so many."""

    async def check() -> None:
        seen: dict[int, int] = {}

        def ten_each(line: str) -> Any:
            visit = len(relay.visits)
            seen[visit] = seen.get(visit, 0) + 1
            return None if seen[visit] <= 10 else Say("421 4.7.0 too many messages in this connection", hang_up=True)

        async with Relay({"MAIL": ten_each}, extensions=BDAT) as relay, a_branch(tmp_path, relay) as branch:
            for _ in range(35):
                await branch.hand_in(ONE, 500)
            branch.start()
            await branch.empty()
            assert len(relay.messages) == 35
            assert len(relay.visits) == 4
            assert branch.count(Received, FailedTo) == 0

    asyncio.run(check())


@pytest.mark.parametrize("extensions", [BDAT, DATA, ()], ids=["bdat", "data", "lock-step"])
def test_c29_a_relay_that_limits_the_rate_is_left_alone_and_asked_no_more_than_a_few_times(
    tmp_path: Path, extensions: tuple[str, ...]
) -> None:
    async def check() -> None:
        left = 10

        def limited(line: str) -> str | None:
            nonlocal left
            left -= 1
            return None if left >= 0 else "450 4.7.1 Error: too much mail from 192.0.2.1, slow down"

        async with Relay({"MAIL": limited}, extensions=extensions) as relay, a_branch(tmp_path, relay) as branch:
            for _ in range(200):
                await branch.hand_in(ONE, 500)
            branch.start()
            await branch.settled(1)
            assert len(relay.messages) == 10
            asked = sum(visit.verbs.count("MAIL") for visit in relay.visits)
            assert asked <= 10 + 64, "what was under way, and nothing more"
            rows = await branch.rows()
            assert len(rows) == 190
            assert all("slow down" in row.status and row.next_try.kind == "time" for row in rows)
            left = 10_000
            await branch.later(1800)
            await branch.empty()
            assert branch.count(Received, FailedTo) == 0

    asyncio.run(check())


def test_c32_what_the_first_smarthost_took_and_died_of_goes_to_the_second_after_ten_minutes(tmp_path: Path) -> None:
    async def check() -> None:
        async with (
            Relay({"CONNECT": [None, HANG_UP, HANG_UP, HANG_UP], ".": HANG_UP}, extensions=BDAT) as first,
            Relay(extensions=BDAT) as second,
            a_branch(tmp_path, first, second) as branch,
        ):
            item = await branch.hand_in(ONE, 500)
            branch.start()
            await branch.settled(1)
            [shown] = await branch.rows()
            assert shown.status.startswith("in doubt: ")
            other = await branch.hand_in(ONE, 500)
            await branch.until(lambda: other not in branch.spool.entries)
            assert len(second.messages) == 1, "the second takes what the first never saw"
            await branch.later(599)
            assert item in branch.spool.entries
            await branch.later(1)
            await branch.empty()
            assert len(second.messages) == 2
            record = [e for e in branch.events if isinstance(e, DeliveredTo) and e.id == item]
            assert [event.relay for event in record] == ["relay1"]

    asyncio.run(check())
