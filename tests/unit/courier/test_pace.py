from gateway.courier.kernel import Traffic
from gateway.courier.pace import FIRST, LEAST, MOST, Pace


def seen(rtt: float) -> Traffic:
    return Traffic(written=0, sent=0, acked=0, received=0, rtt=rtt)


def answer(pace: Pace, rate: float, seconds: float, *, start: float = 0.0) -> None:
    """Answers at so many octets a second, one each tenth of a second."""
    for step in range(1, int(seconds * 10) + 1):
        pace.answered(int(rate / 10), start + step / 10)


def test_a_near_relay_gets_all_that_is_allowed() -> None:
    pace = Pace(seen(0.0001), 0.0)
    answer(pace, 1000, 5)

    assert pace.window == MOST


def test_a_modem_has_a_few_seconds_under_way() -> None:
    pace = Pace(seen(0.15), 0.0)
    assert pace.window == FIRST

    answer(pace, 4_000, 10)

    assert pace.window == LEAST


def test_a_satellite_line_is_kept_full() -> None:
    pace = Pace(seen(0.6), 0.0)

    answer(pace, 64_000, 10)

    assert 2 * 64_000 * 0.6 < pace.window < 200_000


def test_a_pause_is_forgotten_once_the_line_is_used_again() -> None:
    pace = Pace(seen(0.6), 0.0)
    answer(pace, 100, 20)

    answer(pace, 64_000, 5, start=20.0)

    assert pace.window > 2 * 64_000 * 0.6


def test_without_word_from_the_kernel_it_starts_with_care() -> None:
    assert Pace(None, 0.0).window == FIRST
