"""What a batch costs compared with the same recordings in one Python process, and how long a finished batch takes.

    python benchmarks/batch.py                 100 clips of 2 s; then 1,000 finished recordings again
    python benchmarks/batch.py --jobs 2        in two processes
    python benchmarks/batch.py --clips 10 --rounds 3     where other programs disturb: fewer clips, and the median

The Python process loads the model once, and predicts and writes the same tables and figures as the command. CPU times are given
as well as times on the clock, because other programs disturb them less. The bars: the command costs at most 1.1 times the CPU
time of the Python process, however many jobs there are; and 1,000 finished recordings take less than 5 s.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from end_to_end import make_clip

SECONDS, CLIPS, FINISHED = 2, 100, 1000
MAX_COST, MAX_RERUN = 1.1, 5.0

IN_PYTHON = """
import sys
from pathlib import Path
import vatrace
from vatrace.output.figure import write_picture
from vatrace.output.writers import write_csv

model, out = vatrace.load_model(threads=int(sys.argv[3]) or None), Path(sys.argv[2])
for path in sorted(Path(sys.argv[1]).iterdir()):
    prediction = model.predict(path)
    write_csv(prediction, out / f"{path.stem}.csv")
    write_picture(prediction, out / f"{path.stem}.png")
"""


def timed(command: Sequence[object]) -> tuple[float, float]:
    """Run a command to its end; its seconds on the clock, and of CPU with those of its children."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *map(str, command)], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def predict(folder: Path, out: Path, *options: object) -> list[object]:
    """The arguments of Python for `vatrace predict`."""
    return ["-m", "vatrace.cli", "predict", folder, "--out", out, *options]


def measure_cost(folder: Path, out: Path, jobs: int, rounds: int) -> bool:
    """Print what the command costs compared with Python, in alternating rounds; whether the median is within the bar."""
    threads = 0 if jobs == 1 else max(1, (os.cpu_count() or 1) // jobs)
    ratios = []
    for number in range(rounds):
        results = out / str(number)
        (results / "python").mkdir(parents=True)
        wall, base = timed(["-c", IN_PYTHON, folder, results / "python", threads])
        print(f"in one Python process: {wall:.1f} s, {base:.1f} s of CPU", flush=True)
        wall, cpu = timed(predict(folder, results / "command", "--jobs", jobs))
        ratios.append(cpu / base)
        print(f"predict --jobs {jobs}: {wall:.1f} s, {cpu:.1f} s of CPU: {ratios[-1]:.3f} times (bar: {MAX_COST})", flush=True)
    print(f"median: {statistics.median(ratios):.3f} times", flush=True)
    return statistics.median(ratios) <= MAX_COST


def measure_rerun(clip: Path, folder: Path, out: Path) -> bool:
    """Print how long finished recordings take, whose results are copies of one; whether it is within the bar."""
    folder.mkdir()
    shutil.copy(clip, folder / "0000.mp4")
    timed(predict(folder, out))
    for number in range(1, FINISHED):
        shutil.copy(clip, folder / f"{number:04}.mp4")
        for suffix in ("csv", "png"):
            shutil.copy(out / f"0000.{suffix}", out / f"{number:04}.{suffix}")
        side = (out / "0000.json").read_text(encoding="utf-8")
        (out / f"{number:04}.json").write_text(side.replace("0000.", f"{number:04}."), encoding="utf-8")
    fine = True
    for what in ("first, which reads all recordings", "second"):
        wall, cpu = timed(predict(folder, out, "--summary", out.parent / "all.csv"))
        fine &= wall < MAX_RERUN
        print(f"{FINISHED} finished recordings, {what}: {wall:.1f} s, {cpu:.1f} s of CPU (bar: {MAX_RERUN:.0f} s)", flush=True)
    assert len((out.parent / "all.csv").read_text(encoding="utf-8").splitlines()) == FINISHED + 1
    return fine


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=CLIPS)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "clips").mkdir()
        make_clip(folder / "clip.mp4", SECONDS)
        for number in range(args.clips):
            shutil.copy(folder / "clip.mp4", folder / "clips" / f"{number:03}.mp4")
        fine = measure_rerun(folder / "clip.mp4", folder / "many", folder / "many results")
        fine &= measure_cost(folder / "clips", folder / "out", args.jobs, args.rounds)
    sys.exit(int(not fine))


if __name__ == "__main__":
    main()
