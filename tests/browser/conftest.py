"""A real browser, with a fresh profile for each test."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 60_000


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """Chromium without a window; that of the system, else Playwright's own."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: pip install '.[browser]'"
    )
    path = next(filter(None, map(shutil.which, PROGRAMS)), None)
    with playwright.sync_playwright() as running:
        if path is None and not Path(running.chromium.executable_path).exists():
            pytest.skip(
                "there is no Chromium: install the system's, or `playwright install chromium`"
            )
        # As root, in containers, Chromium has no sandbox; it opens our own pages only.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        one = running.chromium.launch(executable_path=path, args=options)
        yield one
        one.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page with a fresh profile."""
    context = browser.new_context(viewport={"width": 1800, "height": 1400})
    context.set_default_timeout(SECONDS)
    yield context.new_page()
    context.close()
