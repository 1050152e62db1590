"""The arguments of MAIL and RCPT as values, or as the reply that refuses them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.reception.parameters import DeliverBy, MailArguments, Offers, RcptArguments, read_mail, read_rcpt
from gateway.reception.replies import Refusal


def mail(text: str, *, extended: bool = True, smtputf8: bool = True) -> MailArguments | bytes:
    read = read_mail(text, extended=extended, offers=Offers(smtputf8=smtputf8))
    return read.reply[:3] if isinstance(read, Refusal) else read


def rcpt(text: str, *, extended: bool = True, smtputf8: bool = False) -> RcptArguments | bytes:
    read = read_rcpt(text, extended=extended, smtputf8=smtputf8)
    return read.reply[:3] if isinstance(read, Refusal) else read


def test_all_parameters_of_mail_are_read_and_keep_their_case() -> None:
    read = mail("FROM:<A@b.c> SIZE=12 body=8bitmime RET=full ENVID=AbC+20x AUTH=e+3Dmc2@example.com by=60;rt")
    assert isinstance(read, MailArguments)
    assert (read.path.address, read.size, read.body, read.ret, read.envid) == (
        "A@b.c",
        12,
        "8BITMIME",
        "FULL",
        "AbC+20x",
    )
    assert read.by == DeliverBy(60, "R", True)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", b"501"),
        ("FROM", b"501"),
        ("TO:<a@b.c>", b"501"),
        ("FROM:a@b.c", b"501"),
        ("FROM:<a@b.c>SIZE=1", b"501"),
        ("FROM:<a@b.c>\tSIZE=1", b"501"),
        ("FROM:<postmaster>", b"501"),
        ("FROM:<a@b.c> SIZE=1 SIZE=1", b"501"),
        ("FROM:<a@b.c> size=1 SIZE=1", b"501"),
        ("FROM:<a@b.c> =1", b"501"),
        ("FROM:<a@b.c> -X=1", b"501"),
        ("FROM:<a@b.c> ENVID=" + "x" * 101, b"501"),
        ("FROM:<a@b.c> ENVID", b"501"),
        ("FROM:<a@b.c> ENVID=é", b"501"),
        ("FROM:<a@b.c> RET=BODY", b"501"),
        ("FROM:<a@b.c> BODY", b"501"),
        ("FROM:<a@b.c> SMTPUTF8=yes", b"501"),
        ("FROM:<a@b.c> AUTH=nobody", b"501"),
        ("FROM:<a@b.c> BY=60", b"501"),
        ("FROM:<a@b.c> BY=60;X", b"501"),
        ("FROM:<a@b.c> BY=-1;R", b"501"),
        ("FROM:<a@b.c> BY=1234567890;N", b"501"),
        ("FROM:<a@b.c> NOTIFY=NEVER", b"555"),
        ("FROM:<é@b.c>", b"553"),
        ("FROM:<é@b.c> SIZE=1", b"553"),
        ("FROM:<\udcff@b.c> SMTPUTF8", b"553"),
    ],
)
def test_a_wrong_argument_of_mail_is_refused(text: str, code: bytes) -> None:
    assert mail(text) == code


def test_smtputf8_is_unknown_where_it_is_not_offered() -> None:
    assert isinstance(mail("FROM:<é@b.c> SMTPUTF8"), MailArguments)
    assert mail("FROM:<é@b.c> SMTPUTF8", smtputf8=False) == b"555"


def test_a_space_before_the_path_is_forgiven_and_several_between_parameters() -> None:
    assert isinstance(mail("FROM: <a@b.c>"), MailArguments)
    assert isinstance(mail("from:<a@b.c>  SIZE=1   BODY=7BIT"), MailArguments)


def test_after_helo_there_are_no_parameters() -> None:
    assert mail("FROM:<a@b.c> SIZE=1", extended=False) == b"555"
    assert rcpt("TO:<a@b.c> NOTIFY=NEVER", extended=False) == b"555"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("TO:<>", b"501"),
        ("FROM:<a@b.c>", b"501"),
        ("TO:<a@b.c> NOTIFY=", b"501"),
        ("TO:<a@b.c> NOTIFY=MAYBE", b"501"),
        ("TO:<a@b.c> NOTIFY=NEVER,SUCCESS", b"501"),
        ("TO:<a@b.c> NOTIFY=SUCCESS,SUCCESS", b"501"),
        ("TO:<a@b.c> ORCPT=rfc822", b"501"),
        ("TO:<a@b.c> ORCPT=;x@y.z", b"501"),
        ("TO:<a@b.c> ORCPT=rfc 822;x", b"501"),
        ("TO:<a@b.c> ORCPT=rfc822;" + "x" * 500, b"501"),
        ("TO:<a@b.c> ORCPT=rfc822;é@y.z", b"501"),
        ("TO:<a@b.c> ORCPT=utf-8;é@y.z", b"501"),
        ("TO:<a@b.c> ORCPT=rfc822;a+0Ab", b"501"),
        ("TO:<a@b.c> SIZE=1", b"555"),
    ],
)
def test_a_wrong_argument_of_rcpt_is_refused(text: str, code: bytes) -> None:
    assert rcpt(text) == code


def test_orcpt_may_be_in_utf8_where_the_transaction_is() -> None:
    read = rcpt("TO:<é@b.c> ORCPT=utf-8;é@y.z", smtputf8=True)
    assert isinstance(read, RcptArguments)
    assert read.orcpt == "utf-8;é@y.z"
    assert isinstance(rcpt("TO:<a@b.c> ORCPT=utf-8;\\x{E9}@y.z"), RcptArguments)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(["FROM:<a@b.c> ", "FROM:<", "FROM:", ""]))
def test_any_octets_end_in_values_or_in_a_refusal(octets: bytes, before: str) -> None:
    text = before + octets.decode("utf-8", "surrogateescape")
    read = read_mail(text, extended=True, offers=Offers())
    if isinstance(read, Refusal):
        assert read.reply[:3] in (b"501", b"553", b"555")
    else:
        assert read.path.address.isprintable()
