"""Commands that are told to end, or killed: nothing unfinished stays, and finished work is kept."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from command import run
from made_stores import make_store
from vatrace.errors import MediaError
from vatrace.files import locked
from vatrace.inference.prediction import Prediction
from vatrace.store import Store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")


def _hear_signals() -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def start(*arguments: object, temporary: Path) -> subprocess.Popen[str]:
    """Start `vatrace ARGUMENTS` in a process group of its own, with this folder for temporary files."""
    temporary.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "vatrace.cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(temporary)},
        start_new_session=True,
        preexec_fn=_hear_signals,  # noqa: PLW1509 - ignored in the background, and by nohup
    )


def wait_for(condition: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 143)])
def test_a_batch_that_is_told_to_end_leaves_nothing_unfinished(
    tmp_path: Path, talking: Path, number: signal.Signals, status: int
) -> None:
    videos, out, temporary = tmp_path / "videos", tmp_path / "out", tmp_path / "tmp"
    videos.mkdir()
    for index in range(30):
        shutil.copy(talking, videos / f"{index:02}.mp4")
    command = ("predict", videos, "--out", out, "--report", "--modalities", "face", "--summary", out / "all.csv")
    process = start(*command, temporary=temporary)
    wait_for(lambda: (out / "00.csv").exists() and any(temporary.glob("vatrace-*")))  # the second one's film is being made
    process.send_signal(number)
    process.send_signal(number)  # a second one doesn't interrupt the clean-up
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status and errors.splitlines()[-1] == "stopped; finished work is kept"
    assert "Traceback" not in errors
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
    assert list(temporary.iterdir()) == []
    done = {path.stem for path in out.glob("*.html")}
    with (out / "all.csv").open() as file:
        assert {row["recording"] for row in csv.DictReader(file)} == done
    assert 1 <= len(done) < 30


LOST = """
import os, signal, sys, time
from vatrace import cli

class Closing:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})
        for _ in range(1000):
            pass

def work(args):
    Closing()
    time.sleep(30)

parse = cli.parse

def parsed(argv):
    args = parse(argv)
    args.run = work
    return args

cli.parse = parsed
cli.main()
"""
"""A command that is told to end while Python can't pass exceptions on."""


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_is_not_lost_where_exceptions_are_ignored(name: str, status: int) -> None:
    command = [sys.executable, "-c", LOST.format(name=name), "check", "corpus"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_hear_signals,
    )
    assert (done.returncode, done.stderr) == (status, "stopped; finished work is kept\n")


def workers_of(parent: int) -> list[int]:
    """The processes whose parent this is."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True, check=False)
    return [int(number) for number in found.stdout.split()]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[-1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_their_parent(tmp_path: Path, talking: Path, number: signal.Signals) -> None:
    videos, store = tmp_path / "videos", tmp_path / "store"
    videos.mkdir()
    for index in range(40):
        shutil.copy(talking, videos / f"{index:02}.mp4")
    command = ("extract", videos, "--store", store, "--workers", 2, "--encoders", "voice=none,words=none")
    process = start(*command, temporary=tmp_path / "tmp")
    wait_for(lambda: store.exists() and any((store / "recordings").glob("[0-9]*")))
    workers = workers_of(process.pid)
    assert len(workers) >= 2
    process.send_signal(number)
    process.communicate(timeout=60)
    wait_for(lambda: not any(map(lives, workers)), 10)
    if number == signal.SIGTERM:
        assert process.returncode == 143
        assert not list((store / "recordings").glob(".*")) and list((tmp_path / "tmp").iterdir()) == []
    opened = Store(store)
    for name in opened.names:
        assert opened.recording(name).features("face").any()


def test_two_commands_cannot_write_into_a_store_at_once(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", steps=20)
    with store.writing():
        done = subprocess.run(
            [sys.executable, "-c", f"from vatrace.store import Store\nwith Store({str(store.path)!r}).writing(): print('in')"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert "another vatrace extract or import is writing into it" in done.stderr and done.stdout == ""
    with store.writing(), pytest.raises(OSError, match="is writing into it"), locked(store.path, "another"):
        pass
    with store.writing():
        assert len(store.names) == 7


@pytest.mark.parametrize("error", [ValueError("Invalid bounding box"), OSError("no file"), MediaError("a.mp4: damaged")])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_error_that_takes_the_place_of_ctrl_c_ends_the_command(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    status: int,
    error: Exception,
) -> None:
    def write(prediction: Prediction, path: Path) -> None:
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:  # code in C does this
            raise error from None

    monkeypatch.setattr("vatrace.output.figure.write_picture", write)
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nwonderful day\n")
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background, it is ignored
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, ignored))
    for _ in range(2):  # what asked the first to end doesn't end the second
        done = run("predict", tmp_path / "a.srt", "--out", tmp_path / "out")
        assert (done.status, done.err) == (status, "stopped; finished work is kept\n")
    monkeypatch.undo()
    assert run("predict", tmp_path / "a.srt", "--out", tmp_path / "out").status == 0


def test_too_little_memory_is_no_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def enormous(*arguments: object) -> None:
        np.empty(1 << 60, np.uint8)

    monkeypatch.setattr("vatrace.training.train.train_run", enormous)
    store = make_store(tmp_path / "store").path
    done = run("train", "default", "--store", store, "--out", tmp_path / "run")
    assert done.status == 1 and done.err.startswith("error: vatrace train: out of memory (")
