"""The grammar of addresses, byte for byte."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.mail import address as grammar
from gateway.mail.address import AddressError, fold_domain, is_domain, is_literal, read_path, split_mailbox

GOOD = [
    "a@b.c",
    "A.b+tag@Branch.EXAMPLE",
    "user%there@out.example",
    "out!user@x.example",
    "=?utf-8?q?a?=@b.c",
    '"quoted @ > local"@b.c',
    '"back\\"slash\\\\"@b.c',
    '""@b.c',
    "x@localhost",
    "x@1.2.3",
    "x@[192.0.2.1]",
    "x@[IPv6:2001:db8::1]",
    "x@[ipv6:::1]",
    "jürgen@bücher.example",
    "用户@例子.example",
    "a@b--c.d",
]

BAD = [
    "",
    "a",
    "@b.c",
    "a@",
    "a@b@c",
    ".a@b.c",
    "a.@b.c",
    "a..b@c.d",
    "a b@c.d",
    "a@b c.d",
    "a@b.c.",
    "a@.b.c",
    "a@b..c",
    "a@-b.c",
    "a@b-.c",
    "a@b_c.d",
    "a(comment)@b.c",
    "a,b@c.d",
    "a;b@c.d",
    "a:b@c.d",
    "<a@b.c>",
    '"open@b.c',
    '"a"b@c.d',
    'a"b"@c.d',
    "a@[300.0.2.1]",
    "a@[IPv6:x]",
    "a@[IPv6:fe80::1%eth0]",
    "a@[x:y]",
    "a@[192.0.2.1",
    "a\0@b.c",
    "a\n@b.c",
    '"a\nb"@b.c',
    "a@b.c\n",
    "a\x7f@b.c",
    "a\u0085@b.c",
    "a\u2028@b.c",
    "a\udcff@b.c",
    "a@b\x1b.c",
    "a" * 250 + "@b.cd",
    "a@" + "b" * 64 + ".c",
    "a@" + "é" * 32 + ".c",
]


@pytest.mark.parametrize("address", GOOD)
def test_a_legal_address_comes_out_as_it_went_in(address: str) -> None:
    local, domain = split_mailbox(address)
    assert f"{local}@{domain}" == address
    path, rest = read_path(f"<{address}> KEY=VALUE")
    assert (path.address, path.local, path.domain, path.routed) == (address, local, domain, False)
    assert rest == " KEY=VALUE"


@pytest.mark.parametrize("address", BAD)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(AddressError):
        split_mailbox(address)
    if address:
        with pytest.raises(AddressError):
            read_path(f"<{address}>")


LETTERS = st.text(st.sampled_from('aé\u4f8b\U0001f600\u2028\x85\ufffe\ud800\U0010ffff".@<>\\-[]: %!'), max_size=12)


@settings(max_examples=600, deadline=None)
@given(st.one_of(LETTERS, st.tuples(LETTERS, LETTERS).map("@".join)))
def test_letters_beyond_ascii_are_taken_where_the_whole_grammar_takes_them_and_come_out_as_written(text: str) -> None:
    mailbox, domain, path = (re.compile(whole) for whole in grammar._grammar(grammar._WIDE))
    found = mailbox.fullmatch(text)
    try:
        assert split_mailbox(text) == (found and found.group("local", "domain"))
    except AddressError:
        assert found is None or not is_domain(found["domain"])
    assert is_domain(text) == (domain.fullmatch(text) is not None)
    found = path.match(f"<{text}>x")
    try:
        read, rest = read_path(f"<{text}>x")
    except AddressError:
        assert found is None or not is_domain(found["domain"])
    else:
        assert found is not None
        assert rest == f"<{text}>x"[found.end() :]
        assert (read.local, read.domain) == (found["local"] or "", found["domain"] or "")


def test_the_null_path_the_postmaster_and_routes_are_told_apart() -> None:
    assert read_path("<>")[0].address == ""
    assert read_path("<PostMaster>")[0] == read_path("<PostMaster> x")[0]
    assert (read_path("<Postmaster>")[0].address, read_path("<Postmaster>")[0].domain) == ("Postmaster", "")
    routed, _ = read_path("<@a.b,@c.d:e@f.g>")
    assert (routed.address, routed.routed) == ("e@f.g", True)
    for text in ("<postmasters>", "<@a.b:>", "<@a.b e@f.g>", "a@b.c", " <a@b.c>", "<a@b.c", "<a@b.c >"):
        with pytest.raises(AddressError):
            read_path(text)


def test_domains_are_folded_in_ascii_only() -> None:
    assert fold_domain("Bank.EXAMPLE") == "bank.example"
    assert fold_domain("ban\u212a.example") != "bank.example"  # the Kelvin sign, whose small form is k


def test_domains_and_literals_are_known_for_what_they_are() -> None:
    assert is_domain("gw.brno.example.net")
    assert not is_domain("gw.brno.example.net.")
    assert not is_domain("a b")
    assert not is_domain("x." * 128 + "y")
    assert is_literal("[192.0.2.1]")
    assert not is_literal("192.0.2.1")
    assert not is_literal("[gw.example]")


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from('a1.@"\\<>%! é\0\r\n[]:-,'), max_size=20))
def test_whatever_is_taken_has_no_octet_that_could_end_it(text: str) -> None:
    try:
        path, rest = read_path("<" + text + ">")
    except AddressError:
        return
    assert rest == "" or ">" in text
    assert not any(c in path.address for c in "\0\r\n")


@pytest.mark.parametrize("text", ["a" * 1200, "a@" + "a-" * 600, '"' + "\\a" * 600, "@a.b," * 250, "a@" + "é." * 400])
def test_no_address_takes_long_to_refuse(text: str) -> None:
    started = time.perf_counter()
    for _ in range(10):
        with pytest.raises(AddressError):
            read_path("<" + text + "!>")
    assert time.perf_counter() - started < 0.1
