"""A report about several messages: each part in its form (RFC 3464), each original named."""

from __future__ import annotations

import pytest

from gateway.report import Original, build_joint_report, may_share
from tests.unit.report.test_dsn import HEADER, NOW, assert_seven_bit, parse, record, refused, status_of


def joint(*originals: Original, kind: str = "failed", **more: object) -> bytes:
    given = originals or (
        Original(record(id="one"), [refused("bob@dest.test"), refused("eve@dest.test")], HEADER),
        Original(record(id="two"), [refused("jan@dest.test", reply="552 5.3.4 too big")], b"Subject: second\r\n"),
    )
    return build_joint_report(kind, given, hostname="gw.test", now=NOW, report_id="r1", **more)  # type: ignore[arg-type]  # by name


def test_it_is_a_delivery_status_notification_in_form() -> None:
    octets = joint()
    assert_seven_bit(octets)
    message = parse(octets)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert (message["To"], message["Auto-Submitted"]) == ("alice@branch.test", "auto-replied")
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "message/delivery-status"]
    about, *recipients = status_of(octets)
    assert about.keys() == ["Reporting-MTA"]
    for group in recipients:
        assert {"Final-Recipient", "Action", "Status"} <= set(group.keys())
    assert [g["X-Queue-Id"] for g in recipients] == ["one", "one", "two"]
    assert [g["X-Subject"] for g in recipients] == ["Caf\\xe9 order", "Caf\\xe9 order", "second"]
    assert [g["X-Message-Id"] for g in recipients] == ["<1@branch.test>", "<1@branch.test>", None]
    assert recipients[2]["Diagnostic-Code"] == "smtp; 552 5.3.4 too big"


def test_a_person_reads_each_message_with_its_own_reason() -> None:
    text = next(parse(joint()).iter_parts()).get_content().replace("\r\n", "\n")
    assert "2 messages of yours could not be delivered." in text
    assert (
        "Queue ID: one\nSubject:  Café order\nSent:     21 September 2026 13:13 UTC\nTo:       bob@dest.test\n" in text
    )
    assert "          smtp.isp.test said: 552 5.3.4 too big" in text


def test_many_recipients_of_one_message_are_counted_in_the_text_and_all_in_the_fields() -> None:
    many = [refused(f"u{n}@dest.test") for n in range(300)]
    octets = joint(Original(record(id="one"), many, HEADER), Original(record(id="two"), [refused()], HEADER))
    assert "and 290 more, listed in the second part" in next(parse(octets).iter_parts()).get_content()
    assert len(status_of(octets)) == 302


def test_what_strangers_wrote_stays_text() -> None:
    evil = b"Subject: x\r\n\tInjected: y\x1b[2J\r\nMessage-ID: <a\x1b@b>\r\n"
    reply = "550 5.1.1 <script>\r\nFinal-Recipient: rfc822; z@z"
    octets = joint(*[Original(record(id=n), [refused(reply=reply)], evil) for n in ("one", "two")])
    assert_seven_bit(octets)
    assert b"\x1b" not in octets
    for group in status_of(octets)[1:]:
        assert group.get_all("Final-Recipient") == ["rfc822; bob@dest.test"]
        assert "Injected" not in group


def test_addresses_in_utf_8_need_the_global_form() -> None:
    octets = joint(
        Original(record(id="one"), [refused("žofie@dest.test")], HEADER),
        Original(record(id="two"), [refused()], HEADER),
    )
    assert [p.get_content_type() for p in parse(octets).iter_parts()][1] == "message/global-delivery-status"


def test_mail_that_is_late_says_until_when_each_is_tried() -> None:
    late = [Original(record(id=n), [refused(reply="450 4.2.1 later")], HEADER, NOW + 86400) for n in ("one", "two")]
    octets = joint(*late, kind="delayed", plan="It is tried again about 06:10.")
    assert all(g["Will-Retry-Until"] for g in status_of(octets)[1:])
    text = next(parse(octets).iter_parts()).get_content()
    assert "It is tried again about 06:10." in text
    assert text.count("450 4.2.1 later") == 1, "what is true of all is said once"


def test_only_messages_of_one_sender_that_may_be_told_make_a_report() -> None:
    one = Original(record(id="one"), [refused()], HEADER)
    for other in (
        record(id="two", reverse_path="eve@branch.test"),
        record(id="two", reverse_path=""),
        record(id="two", report_for="x"),
    ):
        with pytest.raises(ValueError, match=r"senders|nobody"):
            joint(one, Original(other, [refused()], HEADER))
    with pytest.raises(ValueError, match="no recipients"):
        joint(one, Original(record(id="two"), [], HEADER))
    with pytest.raises(ValueError, match="1 messages"):
        joint(one)


def test_what_was_asked_for_one_message_keeps_it_out() -> None:
    assert may_share(record())
    assert not may_share(record(ret="HDRS"))
    assert not may_share(record(envid="QQ"))
