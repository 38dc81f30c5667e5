"""Two hundred damaged files; `python -m tests.hostile` tries thousands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from command import run
from hostile import attack
from vatrace.cli.terminal import say
from vatrace.encoders.state_dict import read_state_dict
from vatrace.errors import CheckpointError
from vatrace.files import as_meant, harmless


def test_damaged_files_end_in_a_result_or_in_one_line(tmp_path: Path) -> None:
    found = {path.name: what for path, _, what in attack(7, 200, tmp_path)}
    wrong = {name: what for name, what in found.items() if what not in {"result", "error"}}
    assert not wrong
    counts = Counter(found.values())
    assert counts["result"] > 20 and counts["error"] > 20  # neither harmless nor hopeless


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+A1", "-2+3", "@SUM(A1)", "\tx"])
def test_a_name_that_a_spreadsheet_would_run_is_made_harmless(name: str) -> None:
    assert harmless(name) == f"'{name}" and as_meant(harmless(name)) == name


@pytest.mark.parametrize("name", ["anna", "'tis", "'", "", "1=2", "Ärzte", "-1.5", "+1"])
def test_other_names_stay_as_they_are(name: str) -> None:
    assert harmless(name) == name and as_meant(name) == name


def test_a_recording_that_is_called_like_a_formula_can_be_opened_in_a_spreadsheet(tmp_path: Path) -> None:
    (tmp_path / "=HYPERLINK(1).srt").write_text("1\n00:00:00,000 --> 00:00:01,000\n=cmd: =1+1 is two\n")
    result = run("predict", "=HYPERLINK(1).srt", "--summary", "all.csv", "--format", "csv,turns", cwd=tmp_path)
    assert result.status == 0, result.err
    cells = [cell for path in tmp_path.glob("*.csv") for line in path.read_text().splitlines()[1:] for cell in line.split(",")]
    assert any(cell.startswith("'=HYPERLINK") for cell in cells)
    assert not [cell for cell in cells if cell.strip('"').startswith(("=", "@"))]


def test_names_cannot_control_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "\x1b]0;owned\x07\x1b[2J\u202egpj.mp4"
    (tmp_path / name).write_bytes(b"no film")
    result = run("predict", name, cwd=tmp_path)
    assert result.status == 1 and r"\x1b]0;owned\x07\x1b[2J\u202egpj.mp4" in result.err
    assert not {"\x1b", "\x07", "\u202e"} & {*result.err, *result.out}
    say("Zoë\tと\n日本")
    assert capsys.readouterr().out == "Zoë\tと\n日本\n"


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch /tmp/owned",)


@pytest.mark.parametrize("legacy", [False, True])
def test_weights_with_code_in_them_are_refused_without_advice_to_run_it(tmp_path: Path, legacy: bool) -> None:
    import torch

    path = tmp_path / "face.pth"
    torch.save({"state_dict": Evil()}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(
        CheckpointError, match=r"face\.pth: contains Python objects \(posix\.system\), whose code is not run"
    ) as error:
        read_state_dict(path, torch.nn.Linear(1, 1))
    assert "weights_only" not in str(error.value)


def test_the_module_runs_from_the_checkout() -> None:
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "tests.hostile", "--help"]
    assert "--seed" in subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
