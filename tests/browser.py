"""A real Chromium for the tests of pages; they are skipped where there is none."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@dataclass
class Opened:
    """A page, and what it did that it should not.

    Attributes:
        page: Playwright's.
        complaints: errors and warnings in its console.
        requests: addresses that it asked for.
    """

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def wait(self, condition: str, seconds: float = 10) -> None:
        """Until a condition in JavaScript holds; Playwright's own way to wait needs a looser content policy."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, condition
            self.page.wait_for_timeout(50)


@contextmanager
def open_page(address: str, arguments: tuple[str, ...] = (), **options: Any) -> Iterator[Opened]:
    """Open an address in a new browser; options are those of Playwright's pages."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *arguments])
        opened = Opened(browser.new_page(**options))
        opened.page.on(
            "console",
            lambda message: opened.complaints.append(message.text) if message.type in {"error", "warning"} else None,
        )
        opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        opened.page.goto(address)
        try:
            yield opened
        finally:
            browser.close()
