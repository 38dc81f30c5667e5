"""The command line, called in this process: loaded libraries are shared by all tests, which saves seconds a call."""

from __future__ import annotations

import io
import logging
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from vatrace.cli import main


@dataclass(frozen=True)
class Result:
    """What a command did.

    Attributes:
        status: its exit status.
        out: its standard output.
        err: its standard error, log messages included.
    """

    status: int
    out: str
    err: str


def run(*arguments: object, cwd: Path | None = None) -> Result:
    """Run `vatrace ARGUMENTS` in this process, in the folder `cwd`.

    Use a process of its own instead for signals, closed pipes, full disks, memory and import times.
    """
    out, err = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(err)
    logging.getLogger().addHandler(handler)
    try:
        with redirect_stdout(out), redirect_stderr(err), chdir(cwd or Path.cwd()):
            main([str(argument) for argument in arguments])
    except SystemExit as end:
        status = end.code
    finally:
        logging.getLogger().removeHandler(handler)
    assert isinstance(status, int), status
    return Result(status, out.getvalue(), err.getvalue())
