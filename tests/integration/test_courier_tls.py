"""CASES section 2, encryption and signing in: C17 to C22, and promise P14."""

import asyncio
import dataclasses
import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from gateway.config.settings import PasswordSource
from gateway.courier import RelayMemory, Timers
from tests.support.certificates import Authority, make_authority, make_server
from tests.support.relay import EXTENSIONS, HANG_UP, SILENCE, Relay, Say
from tests.support.sending import QUICK, send
from tests.support.shipping import ListFeed, shipment

SECRET = "correct horse"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return make_authority(folder)


@pytest.fixture(scope="module")
def good(folder: Path, authority: Authority) -> ssl.SSLContext:
    return make_server(folder, authority).context()


@pytest.fixture
def password(tmp_path: Path) -> PasswordSource:
    path = tmp_path / "password"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    return PasswordSource(file=path)


def attempt(script: Any = None, *, relay: dict[str, Any] | None = None, times: int = 1, **settings: Any) -> Any:
    """(last end, last feed, relay) of sessions with a relay, each with a message."""

    async def go() -> Any:
        async with Relay(script, **(relay or {})) as server:
            for number in range(times):
                end, feed = await send(server, shipment(f"m{number}"), **settings)
            return end, feed, server

    return asyncio.run(go())


def assert_held(end: Any, feed: Any, relay: Relay, why: str = "tls") -> None:
    """Nothing was sent, nothing bounced, and a person hears of it."""
    assert end.why == why
    assert end.alarm
    assert not feed.taken
    assert not relay.messages
    assert "MAIL" not in [verb for visit in relay.visits for verb in visit.verbs]


def test_starttls_with_a_certificate_of_the_ca_delivers(good: ssl.SSLContext, authority: Authority) -> None:
    end, feed, relay = attempt(relay={"tls": good}, tls="required", ca=authority.path)

    assert (end.why, feed.kinds("m0")) == ("done", ["Delivered"])
    assert relay.visits[0].is_encrypted
    assert relay.visits[0].verbs[:4] == ["EHLO", "STARTTLS", "EHLO", "MAIL"]


def test_implicit_tls_delivers(good: ssl.SSLContext, authority: Authority) -> None:
    end, feed, _ = attempt(relay={"tls": good, "implicit": True}, tls="implicit", ca=authority.path)

    assert (end.why, feed.kinds("m0")) == ("done", ["Delivered"])


def test_the_next_session_resumes_the_encryption_of_the_last(good: ssl.SSLContext, authority: Authority) -> None:
    memory = RelayMemory()

    end, _, relay = attempt(relay={"tls": good}, times=3, tls="required", ca=authority.path, memory=memory)

    assert end.why == "done"
    assert [visit.resumed for visit in relay.visits] == [False, True, True]


def test_what_was_made_ready_anew_is_not_spoilt_by_a_session_that_began_before(
    good: ssl.SSLContext, authority: Authority, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.path.read_bytes())
    memory = RelayMemory()

    async def go() -> list[Any]:
        async with Relay(tls=good) as relay:
            feed = ListFeed([shipment("m0")], lingers=True)
            before = asyncio.create_task(send(relay, feed=feed, tls="required", ca=ca, memory=memory))
            await relay.came.wait()
            os.utime(ca, (1, 1))  # renewed, so that everything is made anew
            ends = [(await send(relay, shipment("m1"), tls="required", ca=ca, memory=memory))[0]]
            feed.close.set()
            ends.append((await before)[0])
            ends.append((await send(relay, shipment("m2"), tls="required", ca=ca, memory=memory))[0])
            return ends

    assert [end.why for end in asyncio.run(go())] == ["done"] * 3


def test_c17_without_starttls_nothing_goes_in_clear() -> None:
    end, feed, relay = attempt(tls="required")

    assert_held(end, feed, relay)
    assert end.text == "127.0.0.1 offers no encryption (TLS), which the settings require"


def test_c17_a_refusal_to_begin_encryption_is_no_leave_to_send_in_clear(good: ssl.SSLContext) -> None:
    end, feed, relay = attempt({"STARTTLS": "502 5.5.1 no"}, relay={"tls": good}, tls="required")

    assert_held(end, feed, relay)


BAD_CERTIFICATES = {
    "self-signed": ({"signed": False}, "nobody we trust"),
    "expired": ({"days": (-30, -1)}, "has expired, or the clock of this machine is wrong"),
    "not valid yet": ({"days": (1, 30)}, "is not valid yet, or the clock of this machine is wrong"),
    "wrong name": ({"names": ("portal.hotel.test",)}, "certificate of another host"),
    "weak key": ({"weak": True}, "too weak"),
}


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "implicit"])
@pytest.mark.parametrize(("made", "said"), BAD_CERTIFICATES.values(), ids=BAD_CERTIFICATES)
def test_c18_a_bad_certificate_holds_the_mail_and_says_why(
    folder: Path, authority: Authority, made: dict[str, Any], said: str, implicit: bool
) -> None:
    made = dict(made)
    signer = authority if made.pop("signed", True) else None
    context = make_server(folder, signer, name="bad", **made).context()

    end, feed, relay = attempt(
        relay={"tls": context, "implicit": implicit},
        tls="implicit" if implicit else "required",
        ca=authority.path,
    )

    assert_held(end, feed, relay)
    assert said in end.text


def test_c18_with_the_pin_of_its_key_a_self_signed_certificate_will_do(folder: Path) -> None:
    server = make_server(folder, None, name="pinned", days=(-30, -1))

    end, feed, _ = attempt(relay={"tls": server.context()}, tls="required", pin=server.pin)

    assert (end.why, feed.kinds("m0")) == ("done", ["Delivered"])


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "implicit"])
def test_c18_another_key_than_the_pinned_one_gets_nothing(good: ssl.SSLContext, implicit: bool) -> None:
    end, feed, relay = attempt(
        relay={"tls": good, "implicit": implicit}, tls="implicit" if implicit else "required", pin="0" * 64
    )

    assert_held(end, feed, relay)
    assert "another key than the pinned one" in end.text


def test_c18_a_ca_file_that_cannot_be_read_closes_instead_of_opening(good: ssl.SSLContext, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")

    for ca in (tmp_path / "missing.pem", empty):
        end, feed, relay = attempt(relay={"tls": good}, tls="required", ca=ca)
        assert_held(end, feed, relay)


@pytest.mark.parametrize("tls", ["required", "opportunistic"])
def test_c19_text_behind_the_220_is_not_believed(good: ssl.SSLContext, tls: str) -> None:
    script = {"STARTTLS": [Say("220 2.0.0 go", also=b"250-relay.test\r\n250 AUTH PLAIN\r\n", stop_reading=True)]}

    end, feed, relay = attempt(script, relay={"tls": good}, tls=tls)

    assert end.why in ("tls", "broken")
    assert not feed.taken
    assert not relay.messages


@pytest.mark.parametrize("how", [Say("220 2.0.0 go", stop_reading=True), Say("220 2.0.0 go", hang_up=True)])
def test_c20_a_handshake_that_hangs_or_is_cut_is_tried_again(
    good: ssl.SSLContext, authority: Authority, how: Say
) -> None:
    timers = dataclasses.replace(QUICK, tls=0.3)

    end, feed, relay = attempt({"STARTTLS": how}, relay={"tls": good}, tls="required", ca=authority.path, timers=timers)

    assert (end.why, end.alarm) == ("broken", False), "as after any cut of the line; not held"
    assert Timers().tls == 60.0
    assert not feed.taken
    assert not relay.messages


@pytest.mark.parametrize("how", [SILENCE, HANG_UP])
def test_c20_a_tls_port_that_says_nothing_or_hangs_up_is_tried_again(authority: Authority, how: Say) -> None:
    timers = dataclasses.replace(QUICK, tls=0.3)

    end, feed, _ = attempt({"CONNECT": how}, tls="implicit", ca=authority.path, timers=timers)

    assert (end.why, end.alarm) == ("unreachable", False)
    assert not feed.taken


def test_c21_only_what_is_said_inside_tls_counts(
    good: ssl.SSLContext, authority: Authority, password: PasswordSource
) -> None:
    inside = "250-relay.test\r\n250 8BITMIME"

    end, _, relay = attempt({"EHLO": [None, inside]}, relay={"tls": good}, tls="required", ca=authority.path)
    no_auth, _, _ = attempt(
        {"EHLO": ["250-relay.test\r\n250-STARTTLS\r\n250 AUTH PLAIN", inside]},
        relay={"tls": good, "users": {"brno": SECRET}},
        tls="required",
        ca=authority.path,
        user="brno",
        password=password,
    )

    assert relay.visits[0].verbs[3:] == ["MAIL", "RCPT", "DATA", "QUIT"]
    assert end.offers == dataclasses.replace(end.offers, pipelining=False, chunking=False, eightbitmime=True)
    assert (no_auth.why, no_auth.alarm) == ("auth", True)


@pytest.mark.parametrize("ways", ["PLAIN LOGIN CRAM-MD5", "LOGIN", "XOAUTH2 LOGIN"])
def test_signing_in_uses_one_way_that_both_know(
    good: ssl.SSLContext, authority: Authority, password: PasswordSource, ways: str
) -> None:
    end, _, relay = attempt(
        relay={"tls": good, "users": {"brno": SECRET}, "extensions": (*EXTENSIONS, f"AUTH {ways}")},
        tls="required",
        ca=authority.path,
        user="brno",
        password=password,
    )

    assert (end.why, relay.visits[0].signed_in) == ("done", "brno")
    assert relay.visits[0].verbs.count("AUTH") == 1


@pytest.mark.parametrize(
    ("reply", "why", "said"),
    [
        ("535 5.7.8 wrong password", "auth", "refuses our login (535 5.7.8 wrong password)"),
        ("530 5.7.0 no", "auth", "refuses our login"),
        ("534 5.7.9 too weak", "auth", "refuses our login"),
        ("454 4.7.0 later", "refused", "cannot check our login now (454 4.7.0 later)"),  # retried, not held
    ],
)
def test_c22_one_try_a_session_and_the_queue_is_held(
    good: ssl.SSLContext, authority: Authority, password: PasswordSource, reply: str, why: str, said: str
) -> None:
    end, feed, relay = attempt(
        {"AUTH": reply},
        relay={"tls": good, "users": {"brno": SECRET}},
        tls="required",
        ca=authority.path,
        user="brno",
        password=password,
    )

    assert (end.why, end.alarm) == (why, why == "auth")
    assert said in end.text
    assert relay.visits[0].verbs.count("AUTH") == 1
    assert not feed.taken
    assert SECRET not in repr(end)


@pytest.mark.parametrize("tls", ["none", "opportunistic"])
def test_p14_the_password_is_never_sent_in_clear(password: PasswordSource, tls: str) -> None:
    end, feed, relay = attempt(
        relay={"users": {"brno": SECRET}, "extensions": (*EXTENSIONS, "AUTH PLAIN LOGIN")},
        tls=tls,
        user="brno",
        password=password,
    )

    assert_held(end, feed, relay, "auth")
    assert "AUTH" not in relay.visits[0].verbs


def test_p14_a_password_file_that_others_may_read_is_not_used(
    good: ssl.SSLContext, authority: Authority, password: PasswordSource
) -> None:
    assert password.file is not None
    password.file.chmod(0o640)

    end, feed, relay = attempt(
        relay={"tls": good, "users": {"brno": SECRET}},
        tls="required",
        ca=authority.path,
        user="brno",
        password=password,
    )

    assert (end.why, end.alarm) == ("auth", True)
    assert "may be read by others (mode 0640)" in end.text
    assert not relay.visits
    assert not feed.taken


def test_opportunistic_encrypts_with_whoever_it_is_and_goes_in_clear_where_it_must(
    folder: Path,
) -> None:
    stranger = make_server(folder, None, name="stranger").context()

    _, encrypted, with_tls = attempt(relay={"tls": stranger}, tls="opportunistic")
    _, clear, without = attempt(tls="opportunistic")

    assert encrypted.kinds("m0") == clear.kinds("m0") == ["Delivered"]
    assert with_tls.visits[0].is_encrypted
    assert not without.visits[0].is_encrypted


def test_opportunistic_does_without_after_a_broken_handshake(good: ssl.SSLContext) -> None:
    memory = RelayMemory()

    end, feed, _ = attempt(
        {"STARTTLS": [Say("220 2.0.0 go", hang_up=True)]},
        relay={"tls": good},
        times=2,
        tls="opportunistic",
        memory=memory,
    )

    assert (end.why, feed.kinds("m1")) == ("done", ["Delivered"])


def test_a_relay_that_takes_nothing_in_clear_is_offered_encryption_again(good: ssl.SSLContext) -> None:
    end, feed, relay = attempt(
        {"STARTTLS": [Say("220 2.0.0 go", hang_up=True)], "MAIL": ["530 5.7.0 Must issue a STARTTLS command first"]},
        relay={"tls": good},
        times=3,
        tls="opportunistic",
        memory=RelayMemory(),
    )

    assert [visit.is_encrypted for visit in relay.visits] == [False, False, True]
    assert (end.why, feed.kinds("m2")) == ("done", ["Delivered"])


def test_a_cut_in_the_handshake_is_not_held_against_encryption_for_long(good: ssl.SSLContext) -> None:
    memory = RelayMemory()

    async def go() -> bool:
        async with Relay({"STARTTLS": [Say("220 2.0.0 go", hang_up=True)]}, tls=good) as relay:
            await send(relay, shipment("m0"), tls="opportunistic", memory=memory)
            now = asyncio.get_running_loop().time()
            assert now < memory.no_tls < now + 3600
            memory.no_tls -= 3600
            await send(relay, shipment("m1"), tls="opportunistic", memory=memory)
            return relay.visits[-1].is_encrypted

    assert asyncio.run(go())


@pytest.mark.parametrize("how", [HANG_UP, SILENCE])
def test_an_answer_lost_inside_tls_leaves_the_message_in_doubt(
    good: ssl.SSLContext, authority: Authority, how: Say
) -> None:
    timers = dataclasses.replace(QUICK, final=0.3)

    _, feed, _ = attempt({".": how}, relay={"tls": good}, tls="required", ca=authority.path, timers=timers)

    assert feed.kinds("m0") == ["Unconfirmed"]


def test_large_and_small_messages_pass_through_tls_octet_for_octet(good: ssl.SSLContext, authority: Authority) -> None:
    big = b"Subject: x\r\n\r\n" + b".abc\r\n" * 50_000

    async def go() -> Any:
        async with Relay(tls=good) as relay:
            ships = [shipment("m1"), shipment("m2", big), shipment("m3")]
            _, feed = await send(relay, *ships, tls="required", ca=authority.path)
            return feed, relay

    feed, relay = asyncio.run(go())

    assert [feed.kinds(f"m{n}") for n in (1, 2, 3)] == [["Delivered"]] * 3
    assert relay.messages[1].octets == big
