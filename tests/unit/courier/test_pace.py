import pytest

from gateway.courier.kernel import Traffic
from gateway.courier.pace import LEAST_AHEAD, MOST_AHEAD, Pace, useful_sessions


def seen(rtt: float) -> Traffic:
    return Traffic(written=0, sent=0, acked=0, received=0, rtt=rtt)


def answer(pace: Pace, rate: float, seconds: float, *, start: float = 0.0) -> bool:
    """Answers at so many octets a second, one each tenth of a second. True if anything changed."""
    changes = [pace.answered(int(rate / 10), start + step / 10) for step in range(1, int(seconds * 10) + 1)]
    return any(changes)


def test_a_near_relay_gets_all_that_is_allowed() -> None:
    pace = Pace(seen(0.0001), 0.0)

    assert not answer(pace, 1000, 5)
    assert pace.ahead == MOST_AHEAD


def test_on_a_modem_little_is_handed_over_ahead() -> None:
    pace = Pace(seen(0.15), 0.0)

    assert not answer(pace, 4_000, 10)
    assert pace.ahead == LEAST_AHEAD


def test_a_faster_line_has_half_a_second_ahead() -> None:
    pace = Pace(seen(0.05), 0.0)

    assert answer(pace, 200_000, 5)
    assert pace.ahead == 100_000


def test_a_slow_span_is_forgotten_once_the_line_is_used_again() -> None:
    pace = Pace(seen(0.05), 0.0)
    answer(pace, 100, 20)

    answer(pace, 200_000, 3, start=20.0)

    assert pace.ahead == 100_000


def test_without_word_from_the_kernel_it_starts_with_care() -> None:
    assert Pace(None, 0.0).ahead == LEAST_AHEAD


@pytest.mark.parametrize(
    ("seconds", "trips", "rtt", "count"),
    [
        (1.10, 1, 0.12, 2),  # 4 KiB on a modem
        (2.35, 1, 0.70, 2),  # on GPRS
        (0.91, 1, 0.65, 4),  # on a satellite line
        (3.6, 4, 0.65, 4),  # there in lock-step
        (13.0, 1, 0.12, 1),  # 50 KiB on a modem
        (0.01, 1, 0.0001, 2),  # on the same machine
    ],
)
def test_as_many_sessions_are_useful_as_hide_the_waits(seconds: float, trips: int, rtt: float, count: int) -> None:
    assert useful_sessions(seconds, trips, rtt) == count
