"""Sessions, tokens, pauses after wrong passwords, and whose host name is ours."""

from __future__ import annotations

import asyncio
import base64

import msgspec
import pytest
from starlette.datastructures import Headers

from gateway.config.settings import Address
from gateway.console.accounts import Accounts
from gateway.console.door import Door, Wait, host_name
from gateway.console.sessions import IDLE, LONGEST, MOST, SessionBook
from gateway.console.throttle import FREE, Throttle
from gateway.console.throttle import LONGEST as LONGEST_PAUSE
from gateway.console.tokens import FORM_SECONDS, FormTokens, masked, unmasks
from gateway.control.accounts import STATE, with_account
from gateway.mail.password import make_hash
from tests.support.clock import FakeClock


def door(clock: FakeClock, saved: bytes | None = None, host: str = "127.0.0.1", *, has_tls: bool = False) -> Door:
    told: list[str] = []
    return Door(
        Address(host, 8025),
        ("gw.branch.example",),
        has_tls=has_tls,
        clock=clock,
        load_state=lambda name: saved,
        told=told.append,
    )


def test_w11_what_an_open_page_asks_by_itself_keeps_nobody_signed_in() -> None:
    clock = FakeClock()
    made = door(clock)
    name, session = made.sessions.begin("operator")
    cookie = {"cookie": f"{made.cookie}={name}"}
    for by_itself in ({"x-background": "yes"}, {"accept": "text/event-stream"}):
        clock.advance(IDLE / 2 - 1)
        assert made.session(Headers({**cookie, **by_itself})) is session
    clock.advance(3)
    assert made.session(Headers({**cookie, "x-background": "yes"})) is None


def test_w11_a_session_ends_after_half_an_hour_without_a_request() -> None:
    clock = FakeClock()
    book = SessionBook(clock)
    name, session = book.begin("operator")
    clock.advance(IDLE - 1)
    assert book.find(name) is session
    clock.advance(IDLE - 1)
    assert book.find(name) is session
    clock.advance(IDLE + 1)
    assert book.find(name) is None
    assert session.ended.is_set()


def test_w11_a_session_ends_after_twelve_hours_whatever_is_done() -> None:
    clock = FakeClock()
    book = SessionBook(clock)
    name, _ = book.begin("operator")
    for _ in range(int(LONGEST // 1000)):
        clock.advance(1000)
        assert book.find(name) is not None
    clock.advance(1000)
    assert book.find(name) is None


def test_w11_a_stream_does_not_keep_a_session_alive() -> None:
    clock = FakeClock()
    book = SessionBook(clock)
    _, session = book.begin("operator")
    for _ in range(int(IDLE // 60)):
        clock.advance(60)
        assert book.is_alive(session)
    clock.advance(60)
    assert not book.is_alive(session)


def test_w11_over_tls_the_cookie_is_bound_to_the_host() -> None:
    assert door(FakeClock(), has_tls=True).cookie == "__Host-tidegate"
    assert door(FakeClock()).cookie == "tidegate"


def test_sessions_are_bounded_and_the_idlest_goes_first() -> None:
    clock = FakeClock()
    book = SessionBook(clock)
    first, _ = book.begin("operator")
    for _ in range(MOST):
        clock.advance(0.001)
        book.begin("viewer")
    assert book.find(first) is None


def test_w12_setting_a_password_ends_the_sessions_of_the_role_and_those_without_a_password() -> None:
    book = SessionBook(FakeClock())
    operator, _ = book.begin("operator")
    viewer, _ = book.begin("viewer")
    unsigned, _ = book.begin("operator", is_open=True)
    book.end_role("viewer")
    assert book.find(operator) is not None
    assert book.find(viewer) is None
    assert book.find(unsigned) is None


def test_w07_a_token_is_masked_anew_and_only_the_right_one_unmasks() -> None:
    token = bytes(range(32))
    first, second = masked(token), masked(token)
    assert first != second
    assert unmasks(first, token)
    assert unmasks(second, token)
    for wrong in ("", "AAAA", first[:-4], first + "AAAA", masked(bytes(32)), "é" * 88):
        assert not unmasks(wrong, token)


def test_w07_a_form_is_taken_once_signed_in_time_and_with_its_cookie() -> None:
    forms = FormTokens()
    token = forms.make(1000.0)
    assert forms.accepts(token, token, 1001.0)
    assert not forms.accepts(token, forms.make(1000.0), 1001.0)
    assert not forms.accepts("", "", 1001.0)
    assert not forms.accepts(token, token, 1001.0 + FORM_SECONDS)
    assert not FormTokens().accepts(token, token, 1001.0)
    forged = "9999999." + token.partition(".")[2]
    assert not forms.accepts(forged, forged, 1001.0)


def test_w15_pauses_grow_for_an_account_and_an_address_and_end() -> None:
    throttle = Throttle()
    now = 1000.0
    for _ in range(FREE):
        assert throttle.wait("operator", "192.0.2.1", now) == 0
        throttle.failed("operator", "192.0.2.1", now)
    assert throttle.wait("operator", "192.0.2.1", now) == 1.0
    assert throttle.wait("operator", "192.0.2.99", now) == 1.0
    assert throttle.wait("viewer", "192.0.2.99", now) == 0
    for _ in range(20):
        throttle.failed("operator", "192.0.2.1", now)
    assert throttle.wait("operator", "192.0.2.1", now) == 60.0
    assert throttle.wait("operator", "192.0.2.1", now + 61) == 0


def test_w15_a_guesser_on_the_network_does_not_keep_the_owner_at_the_machine_out() -> None:
    throttle = Throttle()
    for n in range(10_000):
        throttle.failed("operator", f"198.51.{n // 256 % 256}.{n % 256}", 1000.0)
    assert throttle.wait("operator", "203.0.113.1", 1000.0) == 60.0
    assert throttle.wait("operator", "127.0.0.1", 1000.0) == 0
    assert throttle.wait("operator", "::1", 1000.0) == 0


def test_w15_an_ipv6_network_counts_as_one_address() -> None:
    throttle = Throttle()
    for n in range(5):
        throttle.failed(f"name{n}", f"2001:db8::{n}", 1000.0)
    assert throttle.wait("other", "2001:db8::ffff", 1000.0) > 0
    assert throttle.wait("other", "2001:db8:0:1::1", 1000.0) == 0


def test_w15_right_and_wrong_passwords_and_unknown_names() -> None:
    async def body() -> None:
        saved = with_account(None, "operator", make_hash("correct horse"))
        made = door(FakeClock(), saved)
        assert made.code is None
        assert await made.check("operator", "correct horse", "192.0.2.1") == "operator"
        assert await made.check("operator", "wrong", "192.0.2.1") is None
        assert await made.check("viewer", "correct horse", "192.0.2.2") is None
        assert await made.check("nobody", "correct horse", "192.0.2.3") is None
        for _ in range(FREE - 1):
            await made.check("operator", "wrong", "192.0.2.1")
        with pytest.raises(Wait):
            await made.check("operator", "correct horse", "192.0.2.1")
        made.close()

    asyncio.run(body())


def test_a_state_that_cannot_be_read_opens_no_door() -> None:
    for broken in (b"", b"{", b'{"operator": "no hash"}', msgspec.json.encode({"operator": 1})):
        accounts = Accounts({STATE: broken}.get)
        assert accounts.is_set
        assert not accounts.has("operator")
    made = door(FakeClock(), b"{")
    assert not made.needs_no_password("127.0.0.1")
    assert made.code is None


def test_w16_the_code_is_read_whatever_its_letters_and_wrong_ones_cost_time() -> None:
    clock = FakeClock()
    made = door(clock)
    assert made.code is not None
    assert made.takes_code(f" {made.code.lower().replace('-', ' ')} ", "192.0.2.1")
    for _ in range(FREE):
        assert not made.takes_code("AAAA-AAAA-AAAA", "192.0.2.1")
    with pytest.raises(Wait):
        made.takes_code(made.code, "192.0.2.1")
    clock.advance(10)
    assert made.takes_code(made.code, "192.0.2.1")


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost:8025", "localhost"),
        ("LOCALHOST.", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]:8025", "::1"),
        ("[::1]", "::1"),
        ("", None),
        ("a b", None),
        ("a/b", None),
        ("a@b", None),
        ("[::1", None),
        ("[::1]x", None),
        ("localhost:http", None),
        ("x" * 400, None),
    ],
)
def test_w08_a_host_header_is_read_strictly(host: str, name: str | None) -> None:
    assert host_name(host) == name


def test_w08_own_names_are_known_and_others_are_not() -> None:
    made = door(FakeClock())
    for host in ("localhost", "127.0.0.1:8025", "[::1]:8025", "gw.branch.example", "GW.branch.example.:8025"):
        assert made.knows_host(host, "127.0.0.1")
    for host in ("evil.example", "127.0.0.1.nip.io", "192.0.2.7", "localhost.evil.example"):
        assert not made.knows_host(host, "127.0.0.1")
    assert door(FakeClock(), host="192.0.2.7", has_tls=True).knows_host("192.0.2.7", "192.0.2.7")
    assert not door(FakeClock(), host="0.0.0.0", has_tls=True).knows_host("192.0.2.8", "192.0.2.7")


@pytest.mark.parametrize(
    ("headers", "forged"),
    [
        ({}, False),
        ({"sec-fetch-site": "same-origin", "origin": "http://localhost:8025", "host": "localhost:8025"}, False),
        ({"sec-fetch-site": "none", "host": "localhost:8025"}, False),
        ({"sec-fetch-site": "cross-site", "host": "localhost:8025"}, True),
        ({"sec-fetch-site": "same-site", "host": "localhost:8025"}, True),
        ({"origin": "null", "host": "localhost:8025"}, True),
        ({"origin": "https://localhost:8025", "host": "localhost:8025"}, True),
        ({"origin": "http://localhost", "host": "localhost:8025"}, True),
        ({"origin": "http://localhost:8025.evil.example", "host": "localhost:8025"}, True),
    ],
)
def test_w07_what_a_browser_says_of_a_requests_origin_counts(headers: dict[str, str], forged: bool) -> None:
    assert door(FakeClock()).is_forged(headers) is forged


def test_a_wrong_password_said_again_is_no_guess_and_keeps_nobody_out() -> None:
    async def body() -> None:
        clock = FakeClock()
        saved = [with_account(None, "operator", make_hash("right enough"))]
        made = door(clock, saved[0])
        made.accounts._load = lambda name: saved[0]
        for _ in range(FREE + 5):
            assert await made.who(basic("operator", "wrong"), "192.0.2.1") is None
        assert await made.who(basic("operator", "right enough"), "192.0.2.1") is not None
        for n in range(FREE - 1):
            assert await made.who(basic("operator", f"wrong {n}"), "192.0.2.2") is None
        assert await made.who(basic("operator", "one more"), "192.0.2.2") is None
        with pytest.raises(Wait):
            await made.who(basic("operator", "another"), "192.0.2.2")
        saved[0] = with_account(None, "operator", make_hash("wrong"))
        made.passwords_changed("operator")
        clock.advance(LONGEST_PAUSE)
        assert await made.who(basic("operator", "wrong"), "192.0.2.1") is not None
        made.close()

    asyncio.run(body())


def basic(name: str, password: str) -> Headers:
    return Headers({"authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()})
