from dataclasses import replace

import pytest

from gateway.courier.judge import Exchanged, asks_to_slow_down, is_of_our_setup, judge
from gateway.mail.outcome import Deferred, Delivered, Failed, Interrupted, Reply, Unconfirmed

OK = Reply(250, "2.1.0 ok")
TAKEN = Reply(250, "2.0.0 taken")


def say(text: str) -> Reply:
    return Reply(int(text[:3]), text[4:])


def test_a_yes_to_the_content_delivers_to_those_who_were_accepted() -> None:
    gone, later = say("550 5.1.1 no such user"), say("450 4.2.1 later")

    verdict = judge(Exchanged(OK, (OK, later, gone), end=TAKEN, complete=True))

    assert verdict.outcomes == (Delivered(TAKEN), Deferred(str(later), later), Failed(gone))
    assert verdict.setup is None


@pytest.mark.parametrize("text", ["451 4.3.0 later", "552 5.3.4 too big"])
@pytest.mark.parametrize("place", ["mail", "data", "end"])
def test_a_refusal_of_the_message_is_that_of_each_recipient(text: str, place: str) -> None:
    reply = say(text)
    facts = {
        "mail": Exchanged(reply, (say("503 5.5.1 MAIL first"),) * 2, end=say("503 5.5.1 RCPT first"), complete=True),
        "data": Exchanged(OK, (OK, OK), data=reply),
        "end": Exchanged(OK, (OK, OK), end=reply, complete=True),
    }[place]

    outcome = Failed(reply) if reply.is_permanent else Deferred(str(reply), reply)
    assert judge(facts).outcomes == (outcome, outcome)


def test_an_answer_lost_after_the_final_dot_leaves_the_message_in_doubt() -> None:
    assert judge(Exchanged(OK, (OK,), complete=True, lost="gone")).outcomes == (Unconfirmed("gone"),)


def test_nothing_but_a_2xx_to_the_content_delivers() -> None:
    verdict = judge(Exchanged(OK, (OK,), end=say("354 go on"), complete=True, lost="answers out of step"))

    assert verdict.outcomes == (Unconfirmed("answers out of step"),)


def test_a_line_that_breaks_before_the_final_dot_is_no_failure_of_the_message() -> None:
    assert judge(Exchanged(OK, (OK,), lost="gone")).outcomes == (Interrupted("gone"),)
    assert judge(Exchanged(None, (None,), lost="gone")).outcomes == (Interrupted("gone"),)


def test_a_recipient_refused_before_the_line_broke_stays_refused() -> None:
    gone = say("550 5.1.1 no such user")

    assert judge(Exchanged(OK, (gone, OK), complete=True, lost="x")).outcomes == (Failed(gone), Unconfirmed("x"))


def test_421_in_the_middle_defers_all_and_counts_as_an_attempt_once_mail_was_answered() -> None:
    closing = say("421 4.3.2 closing")

    outcomes = judge(Exchanged(OK, (OK, closing, None), complete=True, lost="x")).outcomes

    assert [type(outcome) for outcome in outcomes] == [Deferred] * 3
    assert all(isinstance(o, Deferred) and o.reply == closing and o.is_real for o in outcomes)


def test_421_to_mail_is_no_real_attempt() -> None:
    (outcome,) = judge(Exchanged(say("421 4.3.2 closing"), (None,), lost="x")).outcomes

    assert isinstance(outcome, Deferred)
    assert not outcome.is_real


@pytest.mark.parametrize(
    "text",
    [
        "550 5.7.1 relaying denied",
        "554 5.7.1 <b@c>: Relay access denied",
        "550 relay not permitted",
        "530 5.7.0 authentication required",
        "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
        "550 you are not allowed to relay here",
    ],
)
def test_a_relay_that_takes_nothing_from_us_holds_the_queue(text: str) -> None:
    reply = say(text)

    verdict = judge(Exchanged(OK, (reply, reply), end=say("554 5.5.1 no valid recipients"), may_be_setup=True))

    assert verdict.setup == reply
    assert all(isinstance(o, Deferred) and not o.is_real for o in verdict.outcomes)


@pytest.mark.parametrize(
    "text", ["550 5.1.1 no such user", "550 5.1.1 relaying to no such user denied", "552 5.2.2 full", "500 5.3.0 no"]
)
def test_other_refusals_are_the_recipients_even_in_the_first_message(text: str) -> None:
    assert judge(Exchanged(OK, (say(text),), may_be_setup=True)).outcomes == (Failed(say(text)),)


def test_after_a_message_was_accepted_any_5xx_is_the_recipients() -> None:
    reply = say("550 5.7.1 relaying denied")

    verdict = judge(Exchanged(OK, (reply,), may_be_setup=False))

    assert verdict.outcomes == (Failed(reply),)
    assert verdict.setup is None


def test_one_recipient_refused_for_another_reason_makes_it_no_matter_of_our_setup() -> None:
    ours, theirs = say("550 5.7.1 relaying denied"), say("550 5.1.1 no such user")

    verdict = judge(Exchanged(OK, (ours, theirs), may_be_setup=True))

    assert verdict.outcomes == (Failed(ours), Failed(theirs))


def test_a_temporary_refusal_never_speaks_of_our_setup() -> None:
    assert not is_of_our_setup(say("451 4.7.1 relaying denied"))


@pytest.mark.parametrize(
    ("text", "slow"),
    [
        ("450 4.7.1 Error: too much mail from 192.0.2.1", True),
        ("451 4.7.0 Temporary rate limit exceeded", True),
        ("452 4.3.2 too many messages, slow down", True),
        ("421 4.7.28 our system has detected an unusual rate of unsolicited mail", True),
        ("450 4.2.1 try later", False),
        ("451 4.7.1 greylisted, please come back", False),
        ("452 4.2.2 mailbox full: too many messages", False),
        ("452 4.5.3 too many recipients", False),
        ("550 5.7.1 rate limit exceeded for good", False),
        ("250 2.0.0 at this rate", False),
    ],
)
def test_only_a_refusal_for_now_that_speaks_of_our_speed_asks_to_slow_down(text: str, slow: bool) -> None:
    assert asks_to_slow_down(say(text)) is slow


def test_a_421_to_mail_after_others_were_taken_is_the_end_of_the_session_and_no_attempt() -> None:
    closing = say("421 4.7.0 too many messages in this connection")
    facts = Exchanged(closing, (closing,), lost="closed", took_some=True)
    (outcome,) = judge(facts).outcomes
    assert isinstance(outcome, Interrupted)
    (first,) = judge(replace(facts, took_some=False)).outcomes
    assert isinstance(first, Deferred)
    (later,) = judge(replace(facts, mail=OK)).outcomes
    assert isinstance(later, Deferred), "said of its recipient: it had been looked at"
