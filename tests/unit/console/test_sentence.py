"""The one sentence of the state: the whole set, each where it belongs."""

from __future__ import annotations

import pytest

from gateway.console.sentence import Tone, judge, size
from gateway.control.console_rows import Overview
from gateway.control.rows import DirectRow, DiskRow, ModeRow, NextTryRow, OpeningRow, RelayRow
from tests.unit.console.overviews import NOON, count, overview, sending

ONLINE = ModeRow(set="auto", now="online", why="dsl is up")
STOPPED = ModeRow(set="stopped", now="stopped", why="chosen", until="2026-11-24T14:00:00+01:00")
OPEN = [OpeningRow(window="Day", opens=NOON, closes="2026-11-24T18:00:00+01:00")]
NEVER = NextTryRow(kind="never")
TROUBLE = RelayRow(
    name="hq", host="smtp.hq.example", port=587, trouble="does not answer", next_try="2026-11-24T12:40:00+01:00"
)

CASES: list[tuple[Overview, str, str, Tone]] = [
    (overview(), "On plan. Mail leaves at 22:00.", "3 of 3 messages go then, 2.1 MB.", "plan"),
    (overview(queue=count(1)), "On plan. Mail leaves at 22:00.", "1 of 1 message goes then, 2.1 MB.", "plan"),
    (overview(queue=count(0)), "All mail has left.", "The next message waits for Night, 22:00.", "ok"),
    (overview(queue=count(0), mode=ONLINE), "All mail has left.", "New mail is sent at once.", "ok"),
    (overview(queue=count(0), open=OPEN), "All mail has left.", "Day is open until 18:00.", "ok"),
    (overview(queue=count(0), next=None), "All mail has left.", "The schedule has no opening ahead.", "ok"),
    (overview(mode=ONLINE), "Online. Mail leaves as it comes.", "3 messages wait, 2.1 MB.", "ok"),
    (overview(mode=ONLINE, queue=count(deferred=1)), "Online. Some mail is tried again later.", "3 messages", "warn"),
    (overview(mode=STOPPED), "Stopped until 14:00: mail is accepted, nothing is sent.", "3 messages wait", "bad"),
    (
        overview(clock="it is before the build date"),
        "The clock cannot be right: windows wait.",
        "It is before the build date.",
        "bad",
    ),
    (overview(relay=None), "No relay is configured.", "Mail is accepted and waits.", "bad"),
    (overview(sending=[sending()]), "Sending 1 message now.", "hq.example. 2 more messages wait, 2.1 MB.", "busy"),
    (overview(sending=[sending()], queue=count(2)), "Sending 1 message now.", "1 more message waits", "busy"),
    (overview(sending=[sending()], queue=count(1)), "Sending 1 message now.", "Nothing else waits.", "busy"),
    (overview(queue=count(held=3)), "Nothing leaves: all mail is held.", "Release it to let it go.", "warn"),
    (overview(relay=TROUBLE), "The relay does not take our mail.", "Does not answer. Next try at 12:40.", "bad"),
    (
        overview(open=OPEN, queue=count(next_try=NextTryRow(kind="window", at=NOON, window="Day"))),
        "Day is open. Mail is leaving.",
        "3 messages wait, 2.1 MB.",
        "busy",
    ),
    (overview(queue=count(next_try=NEVER)), "No window admits what waits.", "Send it now, or change", "bad"),
    (
        overview(queue=count(next_try=NEVER), has_windows=False),
        "Offline, and the schedule has no window.",
        "Nothing leaves until it has one.",
        "bad",
    ),
    (overview(queue=count(is_complete=False)), "The queue is being counted.", "3 messages wait", "plan"),
    (overview(queue=count(is_complete=False), open=OPEN), "Day is open.", "The queue is being counted.", "plan"),
    (
        overview(disk=DiskRow(free=1, reserve=2, set_aside=0)),
        "The disk is full: new mail is refused.",
        "What was accepted stays, and is sent.",
        "bad",
    ),
]


@pytest.mark.parametrize(("o", "text", "detail", "tone"), CASES, ids=[case[1] for case in CASES])
def test_the_sentence_says_what_is_so(o: Overview, text: str, detail: str, tone: Tone) -> None:
    sentence = judge(o)
    assert sentence.text == text
    assert detail in sentence.detail
    assert sentence.tone == tone


def test_sizes_are_short_and_count_by_thousands() -> None:
    assert [size(n) for n in (0, 999, 1000, 2_100_000, 12_000_000, 250_000_000, 3_000_000_000)] == [
        "0 B",
        "999 B",
        "1 kB",
        "2.1 MB",
        "12 MB",
        "250 MB",
        "3 GB",
    ]


def test_without_a_relay_mail_still_leaves_directly_online() -> None:
    direct = {"relay": None, "direct": DirectRow(in_trouble=1, domains=[]), "mode": ONLINE}
    assert judge(overview(**direct)).text == "Online. Mail leaves as it comes."
    assert judge(overview(**direct, sending=[sending()])).detail.startswith("To the servers of their domains.")
    assert judge(overview(relay=None)).text == "No relay is configured."
