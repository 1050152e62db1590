from __future__ import annotations

import pytest

from gateway.dispatch.conditions import REST, Conditions, is_met
from gateway.dispatch.facts import MessageFacts
from gateway.mail.envelope import Class
from tests.support.clock import FakeClock
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
    conditions = Conditions(FakeClock())
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


def test_a_long_queue_looked_at_in_vain_is_left_alone_for_a_while_unless_an_opening_begins() -> None:
    text = "timezone: UTC\nwindows:\n  - {name: W, open: '00:00-24:00', only_if: urgent waiting}\n"
    both = text + "  - {name: X, open: '00:00-24:00', only_if: urgent waiting}\n"
    first, second = [state.opening for state in situation(both).open]
    clock = FakeClock(NOON)
    conditions = Conditions(clock)
    looks = 0

    def queue(message_class: Class = "normal") -> list[MessageFacts]:
        nonlocal looks
        looks += 1
        clock.advance(0.5)
        return [message(message_class=message_class)]

    conditions.judge([first], queue, clock.now())
    assert (looks, conditions.again_at) == (1, None)
    conditions.judge([first], queue, clock.now())
    assert (looks, conditions.again_at) == (1, clock.now() + 0.5 * REST)
    conditions.judge([first, second], queue, clock.now())
    assert looks == 3
    clock.advance(REST)
    assert conditions.judge([first, second], lambda: queue("urgent"), clock.now())
    assert conditions.met(first)
    assert conditions.again_at is None
