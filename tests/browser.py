"""A real Chromium for the tests of pages; they are skipped where there is none."""

from __future__ import annotations

import shutil
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vatrace.media.reading import SAMPLING_RATE, AudioReader, VideoReader

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


def fake_devices(film: Path, folder: Path) -> tuple[str, ...]:
    """Chromium's options that put a recording in place of a camera and a microphone; its files are written to a folder."""
    with (folder / "camera.mjpeg").open("wb") as file:
        for frame in VideoReader(film, 10):
            frame.image.save(file, "JPEG", quality=90)
    with wave.open(str(folder / "microphone.wav"), "wb") as sound:
        sound.setparams((1, 2, SAMPLING_RATE, 0, "NONE", ""))
        sound.writeframes((np.concatenate(list(AudioReader(film, 60.0))).clip(-1, 1) * 32767).astype("<i2").tobytes())
    return (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={folder}/camera.mjpeg",
        f"--use-file-for-fake-audio-capture={folder}/microphone.wav",
        "--autoplay-policy=no-user-gesture-required",
    )


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
