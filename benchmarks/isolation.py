"""What it costs that a crash costs one recording: a process of its own for a batch, and a watcher for each command.

    python benchmarks/isolation.py
    python benchmarks/isolation.py --clips 3 --seconds 60 --rounds 5

The same `vatrace predict FOLDER` runs alternately as it is and with its work in the process of the command. The cost is that of
starting a process and loading libraries in it once, so it is less for longer batches. The bar is for the CPU time.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from batch import predict, timed
from end_to_end import make_clip

MAX_COST = 1.03

TOGETHER = """
import sys
from functools import partial
from vatrace import workers
from vatrace.cli import main

def here(tasks, num_workers, work, failed, progress):
    return (work(task, partial(progress, task)) for task in tasks)

workers.in_processes = here
main(sys.argv[1:])
"""
"""The command, whose work is done in its own process."""


WATCHED = """
import resource, time
from vatrace.cli import complain
from vatrace.watcher import unwatch, watch

began = time.process_time()
for _ in range(100):
    watch("vatrace predict", complain)
    unwatch()
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(1000 * (time.process_time() - began) / 100, 1000 * (used.ru_utime + used.ru_stime) / 100, used.ru_maxrss / 1024)
"""
"""Starts and ends a watcher a hundred times."""


def main() -> None:
    """Print what a watcher costs, both times of each round, and the median of the ratios of CPU times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=10, help="length of each clip (default: %(default)d)")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    watched = subprocess.run([sys.executable, "-c", WATCHED], capture_output=True, text=True, check=True)
    own, watcher, memory = map(float, watched.stdout.split())
    print(
        f"a watcher: {own:.1f} ms of CPU in the command, {watcher:.1f} ms in the watcher, {memory:.0f} MB of memory", flush=True
    )
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "clips").mkdir()
        make_clip(folder / "clip.mp4", args.seconds)
        for number in range(args.clips):
            shutil.copy(folder / "clip.mp4", folder / "clips" / f"{number:03}.mp4")
        for number in range(args.rounds):
            command = predict(folder / "clips", folder / f"apart {number}")
            wall, cpu = timed(command)
            together, base = timed(["-c", TOGETHER, *predict(folder / "clips", folder / f"together {number}")[2:]])
            ratios.append(cpu / base)
            print(f"apart: {wall:.1f} s, {cpu:.1f} s of CPU; together: {together:.1f} s, {base:.1f} s of CPU", flush=True)
    cost = statistics.median(ratios)
    print(f"{args.clips} clips of {args.seconds} s: {cost:.3f} times the CPU time (bar: {MAX_COST})")
    sys.exit(int(cost > MAX_COST))


if __name__ == "__main__":
    main()
