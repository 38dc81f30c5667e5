"""Commands that are killed at random moments, or run out of something: `python -m tests.killing --seed 7 --count 100`.

`predict`, `extract`, `train`, `evaluate` and `adapt` are stopped by SIGKILL, SIGTERM and SIGINT, half of the times at the first
moment after a random one at which a temporary file exists, and run with a full disk, too little memory and too few descriptors.
After each, results must be whole or absent, nothing temporary may be left, one line must say what happened, and the same
command, run again to its end, must give the same bytes as one that was never stopped.

The commands are forked from this process, which has loaded the libraries: loading them takes longer than all the rest. Where
this process may mount file systems, a full disk is a small one; elsewhere, files can't grow beyond a limit.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import io
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[1]
os.environ["OMP_NUM_THREADS"] = "1"  # before libraries are loaded: threads that wait for each other keep a busy machine busy
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

SIGNALS = {"kill": signal.SIGKILL, "terminate": signal.SIGTERM, "interrupt": signal.SIGINT}
LIMITS = ("disk", "memory", "descriptors")
KINDS = (*SIGNALS, *LIMITS)
COMMANDS = ("predict", "extract", "train", "evaluate", "adapt")
PATIENCE = 180.0
"""Seconds after which a command hangs."""
BENIGN = {"same", "finished", "noted"}
PROBE = re.compile("[a-z0-9_]{8}")
"""The name of the file with which Python's `tempfile` tries whether it can write, and which it deletes at once."""
WORDS = ("error: ", "stopped; ")
"""How a line begins that says why a command ended; `extract` lists recordings that failed."""


def contents(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file in a folder, without logs that contain the time, and locks."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    kept = (path for path in files if "tensorboard" not in path.parts)
    return {str(path.relative_to(folder)): digest(path) for path in kept}


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def unfinished(folder: Path) -> list[Path]:
    """The temporary files and folders in the output folder, and those outside it."""
    with suppress(OSError):  # they come and go
        inside = [path for path in folder.rglob(".*") if path.name != ".lock"]
        outside = (path for path in (folder.parent / "tmp").iterdir() if not path.name.startswith("vatrace-bug"))
        return [*inside, *(path for path in outside if not PROBE.fullmatch(path.name))]
    return []


def make_inputs(folder: Path, commands: Sequence[str] = COMMANDS) -> dict[str, list[str]]:
    """Videos, a store, a run and a config; and the arguments of each command, whose output is still to be added."""
    from conftest import write_movie
    from made_stores import CONFIG, make_store
    from vatrace.media.demo import FACE, packaged_file
    from vatrace.media.reading import VideoReader

    images = [frame.image.resize((192, 144)) for frame in VideoReader(packaged_file(*FACE), 30)][:30]
    for name in ("one", "rated"):
        (folder / name).mkdir()
    video = write_movie(folder / "one" / "a.mp4", images[:8], frame_rate=30)
    write_movie(folder / "rated" / "a.mp4", images[:15], times=[5.0 * index for index in range(15)])
    rows = [f"a,{time_},{time_ / 100 - 0.3},{0.2 - time_ / 200}" for time_ in range(70)]
    (folder / "rated" / "annotations.csv").write_text("\n".join(["recording,time,valence,arousal", *rows]) + "\n")
    (folder / "run.toml").write_text(CONFIG.replace("num_epochs = 4", "num_epochs = 2"))
    one = ["--threads", "1"]
    arguments = {
        "predict": ["predict", str(video), "--modalities", "face", "--format", "csv,json,vtt", *one, "--out"],
        "extract": ["extract", str(folder / "one"), "--encoders", "voice=none,words=none", *one, "--store"],
        "train": ["train", str(folder / "run.toml"), "--store", str(folder / "store"), "--out"],
        "evaluate": ["evaluate", str(folder / "run"), "--store", str(folder / "store"), "--out"],
        "adapt": ["adapt", str(folder / "rated"), *one, "--out"],
    }
    if {"train", "evaluate"} & {*commands}:
        from vatrace.training.config import read_config
        from vatrace.training.train import train_run

        store = make_store(folder / "store", steps=60)
        if "evaluate" in commands:  # in a process of its own: this one must have no threads when it forks
            process = os.fork()
            if process == 0:
                train_run(read_config(folder / "run.toml"), store, folder / "run")
                os._exit(0)
            assert os.waitpid(process, 0)[1] == 0
    return {name: arguments[name] for name in commands}


@dataclass
class Command:
    """A running command.

    Attributes:
        pid: number of its process.
        output: the file that its output goes to.
    """

    pid: int
    output: Path
    status: int | None = None

    def poll(self) -> bool:
        """Whether it has ended."""
        if self.status is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def wait(self) -> int | None:
        """Wait for its end and that of its watcher; its status, or None if it hangs."""
        end = time.monotonic() + PATIENCE
        while not self.poll() and time.monotonic() < end:
            time.sleep(0.005)
        while self.poll() and group_lives(self.pid) and time.monotonic() < end:
            time.sleep(0.005)
        if self.status is None or group_lives(self.pid):
            os.killpg(self.pid, signal.SIGKILL)
            return None
        return self.status


def has_child(pid: int) -> bool:
    """Whether a process has children: a command's watcher is one."""
    return any(children.read_text().strip() for children in Path(f"/proc/{pid}/task").glob("*/children"))


def group_lives(group: int) -> bool:
    """Whether a process group has processes other than zombies, which some init processes don't collect."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] != "Z":
                return True
    return False


def start(arguments: Sequence[str], out: Path, limit: Callable[[], None] | None = None) -> Command:
    """Start a command that writes to `out`, in a group of its own. Without a limit, it lists its modules and status at its end.

    Args:
        arguments: of vatrace.
        out: its last argument; temporary files are next to it, and other files one folder above.
        limit: limits what it can use.
    """
    errors, temporary = out.parents[1] / "errors", out.parent / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    errors.write_bytes(b"")  # it may be killed before it opens the file
    pid = os.fork()
    if pid:
        return Command(pid, errors)
    status = 70
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGHUP):  # ignored in the background
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        output = os.open(errors, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(output, 1)  # `extract` lists there what failed
        os.dup2(output, 2)
        os.closerange(3, 1024)
        os.environ["TMPDIR"], tempfile.tempdir = str(temporary), None
        os.environ["PYTHONPATH"] = str(ROOT / "src")
        sys.argv = ["vatrace", *arguments, str(out)]
        from vatrace.cli import main
        from vatrace.output import results as results_module

        if limit is not None:
            limit()
        with patch.object(results_module, "now", lambda: "2000-01-01T00:00:00+00:00"):  # results contain the time
            main()
    except SystemExit as end:
        status = int(end.code or 0)
        if status == 0 and limit is None:
            (out.parents[1] / "modules").write_text("\n".join(sys.modules))
            shutil.copy("/proc/self/status", out.parents[1] / "status")
    finally:
        os._exit(status)


def memory_limit(allowed: int) -> None:
    """Let this process have so many bytes of address space."""
    resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))


def descriptor_limit(number: int) -> None:
    """Let this process open so many more files than its standard streams."""
    number += 3
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))


def file_limit(size: int) -> None:
    """Let no file become larger."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
REMOUNT = 32


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Callable[[], None] | None]:
    """Mount a file system of a size on a folder; yields a function that enlarges it, or None where that is not allowed."""

    def mount(flags: int, text: str) -> bool:
        return LIBC is not None and LIBC.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", flags, text.encode()) == 0

    if not mount(0, f"size={size}"):
        yield None
        return
    try:
        yield lambda: print(end="" if mount(REMOUNT, "size=200m") else "can't be enlarged\n")
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@dataclass
class Whole:
    """An undisturbed run of a command.

    Attributes:
        arguments: of the command.
        found: the digests of its results.
        size: of all of its results in bytes.
        duration: in seconds.
        peak: address space in bytes.
        base: address space of this process, in bytes.
    """

    arguments: list[str]
    found: dict[str, str]
    size: int
    duration: float
    peak: int
    base: int


def load_as(arguments: Sequence[str], folder: Path) -> None:
    """Run a command, and load the modules here that it has loaded."""
    folder.mkdir()
    command = start(arguments, folder / "disk" / "out")
    assert command.wait() == 0, command.output.read_text()
    for name in (folder / "modules").read_text().split("\n"):
        with suppress(Exception), redirect_stderr(io.StringIO()):  # some are not importable by their name
            import_module(name)
    shutil.rmtree(folder)


def undisturbed(arguments: list[str], folder: Path) -> Whole:
    """Run a command to its end."""
    folder.mkdir()
    began, out = time.monotonic(), folder / "disk" / "out"
    base = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    command = start(arguments, out)
    assert command.wait() == 0, command.output.read_text()
    duration, found = time.monotonic() - began, results(out)
    size = sum(path.stat().st_size for path in [out, *out.rglob("*")] if path.is_file())
    peak = 1024 * int((folder / "status").read_text().partition("VmPeak:")[2].split()[0])
    shutil.rmtree(folder)
    return Whole(arguments, found, size, duration, peak, base)


def results(out: Path) -> dict[str, str]:
    """The digests of what a command has written, a file or a folder."""
    if out.is_file():
        return {"": digest(out)}
    return contents(out) if out.is_dir() else {}


def disturb(whole: Whole, kind: str, rng: random.Random, in_write: bool, out: Path) -> tuple[int | None, bool, str | None]:
    """Run a command and disturb it.

    Returns:
        Its status (None: it hangs), whether it was disturbed while a temporary file existed, and its output; None if it had
        not begun yet: it had no watcher, and caught no signals.
    """
    inside, watched, limit = False, True, None
    if kind == "memory":
        share = rng.random() ** 3  # mostly little: much of the address space is only reserved
        limit = partial(memory_limit, whole.base + round(share * (whole.peak - whole.base)))
    elif kind == "descriptors":
        limit = partial(descriptor_limit, rng.randint(1, 12))
    elif kind == "files":
        limit = partial(file_limit, round(whole.size * rng.random()))
    command = start(whole.arguments, out, limit)
    if kind in SIGNALS:
        moment = time.monotonic() + rng.random() * whole.duration
        while not command.poll() and (time.monotonic() < moment or (in_write and not unfinished(out))):
            time.sleep(0.0005)
        if not command.poll():
            os.kill(command.pid, signal.SIGSTOP)
            inside, watched = bool(unfinished(out)), has_child(command.pid)
            os.kill(command.pid, SIGNALS[kind])
            os.kill(command.pid, signal.SIGCONT)
    status = command.wait()
    unheard = kind in SIGNALS and not watched
    return status, inside, None if unheard else command.output.read_text(errors="replace")


def problem(whole: Whole, kind: str, status: int | None, output: str | None, out: Path) -> str:
    """What is wrong with what a disturbed command has left; "" for nothing."""
    if status is None:
        return "hangs"
    if output is not None:
        if "Traceback" in output or "a bug in vatrace" in output:
            return f"a traceback or a bug: {output}"
        said = any(line.startswith(WORDS) or "  failed  " in line for line in output.splitlines())
        if status and not said and results(out) != whole.found:  # else its work was done, and its watcher dismissed
            return f"status {status} without a word: {output[-200:]}"
    left = unfinished(out)
    if left:
        return f"left {left[0]}"
    if whole.arguments[0] in {"predict", "evaluate", "adapt"}:  # results are whole, or absent
        wrong = [name for name, found in results(out).items() if whole.found.get(name) != found]
        if wrong:
            return f"damaged {wrong[0]}"
    return ""


def disturbed(whole: Whole, kind: str, rng: random.Random, in_write: bool, work: Path) -> tuple[str, bool]:
    """Disturb a command once, and run it again.

    Returns:
        The outcome, and whether a temporary file existed at that moment. The outcome is "finished" (the command had already
        ended, or had enough), "same", "noted" (FFmpeg took a lack of memory for damage; a note says that frames are missing),
        or what is wrong.
    """
    out = work / "disk" / "out"
    out.parent.mkdir(parents=True)
    size = max(4096, round(1.2 * whole.size * rng.random())) if kind == "disk" else 0
    with small_disk(out.parent, size) if size else nullcontext() as enlarge:
        kind = "files" if kind == "disk" and enlarge is None else kind
        status, inside, output = disturb(whole, kind, rng, in_write, out)
        wrong = problem(whole, kind, status, output, out)
        if wrong:
            return wrong, inside
        if enlarge is not None:
            enlarge()
        if status == 0:
            noted = output is not None and "are damaged and were left out" in output
            return ("finished" if results(out) == whole.found else "noted" if noted else "differs, with status 0"), inside
        if not out.exists():  # as if it had never run
            return "same", inside
        again = start([*whole.arguments[:-1], *overwriting(whole.arguments), whole.arguments[-1]], out)
        if again.wait() != 0:
            return f"can't continue: {again.output.read_text()[-200:]}", inside
        found = results(out)
        if found != whole.found:
            return f"different: {sorted(set(found.items()) ^ set(whole.found.items()))[0][0]}", inside
        return "same", inside


def overwriting(arguments: Sequence[str]) -> list[str]:
    """What a command needs to be run again where its results exist."""
    return ["--overwrite"] if arguments[0] in {"evaluate", "adapt"} else []


def trials(
    commands: Sequence[str], kinds: Sequence[str], count: int, seed: int, folder: Path
) -> Iterator[tuple[str, str, str, bool]]:
    """Disturb each command in each way, in turns; yields both, what came of it, and whether it was within a write."""
    inputs = make_inputs(folder, commands)
    for arguments in inputs.values():
        load_as(arguments, folder / "first")
    wholes = {name: undisturbed(arguments, folder / "work") for name, arguments in inputs.items()}
    for index in range(count):
        for command, whole in wholes.items():
            for kind in kinds:
                rng = random.Random(f"{seed} {command} {kind} {index}")
                what, inside = disturbed(whole, kind, rng, index % 2 == 1, folder / "work")
                shutil.rmtree(folder / "work")
                yield command, kind, what, inside


def main() -> int:
    parser: Any = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7, metavar="N")
    parser.add_argument(
        "--count", type=int, default=100, metavar="N", help="times for each command and kind (default: %(default)d)"
    )
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=COMMANDS)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--minutes", type=float, default=float("inf"), metavar="N", help="end after this time (default: never)")
    args = parser.parse_args()
    counts, inside, end = defaultdict[tuple[str, str], Counter[str]](Counter), Counter[tuple[str, str]](), time.monotonic()
    end += 60 * args.minutes
    with tempfile.TemporaryDirectory() as name:
        for number, (command, kind, what, within) in enumerate(
            trials(args.commands, args.kinds, args.count, args.seed, Path(name))
        ):
            counts[command, kind][what] += 1
            inside[command, kind] += within
            if what not in BENIGN:
                print(f"{command}, {kind}, number {number // (len(args.commands) * len(args.kinds))}: {what}", flush=True)
            if number % 100 == 99:
                print(f"{number + 1} of {args.count * len(args.commands) * len(args.kinds)}", file=sys.stderr, flush=True)
            if time.monotonic() > end:
                break
    for command, kind in counts:
        found = counts[command, kind]
        listed = ", ".join(f"{count} {what}" for what, count in found.most_common())
        where = f" ({inside[command, kind]} of them while a temporary file existed)" if kind in SIGNALS else ""
        print(f"{command}, {kind}, {found.total()} times{where}: {listed}")
    return int(any(set(found) - BENIGN for found in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
