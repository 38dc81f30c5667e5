"""Training by two processes, as torchrun starts them, against one."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from made_stores import CONFIG, make_store

# no dropout: its masks are drawn by each process for itself
SETTINGS = CONFIG.replace("num_epochs = 4", "num_epochs = 3") + "modality_dropout = 0.3\nsquared_error = 0.5\n"


# a group that something still holds keeps its threads, which abort a process now and then as Python ends
GROUP_IS_GONE = """
import gc, weakref
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from vatrace.distributed import process_group, total

with process_group(torch.device("cpu")):
    group = weakref.ref(dist.group.WORLD)
    model = DistributedDataParallel(torch.nn.Linear(3, 3))
    total(model(torch.ones(2, 3))).sum().backward()
    del model
gc.collect()
raise SystemExit("the group is still held" if group() else 0)
"""


def run(command: list[str], processes: int) -> subprocess.CompletedProcess[str]:
    together = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *together, *command], capture_output=True, text=True, check=False, env=environment, timeout=300
    )


def train(folder: Path, store: Path, out: str, processes: int, config: Path) -> subprocess.CompletedProcess[str]:
    command = ["-m", "vatrace.cli", "train", str(config), "--store", str(store), "--out", str(folder / out)]
    return run(command, processes)


def curve(folder: Path) -> list[list[float]]:
    with (folder / "model" / "log.csv").open(newline="") as file:
        return [[float(value) for value in row.values()] for row in csv.DictReader(file)]


def test_two_processes_learn_as_one_with_the_whole_batch(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s")
    config = tmp_path / "run.toml"
    config.write_text(SETTINGS)
    for out, processes in (("one", 1), ("two", 2)):
        result = train(tmp_path, store.path, out, processes, config)
        assert result.returncode == 0, result.stderr
        assert "Warning" not in result.stderr
        assert result.stdout.count("model 3/3") == 1  # one process speaks
    one, two = curve(tmp_path / "one"), curve(tmp_path / "two")
    assert len(one) == len(two) == 3
    for (_, loss, *scores, rate), (_, other_loss, *other_scores, other_rate) in zip(one, two, strict=True):
        assert (loss, rate) == pytest.approx((other_loss, other_rate), abs=1e-5)
        # Adam moves biases before a batch norm, whose true gradient is 0, by rounding errors: dev sees that, the loss does not
        assert scores == pytest.approx(other_scores, abs=1e-2)


def test_nothing_is_left_of_the_group_when_the_training_is_over(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(GROUP_IS_GONE)
    result = run([str(script)], 2)
    assert result.returncode == 0, result.stderr


def test_a_batch_that_is_too_small_to_share_is_said(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", {"a": "train", "b": "dev"}, steps=30)
    config = tmp_path / "run.toml"
    config.write_text(SETTINGS)
    result = train(tmp_path, store.path, "two", 2, config)
    assert result.returncode != 0
    assert "are too few for 2 processes" in result.stderr
