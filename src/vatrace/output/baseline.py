"""A person's own neutral stretch, whose mean is subtracted from the values of the person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vatrace.errors import UsageError
from vatrace.inference.prediction import ROUNDING
from vatrace.names import DIMENSIONS
from vatrace.output.stretches import By, check_events, length_of, no_such_file, read_events
from vatrace.output.traces import Trace

FIRST, PERSON = "first:", "person"

Means = dict[str, float]
Key = tuple[str, str]


@dataclass(frozen=True)
class Baseline:
    """Which rows count as neutral.

    Attributes:
        name: as it was asked for.
        first: length of the start of each recording in seconds; 0 if it is something else.
        stretches: from a table; None for all rows of a person.
    """

    name: str
    first: float = 0.0
    stretches: By | None = None


def parse_baseline(text: str) -> Baseline:
    """A baseline: `first:30`, `person` (the mean of a person over the study), or a table with recording, start and end.

    Raises:
        UsageError: if it is none of these.
    """
    if text == PERSON:
        return Baseline(text)
    if text.startswith(FIRST):
        return Baseline(text, length_of("--baseline", text))
    if not Path(text).is_file():
        choices = "must be first:30, person, or a CSV with the columns recording, start and end"
        raise UsageError(f"--baseline {text}: {no_such_file(text) or choices}")
    return Baseline(text, stretches=read_events(Path(text)))


def key_of(trace: Trace) -> Key:
    """Whose trace it is in the whole study: the participant, the person's name, or somebody in this recording only."""
    participant = trace.about.get("participant", "")
    if participant:
        return participant, "" if trace.alone else trace.person
    return ("" if not trace.person.isdecimal() else trace.recording), trace.person


def subtract_baselines(traces: Callable[[], Iterable[Trace]], baseline: Baseline) -> Callable[[Trace], Means]:
    """Subtract everybody's baseline from the trace that the result is called with, which returns what was subtracted.

    Args:
        traces: gives all traces of the study, each time it is called.
        baseline: which rows count.

    Raises:
        UsageError: if somebody has no supported row in the baseline; the message names who. The result raises it too.
    """
    if baseline.first:
        return lambda trace: _subtract(trace, _mean_of_first(trace, baseline.first))
    if baseline.stretches is not None:
        check_events(baseline.stretches, list({(trace.recording, trace.file): None for trace in traces()}))
    sums: dict[Key, np.ndarray] = defaultdict(lambda: np.zeros(1 + len(DIMENSIONS)))
    people: dict[Key, str] = {}
    for trace in traces():
        rows = trace.table[trace.table["supported"] == 1]
        people.setdefault(key_of(trace), _who(trace))
        parts = [rows] if baseline.stretches is None else [_between(rows, s.start, s.end) for s in baseline.stretches.of(trace)]
        for part in parts:
            sums[key_of(trace)] += [len(part), *(part[name].sum() for name in DIMENSIONS)]
    for key, who in people.items():
        if not sums[key][0]:
            raise UsageError(f"--baseline {baseline.name}: {who} has no baseline (no supported row)")
    means: dict[Key, Means] = {
        key: {str(name): float(x) for name, x in zip(DIMENSIONS, total[1:] / total[0], strict=True)}
        for key, total in sums.items()
    }
    return lambda trace: _subtract(trace, means[key_of(trace)])


def _who(trace: Trace) -> str:
    participant = trace.about.get("participant", "")
    return f"participant {participant}" if participant else f"person {trace.person} in {trace.recording}"


def _between(rows, start: float, end: float):  # type: ignore[no-untyped-def]  # a pandas table
    return rows[(rows["time"] >= start - ROUNDING) & (rows["time"] < end - ROUNDING)]


def _mean_of_first(trace: Trace, seconds: float) -> Means:
    start = float(trace.table["time"].iloc[0])
    rows = _between(trace.table[trace.table["supported"] == 1], start, start + seconds)
    if not len(rows):
        raise UsageError(f"--baseline {FIRST}{seconds:g}: {_who(trace)} has no baseline (no supported row there)")
    return {str(name): float(rows[name].mean()) for name in DIMENSIONS}


def _subtract(trace: Trace, means: Means) -> Means:
    for name, mean in means.items():
        for column in (name, f"{name}_low", f"{name}_high"):
            if column in trace.table:
                trace.table[column] -= mean
    return means
