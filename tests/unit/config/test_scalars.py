"""Single values, as the files and the commands write them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import hosts, scalars, times
from gateway.config.hints import Misread, nearest, printable, quoted
from gateway.config.scalars import parse_address, parse_duration, parse_rate, parse_reserve, parse_share, parse_size


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("25 MB", 25_000_000),
        ("25MB", 25_000_000),
        ("500 kB", 500_000),
        ("500 KB", 500_000),
        ("1mb", 1_000_000),
        ("1.5 GB", 1_500_000_000),
        ("0 B", 0),
        ("2 TB", 2_000_000_000_000),
    ],
)
def test_a_size_is_octets_in_thousands(text: str, octets: int) -> None:
    assert parse_size(text) == octets


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90 s", 90),
        ("90s", 90),
        ("30 min", 1800),
        ("30m", 1800),
        ("2 h", 7200),
        ("1.5 h", 5400),
        ("5 days", 432_000),
        ("1 day", 86400),
        ("1w", 604_800),
        ("0.5 s", 0.5),
    ],
)
def test_a_duration_is_seconds_in_one_word_or_two(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


def test_rates_and_shares_and_reserves_are_read() -> None:
    assert parse_rate("33.6 kbit/s") == 33600
    assert parse_rate("2 Mbit/s") == 2_000_000
    assert parse_share("5 %") == 0.05
    assert parse_reserve("5%") == 0.05
    reserve = parse_reserve("2 GB")
    assert isinstance(reserve, int)
    assert reserve == 2_000_000_000


@pytest.mark.parametrize("text", ["127.0.0.1:25", "[::1]:25", "0.0.0.0:0", "[2001:db8::1]:65535"])
def test_an_address_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_address(text)) == text


@pytest.mark.parametrize(
    "text", ["", "25", "MB", "-1 MB", "1e3 MB", "1 MB 2", "٣ MB", "1_000 kB", "9999999 TB", "1 M", "1\nMB2"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_size(text)


@pytest.mark.parametrize("text", ["", "5", "h", "-1 h", "1 year", "1h30m", "99999999 days", "1 H"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


PARSERS: list[Callable[[str], object]] = [
    scalars.parse_size,
    scalars.parse_duration,
    scalars.parse_rate,
    scalars.parse_share,
    scalars.parse_reserve,
    scalars.parse_number,
    scalars.parse_yes_no,
    scalars.parse_text,
    hosts.parse_address,
    hosts.parse_host,
    hosts.parse_hostname,
    hosts.parse_domain,
    hosts.parse_network,
    hosts.parse_pattern,
    hosts.parse_header,
    hosts.parse_pin,
    hosts.parse_port,
    times.parse_weekday,
    times.parse_days,
    times.parse_time,
    times.parse_moment,
    times.parse_span,
    times.parse_dates,
    times.parse_conditions,
    times.parse_budget,
]
WORDS = "0|24|99|08:00|-|..|:|.| |MB|kB|h|min|/|%|mon|fri|or|per|day|more than|oldest over|urgent waiting|[|]|@|*|12-24|2026"
PIECES = st.lists(st.sampled_from([*WORDS.split("|"), "é", "ß", "²", "٣", "\x00", "\u2028"]), max_size=8).map("".join)


@given(st.one_of(st.text(max_size=40), PIECES))
def test_any_text_is_read_or_refused_with_a_piece_of_itself(text: str) -> None:
    for wrong in filter(None, (refused(parse, text) for parse in PARSERS)):
        end = len(text) if wrong.end is None else wrong.end
        assert 0 <= wrong.start <= min(end, len(text))
        assert str(wrong).isprintable()


def refused(parse: Callable[[str], object], text: str) -> Misread | None:
    try:
        parse(text)
    except Misread as wrong:
        return wrong
    return None


@given(st.text())
def test_what_is_quoted_cannot_steer_a_terminal(text: str) -> None:
    assert quoted(text).isprintable()
    assert printable(text).isprintable()


def test_the_nearest_word_is_found_and_far_ones_are_not() -> None:
    assert nearest("max_mesage", ["max_message", "name"]) == "max_message"
    assert nearest("only-if", ["only_if", "open"]) == "only_if"
    assert nearest("xyzzy", ["only_if", "open"]) is None
