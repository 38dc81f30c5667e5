"""The benchmark of harmless changes: what it writes is the same recording, and its table names the worst."""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from vatrace.media.reading import AudioReader, VideoReader
from vatrace.media.recording import open_recording

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "robustness.py"


@pytest.fixture(scope="module")
def robustness() -> ModuleType:
    spec = importlib.util.spec_from_file_location("robustness", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["robustness"] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def test_there_are_forty_changes_or_more(robustness: ModuleType) -> None:
    assert len(robustness.CHANGES) >= 40


@pytest.mark.parametrize("name", ["avi", "flv", "mpg", "opus", "rotated-90", "rotated-270", "30-fps", "start-offset", "10-bit"])
def test_a_changed_clip_shows_and_sounds_like_the_clip(
    robustness: ModuleType, talking: Path, tmp_path: Path, name: str
) -> None:
    clip = robustness.read_clip(talking)
    changed = robustness.CHANGES[name](clip)
    path = tmp_path / f"changed{changed.suffix}"
    robustness.write_clip(changed, path)
    recording = open_recording(path)
    assert recording.has_frames and recording.has_audio
    frame = next(frame for frame in VideoReader(path, 10) if frame.time > 1)
    expected = clip.images[round(frame.time * clip.frame_rate)].astype(float)
    assert np.abs(np.asarray(frame.image, float) - expected).mean() < 8
    audio = np.concatenate(list(AudioReader(path, 1.0)))
    assert len(audio) == pytest.approx(clip.audio.shape[1], rel=0.05)
    assert np.sqrt((audio**2).mean()) == pytest.approx(np.sqrt((clip.audio**2).mean()), rel=0.1)


def test_the_script_prints_the_changes_the_worst_first(talking: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), str(talking.parent), "--changes", "mkv,level+10", "--out", str(tmp_path / "a.csv")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert {line.split()[0] for line in lines[1:3]} == {"mkv", "level+10"} and "of 2 changes stay within 0.05" in done.stdout
    with (tmp_path / "a.csv").open() as file:
        rows = {row["change"]: row for row in csv.DictReader(file)}
    moved = {name: max(abs(float(rows[name][key]) - float(rows[""][key])) for key in ("valence", "arousal")) for name in rows}
    assert [line.split()[0] for line in lines[1:3]] == sorted(("mkv", "level+10"), key=lambda name: -moved[name])
    assert "3 of 3" in done.stderr


def test_what_fails_or_loses_its_support_is_beyond_the_bar(robustness: ModuleType) -> None:
    results = [
        robustness.Result("a.mp4", "", (0.1, 0.2)),
        robustness.Result("b.mp4", "", (0.0, 0.0)),
        robustness.Result("a.mp4", "good", (0.12, 0.2)),
        robustness.Result("b.mp4", "good", (0.0, -0.04)),
        robustness.Result("a.mp4", "bad", (np.nan, np.nan), "a.mp4: no such codec"),
        robustness.Result("b.mp4", "bad", (0.0, 0.0)),
    ]
    lines = robustness.table(results).splitlines()
    assert [line.split() for line in lines[1:3]] == [
        ["bad", "inf", "inf", "inf", "inf", "a.mp4"],
        ["good", "0.020", "0.010", "0.040", "0.020", "b.mp4"],
    ]
    assert lines[3:] == [
        "1 of 2 changes stay within 0.05 on every clip",
        "beyond it:",
        "  bad: 1 of 2 clips (a.mp4: no such codec)",
    ]
