"""The page on a batch, in a real browser."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browser import Opened, open_page
from made_people import composed
from vatrace.inference.prediction import Prediction, for_everyone
from vatrace.output.quality import is_quality, write_quality
from vatrace.output.writers import summary_rows

NAMES = ("P1/b", "P1/a", "P2/<i>c</i> & d", "P3/e#1")


def batch() -> list[dict[str, Any]]:
    """Rows of three recordings, the last with two people, and of one that failed."""
    alone = replace(composed(3), others=(), notes=[], turns=[])
    dark = for_everyone(alone, presence={name: np.zeros(50, bool) for name in alone.presence}, about={"group": "=1+1"})
    several = composed(2)
    made: list[Prediction] = [alone, dark, several]
    rows = [{"recording": name} | row for name, found in zip(NAMES, made, strict=False) for row in summary_rows(found)]
    return [*rows, {"recording": NAMES[3], "error": "e#1.mp4: <broken>"}]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("quality") / "quality.html"
    write_quality(batch(), ["group"], {NAMES[2]: "P2/c # d.html"}, path)
    return path


@pytest.fixture
def opened(page: Path) -> Iterator[Opened]:
    with open_page(f"file://{page}", viewport={"width": 1200, "height": 900}) as opened:
        yield opened
        assert not opened.complaints and len(opened.requests) == 1


def names(opened: Opened) -> list[str]:
    return list(opened.page.locator("tbody th").all_inner_texts())


def test_there_is_a_row_for_each_trace_with_its_picture_flags_and_report(opened: Opened) -> None:
    assert names(opened) == [NAMES[0], NAMES[1], NAMES[2], NAMES[2], NAMES[3]]
    assert opened.page.inner_text("h1") == "Quality of 4 recordings"
    assert opened.page.inner_text("h1 ~ p:not(.key)") == "Failed: 1, low support: 1, several people: 2."
    flags = [row.locator(".flag").all_inner_texts() for row in opened.page.locator("tbody tr").all()]
    assert flags == [[], ["low support"], ["several people"], ["several people"], ["failed"]]
    assert opened.page.locator("tbody svg").count() == 4
    (first, *_), links = opened.page.locator("tbody a").all(), opened.page.locator("tbody a").count()
    assert links == 2 and first.get_attribute("href") == "P2/c%20%23%20d.html"
    assert opened.page.inner_text("tbody tr:last-child .failed") == "e#1.mp4: <broken>"
    assert "Person 2" in opened.page.inner_text("tbody tr:nth-child(4)")


def test_a_click_sorts_and_another_one_reverses(opened: Opened) -> None:
    opened.page.click("thead button:text-is('Recording')")
    assert names(opened) == [NAMES[1], NAMES[0], NAMES[2], NAMES[2], NAMES[3]]
    opened.page.click("thead button:text-is('Face')")
    shares = [row["face"] for row in batch() if "face" in row]
    sorts = "[...document.querySelectorAll('tbody tr')].map(row => row.querySelector('[data-name=Face]')?.dataset.sort)"
    assert opened.page.evaluate(sorts)[:4] == [f"{share:.10g}" for share in sorted(shares)]
    assert names(opened)[4] == NAMES[3]
    opened.page.click("thead button:text-is('Face')")
    assert opened.page.evaluate(sorts)[:4] == [f"{share:.10g}" for share in sorted(shares, reverse=True)]
    assert names(opened)[4] == NAMES[3]  # what isn't known comes last in both directions
    assert opened.page.locator("[aria-sort=descending]").inner_text().startswith("Face")


@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_fits_narrow_and_wide_windows(page: Path, width: int) -> None:
    with open_page(f"file://{page}", viewport={"width": width, "height": 800}, color_scheme="dark") as opened:
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"


def test_only_such_a_page_is_known_as_one(page: Path, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<!doctype html>\n<p>mine")
    (tmp_path / "b.html").write_bytes(b"\xff\xfe")
    assert [is_quality(path) for path in (page, tmp_path / "a.html", tmp_path / "b.html", tmp_path / "c.html")] == [True] + [
        False
    ] * 3
