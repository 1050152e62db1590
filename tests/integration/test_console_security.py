"""The console against whoever means it ill: CASES section 3, a test a row, over a real gateway."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.support.console import PASSWORD, Browser, ConsoleGateway, Events, raw
from tests.support.evening import evening_zone
from tests.support.gateway import eventually, letter
from tests.support.relay import Say
from tests.support.relaythread import RelayThread
from tests.support.servertls import make_listener_certificate

SCHEDULE = f"timezone: {evening_zone()}\nwindows:\n  - {{name: Night, open: '22:00-05:00'}}\n"
MARKUP = '<script>alert(1)</script>"><svg onload=alert(2)><img src=x onerror=alert(3)>'


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleGateway]:
    """One without a password: loopback needs no signing in."""
    with ConsoleGateway(tmp_path_factory.mktemp("open"), "mode: offline\n", SCHEDULE) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleGateway]:
    """One with a password for operator and viewer."""
    with ConsoleGateway(tmp_path_factory.mktemp("closed"), "mode: offline\n", SCHEDULE) as gateway:
        gateway.set_password()
        gateway.set_password("viewer", "only looking around")
        yield gateway


def test_w01_markup_in_envelope_and_header_is_text_on_every_page_and_in_every_answer(gateway: ConsoleGateway) -> None:
    named = f'Content-Type: application/pdf;\r\n name="{MARKUP[:25]}.pdf"\r\n'.encode()
    item = gateway.hand_in(named + letter(MARKUP), '"<b>x</b>"@hq.example', sender='"<img src=x>"@branch.example')
    browser = gateway.browser()
    for path in ("/", "/print", "/schedule", "/sessions", "/print?filter=%3Cscript%3E"):
        page = browser.load(path)
        assert page.status == 200
        for evil in ("<script>alert", "<img src=x", "<b>x</b>", "<svg onload"):
            assert evil not in page.text
    message = browser.get(f"/api/v1/messages/{item}")
    assert message.headers["content-type"] == "application/json"
    assert message.json()["subject"] == MARKUP
    assert message.json()["attachments"] == ["<script>alert(1)</script>.pdf"]
    table = browser.get("/api/v1/queue.csv")
    assert table.headers["content-type"].startswith("text/csv")
    assert "attachment" in table.headers["content-disposition"]


def test_w02_markup_in_a_configuration_error_is_text(gateway: ConsoleGateway) -> None:
    browser = gateway.browser()
    browser.load()
    answer = browser.post("/schedule/check", {"text": f"timezone: UTC\n{MARKUP}: 1\n"})
    assert answer.headers["content-type"] == "application/json"
    assert not answer.json()["is_valid"]
    refused = browser.post("/hold", {"match": f"size:{MARKUP}"})
    assert refused.status == 422
    assert refused.headers["content-type"] == "application/json"


def test_w03_a_subject_that_hides_markup_is_decoded_cut_and_harmless_to_the_eye(gateway: ConsoleGateway) -> None:
    hidden = "=?utf-8?b?PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0PuKAruKAi29rAA==?="
    item = gateway.hand_in(letter(hidden))
    long = gateway.hand_in(letter("\r\n ".join(["x" * 900] * 60)))
    browser = gateway.browser()
    subject = browser.get(f"/api/v1/messages/{item}").json()["subject"]
    assert subject == "<script>alert(1)</script>\\u202e\\u200bok\\u0000"
    shown = browser.get(f"/api/v1/messages/{long}").json()["subject"]
    assert len(shown) <= 2001
    assert shown.endswith("…")
    assert browser.load("/").status == 200


def test_w04_the_source_of_a_message_is_a_file_and_never_a_page(gateway: ConsoleGateway) -> None:
    body = "<html><script>alert(1)</script></html>\r\n"
    item = gateway.hand_in(letter("page", body))
    answer = gateway.browser().get(f"/api/v1/messages/{item}/source")
    assert answer.status == 200
    assert answer.body.endswith(body.encode())
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == f'attachment; filename="{item}.eml"'
    assert "sandbox" in answer.headers["content-security-policy"]


def test_w05_a_cell_that_a_spreadsheet_would_compute_is_marked_as_text(gateway: ConsoleGateway) -> None:
    gateway.hand_in(letter(), sender="=cmd@branch.example")
    gateway.hand_in(letter(), sender="+49@branch.example")
    gateway.hand_in(letter(), sender="-x@branch.example")
    table = gateway.browser().get("/api/v1/queue.csv?filter=from:branch").text
    for cell in ("'=cmd@branch.example", "'+49@branch.example", "'-x@branch.example"):
        assert cell in table
        assert "," + cell[1:] not in table


def test_w06_every_answer_has_a_policy_that_allows_our_own_scripts_alone(gateway: ConsoleGateway) -> None:
    browser = gateway.browser()
    for path in ("/", "/setup", "/print", "/api/v1/queue", "/healthz", "/nothing", "/static/style.css"):
        policy = browser.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "script-src 'self'" in policy
    page = browser.get("/").text
    assert " style=" not in page
    assert " onclick=" not in page
    assert page.count("<script") == 3  # two files and the page's data, which no browser runs
    assert '<script type="application/json"' in page


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example", "Sec-Fetch-Site": ""},
        {"Origin": "null", "Sec-Fetch-Site": ""},
        {"Sec-Fetch-Site": "cross-site", "Origin": ""},
        {"Sec-Fetch-Site": "same-site", "Origin": ""},
        {"X-Token": ""},
        {"X-Token": "AAAA"},
        {"X-Token": "", "Content-Type": "text/plain", "Origin": "http://evil.example"},
    ],
)
def test_w07_a_request_that_another_site_made_changes_nothing(gateway: ConsoleGateway, headers: dict[str, str]) -> None:
    browser = gateway.browser()
    browser.load()
    assert browser.post("/mode", {"mode": "stopped"}, headers=headers).status == 403
    assert browser.get("/api/v1/overview").json()["overview"]["mode"]["set"] == "offline"


def test_w07_nothing_is_changed_by_get_and_a_form_of_another_site_is_refused(gateway: ConsoleGateway) -> None:
    browser = gateway.browser()
    browser.load()
    for path in ("/api/v1/mode", "/api/v1/remove", "/api/v1/undo", "/signout"):
        assert browser.get(path).status == 405
    forged = browser.ask(
        "POST",
        "/api/v1/undo",
        b"a=b",
        {"Content-Type": "application/x-www-form-urlencoded", "Origin": "http://evil.example"},
    )
    assert forged.status == 403


@pytest.mark.parametrize("path", ["/", "/api/v1/queue", "/api/v1/events", "/setup", "/healthz"])
@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io:80", "192.0.2.1", "a b", ""]
)
def test_w08_a_foreign_host_name_gets_nothing(gateway: ConsoleGateway, path: str, host: str) -> None:
    answer = raw(gateway.console_port, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert answer.split()[1] in (b"421", b"400")
    assert b"event:" not in answer


def test_w08_two_host_headers_are_refused_and_the_own_names_are_known(gateway: ConsoleGateway) -> None:
    port = gateway.console_port
    twice = raw(port, b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
    assert twice.split()[1] in (b"400", b"421")
    for name in ("localhost", "127.0.0.1", "gw.branch.example", f"localhost:{port}", "LOCALHOST"):
        assert raw(port, f"GET /healthz HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()).split()[1] == b"200"


def test_w09_no_page_may_be_framed(gateway: ConsoleGateway) -> None:
    for path in ("/", "/setup", "/print"):
        answer = gateway.browser().get(path)
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] == "DENY"


def test_w10_signing_in_gives_a_new_session_and_ends_the_old(closed: ConsoleGateway) -> None:
    browser = closed.browser()
    browser.cookies["tidegate"] = "chosen-by-an-attacker"
    assert browser.sign_in().status == 303
    first = browser.cookies["tidegate"]
    assert first != "chosen-by-an-attacker"
    assert browser.sign_in("viewer", "only looking around").status == 303
    assert browser.cookies["tidegate"] != first
    stale = closed.browser()
    stale.cookies["tidegate"] = first
    assert stale.get("/api/v1/queue").status == 401


def test_w11_the_cookie_is_for_http_alone_and_for_our_own_pages_alone(closed: ConsoleGateway) -> None:
    browser = closed.browser()
    answer = browser.sign_in()
    cookie = next(line for line in answer.headers.get_all("set-cookie") or [] if line.startswith("tidegate="))
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert "Path=/" in cookie
    assert "Domain" not in cookie


def test_w12_signing_out_ends_every_session_of_the_user_and_open_streams_at_once(closed: ConsoleGateway) -> None:
    one, other = closed.browser(), closed.browser()
    one.sign_in()
    other.sign_in()
    stream = other.events()
    stream.wait_for("hello")
    page = one.load("/")
    assert "Sign out" in page.text
    body = f"token={one.token}".encode()
    done = one.ask("POST", "/signout", body, {"Content-Type": "application/x-www-form-urlencoded"})
    assert done.status == 303
    assert stream.is_closed()
    assert other.get("/api/v1/queue").status == 401


def test_w12_a_new_password_ends_the_sessions_of_that_role_only(closed: ConsoleGateway) -> None:
    operator, viewer = closed.browser(), closed.browser()
    operator.sign_in()
    viewer.sign_in("viewer", "only looking around")
    stream = viewer.events()
    stream.wait_for("hello")
    closed.set_password("viewer", "only looking around")
    assert stream.is_closed()
    assert viewer.get("/api/v1/queue").status == 401
    assert operator.get("/api/v1/queue").status == 200


def test_w13_without_a_session_no_octet_of_the_queue_is_shown(closed: ConsoleGateway) -> None:
    nobody = closed.browser()
    for path in ("/api/v1/queue", "/api/v1/events", "/api/v1/openapi.json", "/metrics", "/api/v1/queue.csv"):
        answer = nobody.get(path)
        assert answer.status == 401
        assert answer.json() == {"error": "sign in first"}
    for path in ("/", "/schedule", "/print"):
        answer = nobody.get(path)
        assert (answer.status, answer.headers["location"]) == (303, "/signin")
        assert not answer.body


def test_w13_a_viewer_looks_and_changes_nothing(closed: ConsoleGateway) -> None:
    viewer = closed.browser()
    viewer.sign_in("viewer", "only looking around")
    assert viewer.get("/api/v1/queue").status == 200
    for path, value in (("/mode", {"mode": "stopped"}), ("/undo", {}), ("/remove", {"all": True}), ("/reload", {})):
        assert viewer.post(path, value).status == 403
    assert viewer.post("/schedule", {"text": "x", "version": "y"}, method="PUT").status == 403


def test_w13_a_program_signs_each_request(closed: ConsoleGateway) -> None:
    import base64

    program = closed.browser()
    for name, password, status in (
        ("operator", PASSWORD, 200),
        ("operator", "wrong", 401),
        ("viewer", "only looking around", 200),
        ("nobody", PASSWORD, 401),
    ):
        words = base64.b64encode(f"{name}:{password}".encode()).decode()
        answer = program.ask("GET", "/api/v1/queue", headers={"Authorization": f"Basic {words}"}, own=False)
        assert answer.status == status


def test_w14_streams_are_limited_and_mail_goes_on(gateway: ConsoleGateway) -> None:
    browser = gateway.browser()
    browser.load()
    streams = []
    try:
        for _ in range(12):
            stream = browser.events()
            streams.append(stream)
        assert [s.status for s in streams].count(200) == 8
        assert streams[-1].status == 429
        others = []
        for _ in range(60):
            other = gateway.browser()
            try:
                other.load()
                others.append(Events(other))
            except (EOFError, ConnectionError, HTTPException):
                break  # one connection too many
        streams += others
        assert sum(s.status == 200 for s in streams) <= 64
        assert gateway.hand_in(letter("while a thousand look"))
    finally:
        for stream in streams:
            stream.close()

    def is_served() -> bool:
        stream = gateway.browser().events()
        try:
            return stream.status == 200
        finally:
            stream.close()

    eventually(is_served, "places are free again")


def test_w15_guessing_is_slowed_and_tells_nothing_about_names(tmp_path: Path) -> None:
    with ConsoleGateway(tmp_path, "mode: offline\n") as gateway:
        gateway.set_password()
        browser = gateway.browser()
        answers = [browser.submit("/signin", name=name, password="guess") for name in ("operator", "nobody", "root")]
        assert {answer.status for answer in answers} == {401}
        texts = {answer.text.split('name="form"')[0] for answer in answers}
        assert len(texts) == 1
        slowed = browser.submit("/signin", name="operator", password=PASSWORD)
        assert slowed.status == 429
        assert gateway.hand_in(letter("mail is not concerned"))
        eventually(lambda: browser.sign_in().status == 303, "the owner gets in after the pause")
        assert gateway.logged("refused", "console: wrong password")
        assert not gateway.logged("guess")


def test_w16_the_set_up_page_takes_the_printed_code_once(tmp_path: Path) -> None:
    with ConsoleGateway(tmp_path, "mode: offline\n") as gateway:
        assert gateway.code is not None
        browser = gateway.browser()
        assert browser.submit("/setup", code="AAAA-BBBB-CCCC", password=PASSWORD).status == 401
        assert browser.submit("/setup", code=gateway.code, password="short").status == 400
        done = browser.submit("/setup", code=gateway.code.lower(), password=PASSWORD)
        assert (done.status, done.headers["location"]) == (303, "/")
        assert browser.load().status == 200
        again = gateway.browser()
        assert again.get("/setup").status == 303
        assert again.submit("/setup", code=gateway.code, password="another password").status in (403, 410)
        assert again.get("/api/v1/queue").status == 401
        assert again.sign_in().status == 303


@pytest.mark.parametrize(
    "item",
    ["..%2f..%2fetc%2fpasswd", "%2e%2e", "a%00b", "ABC", "a.b", "x" * 17, "%F0%9F%92%A9", "..", "a%2fb", "-"],
)
def test_w17_what_is_no_queue_id_names_no_file(gateway: ConsoleGateway, item: str) -> None:
    browser = gateway.browser()
    for tail in ("", "/source", "/explain"):
        assert browser.get(f"/api/v1/messages/{item}{tail}").status in (404, 400)


def test_w17_a_symbolic_link_in_the_spool_is_not_followed(gateway: ConsoleGateway, tmp_path: Path) -> None:
    item = gateway.hand_in(letter("linked"))
    content = gateway.spool / "queue" / f"{item}.eml"
    eventually(content.exists, "the pair follows")
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * content.stat().st_size)
    content.unlink()
    content.symlink_to(secret)
    answer = gateway.browser().get(f"/api/v1/messages/{item}/source")
    assert b"ssss" not in answer.body


def test_w18_of_two_removals_at_once_one_wins_and_the_state_is_true(gateway: ConsoleGateway) -> None:
    item = gateway.hand_in(letter("twice"))
    browser = gateway.browser()
    browser.load()
    answers = []

    def remove() -> None:
        answers.append(browser.post("/remove", {"ids": [item]}))

    threads = [threading.Thread(target=remove) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    removed = [a for a in answers if a.status == 200 and a.json()["results"].get("removed") == 1]
    assert removed  # all who hear so hear the truth: it is removed, if perhaps by another
    assert all(a.status in (200, 404) for a in answers)
    assert browser.get(f"/api/v1/messages/{item}").status == 404
    assert item not in browser.get("/api/v1/queue").text


def test_w19_the_password_is_nowhere_to_be_found(closed: ConsoleGateway) -> None:
    browser = closed.browser()
    browser.sign_in()
    for path in ("/", "/signin", "/print", "/api/v1/overview", "/api/v1/status", "/metrics", "/api/v1/openapi.json"):
        assert PASSWORD not in browser.get(path).text
        assert "scrypt" not in browser.get(path).text
    assert not any(PASSWORD in line or "scrypt" in line for line in closed.log)
    state = closed.spool / "state" / "console-accounts"
    assert state.stat().st_mode & 0o077 == 0
    assert PASSWORD not in state.read_text()


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
        b"POST /api/v1/undo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/v1/undo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        b"POST /api/v1/undo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999\r\n\r\n",
        b"POST /api/v1/undo HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 70000 + b"\r\n\r\n",
        b"GET /" + b"x" * 70000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET / HTTP/1.1\nHost: localhost\n X: folded\n\n",
    ],
)
def test_w20_requests_that_are_none_are_refused_and_mail_goes_on(gateway: ConsoleGateway, octets: bytes) -> None:
    answer = raw(gateway.console_port, octets)
    assert not answer or answer.split()[1] in (b"400", b"408", b"413", b"421", b"431"), answer[:200]
    assert b"200 OK" not in answer
    assert gateway.hand_in(letter())


def test_w20_a_body_without_end_is_cut_off_at_its_bound(gateway: ConsoleGateway) -> None:
    head = b"POST /api/v1/undo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    head += b"Content-Type: application/json\r\n\r\n"
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", gateway.console_port), timeout=20) as connection:
        connection.sendall(head)
        sent = 0
        try:
            while sent < 64 << 20:
                connection.sendall(chunk)
                sent += len(chunk)
        except OSError:
            pass
    assert sent < 16 << 20
    assert gateway.hand_in(letter())


def test_w20_a_header_that_comes_slowly_is_not_waited_for(gateway: ConsoleGateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.console_port), timeout=20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        answer = connection.recv(1000)
    assert answer == b"" or answer.split()[1] == b"408"


def test_w21_a_schedule_that_cannot_be_is_refused_and_the_old_one_stays(gateway: ConsoleGateway) -> None:
    browser = gateway.browser()
    browser.load()
    version = browser.get("/api/v1/schedule").json()["version"]
    file = gateway.folder / "schedule.yaml"
    bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\ntimezone: UTC\n"
    for text, told in ((bomb, "schedule.yaml:1:"), ("timezone: Nowhere\n", "schedule.yaml:1:11"), ("\tx: 1\n", "TAB")):
        answer = browser.post("/schedule", {"text": text, "version": version}, method="PUT")
        assert answer.status == 422
        assert told in answer.json()["error"]
        assert file.read_text() == SCHEDULE
    with contextlib.suppress(ConnectionError):  # the rest of it is not waited for
        huge = browser.post("/schedule", {"text": "x" * (4 << 20), "version": version}, method="PUT")
        assert huge.status == 413
    assert browser.post("/schedule", {"text": "#" * (1 << 20) + "#", "version": version}, method="PUT").status == 400
    assert gateway.hand_in(letter())


def test_w21_a_schedule_file_that_is_a_link_or_another_users_is_not_replaced(tmp_path: Path) -> None:
    with ConsoleGateway(tmp_path, "mode: offline\n", SCHEDULE) as gateway:
        browser = gateway.browser()
        browser.load()
        file, real = tmp_path / "schedule.yaml", tmp_path / "real.yaml"
        version = browser.get("/api/v1/schedule").json()["version"]
        file.rename(real)
        file.symlink_to(real)
        changed = {"text": SCHEDULE + "# x\n", "version": version}
        refused = browser.post("/schedule", changed, method="PUT")
        assert refused.status == 422
        assert "symbolic link" in refused.json()["error"]
        assert real.read_text() == SCHEDULE
        if os.geteuid() == 0:
            file.unlink()
            real.rename(file)
            os.chown(file, 12345, 12345)
            refused = browser.post("/schedule", changed, method="PUT")
            assert refused.status == 422
            assert "another user" in refused.json()["error"]
            assert file.read_text() == SCHEDULE


def test_w22_who_edits_an_old_version_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    with ConsoleGateway(tmp_path, "mode: offline\n", SCHEDULE) as gateway:
        one, other = gateway.browser(), gateway.browser()
        one.load()
        other.load()
        version = one.get("/api/v1/schedule").json()["version"]
        mine, theirs = SCHEDULE + "# one\n", SCHEDULE + "# other\n"
        first = one.post("/schedule", {"text": mine, "version": version}, method="PUT")
        assert first.status == 200
        second = other.post("/schedule", {"text": theirs, "version": version}, method="PUT")
        assert second.status == 409
        assert "somebody else" in second.json()["error"]
        assert (tmp_path / "schedule.yaml").read_text() == mine
        now = other.get("/api/v1/schedule").json()
        assert (now["text"], now["version"]) == (mine, first.json()["version"])
        assert other.post("/schedule", {"text": theirs, "version": now["version"]}, method="PUT").status == 200


def test_w23_what_a_stranger_says_about_where_he_is_counts_for_nothing(closed: ConsoleGateway) -> None:
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto"):
        answer = closed.browser().get("/api/v1/queue", **{name: "127.0.0.1"})
        assert answer.status == 401
    before = len(closed.logged("console: wrong password"))
    stranger = closed.browser()
    page = stranger.submit("/signin", name="operator", password="no")
    assert page.status in (401, 429)
    eventually(lambda: len(closed.logged("console: wrong password")) > before, "it is logged")
    assert closed.logged("client=127.0.0.1", "console: wrong password")


def test_w24_without_tls_other_addresses_are_refused_by_the_checker(tmp_path: Path) -> None:
    gateway = ConsoleGateway(tmp_path, console="console: {address: 0.0.0.0:0}\n")
    done = gateway.run("serve")
    assert done.returncode == 78
    assert "needs tls" in done.stderr


def test_w11_w24_over_tls_the_cookie_is_bound_to_the_host_and_a_stranger_sees_the_set_up_page(tmp_path: Path) -> None:
    made = make_listener_certificate(tmp_path)
    files = f"certificate: {made.settings.certificate}, key: {made.settings.key}"
    console = f"console: {{address: 0.0.0.0:0, tls: {{{files}}}}}\n"
    with ConsoleGateway(tmp_path, "mode: offline\n", console=console) as gateway:
        browser = gateway.browser(tls=made.client_context())
        assert browser.get("/").headers["location"] == "/setup"
        assert browser.get("/api/v1/queue").status == 401
        assert gateway.code is not None
        done = browser.submit("/setup", code=gateway.code, password=PASSWORD)
        assert done.status == 303
        cookie = next(line for line in done.headers.get_all("set-cookie") or [] if "__Host-tidegate" in line)
        assert "Secure" in cookie
        assert browser.load().status == 200
        assert json.loads(browser.get("/api/v1/queue").body)["messages"] == 0


def test_a_console_without_password_lets_a_browser_and_a_program_on_the_machine_in(gateway: ConsoleGateway) -> None:
    program = Browser(gateway.console_port)
    answer = program.ask(
        "POST", "/api/v1/mode", b'{"mode": "offline"}', {"Content-Type": "application/json"}, own=False
    )
    assert answer.status == 200


def test_w18_a_removal_raced_with_delivery_waits_for_it_and_says_how_it_ended(tmp_path: Path) -> None:
    gate: list[asyncio.Event] = []

    def wait_at_the_dot(_: str) -> Say:
        gate.append(asyncio.Event())
        return Say("250 2.0.0 taken", after=gate[0])

    with (
        RelayThread({".": wait_at_the_dot}) as relay,
        ConsoleGateway(tmp_path, "mode: offline\n" + relay.settings, SCHEDULE) as gateway,
    ):
        item = gateway.hand_in(letter("on its way"))
        browser = gateway.browser()
        browser.load()
        assert browser.post("/try", {"ids": [item]}).status == 200
        eventually(lambda: gate, "it is at the dot")
        answers: list[object] = []
        removing = threading.Thread(target=lambda: answers.append(browser.post("/remove", {"ids": [item]}).json()))
        removing.start()
        eventually(lambda: browser.get("/api/v1/sending").json(), "it is shown as being sent")
        relay._loop.call_soon_threadsafe(gate[0].set)
        removing.join(20)
        assert answers == [{"count": 1, "results": {"delivered": 1}, "items": [{"id": item, "result": "delivered"}]}]
        assert len(relay.messages) == 1
        assert browser.post("/undo", {}).status == 409
