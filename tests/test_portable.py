"""Windows and macOS, as far as that can be tested elsewhere: nothing that only POSIX has is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from test_layout import MODULES, imports

ABSENT = {"crypt", "fcntl", "grp", "nis", "posix", "pty", "pwd", "resource", "spwd", "syslog", "termios", "tty"}
"""Modules of the standard library that Windows lacks."""

WITHOUT_POSIX = f"""
import asyncio, builtins, ctypes, faulthandler, multiprocessing.popen_spawn_posix
import os, shutil, signal, socket, subprocess, sys, tempfile

import_ = builtins.__import__

def importing(name, scope=None, *rest):
    if name in {ABSENT!r} and (scope or {{}}).get("__name__", "").startswith("vatrace"):
        raise ModuleNotFoundError(name)
    return import_(name, scope, *rest)

builtins.__import__ = importing
for module, names in (
    (os, "fork forkpty geteuid getuid getegid getgid killpg setsid chown mkfifo nice sysconf statvfs sched_getaffinity"),
    (os, "set_blocking"),
    (signal, "SIGKILL SIGHUP SIGQUIT SIGUSR1 SIGALRM pthread_sigmask pthread_kill alarm setitimer"),
    (socket, "AF_UNIX socketpair"),
):
    for name in names.split():
        module.__dict__.pop(name, None)
sys.argv[0] = "vatrace"
from vatrace.cli import main
main()
"""
"""The command line without what Windows lacks. Other libraries have versions for Windows, so they keep their modules."""


@pytest.mark.parametrize("module", MODULES)
def test_no_module_imports_what_windows_lacks(module: str) -> None:
    assert not [f"{line}: {name}" for line, name in imports(module) if name.partition(".")[0] in ABSENT]


def test_predict_works_without_posix(tmp_path: Path, talking: Path) -> None:
    command = ["predict", str(talking), "--modalities", "face", "--out", str(tmp_path)]
    done = subprocess.run([sys.executable, "-c", WITHOUT_POSIX, *command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(pd.read_csv(tmp_path / "talking.csv")) in {40, 41}
