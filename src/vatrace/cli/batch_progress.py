"""How far a batch is: bars in a terminal, lines in a log file elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vatrace.cli.terminal import plural
from vatrace.files import shown

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

SPEED_PERIOD = 3600.0
"""Seconds over which the time left is estimated: one recording may take many minutes."""


class BatchProgress:
    """The progress of a batch.

    Args:
        total: number of recordings to process.
        bars: of the terminal; None if there is no terminal.
        log: a file to which a line for each recording is added; None for none.
    """

    def __init__(self, total: int, bars: Bars | None, log: Path | None) -> None:
        self._total, self._done, self._bars, self._log = total, 0, bars, log
        self._start = time.monotonic()
        self._stages: dict[str, dict[str, TaskID]] = {}
        self._overall = bars.add_task(plural(total, "recording"), total=total) if bars and total > 1 else None
        if log is not None:
            self._write(f"{plural(total, 'recording')} to process")

    def show(self, name: str, stage: str, share: float) -> None:
        """Show how much of a stage of one recording is done, 0..1."""
        if self._bars is None:
            return
        from rich.markup import escape

        stages = self._stages.setdefault(name, {})
        if stage not in stages:
            stages[stage] = self._bars.add_task(f"{escape(shown(Path(name).name))}: {stage}", total=1.0)
        self._bars.update(stages[stage], completed=share)

    def finished(self, name: str, text: str) -> None:
        """Count a recording; `text` is its line in the log."""
        self._done += 1
        if self._bars is not None:
            for bar in self._stages.pop(name, {}).values():
                self._bars.remove_task(bar)
            if self._overall is not None:
                self._bars.advance(self._overall)
        if self._log is not None:
            left = (time.monotonic() - self._start) / self._done * (self._total - self._done)
            self._write(f"{self._done} of {self._total}, {_duration(left)} left: {text}")

    def _write(self, text: str) -> None:
        assert self._log is not None
        with self._log.open("a", encoding="utf-8", errors="replace") as file:
            file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"


@contextmanager
def batch_progress(total: int, log: Path) -> Iterator[BatchProgress]:
    """Show the progress of a batch in the terminal; without one, several recordings are logged to a file.

    Args:
        total: number of recordings to process.
        log: the file.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield BatchProgress(total, None, log if total > 1 else None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    both = sys.stdout is not None and sys.stdout.isatty()  # printed lines then appear above the bars
    with Progress(
        *columns, console=Console(stderr=True), transient=True, redirect_stdout=both, speed_estimate_period=SPEED_PERIOD
    ) as bars:
        yield BatchProgress(total, bars, None)
