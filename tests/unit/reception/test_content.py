"""Where a content ends and what its lines are, for every way in which it can be cut into blocks."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.reception import replies
from gateway.reception.content import MAX_HEADER_OCTETS, MAX_LINE_OCTETS, DotReader, Inspection


def read(blocks: list[bytes]) -> tuple[bytes, bytes | None]:
    reader = DotReader()
    content = b""
    for at, block in enumerate(blocks):
        piece, rest = reader.feed(block)
        content += piece
        if rest is not None:
            return content, rest + b"".join(blocks[at + 1 :])
    return content, None


def by_the_book(octets: bytes) -> tuple[bytes, bytes | None]:
    """RFC 5321 4.5.2, line by line, a line being what CR LF ends."""
    content = b""
    while True:
        line, ending, after = octets.partition(b"\r\n")
        if not ending:
            return content, None
        if line == b".":
            return content, after
        if line.startswith(b".") and line[1:2] not in (b"\r", b"\n", b"\0"):
            line = line[1:]
        content += line + ending
        octets = after


SOUP = st.lists(
    st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"\r\n.\r\n", b"a", b"\0", b"..", b"x" * 7]), max_size=30
).map(b"".join)


def cut(octets: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({min(place, len(octets)) for place in places} | {0, len(octets)})
    return [octets[a:b] for a, b in itertools.pairwise(marks)]


@settings(max_examples=400, deadline=None)
@given(SOUP, st.lists(st.integers(0, 120), max_size=10))
def test_any_split_gives_what_the_whole_gives(octets: bytes, places: list[int]) -> None:
    assert read(cut(octets, places)) == read([octets])


@settings(max_examples=400, deadline=None)
@given(SOUP)
def test_the_end_is_where_the_book_says(octets: bytes) -> None:
    octets += b"\r\n.\r\nafter"
    content, rest = read([octets])
    assert (content, rest) == by_the_book(octets)


def test_octet_by_octet_is_read_as_well() -> None:
    octets = b"..a\r\n.\n\r\n.\rb\r\n..\r\n.\r\nQUIT\r\n"
    assert read([octets[i : i + 1] for i in range(len(octets))]) == read([octets])


def inspect(pieces: list[bytes], *, repair: bool, limit: int = 1 << 30) -> tuple[bytes, Inspection]:
    inspection = Inspection(limit=limit, repair=repair)
    stored = b"".join([inspection.check(piece) for piece in pieces] + [inspection.finish()])
    return stored, inspection


@settings(max_examples=400, deadline=None)
@given(SOUP, st.lists(st.integers(0, 120), max_size=10))
def test_what_is_repaired_has_only_whole_line_ends_however_it_came(octets: bytes, places: list[int]) -> None:
    stored, inspection = inspect(cut(octets, places), repair=True)
    whole = octets.replace(b"\0", b"").replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    assert stored == whole
    assert inspection.refusal is None
    assert inspection.repaired == (whole != octets)
    assert inspection.size == len(stored)


@settings(max_examples=400, deadline=None)
@given(SOUP, st.lists(st.integers(0, 120), max_size=10))
def test_without_repair_a_fault_is_refused_and_all_else_is_unchanged(octets: bytes, places: list[int]) -> None:
    stored, inspection = inspect(cut(octets, places), repair=False)
    bare = octets.replace(b"\r\n", b"")
    if b"\0" in octets or b"\r" in bare or b"\n" in bare:
        assert inspection.refusal in (replies.BARE_ENDINGS, replies.NUL_CONTENT)
    else:
        assert inspection.refusal is None
        assert stored == octets


@pytest.mark.parametrize("cut_at", [0, 1, 5, MAX_LINE_OCTETS // 2, MAX_LINE_OCTETS - 1])
def test_a_line_of_a_mebibyte_is_taken_and_one_octet_more_is_not(cut_at: int) -> None:
    for extra, refusal in ((0, None), (1, replies.LONG_LINE)):
        octets = b"a\r\n" + b"x" * (MAX_LINE_OCTETS - 2 + extra) + b"\r\nb\r\n"
        _, inspection = inspect([octets[:cut_at], octets[cut_at:]], repair=False)
        assert inspection.refusal == refusal


def test_the_limit_is_what_may_be_stored() -> None:
    assert inspect([b"x" * 98 + b"\r\n"], repair=False, limit=100)[1].refusal is None
    assert inspect([b"x" * 99 + b"\r\n"], repair=False, limit=100)[1].refusal == replies.TOO_BIG
    assert inspect([b"\n" * 51], repair=True, limit=100)[1].refusal == replies.TOO_BIG


@pytest.mark.parametrize(
    ("octets", "header"),
    [
        (b"", b""),
        (b"\r\nbody\r\n", b""),
        (b"A: b\r\n", b"A: b\r\n"),
        (b"A: b\r\n\r\nbody", b"A: b\r\n"),
        (b"A: b\r\n c\r\nD: e\r\n\r\nF: g\r\n\r\n", b"A: b\r\n c\r\nD: e\r\n"),
    ],
)
def test_the_header_is_what_stands_before_the_empty_line(octets: bytes, header: bytes) -> None:
    for size in (1, 2, 3, 1000):
        pieces = [octets[i : i + size] for i in range(0, len(octets), size)]
        assert inspect(pieces, repair=False)[1].header == header


def test_of_an_endless_header_only_a_beginning_is_kept() -> None:
    _, inspection = inspect([b"A: b\r\n" * 5000] * 4, repair=False)
    assert len(inspection.header) == MAX_HEADER_OCTETS
