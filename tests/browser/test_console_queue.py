"""The queue page as an operator uses it: clicked and typed, on a desktop's and a phone's size, over a real gateway."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.axe import violations
from tests.browser.office import SCHEDULE, SETTINGS
from tests.support.console import ConsoleGateway
from tests.support.gateway import eventually, letter
from tests.support.relay import Say
from tests.support.relaythread import RelayThread

NIGHT = "timezone: UTC\nwindows:\n  - {name: Far, at: '23:59', for: 1 s, days: sun}\n"


@pytest.fixture
def relay() -> Iterator[RelayThread]:
    with RelayThread() as relay:
        yield relay


@pytest.fixture
def gateway(tmp_path: Path, relay: RelayThread) -> Iterator[ConsoleGateway]:
    with ConsoleGateway(tmp_path, SETTINGS + relay.settings, NIGHT) as gateway:
        yield gateway


def load(page: Any, gateway: ConsoleGateway, path: str = "/") -> None:
    page.goto(f"http://localhost:{gateway.console_port}{path}")
    until(page, "document.querySelector('#live') && document.querySelector('#live').textContent === 'Live'")


def until(page: Any, expression: str) -> None:
    """Playwright's own waiting evaluates texts in the page, which the page's policy forbids."""
    eventually(lambda: page.evaluate(expression), expression)


def ids_shown(page: Any) -> list[str]:
    shown: list[str] = page.eval_on_selector_all("#rows tr", "rows => rows.map(row => row.dataset.id)")
    return shown


def fill(gateway: ConsoleGateway, count: int = 6) -> list[str]:
    return [
        gateway.hand_in(
            letter(f"No. {n}", "x" * 70 * (n + 1) + "\r\n"), f"to{n}@hq.example", sender=f"u{n}@brno.example.com"
        )
        for n in range(count)
    ]


def test_the_seven_columns_stand_in_kerios_order_with_count_and_size(
    page: Any, size: str, gateway: ConsoleGateway
) -> None:
    fill(gateway, 3)
    load(page, gateway)
    heads = page.eval_on_selector_all("#thead th[data-key] button", "all => all.map(e => e.textContent)")
    assert [head.split(" ↓")[0] for head in heads] == ["ID", "Created", "Next try", "Size", "From", "To", "Status"]
    assert re.match(r"3 messages, [\d.]+ k?B", page.inner_text("#stat"))
    assert page.inner_text("#nq") == "3"
    if size == "phone":
        assert page.locator("#thead").is_hidden()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]
    # CASES S71: the same message again, from a device that has not heard our 250.
    twins = [gateway.hand_in(letter("scan"), sender="scan@brno.example.com") for _ in range(2)]
    for item, other in zip(twins, reversed(twins), strict=True):
        page.locator(f"#rows tr[data-id='{item}']", has_text=f"twin of {other}").wait_for()


def test_the_filter_narrows_as_one_types_and_tells_a_mistake(page: Any, gateway: ConsoleGateway) -> None:
    ids = fill(gateway)
    load(page, gateway)
    page.locator("#filter").press_sequentially("from:u3")
    until(page, "document.querySelectorAll('#rows tr').length === 1")
    assert ids_shown(page) == [ids[3]]
    assert "1 of 6 messages" in page.inner_text("#stat")
    page.fill("#filter", "size>")
    page.wait_for_selector("#mistake:not([hidden])")
    assert page.get_attribute("#filter", "aria-invalid") == "true"
    page.fill("#filter", "nothing-like-this")
    page.get_by_text("No message matches").wait_for()
    page.get_by_role("button", name="Show all 6").click()
    until(page, "document.querySelectorAll('#rows tr').length === 6")


def test_columns_sort_and_chips_narrow(page: Any, size: str, gateway: ConsoleGateway) -> None:
    ids = fill(gateway)
    load(page, gateway)
    if size == "desktop":
        page.get_by_role("button", name="Size").click()
        page.wait_for_selector("th[data-key=size][aria-sort=descending]")
        eventually(lambda: ids_shown(page) == ids[::-1], "largest first")
        page.get_by_role("button", name="Size").click()
        eventually(lambda: ids_shown(page) == ids, "smallest first")
    gateway.run("hold", ids[2])
    chip = page.locator("#chips button", has_text="Held")
    chip.wait_for()
    chip.click()
    eventually(lambda: ids_shown(page) == [ids[2]], "held alone")
    page.locator("#chips button", has_text="All").click()
    eventually(lambda: len(ids_shown(page)) == 6, "all again")


def test_a_range_is_selected_with_shift_and_all_with_the_box_above(
    page: Any, size: str, gateway: ConsoleGateway
) -> None:
    fill(gateway)
    load(page, gateway)
    boxes = page.locator("#rows input")
    boxes.nth(1).click()
    boxes.nth(4).click(modifiers=["Shift"])
    assert page.inner_text("#selcount") == "4 selected"
    assert page.inner_text("#selsize") or size == "phone"
    page.locator("#clear").click()
    assert page.locator("#selcount").is_hidden()
    if size == "desktop":
        page.locator("#allc").click()
        assert page.inner_text("#selcount") == "6 selected"


def test_remove_shows_what_it_takes_and_undo_brings_it_back(page: Any, gateway: ConsoleGateway) -> None:
    ids = fill(gateway)
    load(page, gateway)
    for n in (0, 1):
        page.locator("#rows input").nth(n).click()
    page.locator("#remove").click()
    dialog = page.locator("#dialog[open]")
    assert "2 selected messages" in dialog.inner_text()
    assert "6, " in dialog.inner_text()
    dialog.get_by_label("No, remove silently").check()
    page.locator("#dialog[open] #confirm").click()
    page.get_by_text("Removed 2 messages.").wait_for()
    eventually(lambda: len(gateway.queue()) == 4, "gone")
    assert ids_shown(page) == ids[:4][::-1]
    page.locator("#toast").get_by_role("button", name="Undo").click()
    page.get_by_text("Brought back 2 messages.").wait_for()
    eventually(lambda: len(ids_shown(page)) == 6, "back")
    assert len(gateway.queue()) == 6


def test_remove_all_that_match_and_remove_the_whole_queue(page: Any, gateway: ConsoleGateway) -> None:
    ids = fill(gateway)
    load(page, gateway)
    page.fill("#filter", "from:u1")
    until(page, "document.querySelectorAll('#rows tr').length === 1")
    page.locator("#remove").click()
    page.locator("#dialog input[value=match]").check()
    assert "1, " in page.locator("#dialog .opt", has_text="All that match").inner_text()
    page.locator("#dialog[open] #confirm").click()
    eventually(lambda: {row["id"] for row in gateway.queue()} == {*ids} - {ids[1]}, "the match is gone")
    page.fill("#filter", "")
    eventually(lambda: len(ids_shown(page)) == 5, "the rest is shown")
    page.locator("#remove").click()
    page.locator("#dialog input[value=all]").check()
    page.locator("#dialog[open] #confirm").click()
    page.get_by_text("The queue is empty").wait_for()
    assert not gateway.queue()


def test_cancel_changes_nothing(page: Any, gateway: ConsoleGateway) -> None:
    fill(gateway, 2)
    load(page, gateway)
    page.locator("#remove").click()
    page.locator("#cancel").click()
    page.locator("#remove").click()
    page.keyboard.press("Escape")
    assert len(gateway.queue()) == 2


def test_try_now_shows_the_cost_on_a_metered_line_and_then_sends(
    page: Any, gateway: ConsoleGateway, relay: RelayThread
) -> None:
    fill(gateway, 3)
    load(page, gateway)
    page.locator("#rows input").nth(0).click()
    page.locator("#try").click()
    text = page.locator("#dialog[open]").inner_text()
    assert "1 message, " in text
    assert "lte, metered" in text
    assert "128 kbit/s" in text
    assert not relay.messages
    page.locator("#dialog[open] #confirm").click()
    eventually(lambda: len(relay.messages) == 1, "sent")
    until(page, "document.querySelectorAll('#rows tr').length === 2")


def test_send_queue_shows_what_goes_and_what_stays(
    page: Any, size: str, gateway: ConsoleGateway, relay: RelayThread
) -> None:
    ids = fill(gateway, 3)
    gateway.run("hold", ids[0])
    load(page, gateway)
    page.locator("#fab" if size == "phone" else "#sendq").click()
    text = page.locator("#dialog[open]").inner_text()
    assert "2 messages, " in text
    assert "1 message cannot leave: held by an operator" in text
    page.locator("#dialog[open] #confirm").click()
    eventually(lambda: len(relay.messages) == 2, "sent")
    until(page, "document.querySelectorAll('#rows tr').length === 1")
    until(page, "document.querySelector('#say').textContent === 'Nothing leaves: all mail is held.'")


def test_hold_with_a_note_and_release(page: Any, gateway: ConsoleGateway) -> None:
    fill(gateway, 2)
    load(page, gateway)
    page.locator("#rows input").nth(0).click()
    page.locator("#hold").click()
    page.fill("#dialog input[name=note]", "ask the lawyer")
    page.keyboard.press("Enter")
    page.get_by_text("Held 1 message.").wait_for()
    row = gateway.queue("status:held")[0]
    assert "ask the lawyer" in row["status"]
    page.locator(f"tr[data-id='{row['id']}']", has_text="ask the lawyer").wait_for()
    page.locator(f"tr[data-id='{row['id']}'] input").click()
    page.get_by_role("button", name="Release").click()
    page.get_by_text("Released 1 message.").wait_for()
    assert not gateway.queue("status:held")


def test_the_mode_is_switched_and_a_costly_switch_says_so_first(
    page: Any, gateway: ConsoleGateway, relay: RelayThread
) -> None:
    fill(gateway, 2)
    load(page, gateway)
    page.locator("#modes button", has_text="Online").click()
    assert "2 messages" in page.locator("#dialog[open]").inner_text()
    page.locator("#cancel").click()
    assert gateway.json("status")[0]["mode"]["set"] == "offline"
    page.locator("#modes button", has_text="Stop").click()
    page.locator("#dialog[open] #confirm").click()
    page.wait_for_selector("#modes button[data-mode=stopped][aria-pressed=true]")
    assert gateway.json("status")[0]["mode"]["set"] == "stopped"
    page.locator("#modes button", has_text="Online").click()
    page.locator("#dialog[open] #confirm").click()
    eventually(lambda: len(relay.messages) == 2, "Online sends")
    page.get_by_text("All mail has left.").first.wait_for()


def test_what_is_being_sent_is_shown_while_it_is(page: Any, tmp_path: Path) -> None:
    gate: list[asyncio.Event] = []

    def wait_at_the_dot(_: str) -> Say:
        gate.append(asyncio.Event())
        return Say("250 2.0.0 taken", after=gate[0])

    with (
        RelayThread({".": wait_at_the_dot}) as relay,
        ConsoleGateway(tmp_path, SETTINGS + relay.settings, NIGHT) as gateway,
    ):
        item = gateway.hand_in(letter("big", ("x" * 76 + "\r\n") * 20000))
        load(page, gateway)
        gateway.run("try", item)
        card = page.locator("#nowcard")
        card.wait_for()
        until(page, "document.querySelector('#nowrows').textContent.includes('100 %')")
        text = card.inner_text()
        assert item in text
        assert "isp" in text
        assert "to" not in text or "ops@hq.example" in text
        until(page, "document.querySelector('#say').textContent === 'Sending 1 message now.'")
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            assert not violations(page), theme
        eventually(lambda: gate, "it is at the dot")
        relay._loop.call_soon_threadsafe(gate[0].set)
        card.wait_for(state="hidden")
        page.get_by_text("All mail has left.").first.wait_for()
        assert not violations(page), "an empty queue"


def test_rows_are_patched_in_place_and_selection_and_focus_stay(page: Any, gateway: ConsoleGateway) -> None:
    ids = fill(gateway, 3)
    load(page, gateway)
    page.locator("#rows input").nth(1).click()
    page.locator("#rows tr").nth(2).locator(".ti button").focus()
    page.evaluate("document.querySelectorAll('#rows tr').forEach(row => { row.mark = row.dataset.id; })")
    gateway.run("hold", ids[1])
    page.locator(f"tr[data-id='{ids[1]}']", has_text="Held").wait_for()
    new = gateway.hand_in(letter("new"))
    page.locator(f"tr[data-id='{new}']").wait_for()
    kept = page.eval_on_selector_all("#rows tr", "rows => rows.map(row => row.mark || null)")
    assert kept == [None, ids[2], ids[1], ids[0]]
    assert page.inner_text("#selcount") == "1 selected"
    assert page.evaluate("document.activeElement.textContent") == ids[0]
    until(page, "document.querySelector('#nq').textContent === '4'")


def test_the_page_says_when_it_lost_the_gateway_and_finds_it_again(
    page: Any, tmp_path: Path, relay: RelayThread
) -> None:
    gateway = ConsoleGateway(tmp_path, SETTINGS + relay.settings, NIGHT)
    gateway.start()
    port = gateway.console_port
    gateway.config.write_text(gateway.config.read_text().replace("127.0.0.1:0}", f"127.0.0.1:{port}}}"))
    try:
        load(page, gateway)
        gateway.stop()
        page.locator("#live", has_text="Reconnecting…").wait_for()
        gateway.start()
        item = gateway.hand_in(letter("while away"))
        until(page, "document.querySelector('#live').textContent === 'Live'")
        page.locator(f"tr[data-id='{item}']").wait_for()
    finally:
        gateway.stop()


def test_everything_on_the_queue_page_works_by_keyboard(
    page: Any, size: str, gateway: ConsoleGateway, relay: RelayThread
) -> None:
    if size == "phone":
        pytest.skip("a phone has no keyboard")
    ids = fill(gateway, 4)
    load(page, gateway)
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.textContent") == ids[3 - 1]
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("Shift+X")
    assert page.inner_text("#selcount") == "2 selected"
    page.keyboard.press("h")
    page.keyboard.press("Tab")
    page.locator("#dialog[open] #confirm").press("Enter")
    page.get_by_text("Held 2 messages.").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.locator("#drawer h2").wait_for()
    page.keyboard.press("Escape")
    assert page.locator("#drawer").is_hidden()
    page.keyboard.press("?")
    page.get_by_role("heading", name="Keyboard").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("from:u0")
    until(page, "document.querySelectorAll('#rows tr').length === 1")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Delete")
    page.locator("#dialog[open] #confirm").press("Enter")
    page.get_by_text("Removed 1 message.").wait_for()
    page.keyboard.press("u")
    page.get_by_text("Brought back 1 message.").wait_for()
    page.keyboard.press("2")
    page.wait_for_selector("#wk")
    page.keyboard.press("3")
    page.get_by_role("heading", name="Sessions", exact=True).wait_for()
    page.keyboard.press("1")
    page.keyboard.press("r")
    page.get_by_text("Up to date.").wait_for()
    page.keyboard.press("s")
    page.locator("#dialog[open] #confirm").press("Enter")
    eventually(lambda: len(relay.messages) == 2, "what is not held was sent")


@pytest.mark.parametrize("is_open", [True, False])
def test_a_drawer_that_was_closed_stays_so_when_a_late_answer_comes(
    page: Any, size: str, gateway: ConsoleGateway, is_open: bool
) -> None:
    ids = fill(gateway, 2)
    load(page, gateway)
    drawer, row = page.locator("#drawer"), page.locator(f"tr[data-id='{ids[0]}'] .ts")
    late: list[Any] = []
    if is_open:
        row.click()
        drawer.wait_for()
    page.route(f"**/api/v1/messages/{ids[0]}", lambda route: late.append(route))
    if is_open:
        gateway.run("hold", ids[0])
    else:
        row.click()
    for _ in range(500):  # the route is told while the page's own loop runs
        page.wait_for_timeout(10)
        if late:
            break
    page.keyboard.press("Escape")
    assert drawer.is_hidden()
    with page.expect_response(f"**/api/v1/messages/{ids[0]}"):
        late[0].continue_()
    page.wait_for_timeout(100)
    assert drawer.is_hidden()
    page.unroute(f"**/api/v1/messages/{ids[0]}")
    row.click()
    drawer.wait_for()
    assert drawer.get_by_role("button", name="Release" if is_open else "Hold").is_visible()


def test_the_schedule_of_the_office_is_drawn_on_the_time_line(page: Any, tmp_path: Path, relay: RelayThread) -> None:
    with ConsoleGateway(tmp_path, SETTINGS + relay.settings, SCHEDULE) as gateway:
        fill(gateway, 1)
        load(page, gateway)
        assert page.locator("#lane .blk, #lane .band").count() > 3
        assert "Night" in page.get_attribute("#lane", "aria-label")
        assert page.locator("#lane .nowl").count() == 1
        assert page.inner_text("#cd") != ""


def test_where_a_proxy_keeps_the_stream_the_page_asks_every_ten_seconds_and_says_so(
    chromium: Any, gateway: ConsoleGateway
) -> None:
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    try:
        page = context.new_page()
        page.clock.install()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url.rpartition("/api/v1/")[2].partition("?")[0]))
        page.route("**/api/v1/events", lambda route: None)  # neither an answer nor an end
        page.goto(f"http://localhost:{gateway.console_port}/")
        page.clock.run_for(9_000)
        page.locator("#livetop", has_text="Refreshing every 10 s").wait_for()
        item = gateway.hand_in(letter("seen by asking"))
        page.clock.run_for(10_000)
        page.locator(f"tr[data-id='{item}']").wait_for()
        before, since = asked.count("overview"), page.evaluate("performance.now()")
        page.clock.run_for(30_000)
        passed = (page.evaluate("performance.now()") - since) / 1000
        assert asked.count("overview") - before <= passed / 10 + 1
        page.unroute("**/api/v1/events")
        for _ in range(60):  # the stream is tried once a minute, and has eight seconds by the page's clock to show life
            page.clock.run_for(2_000)
            page.evaluate("fetch('/healthz').then(answer => answer.status)")  # the gateway has had its turn
            if page.evaluate("document.querySelector('#live').textContent") == "Live":
                break
        until(page, "document.querySelector('#live').textContent === 'Live'")
        assert page.locator("#livetop").is_hidden()
    finally:
        context.close()


def test_a_line_is_called_and_put_down_by_hand_after_what_it_costs_was_shown(
    chromium: Any, tmp_path: Path, relay: RelayThread
) -> None:
    """There is no such line: the call is made, does not come up, and the page says so."""
    up = tmp_path / "up"
    up.write_text(f"#!/bin/sh\ntouch {tmp_path}/called\n")
    up.chmod(0o755)
    link = (
        f"  - {{name: modem, interface: ppp9, kind: dialled, budget: 2 MB per month, tariff: {{per_minute: 0.05}},\n"
        f"     dial: {{up: {up}, down: 'true', within: 1 s, at_most: 40 per day}}}}\n"
    )
    with ConsoleGateway(tmp_path / "gw", "mode: offline\nlinks:\n" + link + relay.settings, NIGHT) as gateway:
        gateway.hand_in(letter())
        context = chromium.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        load(page, gateway)
        page.get_by_role("button", name="Send queue").click()
        costs = page.locator("#dialog[open]").inner_text()
        assert "This calls modem" in costs
        assert "0.05 a minute, in steps of 1 min" in costs
        assert "2 MB left of 2 MB per month" in costs
        page.locator("#cancel").click()
        page.locator("#links").click()
        page.locator("#dialog[open] [data-up=modem]").click()
        costs = page.locator("#dialog[open]", has_text="Call modem?").inner_text()
        assert "0.05 a minute, in steps of 1 min" in costs
        assert "40 left today" in costs
        assert not (tmp_path / "called").exists()
        page.locator("#dialog[open] #confirm").click()
        eventually((tmp_path / "called").exists, "it is called")
        page.locator("#toast", has_text="did not come up").wait_for()
        page.evaluate("S.standing.overview.links[0].call = 'raised', linksDialog()")
        page.locator("#dialog[open] [data-down=modem]").click()
        page.locator("#toast", has_text="Modem was not raised by the gateway").wait_for()
        context.close()
