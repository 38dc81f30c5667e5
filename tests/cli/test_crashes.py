"""A command whose own process crashes or is killed: its watcher prints one line that names the file, and cleans up."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the watcher is forked")

CODE = """
import ctypes, os, sys
from vatrace.cli import main
from vatrace.media import reading

to_image = reading.to_image

def decoded(frame, *options):
    if frame.time > 0.2:
        ctypes.string_at(0) if {number} == 11 else os.kill(os.getpid(), {number})
    return to_image(frame, *options)

reading.to_image = decoded
main()
"""
"""A command whose decoder crashes, reading address 0, or is killed by a signal."""


def crashing(number: int, *arguments: object, temporary: Path) -> subprocess.CompletedProcess[str]:
    """Run `vatrace ARGUMENTS`, whose process dies by this signal while it decodes."""
    return subprocess.run(
        [sys.executable, "-c", CODE.format(number=int(number)), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TMPDIR": str(temporary)},
    )


@pytest.mark.parametrize(
    ("number", "how"),
    [
        (signal.SIGSEGV, "its process crashed (segmentation fault); please report it with "),
        (signal.SIGABRT, "its process crashed (aborted); please report it with "),
        (signal.SIGBUS, "its process crashed (bus error); please report it with "),
        (signal.SIGKILL, "its process was killed (out of memory?)"),
    ],
)
def test_a_crash_of_a_single_recording_is_reported(tmp_path: Path, talking: Path, number: signal.Signals, how: str) -> None:
    (tmp_path / "tmp").mkdir()
    command = ("predict", talking, "--modalities", "face", "--out", tmp_path / "out")
    done = crashing(number, *command, temporary=tmp_path / "tmp")
    assert done.returncode == -number and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"error: {talking}: {how}")
    assert list((tmp_path / "out").iterdir()) == []
    reports = list((tmp_path / "tmp").iterdir())
    if number == signal.SIGKILL:
        assert reports == []
    else:
        assert [str(path) for path in reports] == [done.stderr.strip().rpartition(" ")[2]]
        text = reports[0].read_text()
        assert "Fatal Python error" in text and f"predict {talking}" in text
        assert ("reading.py" in text) == (number == signal.SIGSEGV)  # the others reach the main thread, which waits


@pytest.mark.parametrize("command", ["people", "extract", "adapt", "live"])
def test_other_commands_name_the_recording_too(tmp_path: Path, talking: Path, command: str) -> None:
    corpus, file = tmp_path / "corpus", tmp_path / "corpus" / "a.mp4"
    corpus.mkdir()
    shutil.copy(talking, file)
    rows = [f"a,{time / 10},{time / 100},0.1" for time in range(40)]
    (corpus / "annotations.csv").write_text("\n".join(["recording,time,valence,arousal", *rows]) + "\n")
    arguments = {
        "people": [corpus, "--out", tmp_path],
        "extract": [corpus, "--store", tmp_path / "store", "--encoders", "voice=none,words=none"],
        "adapt": [corpus, "--out", tmp_path / "mine.json"],
        "live": ["--camera", file, "--microphone", "none", "--seconds", 4],
    }[command]
    done = crashing(signal.SIGSEGV, command, *arguments, temporary=tmp_path)
    assert done.returncode == -signal.SIGSEGV
    named = f"camera {file}, microphone none" if command == "live" else str(file)
    assert f"error: {named}: its process crashed (segmentation fault)" in done.stderr


def test_a_crash_while_headers_are_read_is_reported(tmp_path: Path, talking: Path) -> None:
    (tmp_path / "corpus").mkdir()
    shutil.copy(talking, tmp_path / "corpus" / "a.mp4")
    code = "import av, ctypes; av.open = lambda *args, **options: ctypes.string_at(0); from vatrace.cli import main; main()"
    command = [sys.executable, "-c", code, "check", str(tmp_path / "corpus")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr.startswith(f"error: {tmp_path / 'corpus' / 'a.mp4'}: its process crashed (segmentation fault)")


def test_what_a_killed_command_was_writing_is_deleted(tmp_path: Path) -> None:
    """The result and the temporary folder that were being written when the process was killed."""
    code = (
        "import os\nfrom pathlib import Path\nfrom vatrace import cli\n"
        "from vatrace.files import temporary_folder, written_whole\n"
        "def write(args):\n"
        f"    with temporary_folder() as folder, written_whole(Path({str(tmp_path / 'a.csv')!r})) as temporary:\n"
        "        (folder / 'film.mp4').write_bytes(b'film')\n"
        "        print(len(list(temporary.parent.glob('.vatrace-*'))), folder.name, flush=True)\n"
        "        os.kill(os.getpid(), 9)\n"
        "parse = cli.parse\n"
        "def parsed(argv):\n    args = parse(argv)\n    args.run = write\n    return args\n"
        "cli.parse = parsed\ncli.main()\n"
    )
    (tmp_path / "tmp").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code, "check", "corpus"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TMPDIR": str(tmp_path / "tmp")},
    )
    assert done.stdout.startswith("1 vatrace-") and done.returncode == -signal.SIGKILL
    assert done.stderr == "error: vatrace check: its process was killed (out of memory?)\n"
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"] and list((tmp_path / "tmp").iterdir()) == []


def test_the_watcher_ends_with_the_command_and_says_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vatrace.cli", "predict", str(tmp_path / "none.srt")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and len(errors.splitlines()) == 1 and "none.srt" in errors
    with pytest.raises(ProcessLookupError):  # not even a zombie is in its group
        os.killpg(process.pid, 0)
