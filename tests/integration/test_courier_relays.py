"""CASES section 2, the relays that need no TLS: each row by its number, in each manner of sending that it concerns."""

import asyncio
import dataclasses
import socket
from typing import Any

import pytest

from gateway.config.settings import RelaySettings
from gateway.courier import Phase, RelayMemory, Timers, run_session
from gateway.mail.envelope import Recipient
from gateway.mail.outcome import MAX_REPLY_OCTETS, Deferred, Delivered, Failed, Interrupted, Unconfirmed
from tests.support.relay import HANG_UP, RESET, SILENCE, Relay, Say
from tests.support.sending import BDAT, DATA, MANNERS, PLAIN, QUICK, send
from tests.support.shipping import ListFeed, MemoryContent, shipment

manner = pytest.mark.parametrize("extensions", MANNERS.values(), ids=MANNERS)
by_data = pytest.mark.parametrize("extensions", [DATA, PLAIN], ids=["data", "lock-step"])


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


async def against(script: Any, *ships: Any, extensions: tuple[str, ...] = BDAT, **more: Any) -> Any:
    """(end, feed, relay) of one session with a relay that follows the script."""
    sending = {key: more.pop(key) for key in ("timers", "memory", "user", "password", "tls") if key in more}
    async with Relay(script, extensions=extensions, **more) as relay:
        end, feed = await send(relay, *(ships or (shipment("m1"),)), **sending)
        return end, feed, relay


def test_c01_a_greeting_of_5xx_refuses_us_and_no_message_is_touched() -> None:
    end, feed, _ = run(against({"CONNECT": "554 5.7.1 go away"}))

    assert (end.why, end.text) == ("refused", "127.0.0.1 refuses us (554 5.7.1 go away)")
    assert end.reached
    assert not feed.taken


@pytest.mark.parametrize(("greeting", "why"), [("450 4.3.2 later", "refused"), ("421 4.3.2 full", "busy")])
def test_c02_a_greeting_of_4xx_is_tried_again(greeting: str, why: str) -> None:
    end, feed, _ = run(against({"CONNECT": Say(greeting, hang_up=True)}))

    assert end.why == why
    assert greeting in end.text
    assert not feed.taken


@pytest.mark.parametrize("how", [HANG_UP, RESET])
def test_c03_a_relay_that_closes_at_once_is_unreachable(how: Say) -> None:
    end, feed, _ = run(against({"CONNECT": how}))

    assert (end.why, end.text) == ("unreachable", "127.0.0.1 closes the connection without a word")
    assert not end.reached
    assert not feed.taken


def test_c03_a_port_that_nobody_listens_on_is_unreachable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        end, feed = run(send(unused.getsockname()[1], shipment("m1")))

    assert (end.why, end.text) == ("unreachable", "127.0.0.1 does not answer (connection refused)")
    assert not feed.taken


@pytest.mark.parametrize("refusal", ["500 5.5.1 what?", "450 4.3.2 not now"])
def test_c04_helo_does_where_neither_tls_nor_auth_is_needed(refusal: str) -> None:
    end, _, relay = run(against({"EHLO": refusal}))

    assert (end.why, end.took) == ("done", 1)
    assert relay.visits[0].verbs == ["EHLO", "HELO", "MAIL", "RCPT", "DATA", "QUIT"]
    assert relay.messages[0].mail_parameters == ""


def test_c04_helo_does_not_do_where_tls_is_required() -> None:
    end, feed, relay = run(against({"EHLO": "500 5.5.1 what?"}, tls="required"))

    assert end.why == "tls"
    assert end.alarm
    assert "offers no encryption" in end.text
    assert relay.visits[0].verbs == ["EHLO"]
    assert not feed.taken


def test_c05_a_relay_that_closes_at_ehlo_is_tried_again() -> None:
    end, feed, _ = run(against({"EHLO": HANG_UP}))
    busy, _, _ = run(against({"EHLO": Say("421 4.3.2 full", hang_up=True)}))

    assert (end.why, end.text, end.reached) == ("broken", "127.0.0.1 closed the connection", True)
    assert busy.why == "busy"
    assert not feed.taken


@manner
def test_c06_mail_refused_for_now_is_retried_and_counts(extensions: tuple[str, ...]) -> None:
    end, feed, relay = run(against({"MAIL": "450 4.3.2 later"}, extensions=extensions))

    assert feed.outcomes["m1"] == [Deferred("450 4.3.2 later", feed.outcomes["m1"][0].reply, is_real=True)]
    assert not relay.messages
    assert end.why == "done"


@manner
@pytest.mark.parametrize(
    ("reply", "why", "kind"), [("550 5.1.8 bad sender", "done", "Failed"), ("530 5.7.0 sign in", "setup", "Deferred")]
)
def test_c06_mail_refused_for_good_is_judged_by_p9(
    extensions: tuple[str, ...], reply: str, why: str, kind: str
) -> None:
    end, feed, _ = run(against({"MAIL": reply}, extensions=extensions))

    assert feed.kinds("m1") == [kind]
    assert (end.why, end.alarm) == (why, why == "setup")


@manner
def test_c07_all_recipients_refused_for_now_are_retried(extensions: tuple[str, ...]) -> None:
    to = ("a@x.test", "b@x.test")

    _, feed, relay = run(against({"RCPT": "450 4.2.1 later"}, shipment("m1", to=to), extensions=extensions))

    assert feed.kinds("m1") == ["Deferred", "Deferred"]
    assert not relay.messages


@manner
def test_c08_unknown_recipients_fail_each_for_itself(extensions: tuple[str, ...]) -> None:
    to = ("a@x.test", "b@x.test")

    end, feed, _ = run(against({"RCPT": "550 5.1.1 unknown"}, shipment("m1", to=to), extensions=extensions))

    assert feed.kinds("m1") == ["Failed", "Failed"]
    assert end.why == "done"


@manner
def test_c08_relaying_denied_to_the_first_message_holds_all_and_reports_nothing(extensions: tuple[str, ...]) -> None:
    ships = [shipment(f"m{n}", to=("a@x.test", "b@x.test")) for n in range(5)]

    end, feed, relay = run(against({"RCPT": "554 5.7.1 relay access denied"}, *ships, extensions=extensions))

    assert end.why == "setup"
    assert end.alarm
    assert end.text == "127.0.0.1 takes no mail from us (554 5.7.1 relay access denied)"
    for id in feed.outcomes:
        assert all(isinstance(o, Interrupted) or (isinstance(o, Deferred) and not o.is_real) for o in feed.outcomes[id])
    assert not relay.messages


@manner
def test_c08_the_same_refusal_after_an_accepted_message_is_the_recipients(extensions: tuple[str, ...]) -> None:
    script = {"RCPT": [None, "554 5.7.1 blocked"]}

    end, feed, _ = run(against(script, shipment("m1"), shipment("m2"), shipment("m3"), extensions=extensions))

    assert end.why == "done"
    assert [feed.kinds(id) for id in ("m1", "m2", "m3")] == [["Delivered"], ["Failed"], ["Delivered"]]


@manner
def test_c09_each_recipient_gets_its_own_outcome_and_one_copy(extensions: tuple[str, ...]) -> None:
    ships = [shipment("m1", to=("a@x.test", "b@x.test", "c@x.test")), shipment("m2")]

    end, feed, relay = run(against({"RCPT": [None, "450 4.2.1 later", "550 5.1.1 no"]}, *ships, extensions=extensions))

    assert feed.kinds("m1") == ["Delivered", "Deferred", "Failed"]
    assert [message.recipients for message in relay.messages] == [["a@x.test"], ["b@dest.test"]]
    assert end.why == "done"


@manner
def test_c10_421_in_the_middle_defers_all_and_nothing_counts_as_sent(extensions: tuple[str, ...]) -> None:
    ships = [shipment("m1", to=("a@x.test", "b@x.test", "c@x.test")), shipment("m2")]
    script = {"RCPT": [None, Say("421 4.3.2 closing", hang_up=True)]}

    end, feed, relay = run(against(script, *ships, extensions=extensions))

    assert feed.kinds("m1") == ["Deferred"] * 3
    assert feed.outcomes.get("m2", [Interrupted("x")])[0] == Interrupted("the relay closed the connection") or (
        "m2" not in feed.outcomes
    )
    assert (end.why, end.text) == ("busy", "127.0.0.1 is busy (421 4.3.2 closing)")
    assert not relay.messages


@by_data
@pytest.mark.parametrize(
    ("say", "kind"),
    [
        ("450 4.3.2 later", "Deferred"),
        ("550 5.6.0 no", "Failed"),
        (HANG_UP, "Interrupted"),
        (Say("421 4.3.2 closing", hang_up=True), "Deferred"),
    ],
)
def test_c11_data_refused(extensions: tuple[str, ...], say: Any, kind: str) -> None:
    _, feed, relay = run(against({"DATA": [say]}, shipment("m1"), extensions=extensions))

    assert feed.kinds("m1") == [kind]
    assert not relay.messages


@by_data
def test_c11_after_data_was_refused_the_next_message_is_sent_properly(extensions: tuple[str, ...]) -> None:
    ships = [shipment("m1", sender="one@x.test"), shipment("m2", sender="two@x.test")]

    _, feed, relay = run(against({"DATA": ["450 4.3.2 later"]}, *ships, extensions=extensions))

    assert feed.kinds("m2") == ["Delivered"]
    assert [message.sender for message in relay.messages] == ["two@x.test"]


@manner
@pytest.mark.parametrize(("reply", "kind"), [("451 4.3.0 later", "Deferred"), ("554 5.6.0 no", "Failed")])
def test_c12_the_content_refused(extensions: tuple[str, ...], reply: str, kind: str) -> None:
    _, feed, relay = run(against({".": [reply]}, shipment("m1"), shipment("m2"), extensions=extensions))

    assert feed.kinds("m1") == [kind]
    assert feed.kinds("m2") == ["Delivered"]
    assert len(relay.messages) == 1


@manner
@pytest.mark.parametrize("how", [HANG_UP, RESET])
def test_c13_the_answer_lost_after_the_dot_leaves_the_message_in_doubt(extensions: tuple[str, ...], how: Say) -> None:
    end, feed, _ = run(against({".": how}, extensions=extensions))

    (outcome,) = feed.outcomes["m1"]
    assert isinstance(outcome, Unconfirmed)
    assert end.why == "broken"
    assert "connection" in outcome.reason


@manner
def test_c13_421_to_the_dot_is_an_answer_and_no_doubt(extensions: tuple[str, ...]) -> None:
    _, feed, _ = run(against({".": Say("421 4.3.2 closing", hang_up=True)}, extensions=extensions))

    assert feed.kinds("m1") == ["Deferred"]


@manner
def test_c14_the_final_answer_may_take_its_own_time(extensions: tuple[str, ...]) -> None:
    timers = dataclasses.replace(QUICK, mail=0.1, rcpt=0.1, data=0.1, block=0.2, final=5.0)

    async def late() -> Any:
        now = asyncio.Event()
        asyncio.get_running_loop().call_later(0.6, now.set)
        return await against({".": Say("250 2.0.0 at last", after=now)}, timers=timers, extensions=extensions)

    _, feed, _ = run(late())

    assert feed.kinds("m1") == ["Delivered"]
    assert Timers().final == 600.0


@manner
def test_c14_an_answer_that_never_comes_leaves_the_message_in_doubt(extensions: tuple[str, ...]) -> None:
    timers = dataclasses.replace(QUICK, final=0.2)

    end, feed, _ = run(against({".": SILENCE}, timers=timers, extensions=extensions))

    assert feed.kinds("m1") == ["Unconfirmed"]
    assert (end.why, end.text) == ("broken", "127.0.0.1 does not answer")


@pytest.mark.parametrize("say", ["500 5.5.1 no", HANG_UP, RESET, SILENCE])
def test_c15_quit_does_not_matter(say: Any) -> None:
    end, feed, _ = run(against({"QUIT": say}))

    assert end.why == "done"
    assert feed.kinds("m1") == ["Delivered"]


@pytest.mark.parametrize(("reply", "kind"), [("550 5.3.4 enough", "Failed"), ("451 4.3.0 no room", "Deferred")])
@by_data
def test_c16_a_refusal_during_the_content_counts_by_its_code(
    extensions: tuple[str, ...], reply: str, kind: str
) -> None:
    big = shipment("m1", b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 100_000)
    script = {"DATA": Say(f"354 go on\r\n{reply}", stop_reading=True)}

    end, feed, _ = run(against(script, big, shipment("m2"), extensions=extensions, receive_buffer=4096))

    assert feed.kinds("m1") == [kind]
    assert end.why == "broken"


@by_data
def test_c16_a_message_refused_before_its_content_is_not_sent_all_the_same(extensions: tuple[str, ...]) -> None:
    script = {"DATA": ["354 go on\r\n554 5.6.0 no"]}

    _, feed, relay = run(against(script, shipment("m1"), shipment("m2"), extensions=extensions))

    assert feed.kinds("m1") == ["Failed"]
    assert not relay.messages


@manner
def test_c16_a_relay_that_stops_reading_is_given_up_and_nothing_is_in_doubt(extensions: tuple[str, ...]) -> None:
    big = shipment("m1", (b"y" * 70 + b"\r\n") * 100_000)
    script = {"DATA": Say("354 go on", stop_reading=True)} if "CHUNKING" not in extensions else {"RCPT": STUCK}
    timers = dataclasses.replace(QUICK, block=0.4)

    end, feed, _ = run(against(script, big, extensions=extensions, receive_buffer=4096, timers=timers))

    assert feed.kinds("m1") == ["Interrupted"]
    assert (end.why, end.text) == ("broken", "127.0.0.1 no longer takes what we send")


STUCK = Say("250 2.1.5 ok", stop_reading=True)


GARBAGE: dict[str, bytes] = {
    "without a code": b"hello there\r\n",
    "endless": b"250-" + b"x" * 1_000_000,
    "ten thousand lines": b"250-x\r\n" * 10_000 + b"250 x\r\n",
    "binary": bytes(range(128, 256)) * 10 + b"\r\n",
    "code 999": b"999 what\r\n",
    "354 to MAIL": b"354 go on\r\n",
    "changes its mind": b"250-a\r\n550 b\r\n",
    "only a line end": b"\r\n",
}


@manner
@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_c23_garbage_ends_the_session_and_no_message(extensions: tuple[str, ...], garbage: bytes) -> None:
    end, feed, _ = run(against({"MAIL": garbage}, extensions=extensions))

    assert end.why == "broken"
    assert feed.kinds("m1")[0] in ("Interrupted", "Unconfirmed")
    assert not any(isinstance(outcome, Failed) for outcome in feed.outcomes["m1"])


@by_data
def test_c23_a_250_that_comes_early_is_believed_of_no_message(extensions: tuple[str, ...]) -> None:
    end, feed, _ = run(against({"RCPT": b"250 ok\r\n250 ok\r\n"}, extensions=extensions))

    assert end.why == "broken"
    assert "Delivered" not in feed.kinds("m1")


@manner
def test_c23_a_354_to_the_content_delivers_nothing(extensions: tuple[str, ...]) -> None:
    end, feed, _ = run(against({".": "354 go on"}, extensions=extensions))

    assert end.why == "broken"
    assert not end.took
    assert feed.kinds("m1") == ["Unconfirmed"]


@pytest.mark.parametrize("where", ["CONNECT", "EHLO"])
@pytest.mark.parametrize("garbage", [b"hello\r\n", b"2" * 1_000_000, b"250-x\r\n" * 10_000, b"\xff\xfe\r\n"])
def test_c23_garbage_before_mail_touches_no_message(where: str, garbage: bytes) -> None:
    end, feed, _ = run(against({where: garbage}, timers=dataclasses.replace(QUICK, greeting=0.3, ehlo=0.3)))

    assert end.why in ("broken", "unreachable")
    assert not feed.taken


@manner
def test_c24_a_reply_is_kept_as_harmless_text_of_500_octets(extensions: tuple[str, ...]) -> None:
    wild = b"450-4.2.0 <script>alert(1)</script>\x1b[2J\x00\r\n450 4.2.0 " + b"\xc3\xa9" * 50_000 + b"\r\n"

    _, feed, _ = run(against({"RCPT": wild}, shipment("m1"), extensions=extensions))

    (outcome,) = feed.outcomes["m1"]
    assert isinstance(outcome, Deferred)
    assert outcome.reply is not None
    assert len(outcome.reply.text.encode()) <= MAX_REPLY_OCTETS
    assert outcome.reply.text.startswith("4.2.0 <script>alert(1)</script>\\x1b[2J\\x00\n4.2.0 é")


@manner
def test_c25_a_report_goes_out_with_the_empty_reverse_path_and_its_refusal_is_an_outcome(
    extensions: tuple[str, ...],
) -> None:
    _, feed, relay = run(against({}, shipment("m1", sender=""), extensions=extensions))
    _, refused, _ = run(against({"MAIL": "550 5.1.8 no bounces"}, shipment("m1", sender=""), extensions=extensions))

    assert relay.messages[0].sender == ""
    assert feed.kinds("m1") == ["Delivered"]
    assert refused.kinds("m1") == ["Failed"]


def test_c28_a_name_that_does_not_resolve_is_said_so() -> None:
    end, feed = run(send(2525, shipment("m1"), host="relay.invalid"))

    assert end.why == "unreachable"
    assert end.text.startswith("relay.invalid cannot be found (no answer from the name service")
    assert not feed.taken


def test_c28_the_next_address_is_tried_when_the_first_is_dead() -> None:
    async def attempt() -> Any:
        async with Relay() as relay:
            memory = RelayMemory()
            dead = (socket.AF_INET, ("127.0.0.77", relay.port))
            memory.addresses = (dead, (socket.AF_INET, ("127.0.0.1", relay.port)))
            memory.addresses_at = asyncio.get_running_loop().time()
            return await send(relay, shipment("m1"), host="relay.test", memory=memory)

    end, feed = run(attempt())

    assert (end.why, feed.kinds("m1")) == ("done", ["Delivered"])


def test_c28_an_old_address_beats_none() -> None:
    async def attempt() -> Any:
        async with Relay() as relay:
            memory = RelayMemory()
            memory.addresses = ((socket.AF_INET, ("127.0.0.1", relay.port)),)
            return await send(relay, shipment("m1"), host="relay.invalid", memory=memory)

    end, feed = run(attempt())

    assert (end.why, feed.kinds("m1")) == ("done", ["Delivered"])


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_c28_a_relay_with_ipv6_only_works() -> None:
    async def attempt() -> Any:
        try:
            relay = await Relay(family=socket.AF_INET6).__aenter__()
        except OSError as exc:
            pytest.skip(f"no IPv6 loopback: {exc}")
        try:
            return await send(relay, shipment("m1"))
        finally:
            await relay.__aexit__(None, None, None)

    end, feed = run(attempt())

    assert (end.why, feed.kinds("m1")) == ("done", ["Delivered"])


@manner
def test_c29_recipients_beyond_the_relays_limit_follow_at_once_in_further_messages(
    extensions: tuple[str, ...],
) -> None:
    everybody = [f"u{n}@x.test" for n in range(25)]
    memory = RelayMemory()
    ships = [shipment("m1", to=everybody), shipment("m2", to=everybody)]

    _, feed, relay = run(against({}, *ships, extensions=extensions, capacity=10, memory=memory))

    assert feed.kinds("m1") == feed.kinds("m2") == ["Delivered"] * 25
    for_all = [address for message in relay.messages for address in message.recipients]
    assert sorted(for_all) == sorted(everybody * 2)
    assert memory.rcpt_max == 10


def test_c29_a_limit_that_is_announced_is_kept_from_the_start() -> None:
    everybody = [f"u{n}@x.test" for n in range(7)]

    _, feed, relay = run(
        against({}, shipment("m1", to=everybody), extensions=(*BDAT, "LIMITS RCPTMAX=3 MAILMAX=50"), capacity=3)
    )

    assert feed.kinds("m1") == ["Delivered"] * 7
    assert [len(message.recipients) for message in relay.messages] == [3, 3, 1]


def test_c29_no_more_messages_are_taken_than_the_relay_announces_for_a_session() -> None:
    ships = [shipment(f"m{n}") for n in range(5)]

    end, feed, _ = run(against({}, *ships, extensions=(*BDAT, "LIMITS MAILMAX=2")))

    assert (end.why, end.took, feed.taken) == ("done", 2, 2)


@manner
def test_c29_a_message_larger_than_the_relay_takes_fails_without_being_sent(extensions: tuple[str, ...]) -> None:
    _, feed, relay = run(
        against({}, shipment("m1", b"x" * 2000 + b"\r\n"), shipment("m2"), extensions=(*extensions, "SIZE 1000"))
    )

    (outcome,) = feed.outcomes["m1"]
    assert isinstance(outcome, Failed)
    assert outcome.reply.enhanced == "5.3.4"
    assert feed.kinds("m2") == ["Delivered"]
    assert relay.visits[0].verbs.count("MAIL") == 1


def test_c30_a_message_whose_addresses_are_ascii_needs_no_smtputf8_and_no_8bitmime() -> None:
    content = "Subject: Dvořák\r\n\r\nžluťoučký\r\n".encode()

    _, feed, relay = run(against({}, shipment("m1", content, body="8BITMIME", smtputf8=True)))

    assert feed.kinds("m1") == ["Delivered"]
    assert relay.messages[0].octets == content
    assert relay.messages[0].mail_parameters == ""


def test_c30_an_address_that_needs_smtputf8_fails_alone_where_it_is_not_offered() -> None:
    _, feed, relay = run(against({}, shipment("m1", to=("a@x.test", "žofie@x.test"), smtputf8=True)))

    assert feed.kinds("m1") == ["Delivered", "Failed"]
    (_, failed) = feed.outcomes["m1"]
    assert failed.reply.enhanced == "5.6.7"
    assert relay.messages[0].recipients == ["a@x.test"]


def test_c30_where_it_is_offered_the_address_goes_as_it_is() -> None:
    _, _, relay = run(
        against({}, shipment("m1", to=("žofie@x.test",), smtputf8=True), extensions=(*BDAT, "SMTPUTF8", "8BITMIME"))
    )

    assert relay.messages[0].recipients == ["žofie@x.test"]
    assert relay.messages[0].mail_parameters == "SMTPUTF8"


def test_dsn_parameters_go_to_a_relay_that_offers_dsn_and_to_no_other() -> None:
    asked = shipment(
        "m1", to=[Recipient("b@x.test", "SUCCESS,FAILURE", "rfc822;B+2Bx@x.test")], ret="HDRS", envid="QQ+2B3"
    )

    _, _, offering = run(against({}, asked, extensions=(*BDAT, "DSN", "SIZE 0")))
    _, _, other = run(against({}, asked))

    assert offering.messages[0].mail_parameters == f"SIZE={asked.content.size} RET=HDRS ENVID=QQ+2B3"
    assert offering.messages[0].rcpt_parameters == ["NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;B+2Bx@x.test"]
    assert other.messages[0].rcpt_parameters == [""]


@pytest.mark.parametrize("octets", [b"a\nb\r\n", b"a\rb\r\n", b"a\0b\r\n", b"a\r\n.\nQUIT\r\n"])
@manner
def test_p6_what_must_not_leave_does_not_and_the_others_do(extensions: tuple[str, ...], octets: bytes) -> None:
    end, feed, relay = run(against({}, shipment("m1", octets), shipment("m2"), extensions=extensions))

    (outcome,) = feed.outcomes["m1"]
    assert isinstance(outcome, Deferred)
    assert not outcome.is_real
    assert isinstance(feed.outcomes["m2"][0], Delivered)
    assert [message.octets for message in relay.messages] == [b"Subject: x\r\n\r\nhello\r\n"]
    assert (end.why, end.alarm) == ("damaged", True)


@manner
def test_p6_damage_in_the_middle_of_a_large_message_cuts_the_connection(extensions: tuple[str, ...]) -> None:
    octets = b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 3000 + b"a\nb\r\n"

    end, feed, relay = run(against({}, shipment("m1", octets), extensions=extensions))

    assert feed.kinds("m1") == ["Deferred"]
    assert end.why == "damaged"
    assert not relay.messages
    assert b"\na\nb" not in b"".join(relay.partial)


@manner
def test_of_a_file_that_grew_only_what_was_accepted_leaves(extensions: tuple[str, ...]) -> None:
    grown = shipment("m1", b"Subject: x\r\n\r\n" + b"y\r\n" * 30_000 + b"MAIL FROM:<evil@x.test>\r\n")
    assert isinstance(grown.content, MemoryContent)
    grown.content.size -= len(b"MAIL FROM:<evil@x.test>\r\n")

    _, feed, relay = run(against({}, grown, shipment("m2"), extensions=extensions))

    assert (feed.kinds("m1"), feed.kinds("m2")) == (["Delivered"], ["Delivered"])
    assert len(relay.messages[0].octets) == grown.content.size
    assert not any("evil" in command for command in relay.visits[0].commands)


def test_a_line_break_in_an_address_never_becomes_a_command() -> None:
    evil = "b@x.test>\r\nRCPT TO:<c@x.test"

    _, feed, relay = run(against({}, shipment("m1", to=("a@x.test", evil))))

    assert feed.kinds("m1") == ["Delivered", "Failed"]
    assert relay.messages[0].recipients == ["a@x.test"]


def test_a_feed_that_fails_ends_the_session_and_the_rest_is_settled() -> None:
    class Failing(ListFeed):
        async def on_wire(self, ids: Any) -> None:
            raise OSError(28, f"No space left on device for {len(ids)}")

    async def attempt() -> Any:
        async with Relay() as relay:
            feed = Failing([shipment("m1"), shipment("m2")])
            end, _ = await send(relay, feed=feed)
            return end, feed, relay

    end, feed, relay = run(attempt())

    assert (end.why, end.alarm) == ("broken", True)
    assert "No space left" in end.text
    assert {kind for id in feed.outcomes for kind in feed.kinds(id)} == {"Interrupted"}
    assert not relay.messages


@pytest.mark.parametrize("fails", ["heard", "waiting", "answer"])
def test_a_feed_that_cannot_take_down_what_it_is_told_still_gets_each_outcome(fails: str) -> None:
    class Failing(ListFeed):
        def heard(self, id: str, lines: tuple[str, ...]) -> None:
            if fails == "heard":
                raise OSError(f"no room for {len(lines)} lines of {id}")

        def progress(self, id: str, phase: Phase, octets: int) -> None:
            if fails == phase and id == "m1":
                raise OSError(f"{id} cannot be shown")

    async def attempt() -> Any:
        async with Relay({".": ["552 5.3.4 too big"]}) as relay:
            feed = Failing([shipment(f"m{number}") for number in range(3)])
            end, _ = await send(relay, feed=feed)  # which asserts that each is settled
            return end, feed

    end, feed = run(attempt())

    assert end.why == "broken"
    if fails == "heard":
        assert feed.kinds("m0") == ["Failed"]


def test_a_hostname_that_cannot_be_said_is_our_own_trouble() -> None:
    async def go() -> Any:
        async with Relay() as relay:
            target = RelaySettings("isp", relay.host, relay.port, tls="none")
            feed = ListFeed([shipment("m1")])
            return await run_session(target, feed, hostname="žluť.test\r\nQUIT", timers=QUICK), feed

    end, feed = run(go())

    assert (end.why, end.alarm) == ("setup", True)
    assert not feed.taken
