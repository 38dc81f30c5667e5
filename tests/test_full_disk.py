"""A disk that is full: one line that names the file; what was there before stays, and the same command continues."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from made_stores import CONFIG, make_store
from vatrace.store import Store
from vatrace.training.config import read_config
from vatrace.training.train import train_run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits are those of POSIX")


def limited(size: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `vatrace ARGUMENTS` where no file can be larger than this many bytes."""
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size})); "
        "from vatrace.cli import main; import sys; main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.name != ".lock"]


def test_extract_names_what_it_cannot_write_and_continues(tmp_path: Path, talking: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes(talking.read_bytes())
    command = ("extract", tmp_path / "videos", "--store", tmp_path / "store", "--encoders", "voice=none,words=none", "--crops")
    result = limited(50_000, *command)
    assert result.returncode == 1 and "(file too large)" in result.stdout, result.stderr
    assert Store(tmp_path / "store").names == [] and hidden(tmp_path) == []
    assert limited(50_000_000, *command).returncode == 0
    assert Store(tmp_path / "store").names == ["a"]


def test_train_continues_and_evaluate_prints_its_table_before_it_fails(tmp_path: Path) -> None:
    store, run = make_store(tmp_path / "store"), tmp_path / "run"
    (tmp_path / "run.toml").write_text(CONFIG.replace("num_epochs = 4", "num_epochs = 1"))
    result = limited(20_000, "train", tmp_path / "run.toml", "--store", store.path, "--out", run)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert result.stderr.startswith(f"error: {run / 'model' / 'state.safetensors'}: can't be written (")
    assert hidden(run) == []
    train_run(read_config(tmp_path / "run.toml"), store, run)
    result = limited(2000, "evaluate", run, "--store", store.path, "--out", tmp_path / "report")
    assert result.returncode == 1 and "worst recordings, CCC" in result.stdout
    assert result.stderr == f"error: {tmp_path / 'report' / 'evaluation.json'}: can't be written (file too large)\n"
    assert list((tmp_path / "report").iterdir()) == []


@pytest.mark.skipif(not Path("/sys/kernel").exists(), reason="needs a folder in which nobody can write")
def test_train_names_the_events_that_it_cannot_write(tmp_path: Path) -> None:
    store, run = make_store(tmp_path / "store"), tmp_path / "run"
    (tmp_path / "run.toml").write_text(CONFIG)
    (run / "model").mkdir(parents=True)
    (run / "model" / "tensorboard").symlink_to("/sys/kernel")
    result = limited(50_000_000, "train", tmp_path / "run.toml", "--store", store.path, "--out", run)
    assert result.returncode == 1
    assert result.stderr == f"error: {run / 'model' / 'tensorboard'}: can't be written (permission denied)\n"


def test_predict_names_the_result_that_it_cannot_write(tmp_path: Path, talking: Path) -> None:
    result = limited(20_000, "predict", talking, "--modalities", "face", "--out", tmp_path / "out", "--report")
    assert result.returncode == 1 and "can't be written (" in result.stderr and str(talking) in result.stderr
    assert len(result.stderr.splitlines()) == 1 and list((tmp_path / "out").iterdir()) == []
