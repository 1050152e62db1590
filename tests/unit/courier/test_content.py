import pytest

from gateway.courier.content import Damaged, DotStuffer, Guard

BODY = b".a\r\n..\r\n.\r\nx\r\n\r\n.\r\n"


@pytest.mark.parametrize("cut", range(len(BODY) + 1))
@pytest.mark.parametrize("second", range(0, len(BODY) + 1, 3))
def test_dots_are_doubled_wherever_the_blocks_are_cut(cut: int, second: int) -> None:
    first, last = sorted((cut, second))
    stuffer = DotStuffer()

    stuffed = b"".join(stuffer.stuff(block) for block in (BODY[:first], BODY[first:last], BODY[last:]))

    assert stuffed == b"..a\r\n...\r\n..\r\nx\r\n\r\n..\r\n"
    assert stuffer.end() == b".\r\n"


def test_an_unfinished_last_line_is_finished_before_the_final_dot() -> None:
    stuffer = DotStuffer()
    stuffer.stuff(b"a\r\nb")

    assert stuffer.end() == b"\r\n.\r\n"


def test_an_empty_content_needs_only_the_dot() -> None:
    assert DotStuffer().end() == b".\r\n"


def look_at(*blocks: bytes) -> None:
    guard = Guard()
    for block in blocks:
        guard.check(block)
    guard.finish()


@pytest.mark.parametrize("cut", range(1, 12))
@pytest.mark.parametrize(
    ("octets", "what"),
    [
        (b"ab\r\ncd\nef\r\n", "a bare LF"),
        (b"ab\r\ncd\ref\r\n", "a bare CR"),
        (b"ab\r\r\ncdef\r\n", "a bare CR"),
        (b"abcd\r\nefgh\r", "a bare CR"),
        (b"ab\r\n\0def\r\n.", "a NUL"),
        (b"\nabcdefghij\r", "a bare"),
    ],
)
def test_what_must_not_leave_is_seen_across_blocks(octets: bytes, what: str, cut: int) -> None:
    with pytest.raises(Damaged, match=what):
        look_at(octets[:cut], octets[cut:])


@pytest.mark.parametrize("cut", range(len(BODY) + 1))
def test_clean_content_passes_wherever_it_is_cut(cut: int) -> None:
    look_at(BODY[:cut], BODY[cut:])
