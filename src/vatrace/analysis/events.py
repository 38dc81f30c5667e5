"""Event-locked averages: what valence and arousal do after an event, on average over participants."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vatrace.analysis.curves import MIN_CLUSTERS, MeanCurve, mean_curve
from vatrace.analysis.design import Study, Trace, name_in
from vatrace.analysis.findings import NAN, Finding, adjusted, of_curve
from vatrace.corpora.csv_table import column_names, number, read_table
from vatrace.errors import UsageError
from vatrace.files import as_meant
from vatrace.inference.prediction import SLACK
from vatrace.names import DIMENSIONS

Values = NDArray[np.float64]

BEFORE, AFTER = 2.0, 5.0
"""Seconds of the window before and after an event, unless asked otherwise."""
MIN_SUPPORTED = 0.5
"""Share of the rows before the event, and of those after it, that must be supported; otherwise, the event is left out."""
UNNAMED = "event"
"""The name of events without a name."""


@dataclass(frozen=True)
class Moment:
    """A line of the table of events.

    Attributes:
        line: in the table, from 1.
        recording: in which recording; "" for all.
        person: of whom; "" for everyone.
        seconds: from the start of the recording.
        event: its name.
    """

    line: int
    recording: str
    person: str
    seconds: float
    event: str


@dataclass(frozen=True)
class Response:
    """The average response to an event.

    Attributes:
        event: its name.
        dimension: valence or arousal.
        offsets: (T,) seconds from the event.
        participants: whose curves were averaged.
        curves: (C, T) the mean response of each participant, from which the mean before the event was subtracted.
        found: their mean; None if there is too little to average.
    """

    event: str
    dimension: str
    offsets: Values
    participants: tuple[str, ...]
    curves: Values
    found: MeanCurve | None


def read_moments(path: Path) -> list[Moment]:
    """Read a table of events: `time` or `start` in seconds, and perhaps `recording`, `person` and `event`.

    Raises:
        UsageError: if a cell can't be understood, or there are no events.
        CorpusError: if it can't be read, or has no column of times.
    """
    names = column_names(path)
    time = "time" if "time" in names else "start"
    found = []
    for line, (cell, recording, person, event) in read_table(path, [time], ("recording", "person", "event")):
        try:
            seconds = number(cell)
        except ValueError as error:
            raise UsageError(f"{path}: line {line}, column {time}: {error}") from error
        if not 0 <= seconds < math.inf:
            raise UsageError(f"{path}: line {line}, column {time}: must be seconds from the start, not {cell!r}")
        found.append(Moment(line, as_meant(recording), as_meant(person), seconds, as_meant(event) or UNNAMED))
    if not found:
        raise UsageError(f"{path}: has no events")
    return found


def responses(
    study: Study, moments: Sequence[Moment], path: Path, before: float = BEFORE, after: float = AFTER
) -> tuple[list[Response], list[str]]:
    """The average response to each kind of event, and notes.

    Args:
        study: the traces.
        moments: the events.
        path: of their table, for messages.
        before: seconds before the event, whose mean is subtracted.
        after: seconds after the event.

    Raises:
        UsageError: if an event's recording isn't in the study, or an event lies outside of it.
    """
    rate = float(np.median([trace.rate for trace in study.traces]))
    offsets = np.arange(-round(before * rate), round(after * rate) + 1) / rate
    curves: dict[str, dict[str, list[Values]]] = {}
    left_out: Counter[str] = Counter()
    for moment in moments:
        for trace in _concerned(study, moment, path):
            cut = _cut(trace, moment, offsets, path)
            if isinstance(cut, str):
                left_out[cut] += 1
                continue
            curves.setdefault(moment.event, {}).setdefault(trace.participant, []).append(cut)
    notes = [f"events: {count} left out, because {why}" for why, count in left_out.items()]
    found = []
    for event, by_participant in curves.items():
        if len(by_participant) < MIN_CLUSTERS:
            notes.append(
                f"events: {event} has {len(by_participant)} participants; a test and a simultaneous band need {MIN_CLUSTERS}"
            )
        stacked = np.stack([_mean(np.stack(cuts)) for cuts in by_participant.values()])
        for column, dimension in enumerate(DIMENSIONS):
            each = stacked[:, :, column]
            mean = mean_curve(each, offsets >= 0) if len(each) > 1 else None
            if mean is None:
                notes.append(f"events: {event} is left out for {dimension}: too few participants, or no variance")
            found.append(Response(event, dimension, offsets, tuple(by_participant), each, mean))
    return found, notes


def _concerned(study: Study, moment: Moment, path: Path) -> list[Trace]:
    wanted = name_in({trace.recording for trace in study.traces}, moment.recording)
    recorded = [trace for trace in study.traces if not moment.recording or trace.recording == wanted]
    if not recorded:
        raise UsageError(f"{path}: line {moment.line}, column recording: {moment.recording} is not in the analysis")
    people = [trace for trace in recorded if moment.person in {"", trace.person}]
    if not people:
        raise UsageError(f"{path}: line {moment.line}, column person: {moment.person} is not in the analysis")
    return people


def _cut(trace: Trace, moment: Moment, offsets: Values, path: Path) -> Values | str:
    """The values (T, 2) around an event, minus their mean before it; or why it is left out."""
    end = trace.times[-1] + 1 / trace.rate
    if not trace.times[0] - SLACK <= moment.seconds <= end + SLACK:
        where = f"{trace.times[0]:g} to {end:g} s"
        raise UsageError(f"{path}: line {moment.line}: {moment.seconds:g} s lies outside of {trace.recording} ({where})")
    wanted = moment.seconds + offsets
    if wanted[0] < trace.times[0] - SLACK or wanted[-1] > end + SLACK:
        return "the window reaches beyond the recording"
    right = np.clip(np.searchsorted(trace.times, wanted), 1, len(trace.times) - 1)
    nearest = np.where(wanted - trace.times[right - 1] <= trace.times[right] - wanted, right - 1, right)
    near = np.abs(trace.times[nearest] - wanted) <= 1 / trace.rate
    values = np.where(near[:, None], trace.values[nearest], NAN)
    known = ~np.isnan(values[:, 0])
    early = offsets < 0
    if known[early].mean() < MIN_SUPPORTED or known[~early].mean() < MIN_SUPPORTED:
        return "less than half of the window is supported"
    return values - values[early & known].mean(axis=0)


def _mean(cuts: Values) -> Values:
    """The mean (T, 2) over events, NaN where none has a value."""
    known = ~np.isnan(cuts)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, cuts, 0).sum(axis=0) / np.maximum(count, 1), NAN)


def event_findings(found: Sequence[Response]) -> list[Finding]:
    """A row for each kind of event and dimension, at the peak of the mean response."""
    rows = [
        of_curve(response.found, "events", response.dimension, response.event, response.offsets)
        for response in found
        if response.found is not None
    ]
    for dimension in DIMENSIONS:
        rows = adjusted(rows, lambda row, dimension=dimension: row.dimension == dimension)  # type: ignore[misc]
    return rows
