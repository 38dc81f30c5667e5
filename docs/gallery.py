"""Makes the pictures of the documentation from the demo recording: `python docs/gallery.py` writes docs/pictures/*.png.

It needs the extras `offline` and `web`, Playwright and Chromium, and takes a few minutes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from vatrace.media.reading import SAMPLING_RATE, AudioReader, VideoReader
from vatrace.media.writing import write_video

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from browser import CHROMIUM, fake_devices
from web_server import serve

PICTURES = Path(__file__).parent / "pictures"
SIZE = {"width": 1280, "height": 900}
FRAME_RATE = 15
"""Of the short recordings: enough for faces."""
LIVE_DUR = 15_000
"""Milliseconds of the live session before its picture is taken."""
MOMENT = 12.0
"""Seconds of the demo recording that the picture of the overlay shows."""


def main() -> None:
    """Make all pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vatrace("demo", "--out", folder / "demo")
        demo = folder / "demo" / "demo.mp4"
        shutil.copy(folder / "demo" / "demo.png", PICTURES / "figure.png")
        vatrace("predict", demo, "--out", folder / "overlay", "--overlay")
        overlay = VideoReader(folder / "overlay" / "demo.overlay.mp4", 10)
        save(next(frame.image for frame in overlay if frame.time >= MOMENT), "overlay")
        study = make_study(demo, folder / "study")
        vatrace("predict", study, "--out", folder / "traces")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *fake_devices(demo, folder)])
            page = browser.new_page(viewport=SIZE)
            page.goto(f"file://{folder}/demo/demo.html")
            page.evaluate(f"document.querySelector('video').currentTime = {MOMENT}")
            photograph(page, "report")
            page.goto(f"file://{folder}/traces/quality.html")
            photograph(page, "quality")
            server = serve(folder / "results")
            ids = [server.upload(path) for path in [*sorted(study.iterdir()), demo]]
            for one in ids:
                server.wait(one)
            page.goto(server.address)
            photograph(page, "recordings")
            page.goto(f"{server.address}jobs/{ids[-1]}/annotate")
            page.fill("#annotator", "anna")
            photograph(page, "annotate")
            page.goto(f"{server.address}live")
            page.click("#start")
            page.wait_for_timeout(LIVE_DUR)
            photograph(page, "live")
            server.end()
            browser.close()


def vatrace(*arguments: object) -> None:
    """Run a command of vatrace."""
    subprocess.run([sys.executable, "-m", "vatrace.cli", *map(str, arguments)], check=True)


def make_study(demo: Path, folder: Path) -> Path:
    """A folder with three short recordings of the demo's face and speech; one of them is silent."""
    folder.mkdir()
    images = [frame.image for frame in islice(VideoReader(demo, FRAME_RATE), 18 * FRAME_RATE)]
    audio = np.concatenate(list(AudioReader(demo, 60.0)))
    for number, name in enumerate(("P01_film", "P01_rest", "P02_film")):
        part = slice(6 * number * FRAME_RATE, 6 * (number + 1) * FRAME_RATE)
        sound = audio[6 * number * SAMPLING_RATE : 6 * (number + 1) * SAMPLING_RATE]
        write_video(folder / f"{name}.mp4", images[part], FRAME_RATE, [sound * (name != "P01_rest")])
    return folder


def photograph(page: Page, name: str) -> None:
    """Save what the page shows in its window."""
    page.wait_for_timeout(1500)
    path = PICTURES / f"{name}.png"
    page.screenshot(path=path)
    save(Image.open(path), name)


def save(image: Image.Image, name: str) -> None:
    """Save a picture with 256 colours, which makes it a third as large."""
    image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(PICTURES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
