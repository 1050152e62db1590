"""The Received field: its form, and that nothing in it can be a client's doing."""

from __future__ import annotations

import email
import email.utils
import re

import pytest

from gateway.reception.received import (
    REPAIRED_HEAD,
    came_straight_from,
    date_words,
    from_clause,
    heads,
    protocol_word,
)


def field(**changes: object) -> bytes:
    given: dict[str, object] = {
        "origin": from_clause("client.example", "192.0.2.1"),
        "hostname": "gw.test",
        "token": "0123456789ab",
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
        b"Received: from client.example ([192.0.2.1])\r\n\tby gw.test (Tidegate 0123456789ab)\r\n"
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
        token="t",
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
    local = b"Received: by gw.test (Tidegate 0123456789ab)\r\n\tid 8k2f41c07a11 (from user id 7);\r\n\tnow\r\n"
    nameless = b"Received: by gw.test (Tidegate 0123456789ab); now\r\n"
    assert came_straight_from("0123456789ab", field() + other) == "8k2f41c07a10"
    assert came_straight_from("0123456789ab", local) == "8k2f41c07a11"
    assert came_straight_from("0123456789ab", nameless) == ""
    assert came_straight_from("0123456789ab", other + field()) is None
    assert came_straight_from("ba9876543210", field() + other) is None
    assert came_straight_from("0123456789ab", b"Subject: (Tidegate 0123456789ab)\r\n" + other) is None
