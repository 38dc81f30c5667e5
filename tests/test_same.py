"""The same input gives the same output: golden traces, and traces that don't depend on how the work is divided."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import golden
from command import run
from vatrace import Model, load_model
from vatrace.features import hearing, seeing, speech

TOLERANCE = 0.0005
"""Between runs of one machine. Most traces are equal to the last digit; with faces in batches of one instead of 16, 0.0001 was
measured."""
BLOCK_TOLERANCE = 0.01
"""Where audio is processed in blocks of 3 or 5 s instead of 60 s, so that they end between words: 0.0045 was measured."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return golden.make_clips(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def usual(model: Model, clips: dict[str, Path]) -> dict[str, str]:
    return {name: golden.trace_text(model, name, path) for name, path in clips.items()}


def values(text: str) -> NDArray[np.float64]:
    """Everything in a table, (rows, columns)."""
    return np.array([[float(cell or "nan") for cell in row] for row in list(csv.reader(text.splitlines()))[1:]])


def check_same(text: str, expected: str, tolerance: float = TOLERANCE) -> None:
    """Within the tolerance, and with the same modalities, people and speakers."""
    header = text.splitlines()[0].split(",")
    assert header == expected.splitlines()[0].split(",")
    found, wanted = values(text), values(expected)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance, equal_nan=True)
    exact = [at for at, name in enumerate(header) if name in golden.WHOLE]
    np.testing.assert_array_equal(found[:, exact], wanted[:, exact])


@pytest.mark.parametrize("name", golden.OPTIONS)
def test_the_trace_of_a_generated_clip_is_the_golden_one(usual: dict[str, str], name: str) -> None:
    assert not golden.differences(usual[name], golden.read_golden(name)), "intended? python -m tests.golden --write"


@pytest.mark.parametrize(("column", "change"), [("valence", 0.03), ("arousal_high", -0.03), ("face", 1.0), ("person", 1.0)])
def test_a_change_is_noticed(column: str, change: float) -> None:
    good = golden.read_golden("two")
    rows = [line.split(",") for line in good.splitlines()]
    place = rows[0].index(column)
    assert not golden.differences(good, good)
    for row in rows[1:] if column != "valence" else rows[7:8]:
        row[place] = str(float(row[place]) + change)
    (found,) = golden.differences("\n".join(map(",".join, rows)), good)
    assert found.startswith(f"{column}: ")
    assert golden.differences("\n".join(good.splitlines()[:-1]), good)[0].startswith("119 rows of time, ")


@pytest.mark.parametrize("threads", [1, 3])
def test_any_number_of_threads_gives_the_same(clips: dict[str, Path], usual: dict[str, str], threads: int) -> None:
    check_same(golden.trace_text(load_model(threads=threads), "two", clips["two"]), usual["two"])


@pytest.mark.parametrize("batch", [1, 7])
def test_faces_in_batches_of_any_size_give_the_same(
    model: Model, clips: dict[str, Path], usual: dict[str, str], monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(seeing, "BATCH", batch)
    monkeypatch.setattr(seeing, "FRAMES_AHEAD", batch)
    check_same(golden.trace_text(model, "two", clips["two"]), usual["two"])


@pytest.mark.parametrize("block_dur", [3.0, 5.0])
def test_audio_in_shorter_blocks_gives_nearly_the_same(
    model: Model, clips: dict[str, Path], usual: dict[str, str], monkeypatch: pytest.MonkeyPatch, block_dur: float
) -> None:
    for module in (speech, hearing):
        monkeypatch.setattr(module, "BLOCK_DUR", block_dur)
    check_same(golden.trace_text(model, "two", clips["two"]), usual["two"], BLOCK_TOLERANCE)


def test_other_processes_write_the_same_bytes(clips: dict[str, Path], usual: dict[str, str], tmp_path: Path) -> None:
    written = []
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "vatrace.cli", "predict", str(clips["talking"]), "--out", str(tmp_path / seed)]
        subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PYTHONHASHSEED": seed})
        written.append((tmp_path / seed / "talking.csv").read_text())
    assert written[0] == written[1]
    check_same(written[0], usual["talking"])


@pytest.mark.slow
def test_any_number_of_jobs_and_any_order_write_the_same(clips: dict[str, Path], usual: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("a", "b", "c"):
        shutil.copy(clips["talking"], folder / f"{name}.mkv")
    assert run("predict", folder, "--out", tmp_path / "out", "--jobs", "2").status == 0
    for name in ("a", "b", "c"):
        check_same((tmp_path / "out" / f"{name}.csv").read_text(), usual["talking"])
