"""What it costs that recordings of a batch are processed in a process of their own, where a crash costs only one of them.

    python benchmarks/isolation.py
    python benchmarks/isolation.py --clips 3 --seconds 60 --rounds 5

The same `vatrace predict FOLDER` runs alternately as it is and with its work in the process of the command. The cost is that of
starting a process and loading libraries in it once, so it is less for longer batches. The bar is for the CPU time.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
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


def main() -> None:
    """Print both times of each round, and the median of the ratios of CPU times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=10, help="length of each clip (default: %(default)d)")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
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
