"""Who may connect, send and relay: decisions over plain values."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

import pytest

from gateway.mail.address import read_path
from gateway.reception import policy, replies
from gateway.reception.guests import Claim, Guests
from gateway.reception.policy import Standing

STRANGER = Standing()
LISTED = Standing(listed=True)
USER = Standing(user="brno")


@pytest.mark.parametrize("standing", [LISTED, USER])
def test_the_listed_and_the_signed_in_send_anywhere(standing: Standing) -> None:
    for text in ("<a@b.c>", "<a%b@c.d>", "<@x.y:a@b.c>", "<postmaster>"):
        assert policy.judge_recipient(read_path(text)[0], standing, frozenset()) is None


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("<a@own.example>", True),
        ("<A@OWN.example>", True),
        ("<a@sub.own.example>", False),
        ("<a@other.example>", False),
        ("<a%b@own.example>", False),
        ("<b!a@own.example>", False),
        ('<"a@b"@own.example>', False),
        ("<@own.example:a@own.example>", False),
        ("<postmaster>", False),
    ],
)
def test_a_stranger_reaches_the_inbound_domains_and_by_no_detour(text: str, allowed: bool) -> None:
    refusal = policy.judge_recipient(read_path(text)[0], STRANGER, frozenset({"own.example"}))
    assert refusal is (None if allowed else replies.RELAY_DENIED)


def test_line_endings_are_mended_for_whom_the_rule_says() -> None:
    assert [policy.repairs("auto", standing) for standing in (STRANGER, LISTED, USER)] == [False, True, True]
    assert [policy.repairs("refuse", standing) for standing in (STRANGER, LISTED, USER)] == [False] * 3
    assert [policy.repairs("repair", standing) for standing in (STRANGER, LISTED, USER)] == [True] * 3


def test_own_senders_bind_the_signed_in_only() -> None:
    path = read_path("<x@y.z>")[0]
    assert policy.judge_sender(path, USER, "own", ()) == replies.NOT_YOUR_ADDRESS
    assert policy.judge_sender(path, USER, "own", ("*@Y.z",)) is None
    assert policy.judge_sender(path, LISTED, "own", ()) is None
    assert policy.judge_sender(path, USER, "any", ()) is None
    assert policy.judge_sender(read_path("<>")[0], USER, "own", ()) is None


def test_addresses_are_told_from_what_is_none_and_mapped_ones_are_ipv4() -> None:
    assert policy.client_address(("::ffff:192.0.2.1", 5, 0, 0)) == ipaddress.ip_address("192.0.2.1")
    assert policy.client_address(("fe80::1%eth0", 5, 0, 2)) == ipaddress.ip_address("fe80::1")
    assert policy.client_address("") is None
    assert policy.client_address(None) is None


def test_no_address_lies_in_no_network() -> None:
    everywhere = (ipaddress.ip_network("0.0.0.0/0"),)
    assert not policy.is_within(everywhere, None)
    assert not policy.is_within((), ipaddress.ip_address("127.0.0.1"))
    assert not policy.is_within(everywhere, ipaddress.ip_address("::1"))
    assert policy.is_within(everywhere, ipaddress.ip_address("192.0.2.1"))


@pytest.mark.parametrize("sign", "%!@\uff05\uff01\uff20\ufe6a\ufe57\ufe6b")
def test_a_stranger_writes_no_sign_of_a_route_into_a_local_part_in_any_width(sign: str) -> None:
    path = replace(read_path("<user@hq.example>")[0], local=f"user{sign}out.example")
    inbound = frozenset({"hq.example"})
    assert policy.judge_recipient(path, Standing(), inbound) == replies.RELAY_DENIED
    assert policy.judge_recipient(path, Standing(listed=True), inbound) is None
    umlaut = read_path("<j\u00fcrgen@hq.example>")[0]
    assert policy.judge_recipient(umlaut, Standing(), inbound) is None


def test_an_ipv6_stranger_is_counted_by_his_network() -> None:
    first, second = (ipaddress.ip_address(text) for text in ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2"))
    assert policy.origin_of(first) == policy.origin_of(second)
    assert policy.origin_of(first) != policy.origin_of(ipaddress.ip_address("2001:db8:0:2::1"))
    assert policy.origin_of(ipaddress.ip_address("192.0.2.1")) == "192.0.2.1"


class Visitor:
    def __init__(self, client: str, claim: Claim = Claim.IDLE) -> None:
        self.origin = client
        self.claim = claim
        self.told: list[bytes] = []

    def make_way(self, reply: bytes) -> None:
        self.told.append(reply)


def test_a_preferred_client_takes_the_place_of_the_one_with_the_least_claim() -> None:
    guests = Guests()
    firm, slow, first, second = (Visitor(name, Claim(rank)) for name, rank in zip("abcd", (2, 1, 0, 0), strict=True))
    last = Visitor("e")
    for visitor in (firm, slow, first, second, last):
        guests.enter(visitor)
    assert guests.admit(last, limit=4, limit_per_client=5, preferred=False) == replies.TOO_MANY_CONNECTIONS
    for loser in (first, second, slow):
        assert guests.admit(last, limit=4, limit_per_client=5, preferred=True) is None
        assert loser.told == [replies.MAKE_ROOM]
        loser.claim = Claim.FIRM
    assert firm.told == []
    assert guests.admit(last, limit=4, limit_per_client=5, preferred=True) == replies.TOO_MANY_CONNECTIONS


def test_leaving_twice_is_leaving_once() -> None:
    guests = Guests()
    visitor, other = Visitor("a"), Visitor("a")
    guests.enter(visitor)
    guests.enter(other)
    guests.leave(visitor)
    guests.leave(visitor)
    assert len(guests) == 1
    assert guests.admit(other, limit=1, limit_per_client=1, preferred=False) is None


def test_messages_are_counted_by_client_and_hour_within_bounds() -> None:
    guests = Guests()
    guests.sent("a", 0.0)
    assert not guests.may_send("a", 1, 10.0)
    assert guests.may_send("b", 1, 10.0)
    assert guests.may_send("a", None, 10.0)
    assert guests.may_send("a", 1, 3601.0)
    for n in range(30_000):
        guests.sent(str(n), 3601.0)
    assert len(guests._messages) <= 20_001
