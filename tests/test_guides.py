"""The guides and the notebooks in docs/ can be followed from the first line to the last."""

from __future__ import annotations

import os
import re
import runpy
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from command import run
from conftest import write_movie
from test_docs import ROOT, Makers, commands, folder, makers, run_samples, samples
from vatrace.media.reading import SAMPLING_RATE

__all__ = ["folder", "makers"]  # fixtures
INTERACTIVE = {"serve", "live"}

Film = Callable[[Path], object]


@pytest.fixture
def film(face_images: list[Image.Image], speech: NDArray[np.float32]) -> Film:
    """Writes another second of the same person each time, so that participants differ."""
    starts = count(step=12)

    def write(path: Path) -> object:
        start = next(starts)
        sound = speech[start * SAMPLING_RATE // 12 :][:SAMPLING_RATE]
        return write_movie(path, face_images[start : start + 36], sound=sound, frame_rate=30)

    return write


def write_files(page: str, language: str, folder: Path) -> None:
    """Write the samples of this language to the files that the text before them names."""
    for sample in samples(page, language):
        named = re.search(rf"`([\w/]+\.{language})`", sample.lead)
        assert named, f"{page}:{sample.line}: the text before the sample doesn't name its file"
        (folder / named[1]).parent.mkdir(exist_ok=True)
        (folder / named[1]).write_text(sample.text, encoding="utf-8")


def run_commands(page: str, folder: Path) -> None:
    followed = [(line, words) for line, words in commands(page) if words[0] not in INTERACTIVE]
    assert len(followed) >= 4
    for line, words in followed:
        result = run(*words, cwd=folder)
        assert result.status == 0, f"{page}:{line}: vatrace {' '.join(words)}: {result.err}"


def test_the_guide_for_scientists(folder: Path, film: Film) -> None:
    page = "docs/guides/scientist.md"
    write_files(page, "csv", folder)
    for line in (folder / "STUDY/study.csv").read_text().splitlines()[1:]:
        film(folder / "STUDY" / line.split(",")[0])
    run_commands(page, folder)
    for name in re.findall(r"`((?:look|traces|analysis)/[\w.]+)`", (ROOT / page).read_text(encoding="utf-8")):
        assert (folder / name).is_file(), name


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch's tracing exporter
def test_the_guide_for_researchers(folder: Path, makers: Makers) -> None:
    page = "docs/guides/researcher.md"
    write_files(page, "toml", folder)
    run_samples(page, folder, makers)
    run_commands(page, folder)
    assert (folder / "report/evaluation.html").is_file() and (folder / "run/model.onnx").is_file()


@pytest.mark.parametrize("name", ["study", "fusion"])
def test_notebooks_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(ROOT / "docs" / "notebooks" / f"{name}.ipynb", as_version=4)
    scripts = Path(sys.executable).parent  # so that `!vatrace` is this one
    monkeypatch.setenv("PATH", f"{scripts}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # other tests use the other cores
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "Traceback" not in printed


def broken_links(site: Path) -> list[str]:
    """Links in a site's pages to files or places that don't exist in it."""
    pages = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    places = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in pages.items()}
    broken = []
    for path, text in pages.items():
        for target in re.findall(r'\b(?:href|src)="([^"]+)"', text):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, place = unquote(target).partition("#")
            name = name.partition("?")[0]
            file = (path.parent / name).resolve() if name else path
            if not file.is_file() or (place and place not in places[file]):
                broken.append(f"{path.relative_to(site)}: {target}")
    return broken


def test_the_site_is_built_without_a_warning_and_its_links_lead_somewhere(tmp_path: Path) -> None:
    from sphinx.application import Sphinx

    docs = ROOT / "docs"
    site = Sphinx(docs, docs, tmp_path / "site", tmp_path / "cache", "html", status=None, warningiserror=True)
    site.build()
    assert site.statuscode == 0
    commands_page = (tmp_path / "site/reference/commands.html").read_text(encoding="utf-8")
    assert "vatrace predict talk.mp4 --out traces" in commands_page
    assert str(Path.home()) not in commands_page
    loaded = re.findall(r'(?:src|href)="(https?://[^"]+\.(?:js|css|woff2?))"', commands_page)
    assert loaded == []  # the site needs no network
    assert 'src="_images/architecture.svg"' in (tmp_path / "site/architecture.html").read_text(encoding="utf-8")
    assert broken_links(tmp_path / "site") == []
    (tmp_path / "site/other.html").write_text('<a href="index.html#nowhere"><img src="none.png"></a>')
    assert broken_links(tmp_path / "site") == ["other.html: index.html#nowhere", "other.html: none.png"]


def test_the_diagram_of_the_architecture_is_what_its_script_draws() -> None:
    drawn = runpy.run_path(str(ROOT / "docs/diagram.py"))["drawn"]()
    assert (ROOT / "docs/pictures/architecture.svg").read_text(encoding="utf-8") == drawn
