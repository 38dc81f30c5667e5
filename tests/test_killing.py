"""A few commands that are killed or run out of something; `python -m tests.killing` tries hundreds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc, fork and limits")
def test_killed_commands_leave_whole_results_and_continue() -> None:
    command = [sys.executable, "-m", "tests.killing", "--count", "2", "--commands", "predict", "extract", "train"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(", 2 times") == 18
