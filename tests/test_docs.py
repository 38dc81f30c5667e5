"""The samples of README.md and docs/ do what the pages say."""

from __future__ import annotations

import io
import re
import shlex
import sys
import tomllib
import traceback
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vatrace
from command import run
from conftest import write_movie
from vatrace.cli import parse
from vatrace.encoders.onnx import _read_toml
from vatrace.media.reading import SAMPLING_RATE, VideoReader
from vatrace.models.fusions import FUSIONS
from vatrace.training.config import read_config
from web_server import serve

ROOT = Path(__file__).parents[1]
PAGES = {path.relative_to(ROOT).as_posix(): path for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]}


@dataclass(frozen=True)
class Sample:
    """A fenced block of a page.

    Attributes:
        language: as the fence names it, such as "python".
        line: the line of the page at which its text starts, from 1.
        text: what is in it.
        lead: the last line of prose before it.
    """

    language: str
    line: int
    text: str
    lead: str


def samples(page: str, language: str) -> list[Sample]:
    lines = PAGES[page].read_text(encoding="utf-8").splitlines(keepends=True)
    fences = [index for index, line in enumerate(lines) if line.startswith("```")]
    assert len(fences) % 2 == 0, f"{page}: a block is not closed"
    found = []
    for start, stop in zip(fences[::2], fences[1::2], strict=True):
        lead = next((line.strip() for line in reversed(lines[:start]) if line.strip()), "")
        found.append(Sample(lines[start][3:].strip(), start + 2, "".join(lines[start + 1 : stop]), lead))
    return [sample for sample in found if sample.language == language]


def pages_with(language: str) -> list[str]:
    return [page for page in PAGES if samples(page, language)]


def write_network(path: Path) -> None:
    """An ONNX network on crops of 112 pixels, with random weights."""
    import torch

    network = torch.nn.Sequential(torch.nn.AvgPool2d(16), torch.nn.Flatten(), torch.nn.Linear(147, 8))
    names = {"input_names": ["crops"], "output_names": ["embedding"], "dynamic_axes": {"crops": {0: "batch"}}}
    torch.onnx.export(network, (torch.zeros(1, 3, 112, 112),), str(path), dynamo=False, **names)


Makers = dict[str, Callable[[Path], object]]


@pytest.fixture(scope="module")
def makers(face_images: list[Image.Image], speech: NDArray[np.float32]) -> Makers:
    """How each file is made that samples name."""

    def write_second(path: Path) -> object:
        return write_movie(path, face_images[:30], sound=speech[:SAMPLING_RATE], frame_rate=30)

    return {
        **dict.fromkeys(("talk.mp4", "a.mp4", "b.mp4", "new.mp4"), write_second),
        "talk.srt": lambda path: path.write_text("1\n00:00:00,000 --> 00:00:04,000\nIt was the best of times.\n"),
        "affectnet.onnx": write_network,
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder whose modules can be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    with chdir(tmp_path):
        yield tmp_path
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(tmp_path):
            del sys.modules[name]


def run_samples(page: str, folder: Path, makers: Makers) -> dict[str, Any]:
    """Run the Python samples of a page one after the other, as one program.

    A sample that the text calls a module (in "module `NAME.py`") is also written to that file.

    Returns:
        What they have defined.

    Raises:
        AssertionError: if a sample raises; the message names the page and the line.
    """
    names: dict[str, Any] = {"__name__": "sample"}
    for sample in samples(page, "python"):
        for name in makers.keys() & set(re.findall(r"[\w-]+\.\w+", sample.text)):
            if not (folder / name).exists():
                makers[name](folder / name)
        module = re.search(r"module `(\w+\.py)`", sample.lead)
        if module:
            (folder / module[1]).write_text(sample.text, encoding="utf-8")
        try:
            exec(compile("\n" * (sample.line - 1) + sample.text, page, "exec"), names)
        except Exception as error:
            lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == page]
            raise AssertionError(f"{page}:{lines[-1] if lines else sample.line}: {error!r}") from error
    return names


@pytest.fixture
def printed(talking: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is printed, with a recording in place of OpenCV's camera 0, until 10 lines have been printed."""
    frames, lines = [np.asarray(frame.image)[..., ::-1] for frame in VideoReader(talking, 10)], list[str]()

    class VideoCapture:
        def __init__(self, number: int) -> None:
            self.next, self.end = 0, monotonic() + 60

        def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
            if len(lines) >= 10 or monotonic() > self.end:
                return False, None
            sleep(0.1)
            self.next += 1
            return True, frames[self.next % len(frames)]

    monkeypatch.setitem(sys.modules, "cv2", SimpleNamespace(VideoCapture=VideoCapture))
    monkeypatch.setattr("builtins.print", lambda *parts: lines.append(" ".join(map(str, parts))))
    return lines


def test_the_webcam_example_prints_values(folder: Path, makers: Makers, printed: list[str]) -> None:
    run_samples("docs/live.md", folder, makers)
    found = [re.fullmatch(r"(\d+\.\d) s: valence [+-]\d\.\d\d, arousal [+-]\d\.\d\d", line) for line in printed]
    times = [float(match[1]) for match in found if match]
    assert len(times) >= 10 and times == pytest.approx(times[0] + np.arange(len(times)) / 10)  # none is left out
    assert len(samples("docs/live.md", "python")[0].text.splitlines()) <= 15


def test_the_client_fetches_results_in_the_order_of_completion(
    folder: Path, makers: Makers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VATRACE_API_TOKEN", "a token for the tests")
    server = serve(folder / "results", "--api")
    try:
        monkeypatch.setenv("VATRACE_ADDRESS", server.address.rsplit("/", 2)[0])
        run_samples("docs/api.md", folder, makers)
        assert server.jobs() == []
    finally:
        assert server.end() == 0
    assert re.findall(r"^(\w\.mp4) done 1\.\d s, valence", capsys.readouterr().out, re.MULTILINE) == ["a.mp4", "b.mp4"]
    for name in ("a.csv", "b.csv"):
        rows = (folder / name).read_text().splitlines()
        assert rows[0].startswith("time,valence,arousal,") and len(rows) in {6, 7}  # five a second
    assert len(samples("docs/api.md", "python")[0].text.splitlines()) <= 50


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch's tracing exporter
@pytest.mark.parametrize("page", sorted(set(pages_with("python")) - {"docs/live.md", "docs/api.md"}))
def test_python_samples_run(page: str, folder: Path, makers: Makers) -> None:
    run_samples(page, folder, makers)


BAD = """# A page

```python
first = 1
```

```python
second = first + 1
print(third)
```

```sh
vatrace predict talk.mp4 --out traces   # right
vatrace predict talk.mp4 --loud         # wrong
```
"""


def test_what_is_wrong_is_named_with_its_page_and_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "bad.md").write_text(BAD)
    monkeypatch.setitem(PAGES, "bad.md", folder / "bad.md")
    with pytest.raises(AssertionError, match=r"bad\.md:9: NameError\(\"name 'third' is not defined\"\)"):
        run_samples("bad.md", folder, {})
    assert [line for line, _, _ in refused_commands("bad.md")] == [14]


def commands(page: str) -> list[tuple[int, list[str]]]:
    """Each `vatrace` command of a page's shell samples: its line, and its arguments."""
    found = []
    for sample in samples(page, "sh"):
        for number, line in enumerate(sample.text.splitlines(), sample.line):
            for part in line.split("&&"):
                words = shlex.split(part, comments=True)
                if words and Path(words[0]).name == "vatrace":
                    found.append((number, words[1:]))
    return found


def refused_commands(page: str) -> list[tuple[int, str, str]]:
    """The commands that the real parser refuses: their line, themselves, and the reason."""
    refused = []
    for line, arguments in commands(page):
        reason = io.StringIO()
        try:
            with redirect_stderr(reason):
                parse(arguments)
        except SystemExit:
            refused.append((line, shlex.join(arguments), reason.getvalue().splitlines()[-1]))
    return refused


@pytest.mark.parametrize("page", pages_with("sh"))
def test_shell_samples_have_options_that_exist(page: str) -> None:
    assert refused_commands(page) == []


def test_there_are_commands_to_check() -> None:
    checked = [arguments for page in pages_with("sh") for _, arguments in commands(page)]
    assert len(checked) > 20 and {arguments[0] for arguments in checked} >= {"predict", "demo", "serve", "extract", "train"}


@pytest.mark.parametrize("page", PAGES)
def test_options_in_the_text_exist(page: str) -> None:
    unknown = []
    for number, line in enumerate(PAGES[page].read_text(encoding="utf-8").splitlines(), 1):
        for code in re.findall(r"`vatrace ([^`]+)`", line):
            command, *others = code.split()
            help_text = run(command, "--help")
            options = [word for word in others if re.fullmatch(r"--[a-z-]+", word)]
            if help_text.status or any(not re.search(rf"{option}\b", help_text.out) for option in options):
                unknown.append(f"{page}:{number}: vatrace {code}")
    assert unknown == []


@pytest.mark.parametrize("page", pages_with("toml"))
def test_toml_samples_are_read(page: str, tmp_path: Path) -> None:
    for sample in samples(page, "toml"):
        path = tmp_path / "sample.toml"
        path.write_text(sample.text)
        is_run = {"model", "train", "backbone"} & {
            key for key, value in tomllib.loads(sample.text).items() if isinstance(value, dict)
        }
        try:
            if is_run:
                read_config(path)
            else:
                _read_toml(path)
        except Exception as error:
            raise AssertionError(f"{page}:{sample.line}: {error}") from error


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings_that_exist(page: str) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[page].read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (PAGES[page].parent / name).resolve() if name else PAGES[page]
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


def test_the_reference_has_every_public_name() -> None:
    reference = PAGES["docs/reference/python.md"].read_text(encoding="utf-8")
    public = set(vatrace.__all__) - {"__version__", *vatrace.errors.__dict__}  # the errors are listed as a module
    assert len(public) > 10 and [name for name in sorted(public) if f":: vatrace.{name}" not in reference] == []


def test_every_fusion_has_its_row() -> None:
    first_table, _, _ = PAGES["docs/models.md"].read_text(encoding="utf-8").partition("\n\n- ")
    assert sorted(re.findall(r"^\| `(\w+)` \|", first_table, re.MULTILINE)) == sorted(FUSIONS)
    assert "RCMA, RJCMA and eight other fusions" in PAGES["README.md"].read_text(encoding="utf-8")
    assert len(FUSIONS) == 10
