"""A clock that cannot be right is told by what was seen before (DESIGN 6, P7)."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.connectivity.clockset import (
    BUILT,
    GRAIN,
    MARGIN,
    STEADY,
    Reading,
    Standing,
    accept,
    decode,
    earliest,
    encode,
    judge_clock,
    observe,
)

NOW = 1_790_000_000.0
HOUR, DAY = 3600.0, 86400.0


def run(standing: Standing, reading: Reading, seconds: float, every: float = HOUR) -> tuple[Standing, Reading]:
    """A clock that runs without being set, looked at now and then."""
    passed = 0.0
    while passed < seconds:
        passed += every
        reading = replace(reading, now=reading.now + every, since_boot=reading.since_boot + every)
        standing = observe(standing, reading)
    return standing, reading


def steady() -> tuple[Standing, Reading]:
    """A box that has been running for two days."""
    return run(observe(Standing(), Reading(NOW, 100.0, "boot-1")), Reading(NOW, 100.0, "boot-1"), 2 * DAY)


def test_a_clock_before_the_build_date_is_not_set() -> None:
    is_set, why = judge_clock(Standing(), 86_400.0)
    assert not is_set
    assert why == "the clock is not set: it shows 1970-01-02T00:00:00Z, before this program was made"
    assert judge_clock(Standing(), BUILT + 1)[0]


def test_the_floor_follows_only_after_a_day_without_a_step() -> None:
    standing = observe(Standing(), Reading(NOW, 100.0, "boot-1"))
    standing, reading = run(standing, Reading(NOW, 100.0, "boot-1"), STEADY - HOUR)
    assert standing.floor is None
    standing, reading = run(standing, reading, 2 * HOUR)
    assert standing.floor is not None
    assert abs(standing.floor - reading.now) <= GRAIN


def test_a_clock_more_than_an_hour_before_the_floor_is_not_set() -> None:
    standing, _ = steady()
    assert standing.floor is not None
    assert judge_clock(standing, standing.floor - MARGIN)[0]
    is_set, why = judge_clock(standing, standing.floor - MARGIN - 1)
    assert not is_set
    assert "it was later than" in why


def test_the_best_time_known_is_the_latest_of_build_date_floor_and_an_operators_word() -> None:
    assert earliest(Standing()) == BUILT
    assert earliest(Standing(floor=BUILT - 1)) == BUILT
    assert earliest(Standing(floor=BUILT + 1)) == BUILT + 1
    assert earliest(Standing(floor=BUILT + 1, accepted=BUILT + 2)) == BUILT + 2


def test_a_clock_in_the_future_moves_no_floor_before_it_has_run_for_a_day() -> None:
    standing, reading = steady()
    floor = standing.floor
    future = replace(reading, now=reading.now + 20 * 365 * DAY)
    standing, future = run(observe(standing, future), future, STEADY - HOUR)
    assert standing.floor == floor
    back = replace(future, now=future.now - 20 * 365 * DAY)
    assert judge_clock(observe(standing, back), back.now)[0]


def test_the_kernels_word_that_it_is_synchronised_lets_the_floor_fall_at_once() -> None:
    standing, reading = steady()
    future = replace(reading, now=reading.now + 20 * 365 * DAY)
    standing, future = run(observe(standing, future), future, 2 * DAY)  # the floor has followed a wrong clock
    right = replace(future, now=future.now - 20 * 365 * DAY)
    standing = observe(standing, right)
    assert not judge_clock(standing, right.now)[0]
    standing = observe(standing, replace(right, synchronised=True))
    assert judge_clock(standing, right.now)[0]


def test_an_operator_clears_the_floor() -> None:
    standing, reading = steady()
    wrong = reading.now - 30 * DAY
    assert not judge_clock(standing, wrong)[0]
    standing = accept(standing, wrong)
    assert judge_clock(standing, wrong)[0]
    assert judge_clock(standing, wrong + 400 * DAY)[0]


def test_an_operator_may_accept_a_clock_from_before_the_build_date_and_not_an_earlier_one() -> None:
    standing = accept(Standing(), 10 * DAY)
    assert judge_clock(standing, 10 * DAY)[0]
    assert judge_clock(standing, 11 * DAY)[0]
    assert not judge_clock(standing, 9 * DAY)[0]


def test_a_box_that_wakes_in_1970_says_so_and_is_set_when_the_clock_is() -> None:
    standing, reading = steady()
    woken = Reading(30.0, 30.0, "boot-2")
    standing = observe(decode(encode(standing)), woken)
    assert not judge_clock(standing, woken.now)[0]
    standing, woken = run(standing, woken, 3 * DAY)  # however long it runs so, the floor does not follow it
    assert not judge_clock(standing, woken.now)[0]
    later = replace(woken, now=reading.now + 3 * DAY, synchronised=True)
    assert judge_clock(observe(standing, later), later.now)[0]


def test_a_box_that_wakes_where_it_was_switched_off_is_not_told_from_a_right_one_and_does_no_harm() -> None:
    standing, reading = steady()
    woken = Reading(reading.now, 30.0, "boot-2")
    standing = observe(standing, woken)
    assert judge_clock(standing, woken.now)[0]
    assert standing.steady_since == 30.0  # its day without a step begins anew


def test_a_restart_of_the_program_within_one_boot_does_not_begin_the_day_anew() -> None:
    standing = observe(Standing(), Reading(NOW, 100.0, "boot-1"))
    standing, reading = run(standing, Reading(NOW, 100.0, "boot-1"), 20 * HOUR)
    standing = decode(encode(standing))
    standing, _ = run(observe(standing, reading), reading, 5 * HOUR)
    assert standing.floor is not None


def test_steps_below_a_second_are_what_time_servers_do() -> None:
    standing = observe(Standing(), Reading(NOW, 100.0, "boot-1"))
    assert observe(standing, Reading(NOW + 10.9, 110.0, "boot-1")) == standing
    assert observe(standing, Reading(NOW + 11.1, 110.0, "boot-1")) != standing


def test_a_state_that_cannot_be_read_is_no_knowledge() -> None:
    assert decode(None) == Standing()
    assert decode(b"") == Standing()
    assert decode(b'{"floor": "soon"}') == Standing()


@given(st.binary(max_size=50))
def test_any_state_is_read_to_an_end(octets: bytes) -> None:
    assert isinstance(decode(octets), Standing)


@given(
    st.lists(
        st.tuples(st.floats(-40 * 365 * DAY, 40 * 365 * DAY), st.floats(0, 3 * DAY), st.booleans()),
        max_size=12,
    )
)
def test_whatever_the_clock_did_an_operator_can_always_put_it_right(steps: list[tuple[float, float, bool]]) -> None:
    standing, reading = Standing(), Reading(NOW, 0.0, "boot-1")
    for step, passed, synchronised in steps:
        reading = Reading(reading.now + step + passed, reading.since_boot + passed, "boot-1", synchronised)
        standing = observe(standing, reading)
    assert judge_clock(accept(standing, reading.now), reading.now)[0]
    assert decode(encode(standing)) == standing
