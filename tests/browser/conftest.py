"""Debian's Chromium, driven by Playwright; one browser for a test run, one fresh context for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
SIZES = {"desktop": (1440, 900), "phone": (390, 844)}


@pytest.fixture(scope="package")  # not longer: while it lives, its event loop is the one of this thread
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        assert "TIDEGATE_LABS_REQUIRED" not in os.environ, "chromium is not installed"
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=SIZES)
def size(request: pytest.FixtureRequest) -> str:
    """Every test that takes it runs at a desktop's and a phone's size."""
    name: str = request.param
    return name


@pytest.fixture
def page(chromium: Any, size: str) -> Iterator[Any]:
    """A page that must not complain: no error of a script, nothing stopped by the policy."""
    width, height = SIZES[size]
    context = chromium.new_context(viewport={"width": width, "height": height}, has_touch=size == "phone")
    context.set_default_timeout(10_000)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if "Content Security" in message.text else None)
    page.on("dialog", lambda dialog: complaints.append(f"a dialog of a script: {dialog.message}"))
    yield page
    context.close()
    assert not complaints
