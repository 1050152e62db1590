import pytest

from gateway.courier.contract import Shipment, Timers
from gateway.courier.transaction import Parcel, Step, Transaction, answer_limit
from gateway.mail.outcome import Reply
from tests.support.shipping import shipment


def transaction() -> Transaction:
    sent: Shipment = shipment("m1", to=("a@x.test", "b@x.test"))
    return Transaction(Parcel(sent, [None, None]), [0, 1])


@pytest.mark.parametrize(
    ("step", "code", "good"),
    [
        (Step.RSET, 250, True),
        (Step.RSET, 500, False),
        (Step.MAIL, 250, True),
        (Step.MAIL, 354, False),
        (Step.MAIL, 450, True),
        (Step.RCPT, 251, True),
        (Step.RCPT, 334, False),
        (Step.DATA, 354, True),
        (Step.DATA, 250, False),
        (Step.DATA, 503, True),
        (Step.END, 250, True),
        (Step.END, 354, False),
        (Step.END, 552, True),
    ],
)
def test_an_answer_that_a_command_cannot_have_is_noticed(step: Step, code: int, good: bool) -> None:
    assert transaction().note(step, 0, Reply(code, "x")) is good


@pytest.mark.parametrize("code", [334, 354])
def test_a_word_in_between_is_no_answer_to_the_content(code: int) -> None:
    one = transaction()

    assert not one.note(Step.END, 0, Reply(code, "go on"))

    assert one.end is None


def test_content_is_welcome_when_the_sender_and_somebody_are_accepted() -> None:
    one = transaction()
    assert not one.is_welcome

    one.note(Step.MAIL, 0, Reply(250, "ok"))
    one.note(Step.RCPT, 0, Reply(550, "no"))
    assert not one.is_welcome

    one.note(Step.RCPT, 1, Reply(250, "ok"))
    assert one.is_welcome


def test_the_last_answer_may_take_longer_the_larger_the_message_is() -> None:
    timers = Timers()

    assert answer_limit(timers, Step.END, 0) == 600.0
    assert answer_limit(timers, Step.END, 50_000_000) == 1100.0
    assert answer_limit(timers, Step.DATA, 50_000_000) == 120.0
