import email
import email.policy
from email.message import EmailMessage, Message
from typing import Any, cast

import pytest

from gateway.report import build_report, may_report, wanted
from gateway.report.parts import MAX_HEADER
from gateway.spool.record import RecipientRecord, Record

HEADER = b"From: Alice <alice@branch.test>\r\nSubject: =?utf-8?q?Caf=C3=A9?= order\r\nMessage-ID: <1@branch.test>\r\n"
NOW = 1_790_000_000.0


def record(**changes: Any) -> Record:
    fields: dict[str, Any] = {
        "id": "abc123",
        "created": NOW - 3600,
        "reverse_path": "alice@branch.test",
        "recipients": [],
        "size": 1000,
        "sha256": "0" * 64,
    }
    return Record(**(fields | changes))


def refused(address: str = "bob@dest.test", **changes: Any) -> RecipientRecord:
    fields: dict[str, Any] = {"standing": "failed", "reply": "550 5.1.1 no such user", "relay": "smtp.isp.test"}
    return RecipientRecord(address=address, **(fields | {"at": NOW - 60} | changes))


def report(kind: Any = "failed", *recipients: RecipientRecord, header: bytes = HEADER, **more: Any) -> bytes:
    subject = more.pop("record", None) or record()
    return build_report(
        kind, subject, recipients or (refused(),), header=header, hostname="gw.test", now=NOW, report_id="r1", **more
    )


def parse(octets: bytes) -> EmailMessage:
    message = email.message_from_bytes(octets, policy=email.policy.SMTP)
    assert not message.defects
    for each in message.walk():
        assert not each.defects, each.defects
    return cast(EmailMessage, message)


def status_of(octets: bytes) -> list[Message]:
    status = list(parse(octets).iter_parts())[1]
    assert status.get_content_type() == "message/delivery-status"
    return cast("list[Message]", status.get_payload())


def assert_seven_bit(octets: bytes) -> None:
    assert octets.isascii()
    assert octets.endswith(b"\r\n")
    for line in octets.split(b"\r\n"):
        assert len(line) <= 998
        assert b"\r" not in line
        assert b"\n" not in line


def test_a_failure_is_a_delivery_status_notification_as_programs_expect_it() -> None:
    octets = report()

    assert_seven_bit(octets)
    message = parse(octets)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert message["To"] == "alice@branch.test"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Message-ID"] == "<r1@gw.test>"
    assert [part.get_content_type() for part in message.iter_parts()] == [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]
    about, bob = status_of(octets)
    assert about["Reporting-MTA"] == "dns; gw.test"
    assert about["Arrival-Date"] == "Mon, 21 Sep 2026 13:13:20 +0000"
    assert dict(bob.items()) == {
        "Final-Recipient": "rfc822; bob@dest.test",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; smtp.isp.test",
        "Diagnostic-Code": "smtp; 550 5.1.1 no such user",
        "Last-Attempt-Date": "Mon, 21 Sep 2026 14:12:20 +0000",
    }


def test_a_person_reads_who_was_not_reached_and_why_first() -> None:
    text = next(parse(report()).iter_parts()).get_content()

    assert "could not be delivered to this address" in text
    assert "bob@dest.test" in text
    assert "smtp.isp.test said: 550 5.1.1 no such user" in text
    assert "Subject:  Café order" in text


def test_the_header_of_the_original_comes_back_as_it_was() -> None:
    returned = list(parse(report()).iter_parts())[2]

    assert returned.get_payload(decode=True) == HEADER


def test_the_same_arguments_give_the_same_octets() -> None:
    assert report() == report()


def test_what_the_sender_asked_for_comes_back_decoded() -> None:
    asked = refused(orcpt="rfc822;Bob+2Bx@dest.test")

    about, bob = status_of(report("failed", asked, record=record(envid="QQ+2B314")))

    assert about["Original-Envelope-Id"] == "QQ+314"
    assert bob["Original-Recipient"] == "rfc822; Bob+x@dest.test"


def test_each_recipient_has_its_own_group() -> None:
    octets = report("failed", refused("a@x.test"), refused("b@x.test", reply="552 5.2.2 full"), refused("c@x.test"))

    groups = status_of(octets)

    assert [group["Final-Recipient"] for group in groups[1:]] == [f"rfc822; {n}@x.test" for n in "abc"]
    assert groups[2]["Status"] == "5.2.2"


def test_a_delay_says_when_it_leaves_and_until_when_it_is_tried() -> None:
    late = refused(standing="pending", reply="451 4.3.2 busy")

    octets = report("delayed", late, plan="It leaves when the window Night opens at 22:00.", will_retry_until=NOW + 9e4)

    text = next(parse(octets).iter_parts()).get_content()
    assert "you need not send it again" in " ".join(text.split())
    assert "window Night opens at 22:00" in text
    bob = status_of(octets)[1]
    assert (bob["Action"], bob["Status"]) == ("delayed", "4.3.2")
    assert bob["Will-Retry-Until"] == "Tue, 22 Sep 2026 15:13:20 +0000"


@pytest.mark.parametrize("kind", ["delivered", "relayed"])
def test_a_success_has_a_status_of_success(kind: str) -> None:
    done = refused(standing="delivered", reply="250 ok")

    assert status_of(report(kind, done))[1]["Status"] == "2.0.0"


def test_an_expired_message_says_so_to_programs_and_people() -> None:
    octets = report("failed", refused(standing="expired", reply=None))

    assert status_of(octets)[1]["Status"] == "4.4.7"
    assert "without success" in next(parse(octets).iter_parts()).get_content()


def test_ret_full_gives_the_whole_message_back_after_a_failure_only() -> None:
    content = HEADER + b"\r\nhello\r\n"
    asked = record(ret="FULL")

    whole = list(parse(report(header=content, record=asked)).iter_parts())[2]
    late = list(parse(report("delayed", header=content, record=asked)).iter_parts())[2]

    assert whole.get_content_type() == "message/rfc822"
    assert whole.get_content().get_content() == "hello\r\n"
    assert late.get_content_type() == "text/rfc822-headers"


def test_a_large_message_is_not_sent_back_over_a_thin_line() -> None:
    content = HEADER + b"\r\n" + b"x" * 70 + b"\r\n" * 1_000_000

    octets = report(header=content, record=record(ret="FULL"))

    assert len(octets) < 5000


def test_an_eight_bit_original_is_returned_encoded() -> None:
    header = "From: Zoë <z@branch.test>\r\nSubject: Dvořák\r\n".encode()

    octets = report(header=header)
    whole = report(header=header + b"\r\n\xff\xfe\r\n", record=record(ret="FULL"))

    assert_seven_bit(octets)
    assert_seven_bit(whole)
    parts = list(parse(octets).iter_parts())
    assert parts[2].get_payload(decode=True) == header
    assert "Dvořák" in parts[0].get_content()


def test_what_strangers_wrote_stays_data() -> None:
    header = b"Subject: \x1b[31mred\x07\r\nX: " + b"y" * 5000 + b"\r\n\0Z: a\rb\nc\r\n"
    wild = refused(reply='550 5.1.1 <script>\n--boundary\r\nX: y \x1b[2J "é"', relay="smtp.isp.test\r\nX-Bad: 1")

    octets = report("failed", wild, header=header)

    assert_seven_bit(octets)
    assert b"\x1b" not in octets
    assert b"\0" not in octets
    bob = status_of(octets)[1]
    assert "X-Bad" not in bob
    assert bob["Diagnostic-Code"].startswith("smtp; 550 5.1.1 <script> --boundary X: y")


def test_a_header_without_end_is_cut_at_64_kib() -> None:
    header = b"X: y\r\n" * 100_000

    returned = list(parse(report(header=header)).iter_parts())[2]

    assert MAX_HEADER - 10 < len(cast(bytes, returned.get_payload(decode=True))) <= MAX_HEADER


def test_an_address_that_is_not_ascii_gets_the_global_form() -> None:
    octets = report("failed", refused("žofie@dest.test"))

    assert_seven_bit(octets)
    status = list(parse(octets).iter_parts())[1]
    assert status.get_content_type() == "message/global-delivery-status"
    assert "quoted-printable" in status["Content-Transfer-Encoding"]
    assert b"utf-8; =C5=BEofie@dest.test" in octets


def test_a_sender_that_is_not_ascii_is_addressed_in_utf8() -> None:
    octets = report(record=record(reverse_path="žofie@branch.test", smtputf8=True))

    assert "To: <žofie@branch.test>\r\n".encode() in octets


def test_long_lists_and_replies_are_folded() -> None:
    octets = report("failed", *[refused(f"u{n}@dest.test", reply="550 5.1.1 " + "word " * 90) for n in range(300)])

    assert_seven_bit(octets)
    assert len(status_of(octets)) == 301
    assert max(len(line) for line in octets.split(b"\r\n")) < 100
    assert "and 200 more" in next(parse(octets).iter_parts()).get_content()


@pytest.mark.parametrize("own", [record(reverse_path=""), record(report_for="xyz")])
def test_a_report_is_never_answered_by_a_report(own: Record) -> None:
    assert not may_report(own)
    assert not wanted("failed", refused(), own)
    with pytest.raises(ValueError, match="nobody to tell"):
        report(record=own)


@pytest.mark.parametrize(
    ("notify", "kinds"),
    [
        (None, {"failed", "delayed"}),
        ("NEVER", set()),
        ("success", {"delivered", "relayed"}),
        ("FAILURE", {"failed"}),
        ("SUCCESS,FAILURE,DELAY", {"failed", "delayed", "delivered", "relayed"}),
        ("delay,failure", {"failed", "delayed"}),
    ],
)
def test_only_what_was_asked_for_is_reported(notify: str | None, kinds: set[str]) -> None:
    recipient = refused(notify=notify)

    assert {kind for kind in ("failed", "delayed", "delivered", "relayed") if wanted(kind, recipient)} == kinds  # type: ignore[arg-type]  # each is a Kind
