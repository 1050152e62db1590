"""Answers in the words that an operator reads."""

from __future__ import annotations

from gateway.cli.show import status

STATUS = {
    "mode": {"set": "offline", "now": "offline", "why": "chosen", "until": None, "since": None},
    "links": [],
    "relay": None,
    "window": {"open": [], "next": None},
    "queue": {"messages": 0, "octets": 0, "oldest": None, "by_state": {}},
    "session": None,
    "not_in_force": [],
}


def test_a_skipped_opening_is_named_with_its_time_as_all_other_times_are() -> None:
    lines = status({**STATUS, "skips": ["Night, short, 2126-11-24T23:25:00+00:00"]}).splitlines()
    assert "skipped  Night, short, 2126-11-24 23:25" in lines


def test_one_message_is_one_message() -> None:
    queue = {"messages": 1, "octets": 709, "oldest": None, "by_state": {"held": 1}}
    assert "queue    1 message, 709 B (1 held)" in status({**STATUS, "queue": queue}).splitlines()
