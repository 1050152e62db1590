from __future__ import annotations

import pytest

from gateway.dispatch.conditions import Conditions, is_met
from tests.support.situations import at, message, situation

NOON = at("2026-11-24 12:00")


def window(only_if: str) -> object:
    text = (
        f"timezone: UTC\nwindows:\n  - {{name: W, open: '00:00-24:00', send: 'urgent, normal', only_if: {only_if}}}\n"
    )
    return situation(text).open[0].opening.window


@pytest.mark.parametrize(
    ("only_if", "changes", "met"),
    [
        ("urgent waiting", {}, False),
        ("urgent waiting", {"message_class": "urgent"}, True),
        ("urgent waiting", {"message_class": "urgent", "held": True}, False),
        ("oldest over 2 h", {"created": NOON - 7200}, False),
        ("oldest over 2 h", {"created": NOON - 7201}, True),
        ("oldest over 2 h", {"created": NOON - 7201, "message_class": "bulk"}, False),
        ("more than 5 kB", {"size": 5000}, False),
        ("more than 5 kB", {"size": 5001}, True),
        ("more than 1 messages", {}, False),
        ("urgent waiting or more than 3 kB", {}, True),
    ],
)
def test_a_condition_is_judged_over_what_the_window_admits(only_if: str, changes: dict[str, object], met: bool) -> None:
    assert is_met(window(only_if), [message(**changes)], NOON) is met  # type: ignore[arg-type]  # see window()


def test_nothing_waiting_meets_no_condition() -> None:
    assert not is_met(window("oldest over 1 s"), [], NOON)  # type: ignore[arg-type]  # see window()


def test_once_true_it_holds_to_the_end_of_the_session() -> None:
    text = "timezone: UTC\nwindows:\n  - {name: W, open: '00:00-24:00', only_if: urgent waiting}\n"
    opening = situation(text).open[0].opening
    conditions = Conditions()
    conditions.judge([opening], lambda: [message(message_class="urgent")], NOON)
    assert conditions.met(opening)
    conditions.judge([opening], lambda: [message()], NOON)
    assert conditions.met(opening)
    assert conditions.session_ended()
    conditions.judge([opening], lambda: [message()], NOON)
    assert not conditions.met(opening)


def test_a_long_queue_is_looked_at_only_until_the_condition_is_met() -> None:
    queue = (message(id=f"{n:011d}") for n in range(1000))
    assert is_met(window("more than 20 messages"), queue, NOON)  # type: ignore[arg-type]  # see window()
    assert len(list(queue)) > 900
