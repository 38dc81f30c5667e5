"""Statistics of a trace over stretches of time: of speech, sentences, turns, words, equal parts, or events from a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vatrace.corpora.csv_table import column_names, number, read_table
from vatrace.errors import CorpusError, UsageError
from vatrace.files import shown
from vatrace.inference.prediction import ROUNDING, SLACK
from vatrace.languages import joined
from vatrace.media.transcripts import sentences
from vatrace.names import DIMENSIONS, MAX_RATE
from vatrace.output.columns import MEASURED, RESERVED
from vatrace.output.mean_interval import Dependence, dependence, mean_interval
from vatrace.output.traces import Trace

if TYPE_CHECKING:
    import pandas as pd

OF_SPEECH = ("segment", "sentence", "turn", "word")
SECONDS = "seconds:"
EVENT_COLUMNS = ("start", "end", "recording", "person", "event")
MIN_SLOPE = 3
"""Rows that a slope needs: two always lie on a line."""


@dataclass(frozen=True)
class Stretch:
    """A stretch of time in a trace.

    Attributes:
        start: seconds.
        end: seconds.
        text: words, or the name of an event.
        about: columns of a table of events.
    """

    start: float
    end: float
    text: str = ""
    about: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """A line of a table of events.

    Attributes:
        line: in the table, from 1.
        stretch: when it is.
        recording: in which recording; "" for all.
        person: of whom; "" for everyone.
    """

    line: int
    stretch: Stretch
    recording: str
    person: str


@dataclass(frozen=True)
class By:
    """What the stretches are.

    Attributes:
        name: as it was asked for.
        seconds: length of equal parts; 0 if they are something else.
        events: the lines of a table.
        own: the table's own columns.
    """

    name: str
    seconds: float = 0.0
    events: tuple[Event, ...] = ()
    own: tuple[str, ...] = ()

    def of(self, trace: Trace) -> list[Stretch]:
        """The stretches of a trace, in order of time.

        Raises:
            UsageError: if an event lies outside of the recording.
        """
        if self.seconds:
            times = trace.table["time"].to_numpy(np.float64)
            end = times[-1] + 1 / trace.rate
            count = max(math.ceil((end - times[0]) / self.seconds - ROUNDING), 1)
            starts = times[0] + self.seconds * np.arange(count)
            return [Stretch(float(start), float(min(start + self.seconds, end))) for start in starts]
        if self.name == "word":
            return [Stretch(word.start, word.end, word.text) for word in trace.words]
        if self.name == "sentence":
            said = sentences(trace.words)
            return [Stretch(part[0].start, part[-1].end, joined(word.text for word in part)) for part in said]
        if self.name == "turn":
            return [Stretch(turn.start, turn.end, joined(word.text for word in turn.words)) for turn in trace.turns]
        if self.name == "segment":
            return _segments(trace)
        return [self._inside(event, trace) for event in self.events if _concerns(event, trace)]

    def _inside(self, event: Event, trace: Trace) -> Stretch:
        times = trace.table["time"].to_numpy(np.float64)
        start, end = event.stretch.start, event.stretch.end
        if start < times[0] - ROUNDING or end > times[-1] + 1 / trace.rate + SLACK:
            column = "start" if start < times[0] - ROUNDING else "end"
            reach = f"{times[0]:g} to {times[-1] + 1 / trace.rate:g} s"
            raise UsageError(f"{self.name}: line {event.line}, column {column}: lies outside of {trace.recording} ({reach})")
        return event.stretch


def parse_by(text: str) -> By:
    """What a row of the table is: one of `OF_SPEECH`, `seconds:5`, or a table with the columns start and end.

    Raises:
        UsageError: if it is none of these, or a line of the table can't be understood.
        CorpusError: if the table can't be read.
    """
    if text in OF_SPEECH:
        return By(text)
    if text.startswith(SECONDS):
        length = length_of("--by", text)
        if length < 1 / MAX_RATE:
            raise UsageError(f"--by {text}: at least {1 / MAX_RATE:g} s are needed: no trace has more rows a second")
        return By(text, length)
    if not Path(text).is_file():
        choices = f"must be {', '.join(OF_SPEECH)}, seconds:5, or a CSV with the columns start and end"
        raise UsageError(f"--by {text}: {no_such_file(text) or choices}")
    return read_events(Path(text))


def no_such_file(text: str) -> str:
    """What is wrong with a choice that looks like the path of a table that isn't there; "" for other texts."""
    return "no such file" if Path(text).suffix else ""


def length_of(option: str, text: str) -> float:
    """The seconds after the colon of an option such as `--by seconds:5`.

    Raises:
        UsageError: if it isn't a number above 0.
    """
    try:
        seconds = float(text.partition(":")[2])
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise UsageError(f"{option} {text}: the length must be a number of seconds above 0")
    return seconds


def read_events(path: Path) -> By:
    """A table with the columns start and end.

    Raises:
        UsageError: if a line of it can't be understood.
        CorpusError: if it can't be read.
    """
    own = [name for name in column_names(path) if name and name not in EVENT_COLUMNS]
    for name in own:
        if name in RESERVED:
            raise UsageError(f"{path}: line 1: the column {name!r} would be mistaken for one that vatrace writes: rename it")
    events = []
    for line, cells in read_table(path, EVENT_COLUMNS[:2], (*EVENT_COLUMNS[2:], *own)):
        times = []
        for column, cell in zip(EVENT_COLUMNS, cells[:2], strict=False):
            try:
                times.append(number(cell))
            except ValueError as error:
                raise UsageError(f"{path}: line {line}, column {column}: {error}") from error
            if math.isnan(times[-1]) or times[-1] < 0:
                raise UsageError(f"{path}: line {line}, column {column}: must be seconds from the start, not {cell!r}")
        if times[1] <= times[0]:
            raise UsageError(f"{path}: line {line}, column end: must be after the start ({times[0]:g}), not {cells[1]}")
        recording, person, event = cells[2:5]
        stretch = Stretch(times[0], times[1], event, dict(zip(own, cells[5:], strict=True)))
        events.append(Event(line, stretch, recording, person))
    if not events:
        raise UsageError(f"{path}: has no events")
    return By(shown(path), events=tuple(events), own=tuple(own))


def check_events(by: By, traces: Sequence[tuple[str, str]]) -> None:
    """Check that each event names a recording of the batch.

    Args:
        by: the events.
        traces: name and file name of each recording.

    Raises:
        UsageError: if one doesn't.
    """
    for event in by.events:
        if event.recording and not any(_same(event.recording, *names) for names in traces):
            raise UsageError(f"{by.name}: line {event.line}, column recording: {event.recording} is not in this batch")


def _same(wanted: str, name: str, file: str) -> bool:
    """Whether a cell means a recording: by the name of its results, the same with its suffix, or the name of its file."""
    return wanted in {name, f"{name}{Path(file).suffix}", file, Path(file).stem}


def _concerns(event: Event, trace: Trace) -> bool:
    return (not event.recording or _same(event.recording, trace.recording, trace.file)) and event.person in {"", trace.person}


def _segments(trace: Trace) -> list[Stretch]:
    """The stretches in which the person alone speaks."""
    speaking = trace.table["speaking"].to_numpy(np.float64) == 1
    times = trace.table["time"].to_numpy(np.float64)
    edges = np.flatnonzero(np.diff(speaking.astype(int), prepend=0, append=0)).reshape(-1, 2)
    ends = np.append(times, times[-1] + 1 / trace.rate)
    return [Stretch(float(ends[start]), float(ends[end])) for start, end in edges]


def stretch_rows(trace: Trace, by: By) -> list[dict[str, object]]:
    """The columns `STRETCHES` of each stretch of a trace, means of the columns of `--also`, and those of a table of events."""
    supported = trace.table["supported"].to_numpy() == 1
    known = {name: dependence(trace.table[name].to_numpy(np.float64)[supported]) for name in DIMENSIONS}
    rows: list[dict[str, object]] = []
    for place, stretch in enumerate(by.of(trace), start=1):
        times = trace.table["time"].to_numpy(np.float64)
        inside = (times >= stretch.start - ROUNDING) & (times < stretch.end - ROUNDING)
        if not inside.any():  # shorter than a row: the nearest one
            inside = np.arange(len(times)) == np.argmin(abs(times - stretch.start))
        row: dict[str, object] = {
            **stretch.about,
            "stretch": place,
            "start": round(stretch.start, 3),
            "end": round(stretch.end, 3),
        }
        row |= {"text": stretch.text, "duration": round(stretch.end - stretch.start, 3), "rows": int(inside.sum())}
        row["supported"] = round(float(supported[inside].mean()), 4)
        for name in DIMENSIONS:
            row |= _statistics(trace.table, name, inside & supported, known[name])
        for column in measured(trace):
            values = trace.table[column].to_numpy(np.float64)[inside]
            if not np.isnan(values).all():
                row[f"{column}_mean"] = round(float(np.nanmean(values)), 6)
        rows.append(row)
    return rows


def measured(trace: Trace) -> list[str]:
    """The columns of `--also` that a trace has."""
    return [column.name for column in MEASURED if column.name in trace.table]


def _statistics(table: pd.DataFrame, name: str, where: NDArray[np.bool_], known: Dependence | None) -> dict[str, float]:
    """The statistics of one dimension over some rows; none where there is no row."""
    values, times = table[name].to_numpy(np.float64)[where], table["time"].to_numpy(np.float64)[where]
    if not len(values):
        return {}
    found = {"mean": values.mean(), "min": values.min(), "max": values.max()}
    if len(values) > 1:
        found["sd"] = values.std(ddof=1)
    if len(values) >= MIN_SLOPE:
        centred = times - times.mean()
        found["slope"] = float(centred @ values / (centred @ centred))
    found["mean_low"], found["mean_high"] = mean_interval(values, known)
    for end in ("low", "high"):
        if f"{name}_{end}" in table:
            found[end] = table[f"{name}_{end}"].to_numpy(np.float64)[where].mean()
    return {f"{name}_{statistic}": round(float(value), 6) for statistic, value in found.items()}


def check_readable(path: Path) -> None:
    """Check that a table exists.

    Raises:
        CorpusError: if it doesn't.
    """
    if not path.is_file():
        raise CorpusError(f"{path}: no such file")
