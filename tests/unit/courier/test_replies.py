import tracemalloc

import pytest

from gateway.courier.replies import BadReply, ReplyReader


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_replies_are_the_same_however_they_are_cut(size: int) -> None:
    octets = b"220 hello\r\n250-a\r\n250-b c\r\n250 d\r\n354\r\n550-\r\n550 x\n"
    reader = ReplyReader()

    replies = [reply for at in range(0, len(octets), size) for reply in reader.feed(octets[at : at + size])]

    assert replies == [(220, b"hello"), (250, b"a\nb c\nd"), (354, b""), (550, b"\nx")]
    assert reader.is_clear


def test_while_replies_are_taken_it_is_seen_that_more_came() -> None:
    reader = ReplyReader()

    seen = [reader.is_clear for _ in reader.feed(b"220 go\r\n250 injected\r\n")]

    assert seen == [False, True]


@pytest.mark.parametrize(
    "octets",
    [
        b"hello\r\n",
        b"25\r\n",
        b"2500 x\r\n",
        b"250_x\r\n",
        b"\r\n",
        b"199 x\r\n",
        b"600 x\r\n",
        b"000 x\r\n",
        b"250-x\r\n251 y\r\n",
        b"\xb2\xb5\xb0 x\r\n",
        b"250-x\r\n" * 600,
        b"250 " + b"x" * 300_000 + b"\r\n",
        b"250-" + b"x" * 10_000 + b"\r\n" + (b"250-" + b"x" * 10_000 + b"\r\n") * 30,
    ],
)
def test_what_is_no_reply_is_refused(octets: bytes) -> None:
    with pytest.raises(BadReply):
        list(ReplyReader().feed(octets))


def test_a_long_reply_is_kept_in_part() -> None:
    ((code, text),) = ReplyReader().feed(b"250-" + b"x" * 50_000 + b"\r\n250 end\r\n")

    assert code == 250
    assert text.endswith(b"x\nend")
    assert len(text) < 5000


def read_endlessly(block: bytes) -> None:
    reader = ReplyReader()
    for _ in range(10_000):
        list(reader.feed(block))


def test_a_line_without_end_takes_no_memory() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BadReply):
            read_endlessly(b"250-" + b"x" * 4096)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 100_000
