"""Training from a store against training from memory, peak memory by the size of the corpus, and extraction by workers.

    python benchmarks/training.py

Speeds are medians of interleaved repeats in one process; each peak of memory is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from vatrace.encoders import FEATURE_DIMS
from vatrace.media.demo import make_demo
from vatrace.models.affect import AffectModel
from vatrace.store import EncoderInfo, Membership, Meta, Schema, Store
from vatrace.training.config import RunConfig, read_config
from vatrace.training.data import Batch, Windows
from vatrace.training.loop import batch_loss, make_optimizer

REPEATS = 7
NUM_RECORDINGS, STEPS = 20, 3000
"""The smaller store: 5 minutes per recording at 10 steps a second, 108 MB in all."""
NUM_VIDEOS = 6

SMALL = """
[model]
fusion = "concat"
num_levels = 2
[model.widths]
face = 8
voice = 8
words = 8
[train]
num_epochs = 1
win_len = 300
hop_len = 300
"""


def fill(path: Path, num_recordings: int) -> Store:
    """Make a store of random features, with every tenth recording in dev."""
    encoders = {name: EncoderInfo(name, name, dim) for name, dim in FEATURE_DIMS.items()}
    store = Store.create(path, Schema(10.0, encoders))
    members = {}
    for index in range(num_recordings):
        rng = np.random.default_rng(index)
        features = {name: rng.normal(size=(STEPS, dim)).astype(np.float16) for name, dim in FEATURE_DIMS.items()}
        valid = {name: rng.random(STEPS) < 0.8 for name in FEATURE_DIMS}

        def read(start: int, stop: int, features: dict[str, np.ndarray] = features) -> dict[str, np.ndarray]:
            return {name: values[start:stop] for name, values in features.items()}

        name = f"r{index:04d}"
        store.write(Meta(name, 10.0, STEPS), valid, read, np.zeros(0))
        store.write_labels(name, rng.uniform(-1, 1, (STEPS, 2)))
        members[name] = Membership("dev" if index % 10 == 0 else "train")
    store.write_corpus(members, {"kind": "random"})
    return store


def speed(store: Store, config: RunConfig) -> None:
    """Print the windows per second of training steps, from memory and from the store."""
    options = config.train
    model = AffectModel(config.model).train()
    optimizer = make_optimizer(model, options)
    windows = Windows(store.split("train"), model.modalities, config.model.outputs, options.win_len, options.hop_len)
    kept = next(windows.batches(1, options.batch_size))
    stream = windows.batches(1, options.batch_size)

    def step(batch: Batch) -> None:
        loss = batch_loss(model(batch.features, batch.valid), batch, options.squared_error)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    ways: dict[str, Callable[[], None]] = {"in memory": lambda: step(kept), "from the store": lambda: step(next(stream))}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(REPEATS + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if repeat:  # the first repeat is the warm-up
                times[name].append(time.perf_counter() - started)
    print(
        f"{torch.get_num_threads()} threads, default model, batches of {options.batch_size} windows of {options.win_len} steps"
    )
    for name, taken in times.items():
        print(f"  {name:16}{options.batch_size / median(taken):8.1f} windows per second")
    print(f"loading ratio: {median(times['in memory']) / median(times['from the store']):.2f}")


def peak_memory(*arguments: str) -> float:
    """The peak memory in MB of a new process that runs the command line."""
    code = (
        "import sys; from vatrace.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code\n"
        "line = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(line.split()[1])\n"
    )
    result = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
    return int(result.stdout.splitlines()[-1]) / 1024


def memory(folder: Path) -> None:
    """Print the peak memory of a training run on a store, and on a store with ten times as many recordings."""
    (folder / "small.toml").write_text(SMALL)
    peaks = []
    for factor in (1, 10):
        fill(folder / f"store{factor}", factor * NUM_RECORDINGS)
        where = ["--store", str(folder / f"store{factor}"), "--out", str(folder / f"run{factor}")]
        peaks.append(peak_memory("train", str(folder / "small.toml"), *where))
        print(f"  {factor * NUM_RECORDINGS:4} recordings: {peaks[-1]:.0f} MB")
    print(f"memory ratio: {peaks[1] / peaks[0]:.2f}")


def extraction(folder: Path) -> None:
    """Print the time of extraction with one worker and with two."""
    videos = folder / "videos"
    videos.mkdir()
    make_demo(videos / "0.mp4")
    for index in range(1, NUM_VIDEOS):
        (videos / f"{index}.mp4").write_bytes((videos / "0.mp4").read_bytes())
    taken = {}
    for workers in (1, 2):
        started = time.perf_counter()
        command = [sys.executable, "-m", "vatrace.cli", "extract", str(videos), "--store", str(folder / f"s{workers}")]
        subprocess.run([*command, "--workers", str(workers)], check=True, capture_output=True)
        taken[workers] = time.perf_counter() - started
        print(f"  {workers} workers: {taken[workers]:.1f} s, {30 * NUM_VIDEOS / taken[workers]:.1f} x real time")
    print(f"extraction ratio: {taken[1] / taken[2]:.2f}")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print("training steps")
        speed(fill(folder / "store", NUM_RECORDINGS), read_config("default"))
        print("peak memory of a training run, small model")
        memory(folder)
        print(f"extraction of {NUM_VIDEOS} videos of 30 s")
        extraction(folder)


if __name__ == "__main__":
    main()
