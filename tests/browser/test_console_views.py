"""The drawer, the schedule, the sessions, signing in; what strangers wrote; and what axe-core says of every view."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.axe import violations
from tests.browser.conftest import SIZES
from tests.browser.office import SCHEDULE, ZONE, fill, office
from tests.support.console import PASSWORD, ConsoleGateway
from tests.support.evening import weekday_of_this_week
from tests.support.gateway import eventually, letter
from tests.support.relaythread import RelayThread

MARKUP = '<script>alert(1)</script>"><svg onload=alert(2)><img src=x onerror=alert(3)>'


@pytest.fixture(scope="module")
def branch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ConsoleGateway, RelayThread, list[str]]]:
    with office(tmp_path_factory.mktemp("office")) as (gateway, relay):
        yield gateway, relay, fill(gateway)


def load(page: Any, gateway: ConsoleGateway, path: str = "/") -> None:
    page.goto(f"http://localhost:{gateway.console_port}{path}")
    page.wait_for_selector("#say")


def test_the_drawer_says_why_a_message_is_still_here(page: Any, branch: Any) -> None:
    gateway, _, ids = branch
    load(page, gateway)
    page.locator(f"tr[data-id='{ids[7]}'] .ts").click()
    drawer = page.locator("#drawer")
    drawer.wait_for()
    text = drawer.inner_text()
    assert "Ceník platný od prosince" in text
    assert "Why is it still here?" in text
    assert "452 4.2.2 mailbox full, try later" in text
    assert "550 5.1.1 no such user here" in text
    assert "Delivered" in text
    assert "Refused" in text
    assert "schedule.yaml, line" in text
    assert "Put off" in text
    assert f"queue/{ids[7]}.eml" in text
    said = drawer.locator("pre.smtp").inner_text()
    assert "C: RCPT TO:<sales@partner.example.org>" in said
    assert "S: 452 4.2.2 mailbox full, try later" in said
    assert "octets of content" in said
    drawer.get_by_text("Header, ").click()
    assert "Received" in drawer.inner_text()
    with page.expect_download() as download:
        drawer.get_by_role("link", name="Save .eml").click()
    saved = Path(download.value.path()).read_bytes()
    assert download.value.suggested_filename == f"{ids[7]}.eml"
    assert saved.startswith(b"Received: ")
    drawer.get_by_role("button", name="Close details").click()
    assert drawer.is_hidden()


def test_actions_of_the_drawer(page: Any, branch: Any) -> None:
    gateway, relay, _ = branch
    item = gateway.hand_in(letter("from the drawer"))
    load(page, gateway)
    page.locator(f"tr[data-id='{item}'] .ts").click()
    drawer = page.locator("#drawer")
    drawer.get_by_role("button", name="Hold").click()
    page.locator("#dialog[open] #confirm").click()
    drawer.get_by_role("button", name="Release").wait_for()
    drawer.get_by_role("button", name="Release").click()
    drawer.get_by_role("button", name="Hold").wait_for()
    before = len(relay.messages)
    drawer.get_by_role("button", name="Try now").click()
    page.locator("#dialog[open] #confirm").click()
    eventually(lambda: len(relay.messages) > before, "sent")
    drawer.get_by_text("It has left the queue.").wait_for()
    other = gateway.hand_in(letter("away"))
    page.locator(f"tr[data-id='{other}']").wait_for()
    page.keyboard.press("Escape")
    page.locator(f"tr[data-id='{other}'] .ts").click()
    drawer.get_by_role("button", name="Remove…").click()
    page.locator("#dialog[open] #confirm").click()
    page.get_by_text("Removed 1 message.").wait_for()
    assert drawer.is_hidden()


def test_w01_w02_w03_what_strangers_wrote_is_text_in_the_browser(page: Any, tmp_path: Path) -> None:
    """Markup in subject, sender, recipient and in the relay's answer: the page's fixture fails on any script that runs."""

    def refuse(_: str) -> str:
        return f"450 4.2.1 {MARKUP} \u202e"

    settings = "mode: online\n"
    with RelayThread({"RCPT": refuse}) as relay, ConsoleGateway(tmp_path, settings + relay.settings) as gateway:
        item = gateway.hand_in(
            letter(f"{MARKUP} =?utf-8?b?4oCuPGI+?="), '"<b>x</b>"@hq.example', sender='"<i>"@b.example'
        )
        eventually(lambda: gateway.queue("status:deferred"), "the relay said so")
        load(page, gateway)
        page.locator(f"tr[data-id='{item}']", has_text="450 4.2.1 <script>alert(1)</script>").wait_for()
        page.locator(f"tr[data-id='{item}'] .ts").click()
        page.locator("#drawer h2", has_text="<script>alert(1)</script>").wait_for()
        assert "\\u202e" in page.inner_text("#drawer h2")
        for _ in range(2):
            assert page.locator("main script, main img, main b b, #rows i i, svg[onload]").count() == 0
            page.goto(f"http://localhost:{gateway.console_port}/print")
        assert "<script>alert(1)</script>" in page.inner_text("main")


def test_a_window_picked_in_the_week_is_marked_in_the_file_and_the_other_way_round(page: Any, branch: Any) -> None:
    gateway, _, _ = branch
    load(page, gateway, "/schedule")
    page.locator("#wk button", has_text="Night").first.click()
    page.wait_for_selector("#yaml .hl")
    assert "name: Night" in page.inner_text("#yaml .hl >> nth=0")
    assert "on" in page.get_attribute("#wl li:has-text('Night')", "class")
    page.locator("#wl button", has_text="Working hours").click()
    assert "name: Working hours" in page.inner_text("#yaml .hl >> nth=0")
    assert page.locator("#wk .bandb.on").count() == 5
    page.get_by_role("button", name="The next week").click()
    monday = weekday_of_this_week(7, ZONE)
    eventually(lambda: f"{monday.day} {monday:%B}" in page.inner_text("#weekdates"), "the next week")
    page.get_by_role("button", name="This week").click()
    page.wait_for_selector("#wk .today")
    assert "Provider works on the line" in page.inner_html("#wk")
    assert "messages" in page.inner_text("#ol")


def test_the_file_is_checked_as_it_is_typed_and_a_bad_one_changes_nothing(page: Any, tmp_path: Path) -> None:
    with office(tmp_path) as (gateway, _):
        load(page, gateway, "/schedule")
        page.locator("#edit").click()
        page.get_by_text("valid", exact=True).wait_for()
        page.fill("#yamltext", SCHEDULE.replace("open: 22:00-05:00", "opne: 22:00-05:00"))
        page.locator("#problems", has_text="opne").wait_for()
        assert page.locator("#apply").is_disabled()
        page.locator("#problems button").first.click()
        assert page.evaluate("document.activeElement.id") == "yamltext"
        assert (tmp_path / "schedule.yaml").read_text() == SCHEDULE
        changed = SCHEDULE.replace("max_message: 2 MB", "max_message: 4 MB  # since May")
        page.fill("#yamltext", changed)
        page.locator("#apply:not([disabled])").click()
        page.get_by_text("schedule.yaml is in force.").wait_for()
        assert (tmp_path / "schedule.yaml").read_text() == changed
        page.locator("#wl", has_text="up to 4 MB").wait_for()


def test_w22_two_who_edit_at_once_lose_nothing(page: Any, tmp_path: Path) -> None:
    with office(tmp_path) as (gateway, _):
        load(page, gateway, "/schedule")
        page.locator("#edit").click()
        theirs, mine = SCHEDULE + "# theirs\n", SCHEDULE + "# mine\n"
        (tmp_path / "schedule.yaml").write_text(theirs)
        gateway.run("reload")
        page.fill("#yamltext", mine)
        page.locator("#apply:not([disabled])").click()
        page.get_by_text("Somebody else changed the file").wait_for()
        assert "# theirs" in page.inner_text("#dialog[open]")
        assert (tmp_path / "schedule.yaml").read_text() == theirs
        page.get_by_role("button", name="Keep editing mine").click()
        assert page.input_value("#yamltext") == mine
        page.locator("#apply").click()
        page.get_by_text("schedule.yaml is in force.").wait_for()
        assert (tmp_path / "schedule.yaml").read_text() == mine


def test_an_opening_by_hand_and_a_skip(page: Any, tmp_path: Path) -> None:
    with office(tmp_path) as (gateway, relay):
        gateway.hand_in(letter())
        load(page, gateway, "/schedule")
        page.get_by_role("button", name="Open now…").click()
        page.fill("#dialog input[name=minutes]", "5")
        page.locator("#dialog[open] #confirm").click()
        eventually(lambda: relay.messages, "an opening by hand sends")
        eventually(lambda: gateway.json("status")[0]["window"]["open"], "open")
        page.get_by_role("button", name="Skip next…").click()
        page.locator("#dialog[open] #confirm").click()
        page.get_by_text("Skipped: ").wait_for()


def test_sessions_are_listed_with_octets_seconds_and_money(page: Any, branch: Any) -> None:
    gateway, _, _ = branch
    load(page, gateway, "/sessions")
    row = page.locator("table.s tbody tr").last
    row.wait_for()
    text = row.inner_text()
    assert "6 messages" in text
    assert " out, " in text
    assert " s" in text
    assert "no tariff" in text


def test_signing_in_looking_only_and_signing_out(page: Any, size: str, tmp_path: Path) -> None:
    with office(tmp_path, with_password=True) as (gateway, _):
        gateway.hand_in(letter())
        page.goto(f"http://localhost:{gateway.console_port}/")
        page.get_by_label("Name").select_option("viewer")
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("do not belong together").wait_for()
        page.get_by_label("Name").select_option("viewer")
        page.get_by_label("Password").fill("only looking around")
        page.get_by_role("button", name="Sign in").click()
        page.locator("#rows tr").first.wait_for()
        for name in ("#remove", "#sendq" if size == "desktop" else "#fab", "#modes button >> nth=0"):
            assert page.locator(name).is_disabled()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("heading", name="Sign in").wait_for()
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_label("Password").press("Enter")
        page.locator("#remove:not([disabled])").wait_for()
        gateway.set_password("operator", "another good password")
        page.get_by_role("heading", name="Sign in").wait_for(timeout=20_000)


def test_the_first_password_is_set_with_the_printed_code(page: Any, tmp_path: Path) -> None:
    with office(tmp_path) as (gateway, _):
        assert gateway.code is not None
        page.goto(f"http://localhost:{gateway.console_port}/setup")
        page.get_by_label("One-time code").fill(gateway.code)
        page.get_by_label("New password").fill(PASSWORD)
        page.get_by_role("button", name="Set the password").click()
        page.wait_for_selector("#say")
        assert page.get_by_role("button", name="Sign out").is_visible()


VIEWS = (
    "/",
    "/schedule",
    "/sessions",
    "/setup",
    "/print",
    "drawer",
    "remove",
    "send",
    "edit",
    "keys",
    "selected",
    "links",
)


LOOKS = [("desktop", "light"), ("phone", "dark")]
if os.environ.get("TIDEGATE_LONG"):
    LOOKS += [("desktop", "dark"), ("phone", "light")]


def look(chromium: Any, size: str, theme: str) -> Any:
    """A context in which axe may run: its script is none of the page's."""
    width, height = SIZES[size]
    return chromium.new_context(
        viewport={"width": width, "height": height}, color_scheme=theme, bypass_csp=True, reduced_motion="reduce"
    )


@pytest.mark.parametrize(("size", "theme"), LOOKS)
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_no_violation(chromium: Any, branch: Any, size: str, theme: Any, view: str) -> None:
    gateway, _, ids = branch
    context = look(chromium, size, theme)
    page = context.new_page()
    try:
        path = view if view.startswith("/") else "/schedule" if view == "edit" else "/"
        page.goto(f"http://localhost:{gateway.console_port}{path}")
        if path in ("/", "/schedule", "/sessions"):
            page.wait_for_selector({"/": "#chart svg", "/schedule": "#wk .row", "/sessions": "table.s"}[path])
        match view:
            case "drawer":
                page.locator(f"tr[data-id='{ids[7]}'] .ts").click()
                page.wait_for_selector("#drawer h2")
            case "remove":
                page.locator("#remove").click()
                page.wait_for_selector("dialog[open]")
            case "send":
                page.locator("#fab" if size == "phone" else "#sendq").click()
                page.wait_for_selector("dialog[open]")
            case "edit":
                page.locator("#edit").click()
                page.fill("#yamltext", "windos: 1\n")
                page.wait_for_selector("#problems .error")
            case "keys":
                page.keyboard.press("?")
                page.wait_for_selector("dialog[open]")
            case "links":
                page.locator("#links").click()
                page.wait_for_selector("dialog[open]")
            case "selected":
                page.locator("#rows input").first.click()
            case _:
                pass
        assert not violations(page)
    finally:
        context.close()


def test_axe_finds_no_violation_where_one_signs_in_and_once_one_has(chromium: Any, tmp_path: Path) -> None:
    with office(tmp_path, with_password=True) as (gateway, _):
        gateway.hand_in(letter())
        for size, theme in LOOKS:
            context = look(chromium, size, theme)
            page = context.new_page()
            page.goto(f"http://localhost:{gateway.console_port}/")
            page.get_by_label("Password").fill("wrong")
            page.get_by_role("button", name="Sign in").click()
            page.locator(".problem").wait_for()
            assert not violations(page), (size, theme)
            page.get_by_label("Password").fill(PASSWORD if theme == "light" else "only looking around")
            page.get_by_label("Name").select_option("operator" if theme == "light" else "viewer")
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_selector("#chart svg")
            assert not violations(page), (size, theme)
            if size == "desktop":
                assert_nothing_is_too_wide(page)  # with the button that signs out
            context.close()


WIDTHS = (320, 360, 390, 600, 760, 764, 800, 834, 900, 906, 1024, 1044, 1180, 1280, 1440, 1920)
LETTERS = ["normal", ".04em"]  # the fonts of others are wider


def assert_nothing_is_too_wide(page: Any) -> None:
    """The page fits its screen, and the switch of the mode its place."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width
        over = """[...document.querySelectorAll("#strip .seg")].map((e) =>
            e.getBoundingClientRect().right - e.parentElement.getBoundingClientRect().right)"""
        assert all(pixels <= 0 for pixels in page.evaluate(over)), width


@pytest.mark.parametrize("letters", LETTERS)
@pytest.mark.parametrize("path", ["/", "/schedule", "/sessions", "/setup"])
def test_no_view_is_wider_than_its_screen(chromium: Any, branch: Any, path: str, letters: str) -> None:
    gateway, _, _ = branch
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, bypass_csp=True)
    page = context.new_page()
    try:
        page.goto(f"http://localhost:{gateway.console_port}{path}")
        if path == "/setup":
            page.wait_for_load_state("networkidle")
        else:
            page.wait_for_selector("#chart svg, #v-schedule .wk, #v-sessions tr", state="attached")
        page.add_style_tag(content=f"*{{letter-spacing:{letters}!important}}")
        assert_nothing_is_too_wide(page)
    finally:
        context.close()
