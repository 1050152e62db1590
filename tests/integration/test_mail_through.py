"""Whole mail through the whole gateway: what clients of every kind hand in arrives octet for octet."""

from __future__ import annotations

import email
import email.policy
import random
import smtplib
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.support.gateway import Gateway, eventually, letter
from tests.support.relaythread import RelayThread


def without_received(octets: bytes) -> bytes:
    """The message without its first field, which must be our one Received field."""
    assert octets.startswith(b"Received: ")
    lines = octets.split(b"\r\n")
    end = next(i for i, line in enumerate(lines[1:], 1) if not line.startswith((b" ", b"\t")))
    return b"\r\n".join(lines[end:])


def with_attachment(size: int) -> bytes:
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"], message["To"], message["Subject"] = "anna@branch.example", "ops@hq.example", f"{size} octets"
    message.set_content("See the attachment.\n")
    payload = random.Random(size).randbytes(size)
    message.add_attachment(payload, maintype="application", subtype="octet-stream", filename="scan.bin")
    return message.as_bytes()


@pytest.mark.parametrize("size", [0, 1, 4096, 10_000_000])
def test_an_attachment_of_any_size_arrives_octet_for_octet(tmp_path: Path, size: int) -> None:
    content = with_attachment(size)
    with RelayThread() as relay, Gateway(tmp_path, "mode: online\n" + relay.settings) as gateway:
        with smtplib.SMTP("127.0.0.1", gateway.port, local_hostname="pc", timeout=60) as client:
            client.sendmail("anna@branch.example", ["ops@hq.example"], content)
        eventually(lambda: relay.messages, "it arrived")
        assert without_received(relay.messages[0].octets) == content


def test_eight_bit_mail_with_dots_and_long_lines_arrives_octet_for_octet(tmp_path: Path) -> None:
    body = b"Gr\xfc\xdfe\r\n.\xff leading dot\r\n..\r\n" + b"z" * 5000 + b"\r\n\r\n.\x7f\r\n"
    content = letter() + body
    with RelayThread() as relay, Gateway(tmp_path, "mode: online\n" + relay.settings) as gateway:
        gateway.hand_in(content, options=("BODY=8BITMIME",))
        eventually(lambda: relay.messages, "it arrived")
        assert without_received(relay.messages[0].octets) == content


@pytest.mark.parametrize("extensions", [("PIPELINING", "8BITMIME"), ("8BITMIME",), ()])
def test_a_relay_without_chunking_or_pipelining_gets_the_same_octets(
    tmp_path: Path, extensions: tuple[str, ...]
) -> None:
    contents = [letter(f"No. {n}", ".dot\r\n" * n) for n in range(5)]
    with (
        RelayThread(extensions=extensions) as relay,
        Gateway(tmp_path, "mode: offline\n" + relay.settings) as gateway,
    ):
        for content in contents:
            gateway.hand_in(content)
        gateway.run("mode", "online")
        eventually(lambda: len(relay.messages) == 5, "all arrived")
        assert sorted(without_received(m.octets) for m in relay.messages) == sorted(contents)


def test_every_recipient_of_a_hundred_messages_ends_delivered_deferred_or_reported(tmp_path: Path) -> None:
    def rcpt(line: str) -> str | None:
        if "gone@" in line:
            return "550 5.1.1 nobody of this name"
        if "full@" in line:
            return "552 5.2.2 mailbox full"
        return "450 4.2.1 try later" if "later@" in line else None

    failing = {10: "gone@hq.example", 50: "full@hq.example", 90: "later@hq.example"}
    with RelayThread({"RCPT": rcpt}) as relay, Gateway(tmp_path, "mode: offline\n" + relay.settings) as gateway:
        for number in range(100):
            to = ["ops@hq.example", *([failing[number]] if number in failing else [])]
            gateway.hand_in(letter(f"No. {number}"), *to)
        gateway.run("mode", "online")
        eventually(lambda: len(relay.messages) == 102, "100 messages and two reports arrived")
        rows = eventually(lambda: [r for r in gateway.queue() if r["state"] == "deferred"], "one is deferred")
        assert [row["to"] for row in rows] == [["later@hq.example"]]
        assert "450 4.2.1 try later" in rows[0]["status"]
        reports = [
            email.message_from_bytes(m.octets, policy=email.policy.default) for m in relay.messages if m.sender == ""
        ]
        assert len(reports) == 2
        finals = set()
        for report in reports:
            assert (report.get_content_type(), report.get_param("report-type")) == (
                "multipart/report",
                "delivery-status",
            )
            assert report["Auto-Submitted"] == "auto-replied"
            status = next(p for p in report.walk() if p.get_content_type() == "message/delivery-status").get_payload()
            assert isinstance(status, list)
            assert status[0]["Reporting-MTA"] == "dns; gw.branch.example"
            assert status[1]["Action"] == "failed"
            finals.add((status[1]["Final-Recipient"], status[1]["Status"]))
        assert finals == {("rfc822; gone@hq.example", "5.1.1"), ("rfc822; full@hq.example", "5.2.2")}


def test_refusals_for_one_reason_are_one_report_and_a_report_that_cannot_be_delivered_is_set_aside(
    tmp_path: Path,
) -> None:
    with (
        RelayThread({"RCPT": lambda line: "550 5.1.1 nobody"}) as relay,
        Gateway(tmp_path, "mode: offline\n" + relay.settings) as gateway,
    ):
        items = [gateway.hand_in(letter(f"No. {number}")) for number in range(20)]
        gateway.run("mode", "online")
        eventually(lambda: len(gateway.logged(" failed ")) >= 21, "the messages and their report failed")
        eventually(lambda: not gateway.queue(), "nothing is left")
        assert len(gateway.logged(" received ")) == 20 + 1
        [report] = [line.split()[1] for line in gateway.logged(" received ", "service=report")]
        for item in items:
            assert len(gateway.logged(item, " failed ", f"report={report}")) == 1
        assert {path.name for path in (tmp_path / "spool" / "set-aside").iterdir()} == {
            f"{report}.eml",
            f"{report}.env",
        }
        eventually(lambda: gateway.logged(" alarm", f"{report} was set aside"), "a person is told")
