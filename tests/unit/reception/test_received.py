"""The Received field: its form, and that nothing in it can be a client's doing."""

from __future__ import annotations

import email
import email.utils
import re
import time

import pytest

from gateway.reception.local import local_head
from gateway.reception.received import (
    REPAIRED_HEAD,
    came_straight_from,
    date_words,
    from_clause,
    heads,
    mark_of,
    protocol_word,
)

SECRET = "0123456789abcdef0123456789abcdef"
MARK = mark_of("8k2f41c07a10", SECRET).encode()


def field(**changes: object) -> bytes:
    given: dict[str, object] = {
        "origin": from_clause("client.example", "192.0.2.1"),
        "hostname": "gw.test",
        "secret": SECRET,
        "protocol": b"ESMTP",
        "recipient": "d@e.f",
        "now": 1_780_000_000.9,
        "clock_not_set": False,
        "may_repair": False,
    }
    made = heads(**(given | changes))  # type: ignore[arg-type]  # the tests vary one by name
    return made[-1]("8k2f41c07a10")


def test_the_field_is_that_of_rfc_5321() -> None:
    assert field() == (
        b"Received: from client.example ([192.0.2.1])\r\n\tby gw.test (Tidegate " + MARK + b")\r\n"
        b"\twith ESMTP id 8k2f41c07a10\r\n\tfor <d@e.f>;\r\n\tThu, 28 May 2026 20:26:40 +0000\r\n"
    )


def test_python_reads_the_date_back() -> None:
    parsed = email.message_from_bytes(field() + b"\r\n")
    stamp = email.utils.parsedate_to_datetime(parsed["Received"].rsplit(";", 1)[1])
    assert stamp.timestamp() == 1_780_000_000


@pytest.mark.parametrize("second", [0, 951_782_399, 951_782_400, 4_102_444_799])
def test_dates_are_those_of_the_standard_library(second: int) -> None:
    assert date_words(second).decode() == re.sub(
        r", 0", ", ", email.utils.formatdate(second, usegmt=False).replace("-0000", "+0000")
    )


def test_the_alternatives_are_of_equal_length_and_the_second_tells_of_repairs() -> None:
    made = heads(
        origin=b"from x ([192.0.2.1])",
        hostname="gw.test",
        secret="t",
        protocol=b"SMTP",
        recipient=None,
        now=0,
        clock_not_set=False,
        may_repair=True,
    )
    first, second = (head("abc") for head in made)
    assert len(first) == len(second)
    assert b"repaired" in made[REPAIRED_HEAD]("abc")
    assert b"repaired" not in first
    assert b"\tfor " not in first


@pytest.mark.parametrize(
    "name", [None, "", "a b", "<script>", "\x1b[2J", "x\r\nInjected: y", "müller", "[1.2.3", "a;b"]
)
def test_a_name_that_is_none_is_left_out(name: str | None) -> None:
    assert from_clause(name, "192.0.2.1") == b"from [192.0.2.1] ([192.0.2.1])"
    assert from_clause(name, "2001:db8::1") == b"from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])"


def test_the_protocol_is_said_as_rfc_3848_and_6531_want_it() -> None:
    assert protocol_word(extended=False, tls=True, auth=True, smtputf8=True) == b"SMTP"
    assert protocol_word(extended=True, tls=False, auth=False, smtputf8=False) == b"ESMTP"
    assert protocol_word(extended=True, tls=True, auth=True, smtputf8=False) == b"ESMTPSA"
    assert protocol_word(extended=True, tls=True, auth=False, smtputf8=True) == b"UTF8SMTPS"


def test_only_a_field_of_ours_on_top_means_that_the_message_came_straight_back() -> None:
    other = b"Received: from a by b; c\r\n"
    local = local_head("8k2f41c07a11", hostname="gw.test", secret=SECRET, user="id7", now=0)
    nameless = b"Received: by gw.test (Tidegate " + MARK + b"); now\r\n"
    assert came_straight_from(SECRET, field() + other) == "8k2f41c07a10"
    assert came_straight_from(SECRET, local) == "8k2f41c07a11"
    assert came_straight_from(SECRET, nameless) is None
    assert came_straight_from(SECRET, other + field()) is None
    assert came_straight_from("f" + SECRET[1:], field() + other) is None
    assert came_straight_from(SECRET, b"Subject: (Tidegate " + MARK + b")\r\n" + other) is None


def test_who_knows_the_id_of_a_message_and_the_marks_of_others_cannot_make_it_come_back() -> None:
    seen = MARK  # in mail that once reached him
    forged = field().replace(b" id 8k2f41c07a10", b" id 8k2f41c07a12")
    assert seen in forged
    assert came_straight_from(SECRET, forged) is None
    assert mark_of("8k2f41c07a12", SECRET) != mark_of("8k2f41c07a10", SECRET)


def test_a_field_full_of_marks_is_read_in_no_time() -> None:
    header = b"Received: x " + b"(Tidegate " * 3000 + (b"(Tidegate " + MARK + b") ") * 3000 + b"\r\n"
    begun = time.process_time()
    assert came_straight_from(SECRET, header) is None
    assert time.process_time() - begun < 0.2
