import pytest

from gateway.courier.capabilities import Capabilities
from gateway.courier.commands import mail_command, rcpt_command, refuse_beforehand
from gateway.mail.envelope import Envelope, Recipient
from gateway.mail.outcome import Failed

ALL = Capabilities(eightbitmime=True, smtputf8=True, dsn=True, sizes=True, deliver_by=True)
BOB = Recipient("bob@dest.test", "SUCCESS", "rfc822;Bob@dest.test")


def test_parameters_are_sent_where_they_are_offered() -> None:
    envelope = Envelope("a@b.test", (BOB,), body="8BITMIME", smtputf8=True, ret="FULL", envid="x+2By")

    command = mail_command(envelope, 1234, ALL, "90;RT")

    assert command == b"MAIL FROM:<a@b.test> SIZE=1234 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=x+2By BY=90;RT\r\n"
    assert rcpt_command(BOB, ALL) == b"RCPT TO:<bob@dest.test> NOTIFY=SUCCESS ORCPT=rfc822;Bob@dest.test\r\n"


def test_nothing_is_sent_that_is_not_offered() -> None:
    envelope = Envelope("", (BOB,), body="8BITMIME", smtputf8=True, ret="FULL", envid="x")

    assert mail_command(envelope, 1234, Capabilities(), "90;R") == b"MAIL FROM:<>\r\n"
    assert rcpt_command(BOB, Capabilities()) == b"RCPT TO:<bob@dest.test>\r\n"


def test_a_sender_that_needs_smtputf8_fails_all_where_it_is_missing() -> None:
    outcomes = refuse_beforehand(Envelope("ž@b.test", (BOB, BOB)), 10, Capabilities())

    assert [type(outcome) for outcome in outcomes] == [Failed, Failed]


@pytest.mark.parametrize("text", ["a\r\nb", "a\0b", "a\x1bb", "a\x85b", "a\u2028b"])
@pytest.mark.parametrize("place", ["sender", "envid", "recipient", "notify", "orcpt"])
def test_control_characters_never_reach_a_command(text: str, place: str) -> None:
    recipient = Recipient(
        text if place == "recipient" else "b@c.test",
        text if place == "notify" else None,
        text if place == "orcpt" else None,
    )
    envelope = Envelope(
        text if place == "sender" else "a@b.test", (recipient,), envid=text if place == "envid" else None
    )

    (outcome,) = refuse_beforehand(envelope, 10, ALL)

    assert isinstance(outcome, Failed)
