"""Which class a message gets."""

from __future__ import annotations

import pytest

from gateway.config.settings import ClassRule
from gateway.mail.envelope import Envelope, Recipient
from gateway.reception.classify import classify

RULES = (
    ClassRule("urgent", senders=("alarm@brno.example.net",), header=("importance", "high")),
    ClassRule("bulk", recipients=("*@list.example.net",)),
    ClassRule("urgent", header=("x-priority", "1 (")),
)


def classed(sender: str, recipients: list[str], header: bytes = b"") -> str:
    envelope = Envelope(sender, tuple(Recipient(address) for address in recipients))
    return classify(RULES, envelope, header)


@pytest.mark.parametrize(
    ("sender", "recipients", "header", "expected"),
    [
        ("a@b.c", ["d@e.f"], b"", "normal"),
        ("Alarm@BRNO.example.net", ["d@e.f"], b"Importance: High\r\n", "urgent"),
        ("alarm@brno.example.net", ["d@e.f"], b"Importance: low\r\n", "normal"),
        ("alarm@brno.example.net", ["x@list.example.net"], b"", "bulk"),
        ("a@b.c", ["d@e.f", "x@LIST.example.net"], b"", "bulk"),
        ("a@b.c", ["x@list.example.net.evil"], b"", "normal"),
        ("a@b.c", ["d@e.f"], b"X-Priority: 1 (Highest)\r\n", "urgent"),
        ("a@b.c", ["d@e.f"], b"X-Priority:\r\n 1\r\n (Highest)\r\n", "urgent"),
        ("a@b.c", ["d@e.f"], b"Subject: x\r\n X-Priority: 1 (Highest)\r\n", "normal"),
        ("", ["d@e.f"], b"no colon\r\n: no name\r\n\xff\xfe: \xff\r\n", "normal"),
    ],
)
def test_the_first_rule_of_which_all_matches_decides(
    sender: str, recipients: list[str], header: bytes, expected: str
) -> None:
    assert classed(sender, recipients, header) == expected


def test_without_rules_all_is_normal() -> None:
    assert classify((), Envelope("a@b.c", ()), b"Importance: high\r\n") == "normal"


def test_signs_of_regular_expressions_are_only_signs_in_a_pattern() -> None:
    rule = ClassRule("bulk", senders=("a.b+(c)@*",))
    assert classify((rule,), Envelope("a.b+(c)@d", ()), b"") == "bulk"
    assert classify((rule,), Envelope("axb+(c)@d", ()), b"") == "normal"
