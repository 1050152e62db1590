"""`contrib/screenshot`: every view of the console at desktop and phone size, in both themes."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser.office import fill, office
from tests.support.console import PASSWORD, ConsoleGateway

CHROMIUM = "/usr/bin/chromium"
README = Path("contrib/console.png")


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as work,
        office(Path(work), with_password=True) as (gateway, _),
        sync_playwright() as playwright,
    ):
        ids = fill(gateway)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for theme in ("light", "dark"):
            for name, width, height in (("desktop", 1440, 900), ("phone", 390, 844)):
                context = browser.new_context(
                    viewport={"width": width, "height": height}, color_scheme="dark" if theme == "dark" else "light"
                )
                _views(context.new_page(), gateway, ids, folder, f"{name}-{theme}")
                context.close()
        browser.close()
    shutil.copyfile(folder / "queue-desktop-light.png", README)
    print(f"{README} and the views in {folder}")


def _views(page: Page, gateway: ConsoleGateway, ids: list[str], folder: Path, name: str) -> None:
    address = f"http://localhost:{gateway.console_port}"

    def shoot(view: str) -> None:
        page.screenshot(path=folder / f"{view}-{name}.png", full_page=True)

    page.goto(address)
    shoot("signin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector("#chart svg")
    shoot("queue")
    for view, button in (("remove", "#remove"), ("links", "#links")):
        page.locator(button).click()
        page.wait_for_selector("dialog[open]")
        page.screenshot(path=folder / f"{view}-{name}.png")
        page.keyboard.press("Escape")
    page.locator(f"tr[data-id='{ids[7]}'] .ts").click()
    page.wait_for_selector("#drawer:not([hidden])")
    shoot("drawer")
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    page.wait_for_selector("dialog[open]")
    page.screenshot(path=folder / f"send-{name}.png")
    page.keyboard.press("Escape")
    page.goto(f"{address}/schedule")
    page.wait_for_selector("#wk .blk")
    page.locator("#wl button", has_text="Working hours").click()
    shoot("schedule")
    page.goto(f"{address}/sessions")
    page.wait_for_selector("table.s tbody tr")
    shoot("sessions")
    page.goto(f"{address}/print")
    shoot("print")


if __name__ == "__main__":
    main()
