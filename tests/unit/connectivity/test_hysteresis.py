"""What is believed of a line: the table, and how long a line that keeps falling is not trusted."""

from __future__ import annotations

import itertools

import pytest

from gateway.connectivity.hysteresis import CALM, TRANSITIONS, Belief, Damper, Sign, is_trusted, step


def test_the_table_has_a_row_for_every_sign_in_every_belief() -> None:
    assert set(TRANSITIONS) == set(itertools.product(Belief, Sign))


def after(*signs: Sign, start: Belief = Belief.UNKNOWN) -> Belief:
    belief = start
    for sign in signs:
        belief = step(belief, sign)
    return belief


def test_one_failed_probe_is_not_an_outage_and_two_are() -> None:
    doubted = after(Sign.PROBE_FAILED, start=Belief.ANSWERS)
    assert is_trusted(doubted, probed=True)
    assert not is_trusted(after(Sign.PROBE_FAILED, start=doubted), probed=True)
    assert after(Sign.PROBE_OK, start=doubted) is Belief.ANSWERS


def test_one_good_probe_after_an_outage_is_not_a_line_and_two_are() -> None:
    once = after(Sign.PROBE_OK, start=Belief.SILENT)
    assert not is_trusted(once, probed=True)
    assert is_trusted(after(Sign.PROBE_OK, start=once), probed=True)
    assert after(Sign.PROBE_FAILED, start=once) is Belief.SILENT


@pytest.mark.parametrize("belief", list(Belief))
def test_a_real_session_counts_at_once(belief: Belief) -> None:
    assert step(belief, Sign.SESSION_OK) is Belief.ANSWERS
    assert step(belief, Sign.SESSION_FAILED) is Belief.SILENT


def test_a_probed_link_is_not_trusted_before_its_first_answer_and_one_without_probes_is() -> None:
    assert not is_trusted(Belief.UNKNOWN, probed=True)
    assert is_trusted(Belief.UNKNOWN, probed=False)
    assert is_trusted(after(Sign.PROBE_OK), probed=True)


def test_a_cable_that_comes_back_gives_a_silent_relay_another_chance_and_keeps_a_good_one() -> None:
    assert after(Sign.CARRIER_LOST, Sign.CARRIER_BACK, start=Belief.SILENT) is Belief.UNKNOWN
    assert after(Sign.CARRIER_LOST, Sign.CARRIER_BACK, start=Belief.ANSWERS) is Belief.ANSWERS
    assert after(Sign.CARRIER_LOST, Sign.CARRIER_BACK, start=Belief.DOUBTED) is Belief.ANSWERS


def test_time_gives_a_silent_relay_another_chance() -> None:
    assert after(Sign.AGAIN, start=Belief.SILENT) is Belief.UNKNOWN


def usable_changes(damper: Damper, *, up: float, down: float, until: float) -> int:
    """How often a line that is up and down in turn becomes usable or not."""
    changes, usable, now = 0, True, 1000.0
    damper.came_up(now - CALM)
    end = now + until
    while now < end:
        damper.fell(now)
        changes += usable
        usable = False
        now += down
        damper.came_up(now)
        held = damper.held_until()
        if held is None or held < now + up:
            usable, changes = True, changes + 1
        now += up
    return changes


@pytest.mark.parametrize(("up", "down"), [(3, 3), (1.5, 1.5), (0.2, 0.2), (5, 1), (9, 3)])
def test_a_line_that_flaps_for_five_minutes_changes_at_most_four_times(up: float, down: float) -> None:
    assert usable_changes(Damper(), up=up, down=down, until=300) <= 4


def test_a_line_that_is_calm_is_taken_back_at_once() -> None:
    damper = Damper()
    for _ in range(20):
        damper.came_up(1000.0)
        assert damper.held_until() is None
        damper.fell(1000.0 + CALM)


def test_a_line_that_fell_twice_must_stay_up_for_a_while() -> None:
    damper = Damper()
    damper.came_up(0.0)
    damper.fell(100.0)
    damper.came_up(103.0)
    damper.fell(106.0)
    damper.came_up(109.0)
    assert damper.held_until() == 119.0


def test_the_hold_never_exceeds_a_minute() -> None:
    damper = Damper()
    now = 0.0
    for _ in range(100):
        damper.came_up(now)
        damper.fell(now + 1)
        now += 2
    damper.came_up(now)
    assert damper.held_until() == now + CALM


def test_a_fall_that_is_told_twice_counts_once() -> None:
    damper = Damper()
    damper.came_up(0.0)
    damper.fell(1.0)
    damper.fell(1.0)
    assert damper.falls == 1
