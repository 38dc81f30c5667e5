"""Watches a process and all that it has started: memory, open descriptors, and speed. Linux only, because it reads /proc."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from threading import Event, Thread
from types import TracebackType

import numpy as np
from matplotlib.figure import Figure

from vatrace.output.colours import LIGHT

NUM_POINTS = 150
"""Points of a curve: as many as can be told apart in a panel."""
WARM_UP = 0.1
"""Share of the work that is left out of the growth: models are loaded, and buffers reach their size."""
MEGABYTE = 1e6


@dataclass(frozen=True)
class Sample:
    """What was measured at one time.

    Attributes:
        seconds: since the start.
        done: units of work that were done.
        memory: bytes of all processes together; pages that several of them share count once.
        descriptors: open ones of all processes together.
    """

    seconds: float
    done: float
    memory: int
    descriptors: int


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for one in found:
        try:
            lists = [path.read_text() for path in Path(f"/proc/{one}/task").glob("*/children")]
        except OSError:  # it has ended
            continue
        found += [int(child) for text in lists for child in text.split()]
    return found


def measured(pid: int) -> tuple[int, int]:
    """Bytes of memory and open descriptors of a process and its descendants."""
    memory = descriptors = 0
    for one in family(pid):
        try:
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
            descriptors += len(list(Path(f"/proc/{one}/fd").iterdir()))
        except OSError:  # it has ended
            continue
        memory += sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
    return memory, descriptors


class Watch:
    """Samples a process while the block of its `with` statement runs.

    Args:
        pid: of the process.
        done: how many units of work have been done.
        interval: seconds between samples.
    """

    def __init__(self, pid: int, done: Callable[[], float], interval: float = 1.0) -> None:
        self.samples: list[Sample] = []
        self._pid, self._done, self._interval = pid, done, interval
        self._stop, self._thread = Event(), Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        start = time.monotonic()
        while not self._stop.wait(self._interval):
            memory, descriptors = measured(self._pid)
            if memory:
                self.samples.append(Sample(time.monotonic() - start, self._done(), memory, descriptors))


def halves(samples: list[Sample]) -> tuple[list[Sample], list[Sample]]:
    """The samples of the first and the second half of the work, without the warm-up."""
    last = samples[-1].done
    used = [sample for sample in samples if sample.done >= WARM_UP * last]
    middle = (1 + WARM_UP) * last / 2
    return [sample for sample in used if sample.done < middle], [sample for sample in used if sample.done >= middle]


def summary(samples: list[Sample], unit: str) -> str:
    """One line: how much memory, how many descriptors and how long a unit took, in the first and the second half."""
    parts = []
    for half in halves(samples):
        work = half[-1].done - half[0].done
        pace = (half[-1].seconds - half[0].seconds) / work if work else float("nan")
        memory = np.median([sample.memory for sample in half]) / MEGABYTE
        descriptors = np.median([sample.descriptors for sample in half])
        parts.append(f"{memory:.0f} MB, {descriptors:.0f} descriptors, {pace:.2f} s per {unit}")
    peak = max(sample.memory for sample in samples) / MEGABYTE
    most = max(sample.descriptors for sample in samples)
    return f"first half: {parts[0]}; second half: {parts[1]}; at most {peak:.0f} MB, {most} descriptors"


def write_samples(samples: list[Sample], path: Path) -> None:
    """Write all samples as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(field.name for field in fields(Sample))
        writer.writerows(astuple(sample) for sample in samples)


def draw(samples: list[Sample], path: Path, title: str, unit: str, units: str) -> None:
    """Draw memory, descriptors and time per unit over the work that was done, as a PNG."""
    edges = np.linspace(0, samples[-1].done, NUM_POINTS + 1)
    number = np.clip(np.searchsorted(edges, [sample.done for sample in samples], "right") - 1, 0, NUM_POINTS - 1)
    groups = [[sample for sample, at in zip(samples, number, strict=True) if at == index] for index in range(NUM_POINTS)]
    groups = [group for group in groups if group]
    done = [group[-1].done for group in groups]
    drawn = Figure(figsize=(8, 4.2), layout="constrained")
    panels = drawn.subplots(3, 1, sharex=True)
    panels[0].plot(done, [max(sample.memory for sample in group) / MEGABYTE for group in groups], color=LIGHT["valence"])
    panels[0].set(ylabel="memory in MB")
    panels[1].plot(done, [max(sample.descriptors for sample in group) for group in groups], color=LIGHT["arousal"])
    panels[1].set(ylabel="descriptors")
    seconds = np.diff([group[-1].seconds for group in groups]) / np.diff(done)
    panels[2].plot(done[1:], seconds, color=LIGHT["face"])
    panels[2].set(ylabel=f"s per {unit}", xlabel=units, xlim=(0, samples[-1].done))
    for panel in panels:
        panel.set_ylim(0, 1.1 * panel.get_ylim()[1])
        panel.spines[["top", "right"]].set_visible(False)
    drawn.suptitle(title, x=0.01, ha="left", fontsize="large")
    drawn.savefig(path, dpi=100, format="png")
