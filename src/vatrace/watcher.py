"""A small process that watches a command, and reports its death: nothing in a process can after a crash in native code.

The command tells it through a pipe what it works on and which temporary files it has; Python's faulthandler adds the kind of
a crash. When the pipe ends without a goodbye, the watcher prints one line and deletes the files. Where processes can't be
forked (Windows), nothing is watched.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from vatrace.errors import save_report
from vatrace.files import announce_unfinished, remove

Complain = Callable[[str], None]
"""Prints an error."""
FATAL = "Fatal Python error: "
"""What faulthandler begins with, before the kind of the crash."""
SHOW_CURSOR = "\r\x1b[K\x1b[?25h"
"""Clears the line of a terminal, and shows the cursor, which progress bars hide."""
IGNORED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
"""Signals that are for the command, and may reach its watcher too."""

_watcher: list[int] = []
"""The end of the pipe that this process writes to, and the number of the watcher's process; empty if it is not watched."""
_work: list[str] = []
"""What this process works on; the last one began last. Several threads may work on the same recording."""


def watch(command: str, complain: Complain) -> None:
    """Fork a watcher of this process, before it has threads and heavy libraries.

    Args:
        command: its name, for crashes outside `working_on`.
        complain: called in the watcher.
    """
    if not hasattr(os, "fork") or sys.stderr is None or _watcher:
        return
    try:
        reading, writing = os.pipe()
    except OSError:  # too few descriptors: the command itself may still work
        return
    sys.stderr.flush()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [getattr(signal, name) for name in IGNORED])
    try:
        forked = os.fork()
        if forked == 0:
            os.close(writing)
            _watch(reading, command, complain, mask)
    except OSError:  # too many processes, or too little memory
        os.close(reading)
        os.close(writing)
        return
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.close(reading)
    os.set_blocking(writing, False)  # a watcher that hangs must not stop the command
    _watcher.extend([writing, forked])
    faulthandler.enable(writing, all_threads=False)
    announce_unfinished(lambda path, exists: _tell("unfinished" if exists else "finished", str(path.absolute())))


def unwatch() -> None:
    """End the watcher: the command has ended. A crash while libraries are unloaded prints a traceback."""
    if _watcher:
        _tell("end", "")
        faulthandler.enable()
        with suppress(OSError):
            os.waitpid(_watcher[1], 0)
        os.close(_watcher[0])
        _watcher.clear()


@contextmanager
def working_on(what: object) -> Iterator[None]:
    """Name in a block what this process works on, such as the path of a recording, for the report of a crash."""
    _work.append(str(what))
    _tell("work", str(what))
    try:
        yield
    finally:
        _work.remove(str(what))
        _tell("work", (_work or [""])[-1])


def _tell(kind: str, text: str) -> None:
    if _watcher:
        with suppress(OSError):  # the watcher is gone, or hangs
            os.write(_watcher[0], json.dumps([kind, text]).encode() + b"\n")


def _watch(pipe: int, command: str, complain: Complain, mask: Iterable[int]) -> NoReturn:
    """Wait for the end of the other process, report it if it is a crash, and end."""
    try:
        for name in IGNORED:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 0)
        os.dup2(nowhere, 1)  # whoever reads the command's output mustn't wait for this process
        with os.fdopen(pipe, encoding="utf-8", errors="replace") as lines:
            problem = _problem(lines, command)
        if problem:
            if sys.stderr.isatty():
                sys.stderr.write(SHOW_CURSOR)
            complain(problem)
    finally:
        os._exit(0)


def _problem(lines: Iterable[str], command: str) -> str:
    """Read what the other process tells until it ends, delete what it has left, and describe its death; "" for none."""
    work, unfinished, fatal = command, set[str](), ""
    for line in lines:
        if fatal or line.startswith(FATAL):
            fatal += line
            continue
        try:
            kind, text = json.loads(line)
        except ValueError:  # cut off: a very long path
            continue
        if kind == "work":
            work = text or command
        elif kind == "unfinished":
            unfinished.add(text)
        elif kind == "finished":
            unfinished.discard(text)
        elif kind == "end":
            return ""
    for path in unfinished:
        remove(Path(path))
    if fatal:
        crash = fatal.partition("\n")[0].removeprefix(FATAL).lower()
        return f"{work}: its process crashed ({crash}); please report it with {save_report(fatal)}"
    return f"{work}: its process was killed (out of memory?)"
