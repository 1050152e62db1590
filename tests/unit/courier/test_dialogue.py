"""What is shown of the conversation about one message."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from gateway.courier.capabilities import Capabilities
from gateway.courier.dialogue import MOST_RECIPIENTS, dialogue, went_wrong
from gateway.courier.transaction import Parcel, Step, Transaction
from gateway.mail.envelope import Envelope, Recipient
from gateway.mail.outcome import Reply


def transaction(count: int = 2) -> Transaction:
    recipients = tuple(Recipient(f"r{n}@hq.example") for n in range(count))
    shipment: Any = SimpleNamespace(
        id="k7", envelope=Envelope("anna@branch.example", recipients), content=SimpleNamespace(size=96000), by=None
    )
    return Transaction(Parcel(shipment, [None] * count), range(count))


def test_commands_and_answers_are_shown_in_order_and_content_is_not() -> None:
    made = transaction()
    made.note(Step.MAIL, 0, Reply(250, "2.1.0 ok"))
    made.note(Step.RCPT, 0, Reply(250, "2.1.5 ok"))
    made.note(Step.RCPT, 1, Reply(550, "5.1.1 no such user\nat all"))
    made.note(Step.END, 0, Reply(250, "2.0.0 taken"))
    assert went_wrong(made)
    assert dialogue(made, Capabilities(), chunks=False, lost=None) == (
        "C: MAIL FROM:<anna@branch.example>",
        "S: 250 2.1.0 ok",
        "C: RCPT TO:<r0@hq.example>",
        "S: 250 2.1.5 ok",
        "C: RCPT TO:<r1@hq.example>",
        "S: 550 5.1.1 no such user",
        "S: 550 at all",
        "C: DATA",
        "# 96000 octets of content",
        "S: 250 2.0.0 taken",
    )


def test_a_line_that_broke_is_told_and_what_was_not_answered_is_shown_so() -> None:
    made = transaction(1)
    made.note(Step.MAIL, 0, Reply(250, "ok"))
    made.is_written = True
    assert went_wrong(made)
    lines = dialogue(made, Capabilities(), chunks=True, lost="reset the connection")
    assert lines[-4:] == (
        "C: BDAT 96000 LAST",
        "# 96000 octets of content",
        "S: (no answer)",
        "# the relay reset the connection",
    )


def test_what_went_well_is_not_kept_and_many_recipients_are_cut() -> None:
    made = transaction(MOST_RECIPIENTS + 5)
    for place in range(MOST_RECIPIENTS + 5):
        made.note(Step.RCPT, place, Reply(250, "ok"))
    made.note(Step.MAIL, 0, Reply(250, "ok"))
    made.note(Step.END, 0, Reply(250, "ok"))
    assert not went_wrong(made)
    lines = dialogue(made, Capabilities(), chunks=False, lost=None)
    assert sum(line.startswith("C: RCPT") for line in lines) == MOST_RECIPIENTS
    assert "# and 5 more recipients" in lines
