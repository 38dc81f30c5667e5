"""The charts of all pages follow the theme and the width at once; keys read them, and a table replaces them."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browser import Opened, open_page
from made_people import composed
from made_stores import make_store
from vatrace.evaluation.evaluate import evaluate
from vatrace.evaluation.page import write_page
from vatrace.media.recording import open_recording
from vatrace.output.colours import DARK, LIGHT
from vatrace.output.report import embedded
from vatrace.output.report import write_page as write_report
from web_server import Server


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page on predictions that are half the labels."""
    folder = tmp_path_factory.mktemp("evaluation")
    store = make_store(folder / "store", {"a": "dev", "b": "dev"})

    def half(recording: Any, change: object) -> np.ndarray:
        return np.nan_to_num(recording.labels()) * 0.5

    found, pairs = evaluate(half, store.split("dev"), {}, np.zeros(2))
    write_page(folder / "page.html", "dev", ["Two recordings."], found, pairs, dict.fromkeys(pairs, 10.0))
    return folder / "page.html"


def colours(opened: Opened, chart: str) -> set[str]:
    """The colours that a chart's canvas has."""
    script = """selector => {
      const canvas = document.querySelector(selector).querySelector("canvas"), { width, height } = canvas, found = new Set();
      const copy = Object.assign(document.createElement("canvas"), { width, height });
      const pen = copy.getContext("2d", { willReadFrequently: true });
      pen.drawImage(canvas, 0, 0);
      const { data } = pen.getImageData(0, 0, width, height);
      const hex = value => value.toString(16).padStart(2, "0").toUpperCase();
      for (let i = 0; i < data.length; i += 4) {
        if (data[i + 3] === 255) found.add("#" + [0, 1, 2].map(k => hex(data[i + k])).join(""));
      }
      return [...found];
    }"""
    return set(opened.page.evaluate(script, chart))


def check_theme_and_width(opened: Opened, chart: str, name: str) -> None:
    page = opened.page
    page.emulate_media(color_scheme="light")
    page.locator(chart).first.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    assert LIGHT[name] in colours(opened, chart) and DARK[name] not in colours(opened, chart)
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(300)
    assert DARK[name] in colours(opened, chart) and LIGHT[name] not in colours(opened, chart)
    width = f"document.querySelector('{chart}').getBoundingClientRect().width"
    before = page.evaluate(width)
    page.set_viewport_size({"width": 420, "height": 800})
    opened.wait(f"{width} < {before} && {width} > 200")
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    page.set_viewport_size({"width": 1200, "height": 900})
    opened.wait(f"{width} === {before}")


def test_the_evaluation_page(evaluation: Path) -> None:
    with open_page(f"file://{evaluation}", viewport={"width": 1200, "height": 900}) as opened:
        check_theme_and_width(opened, "[data-name=traces] .uplot", "valence")
        page = opened.page
        page.focus("[data-name=agreement] .uplot")
        page.keyboard.press("End")
        page.keyboard.press("ArrowLeft")
        chart = page.locator("[data-name=agreement] .uplot").first
        said = chart.get_attribute("aria-valuetext")
        assert said == page.inner_text("[data-name=agreement] .reading >> nth=0")
        label, mean = (float(part.split()[-1].replace("−", "-")) for part in said.split(" · ")[:2])
        assert mean == pytest.approx(label / 2, abs=0.02)  # a bin has a width
        page.click("[data-name=agreement] summary >> nth=0")
        rows = page.locator("[data-name=agreement] details >> nth=0 >> tbody tr")
        rows.first.wait_for()  # the table is made when it is opened
        assert rows.count() == 40 and said.split(" · ")[1].split()[-1] in rows.nth(38).inner_text()
        assert not opened.complaints and opened.requests == [f"file://{evaluation}"]


def test_the_report(talking: Path, tmp_path: Path) -> None:
    write_report(composed(1, talking, 40), tmp_path / "report.html", embedded(open_recording(talking)))
    with open_page(f"file://{tmp_path}/report.html", viewport={"width": 1200, "height": 900}) as opened:
        check_theme_and_width(opened, ".chart .uplot", "valence")
        opened.page.focus(".uplot")
        opened.page.keyboard.press("ArrowRight")
        assert "time 0:01.0" in (opened.page.locator(".uplot").first.get_attribute("aria-valuetext") or "")


def test_annotate_and_live(server: Server, talking: Path) -> None:
    name = server.upload(talking)
    assert server.wait(name)["state"] == "done"
    body = json.dumps({"dimension": "valence", "samples": [[k / 10, k / 40] for k in range(30)]}).encode()
    address = f"{server.address}jobs/{name}/annotations/ada"
    urllib.request.urlopen(urllib.request.Request(address, body, {"Content-Type": "application/json"}, method="POST"))
    with open_page(f"{server.address}jobs/{name}/annotate", viewport={"width": 1200, "height": 900}) as opened:
        page = opened.page
        opened.wait("document.querySelector('#charts .legend') !== null")
        check_theme_and_width(opened, "#charts .uplot", "person-1")
        assert page.inner_text("#charts .legend >> nth=0") == "ada" and "--" not in page.inner_text("#charts")
        page.focus("#charts .uplot")
        for key in ("Home", "ArrowRight", "Shift+ArrowRight"):
            page.keyboard.press(key)
        assert page.inner_text("#charts .reading >> nth=0") == "0:01.1 · ada +0.28"
        page.emulate_media(color_scheme="light")  # drawn again, it is still the one that is read
        opened.wait("document.activeElement.matches('#charts .uplot')")
        assert page.inner_text("#charts .reading >> nth=0") == "0:01.1 · ada +0.28"
        page.click("#charts summary >> nth=0")
        assert page.locator("#charts tbody tr").nth(11).inner_text().split() == ["0:01.1", "+0.28"]
        page.goto(f"{server.address}live")
        page.evaluate("""() => {
          const presence = { face: true, voice: false, words: false };
          const rest = { supported: true, low: null, high: null, presence };
          values = Array.from({ length: 40 }, (_, k) => ({ time: k / 10, valence: k / 50, arousal: -k / 50, ...rest }));
          drawTraces();
        }""")
        check_theme_and_width(opened, "#charts .uplot", "valence")
        page.focus("#charts .uplot")
        page.keyboard.press("End")
        assert page.inner_text("#charts .reading >> nth=0") == "3.9 s · valence +0.78"
        page.click("details.table summary")
        assert page.locator("details.table tbody tr").nth(1).inner_text().split() == ["1.0", "s", "+0.20", "−0.20", "face"]
        assert not opened.complaints
