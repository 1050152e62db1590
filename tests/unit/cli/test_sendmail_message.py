"""What becomes of a message on its way from a program's standard input to an envelope and a content."""

from __future__ import annotations

import contextlib
from email.utils import getaddresses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.sendmail_message import (
    BadMessage,
    addresses,
    completed,
    date_words,
    from_words,
    header_recipients,
    qualified,
    split_header,
    with_crlf,
)
from gateway.mail.address import split_mailbox


def complete(octets: bytes, sender: str = "me@gw.example", name: str = "") -> bytes:
    return completed(
        with_crlf(octets), sender=sender, name=name, hostname="gw.example", date="Tue, 1 Jan", token="tok"
    )[0]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a@b", ["a@b"]),
        ("a@b, c@d", ["a@b", "c@d"]),
        ('Anna <a@b>, "Smith, J." <j@d>', ["a@b", "j@d"]),
        ("a@b (a comment, with comma), c@d", ["a@b", "c@d"]),
        ('a@b (say "hi), c@d (there")', ["a@b", "c@d"]),
        ("a@b (nested (deep) still), c@d", ["a@b", "c@d"]),
        ("team: a@b, c@d;, e@f", ["a@b", "c@d", "e@f"]),
        ("undisclosed-recipients:;", []),
        ("<@relay1,@relay2:a@b>", ["a@b"]),
        ('"odd local"@b', ['"odd local"@b']),
        ("a . b @ c . d", ["a.b@c.d"]),
        ("a@[192.0.2.1]", ["a@[192.0.2.1]"]),
        ("a@b,\r\n\tc@d\r\n", ["a@b", "c@d"]),
        (", ,a@b,,", ["a@b"]),
        ("root", ["root"]),
        ("Jürgen <j@bücher.example>", ["j@bücher.example"]),
        ("", []),
    ],
)
def test_addresses_of_a_list(text: str, found: list[str]) -> None:
    assert addresses(text) == found


@pytest.mark.parametrize("text", ["a@b (open, c@d", "<a@b> <c@d>", "Anna <>"])
def test_a_list_that_cannot_be_read_loses_nobody_silently(text: str) -> None:
    with pytest.raises(BadMessage):
        addresses(text)


LOCAL = st.from_regex(r"[a-z][a-z0-9.+_-]{0,10}[a-z0-9]", fullmatch=True).filter(lambda text: ".." not in text)
NAME = st.text(st.sampled_from('ab ",()<>:;@\\.é'), max_size=12)


@given(st.lists(st.tuples(NAME, LOCAL), min_size=1, max_size=5))
def test_whatever_the_names_are_every_quoted_mailbox_is_found(people: list[tuple[str, str]]) -> None:
    written = ", ".join(
        '"' + name.replace("\\", "\\\\").replace('"', '\\"') + f'" <{local}@x.example>' for name, local in people
    )
    assert addresses(written) == [f"{local}@x.example" for _, local in people]
    assert addresses(written) == [address for _, address in getaddresses([written])]


@given(st.text(max_size=60))
def test_any_text_gives_addresses_or_a_refusal(text: str) -> None:
    with contextlib.suppress(BadMessage):
        for address in addresses(text):
            assert split_mailbox(qualified(address, "gw.example"))


def test_addresses_without_a_domain_get_the_gateway_s() -> None:
    assert qualified("root", "gw.example") == "root@gw.example"
    assert qualified("a@b", "gw.example") == "a@b"
    assert qualified('"a b"@c.example', "gw.example") == '"a b"@c.example'


@pytest.mark.parametrize(
    "address", ["a b@c", "a@b@c", "a@-b.example", "a@b..c", "x" * 300 + "@b", "a\n@b", "Anna Smith"]
)
def test_what_no_envelope_can_hold_is_refused(address: str) -> None:
    with pytest.raises(BadMessage):
        qualified(address, "gw.example")


def test_missing_fields_are_added_on_top_and_present_ones_kept() -> None:
    assert complete(b"Subject: x\n\nbody\n", name="Anna") == (
        b"From: Anna <me@gw.example>\r\nDate: Tue, 1 Jan\r\nMessage-ID: <tok@gw.example>\r\nSubject: x\r\n\r\nbody\r\n"
    )
    whole = b"Date: d\r\nfrom: f@g\r\nMESSAGE-ID : <i@j>\r\n\r\nbody\r\n"
    assert complete(whole) == whole


def test_bcc_is_taken_out_with_its_folded_lines_and_its_recipients_are_kept() -> None:
    octets = b"Date: d\nFrom: f@g\nMessage-ID: <i@j>\nTo: a@b\nBcc: c@d,\n\te@f\nBCC: g@h\nSubject: s\n\nBcc: body@x\n"
    content, fields = completed(with_crlf(octets), sender="", name="", hostname="gw.example", date="d", token="t")
    assert header_recipients(fields) == ["a@b", "c@d", "e@f", "g@h"]
    assert content == b"Date: d\r\nFrom: f@g\r\nMessage-ID: <i@j>\r\nTo: a@b\r\nSubject: s\r\n\r\nBcc: body@x\r\n"


def test_a_resent_message_goes_to_those_it_is_resent_to() -> None:
    fields, _ = split_header(b"To: old@x\r\nResent-To: new@x\r\nResent-Bcc: hidden@x\r\n\r\n")
    assert header_recipients(fields) == ["new@x", "hidden@x"]


@pytest.mark.parametrize(
    ("octets", "fields", "body"),
    [
        (b"A: 1\r\nB: 2\r\n 3\r\n\r\nx\r\n", [b"A: 1\r\n", b"B: 2\r\n 3\r\n"], b"x\r\n"),
        (b"A: 1\r\nno field\r\n", [b"A: 1\r\n"], b"no field\r\n"),
        (b"From anna Tue Nov 24\r\nA: 1\r\n\r\nx\r\n", [b"A: 1\r\n"], b"x\r\n"),
        (b"\r\nbody\r\n", [], b"body\r\n"),
        (b" folded first\r\n", [], b" folded first\r\n"),
        (b"A: 1\r\n", [b"A: 1\r\n"], b""),
        (b"", [], b""),
    ],
)
def test_header_and_body_are_told_apart(octets: bytes, fields: list[bytes], body: bytes) -> None:
    assert split_header(octets) == (fields, body)


@given(st.binary(max_size=200))
def test_every_line_is_ended_by_cr_lf_and_nothing_else(octets: bytes) -> None:
    lines = with_crlf(octets)
    assert lines.replace(b"\r\n", b"").translate(None, b"\r\n\0") == lines.replace(b"\r\n", b"")
    assert not lines or lines.endswith(b"\r\n")
    assert with_crlf(lines) == lines
    fields, body = split_header(lines)
    assert len(b"".join(fields)) + len(body) <= len(lines)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "a@b"),
        ("Anna Nová".encode().decode("ascii", "ignore"), "Anna Nov <a@b>"),
        ('Joe "x" Doe', '"Joe \\"x\\" Doe" <a@b>'),
        ("Novák", "=?utf-8?b?Tm92w6Fr?= <a@b>"),
        ("evil\r\nBcc: x@y", '"evil Bcc: x@y" <a@b>'),
    ],
)
def test_a_display_name_cannot_break_the_field(name: str, words: str) -> None:
    assert from_words("a@b", name) == words


def test_a_date_is_written_in_english_with_its_offset() -> None:
    assert date_words(1_700_000_000, 3600) == "Tue, 14 Nov 2023 23:13:20 +0100"
    assert date_words(1_700_000_000, -12600) == "Tue, 14 Nov 2023 18:43:20 -0330"
