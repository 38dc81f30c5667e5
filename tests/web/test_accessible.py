"""Every page is checked by axe for the rules of WCAG 2.2, levels A and AA, in both themes."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browser import CHROMIUM
from command import run
from made_people import composed
from made_studies import conditions_study
from vatrace.evaluation.evaluate import evaluate
from vatrace.evaluation.page import write_page as write_evaluation
from vatrace.media.recording import open_recording
from vatrace.output.quality import write_quality
from vatrace.output.report import embedded, write_page
from vatrace.output.writers import summary_rows
from web_server import Server

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SIZES = {"light": 1280, "dark": 390}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for all pages."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    pytest.importorskip("axe_playwright_python")
    with pytest.importorskip("playwright.sync_api").sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture(scope="module")
def axe() -> str:
    """The script of axe, as its package carries it."""
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def check(browser: Any, axe: str) -> Callable[..., None]:
    def check(address: str, *steps: str) -> None:
        for scheme, width in SIZES.items():
            # the content policy of the pages forbids scripts of others
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
            page = context.new_page()
            page.goto(address)
            page.wait_for_timeout(800)
            for step in steps:
                page.evaluate(step)
            page.evaluate(axe)
            found = page.evaluate("rules => axe.run({ runOnly: { type: 'tag', values: rules } })", RULES)
            assert len(found["passes"]) > 10
            assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            context.close()

    return check


def test_the_pages_of_the_server(server: Server, talking: Path, tmp_path: Path, check: Callable[..., None]) -> None:
    check(server.address)
    (tmp_path / "broken.mp4").write_text("no video")
    broken, name = server.upload(tmp_path / "broken.mp4"), server.upload(talking)
    assert server.wait(broken)["state"] == "failed" and server.wait(name)["state"] == "done"
    check(server.address, "document.querySelector('.menu').open = true", "openAgain(state.jobs[0])")
    check(server.address, "document.querySelector('.menu').open = true")
    check(f"{server.address}jobs/{name}/page", "document.querySelector('details.table').open = true")
    clicked = "element('people').value = 'clicked'; take([new File(['no picture'], 'a.png', { type: 'image/png' })])"
    check(server.address, clicked, "element('again-wrong').textContent ||= 'Click a face first.'")
    body = json.dumps({"annotator": "an-invited-rater-with-a-long-name-2026", "recordings": [name]}).encode()
    request = urllib.request.Request(f"{server.address}invitations", body, {"Content-Type": "application/json"}, method="POST")
    invitation = json.loads(urllib.request.urlopen(request).read())["address"]
    opened = "for (const part of document.querySelectorAll('details')) part.open = true"
    trace = "state.traces.ada = { time: [0, 1], valence: [0, 1], arousal: [0, 0] }; revealed = true; draw()"
    check(
        f"{server.address}jobs/{name}/annotate", trace, opened, "element('repair').hidden = element('choices').hidden = false"
    )
    check(invitation)
    check(f"{invitation}jobs/{name}/annotate", opened)
    check(f"{server.address}live", opened, "complain('The camera is used by another program')")


def test_files(talking: Path, tmp_path: Path, check: Callable[..., None]) -> None:
    several = composed(3, talking, 50)
    write_page(several, tmp_path / "report.html", embedded(open_recording(talking)))
    check(f"file://{tmp_path}/report.html")
    rows = [{"recording": "a", **row} for row in summary_rows(several)] + [{"recording": "b", "error": "b.mp4: is broken"}]
    write_quality(rows, [], {"a": "report.html"}, tmp_path / "quality.html")
    check(f"file://{tmp_path}/quality.html")


def test_the_evaluation_page(tmp_path: Path, check: Callable[..., None]) -> None:
    from made_stores import make_store

    store = make_store(tmp_path / "store", {"a": "dev", "b": "dev"})

    def noisy(recording: Any, change: object) -> np.ndarray:
        return np.nan_to_num(recording.labels()) * 0.5

    found, pairs = evaluate(noisy, store.split("dev"), {}, np.zeros(2))
    write_evaluation(tmp_path / "page.html", "dev", ["Two recordings."], found, pairs, dict.fromkeys(pairs, 10.0))
    check(f"file://{tmp_path}/page.html", "for (const part of document.querySelectorAll('details.table')) part.open = true")


def test_the_page_of_an_analysis(tmp_path: Path, check: Callable[..., None]) -> None:
    study = conditions_study(np.random.default_rng(3), effect=0.4, seconds=5)
    study.table.to_csv(tmp_path / "study.csv", index=False)
    study.design_table.to_csv(tmp_path / "design.csv", index=False)
    assert run("analyse", "study.csv", "--design", "design.csv", cwd=tmp_path).status == 0
    check(f"file://{tmp_path}/analysis/analysis.html")
