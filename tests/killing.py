"""Commands that are killed at random moments: `python -m tests.killing --seed 7 --count 100`.

`predict`, `extract` and `train` are stopped by SIGKILL, SIGTERM and SIGINT in turn. After each, what is there must be whole,
and the same command, run again to its end, must give the same bytes as one that was never stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
NUM_VIDEOS = 5


def contents(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file in a folder, without logs that contain the time, and locks."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    kept = (path for path in files if "tensorboard" not in path.parts)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def hidden(found: dict[str, str]) -> list[str]:
    """The unfinished files among those of `contents`."""
    return [name for name in found if any(part.startswith(".") for part in Path(name).parts)]


def make_inputs(folder: Path) -> dict[str, list[str]]:
    """Videos, a store and a config; and the arguments of each command, whose output folder is still to be added."""
    from conftest import write_movie
    from made_stores import CONFIG, make_store
    from vatrace.media.demo import FACE, packaged_file
    from vatrace.media.reading import VideoReader

    images = [frame.image.resize((192, 144)) for frame in VideoReader(packaged_file(*FACE), 30)][:30]
    videos = folder / "videos"
    videos.mkdir()
    for index in range(NUM_VIDEOS):
        write_movie(videos / f"{index}.mp4", images[index:], frame_rate=30)
    make_store(folder / "trained")
    (folder / "run.toml").write_text(CONFIG)
    return {
        "predict": ["predict", str(videos), "--modalities", "face", "--format", "csv,json", "--overwrite", "--out"],
        "extract": ["extract", str(videos), "--encoders", "voice=none,words=none", "--workers", "2", "--store"],
        "train": ["train", str(folder / "run.toml"), "--store", str(folder / "trained"), "--out"],
    }


def start(arguments: list[str], out: Path) -> subprocess.Popen[bytes]:
    """Start a command that writes into a folder."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(out.parent)}
    return subprocess.Popen(
        [sys.executable, "-m", "vatrace.cli", *arguments, str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - ignored in the background
    )


def kill_once(arguments: list[str], moment: float, number: int, whole: dict[str, str], folder: Path) -> str:
    """Kill a command at a moment, and run it again; what came of it: "finished" (too late), "same", or what is wrong."""
    out = folder / "out"
    process = start(arguments, out)
    time.sleep(moment)
    process.send_signal(number)
    status = process.wait(timeout=120)
    found = contents(out) if out.is_dir() else {}
    if number != signal.SIGKILL and status != 0 and hidden(found):
        return f"left {hidden(found)[0]}"
    if "predict" in arguments:  # results are whole, or absent
        wrong = [name for name, digest in found.items() if name not in hidden(found) and whole.get(name) != digest]
        if wrong:
            return f"damaged {wrong[0]}"
    if start(arguments, out).wait(timeout=600) != 0:
        return "can't continue"
    again = {name: digest for name, digest in contents(out).items() if "predict" not in arguments or not hidden({name: ""})}
    if again != whole:
        return f"different: {sorted(set(again.items()) ^ set(whole.items()))[0][0]}"
    return "finished" if status == 0 else "same"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7, metavar="N")
    parser.add_argument("--count", type=int, default=100, metavar="N", help="times that each is killed (default: %(default)d)")
    args = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for command, arguments in make_inputs(folder).items():
            started = time.monotonic()
            assert start(arguments, folder / "whole").wait() == 0
            duration, whole = time.monotonic() - started, contents(folder / "whole")
            rng, counts = random.Random(f"{args.seed} {command}"), Counter[str]()
            for index in range(args.count):
                work = folder / "work"
                work.mkdir()
                number = SIGNALS[index % len(SIGNALS)]
                counts[kill_once(arguments, rng.uniform(0.2, 1.0) * duration, number, whole, work)] += 1
                shutil.rmtree(work)
            shutil.rmtree(folder / "whole")
            listed = ", ".join(f"{count} {what}" for what, count in counts.most_common())
            print(f"{command} ({duration:.1f} s), killed {args.count} times: {listed}", flush=True)
            failed |= bool(set(counts) - {"same", "finished"})
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
