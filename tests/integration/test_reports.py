"""Reports to senders through the whole gateway: given up, late, relayed (RFC 3464, RFC 3461)."""

from __future__ import annotations

import email
import email.policy
import smtplib
from email.message import Message
from pathlib import Path

from tests.support.gateway import Gateway, eventually, letter
from tests.support.relay import EXTENSIONS
from tests.support.relaythread import RelayThread

PLAIN = tuple(word for word in EXTENSIONS if word != "DSN")


def report_of(relay: RelayThread) -> tuple[Message, Message]:
    """The per-message and the first per-recipient fields of the report that arrived."""
    octets = eventually(lambda: [m.octets for m in relay.messages if m.sender == ""], "a report arrived")[0]
    parsed = email.message_from_bytes(octets, policy=email.policy.default)
    assert parsed.get_content_type() == "multipart/report"
    status = next(p for p in parsed.walk() if p.get_content_type() == "message/delivery-status").get_payload()
    assert isinstance(status, list)
    return status[0], status[1]


def later(line: str) -> str | None:
    return "450 4.2.1 try later" if "ops@" in line else None


def test_what_failed_max_attempts_times_is_reported_and_gone(tmp_path: Path) -> None:
    settings = "mode: online\nqueue: {retry_interval: 1 s, max_attempts: 2}\n"
    with RelayThread({"RCPT": later}) as relay, Gateway(tmp_path, settings + relay.settings) as gateway:
        item = gateway.hand_in(letter())
        _, recipient = report_of(relay)
        assert (recipient["Action"], recipient["Status"]) == ("failed", "4.4.7")
        eventually(lambda: not gateway.queue(), "nothing is left")
        assert gateway.logged(item, " failed ", "given up after 2 attempts")


def test_a_message_later_than_its_plan_is_reported_once_with_the_next_try(tmp_path: Path) -> None:
    settings = "mode: online\nqueue: {retry_interval: 1 s, retry_ceiling: 1 s, warn_after: 2 s}\n"
    with RelayThread({"RCPT": later}) as relay, Gateway(tmp_path, settings + relay.settings) as gateway:
        item = gateway.hand_in(letter())
        _, recipient = report_of(relay)
        assert (recipient["Action"], recipient["Status"]) == ("delayed", "4.2.1")
        assert recipient["Will-Retry-Until"]
        tries = len(gateway.logged(item, " deferred "))
        eventually(lambda: len(gateway.logged(item, " deferred ")) > tries + 1, "it is tried on")
        assert len([m for m in relay.messages if m.sender == ""]) == 1


def test_success_is_reported_where_it_was_asked_for_and_the_relay_will_not(tmp_path: Path) -> None:
    with RelayThread(extensions=PLAIN) as relay, Gateway(tmp_path, "mode: online\n" + relay.settings) as gateway:
        with smtplib.SMTP("127.0.0.1", gateway.port, local_hostname="pc", timeout=60) as client:
            client.ehlo()
            client.mail("anna@branch.example", ("ENVID=Order+2B7",))
            client.rcpt("ops@hq.example", ("NOTIFY=SUCCESS",))
            assert client.data(letter())[0] == 250
        message, recipient = report_of(relay)
        assert message["Original-Envelope-Id"] == "Order+7"
        assert recipient["Action"] == "relayed"


def test_a_relay_that_offers_dsn_gets_the_parameters_and_reports_itself(tmp_path: Path) -> None:
    with RelayThread() as relay, Gateway(tmp_path, "mode: online\n" + relay.settings) as gateway:
        with smtplib.SMTP("127.0.0.1", gateway.port, local_hostname="pc", timeout=60) as client:
            client.ehlo()
            client.mail("anna@branch.example", ("RET=HDRS", "ENVID=Case+2BKept"))
            client.rcpt("ops@hq.example", ("NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;Ops@hq.example"))
            assert client.data(letter())[0] == 250
        arrived = eventually(lambda: relay.messages, "it arrived")[0]
        assert "RET=HDRS" in arrived.mail_parameters
        assert "ENVID=Case+2BKept" in arrived.mail_parameters
        assert "ORCPT=rfc822;Ops@hq.example" in arrived.rcpt_parameters[0]
        eventually(lambda: not gateway.queue(), "nothing is left")
        assert len(relay.messages) == 1
