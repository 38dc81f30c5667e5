"""The design of a study: which trace belongs to which participant, condition and pair."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vatrace.corpora.csv_table import column_names, read_table
from vatrace.errors import UsageError, require
from vatrace.files import as_meant
from vatrace.names import DIMENSIONS

if TYPE_CHECKING:
    import pandas as pd

Values = NDArray[np.float64]

COLUMNS = ("recording", "person", "participant", "condition", "pair")
"""The columns of a design; only `recording` is required, and `participant`, unless the study has it."""
NEEDED = ("recording", "time", *DIMENSIONS)
"""Columns that the table of a study must have."""


@dataclass(frozen=True)
class Trace:
    """The trace of one participant in one recording.

    Attributes:
        recording: as in the table of the study.
        person: as in the table of the study; "" if it has no such column.
        participant: whose trace it is.
        condition: "" for none.
        pair: name of the two traces that were recorded together; "" for none.
        times: (T,) seconds, ascending.
        values: (T, 2) valence and arousal; NaN where nothing supports them.
        bounds: (T, 2, 2) lower and upper end of the 90 % interval, by dimension; None if the table has none.
    """

    recording: str
    person: str
    participant: str
    condition: str
    pair: str
    times: Values
    values: Values
    bounds: Values | None = None

    @property
    def rate(self) -> float:
        """Rows per second."""
        return float(1 / np.median(np.diff(self.times))) if len(self.times) > 1 else 1.0


@dataclass(frozen=True)
class Study:
    """The traces of a study, in the order of its design.

    Attributes:
        traces: those that the design names.
        notes: what the reader should know.
        baseline: what was subtracted from the values; "" for nothing.
    """

    traces: tuple[Trace, ...]
    notes: tuple[str, ...] = ()
    baseline: str = ""

    @property
    def participants(self) -> list[str]:
        """All participants, each once."""
        return list(dict.fromkeys(trace.participant for trace in self.traces))


@dataclass(frozen=True)
class _Line:
    """A line of the design, or a trace of the study if there is no design."""

    where: str
    recording: str
    person: str
    about: Mapping[str, str] = field(default_factory=dict)


def read_study(path: Path, design: Path | None) -> Study:
    """Read the table of a study and its design.

    Args:
        path: a table of all traces, by `vatrace predict --table`, as CSV or Parquet.
        design: a table with the columns `recording`, `participant`, and perhaps `condition`, `person` and `pair`; None if the
            study has columns of these names.

    Raises:
        UsageError: if one of them lacks a column, or they don't fit together; the message names line and column.
        CorpusError: if the design can't be read.
    """
    groups = _read_traces(path)
    lines = _without_design(path, groups) if design is None else _read_design(design)
    found: dict[tuple[str, str], str] = {}
    traces = []
    for line in lines:
        key = _match(line, groups)
        if key in found:
            raise UsageError(f"{line.where}: {line.recording} is already in {found[key]}")
        found[key] = line.where.rsplit(": ", 1)[-1]
        traces.append(_trace(line, key, groups[key], design or path))
    notes = []
    unused = sorted({recording for recording, _ in groups.keys() - found.keys()})
    if unused:
        notes.append(f"left out, because the design does not name them: {_some(unused)}")
    empty = [trace.recording for trace in traces if np.isnan(trace.values).all()]
    if empty:
        notes.append(f"left out, because nothing supports their values: {_some(empty)}")
    traces = [trace for trace in traces if not np.isnan(trace.values).all()]
    if not traces:
        raise UsageError(f"{path}: no trace is left: nothing supports the values")
    first = next(iter(groups.values()))
    baseline = str(first["baseline"].iloc[0]) if "baseline" in first else ""
    return Study(tuple(traces), tuple(notes), baseline)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    suffix = path.suffix.lower()
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    if suffix not in {".csv", ".parquet"}:
        raise UsageError(f"{path}: must end in .csv or .parquet")
    if suffix == ".parquet":
        require(str(path), ["pyarrow"], "formats")
    try:
        if suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, dtype=dict.fromkeys(COLUMNS, str), keep_default_na=False, na_values=[""])
    except (ValueError, OSError) as error:  # the errors of pandas and pyarrow are of the first kind
        raise UsageError(f"{path}: not a readable table ({(str(error).splitlines() or [''])[0]})") from error


def _read_traces(path: Path) -> dict[tuple[str, str], pd.DataFrame]:
    """The rows of each recording and person."""
    import pandas as pd

    table = _read_table(path)
    missing = [name for name in NEEDED if name not in table]
    if missing and "stretch" in table:
        raise UsageError(f"{path}: has a row per stretch of time: make the table again without --by")
    if missing:
        raise UsageError(f"{path}: no column {missing[0]!r}; it must be a table by vatrace predict --table")
    for name in NEEDED[1:]:
        if not pd.api.types.is_numeric_dtype(table[name]):
            raise UsageError(f"{path}: the column {name!r} has cells that are not numbers")
    if not len(table):
        raise UsageError(f"{path}: has no rows")
    for name in COLUMNS:
        if name in table:
            table[name] = [as_meant(str(cell)) if isinstance(cell, str) else "" for cell in table[name]]
    by = ["recording", "person"] if "person" in table else ["recording"]
    found = {}
    for key, rows in table.groupby(by, sort=False):
        found[str(key[0]), str(key[1]) if len(by) > 1 else ""] = rows.sort_values("time")
    return found


def _without_design(path: Path, groups: Mapping[tuple[str, str], pd.DataFrame]) -> list[_Line]:
    if "participant" not in next(iter(groups.values())):
        raise UsageError(f"{path}: no column 'participant': name a design that has it with --design")
    return [_Line(f"{path}: {recording}", recording, person) for recording, person in groups]


def _read_design(path: Path) -> list[_Line]:
    names = column_names(path)
    present = [name for name in COLUMNS[2:] if name in names]
    lines = []
    for number, (recording, person, *cells) in read_table(path, COLUMNS[:1], ("person", *present)):
        if not recording:
            raise UsageError(f"{path}: line {number}, column recording: is empty")
        about = {name: as_meant(cell) for name, cell in zip(present, cells, strict=True)}
        lines.append(_Line(f"{path}: line {number}", as_meant(recording), as_meant(person), about))
    if not lines:
        raise UsageError(f"{path}: has no recordings")
    return lines


def name_in(known: Collection[str], recording: str) -> str | None:
    """What a study calls a recording that a table names: the same or, if it has no such recording, without its suffix.

    None if it has neither.
    """
    names = recording, os.path.splitext(recording)[0]  # noqa: PTH122 - pathlib refuses names such as "."
    return next((name for name in names if name in known), None)


def _match(line: _Line, groups: Mapping[tuple[str, str], pd.DataFrame]) -> tuple[str, str]:
    """The trace that a line means: by the name of the recording as in the study, or by that of its file."""
    known = list(dict.fromkeys(recording for recording, _ in groups))
    name = name_in(known, line.recording)
    if name is None:
        raise UsageError(f"{line.where}, column recording: {line.recording} is not in the study, which has {_some(known)}")
    people = [person for recording, person in groups if recording == name]
    if not line.person and len(people) > 1:
        raise UsageError(
            f"{line.where}: {name} has {len(people)} traces: add a column person, with {' or '.join(people)} in this line"
        )
    person = line.person or people[0]
    if person not in people:
        raise UsageError(f"{line.where}, column person: {name} has no person {person}, only {', '.join(people)}")
    return name, person


def _trace(line: _Line, key: tuple[str, str], rows: pd.DataFrame, source: Path) -> Trace:
    about = {name: str(rows[name].iloc[0]) for name in COLUMNS[2:] if name in rows} | dict(line.about)
    if "participant" not in about:
        raise UsageError(f"{source}: line 1: no column 'participant', and the study has none either")
    if not about["participant"]:
        raise UsageError(f"{line.where}, column participant: is empty")
    times = rows["time"].to_numpy(np.float64)
    if (np.diff(times) <= 0).any():
        raise UsageError(f"the study has two rows at the same time in {key[0]}, person {key[1] or '1'}")
    supported = rows["supported"].to_numpy() == 1 if "supported" in rows else np.ones(len(rows), bool)
    values = np.where(supported[:, None], rows[list(DIMENSIONS)].to_numpy(np.float64), np.nan)
    ends = [[f"{name}_{end}" for end in ("low", "high")] for name in DIMENSIONS]
    bounds = None
    if all(name in rows and rows[name].notna().any() for pair in ends for name in pair):
        bounds = np.stack([np.where(supported[:, None], rows[pair].to_numpy(np.float64), np.nan) for pair in ends], axis=1)
    return Trace(
        *key, about["participant"], about.get("condition", ""), about.get("pair", ""), times=times, values=values, bounds=bounds
    )


def pairs(study: Study) -> tuple[list[tuple[str, Trace, Trace]], list[str]]:
    """The pairs of people who were recorded together, and notes.

    These are two traces with the same cell in the column `pair`, or of two participants in one recording if the cell is empty.

    Raises:
        UsageError: if a pair has one trace, more than two, or the same participant twice.
    """
    named: dict[str, list[Trace]] = {}
    shared: dict[str, list[Trace]] = {}
    for trace in study.traces:
        where = named if trace.pair else shared
        where.setdefault(trace.pair or trace.recording, []).append(trace)
    for name, members in named.items():
        if len(members) != 2:
            raise UsageError(f"the pair {name} has {len(members)} traces, not 2: give each pair of recordings its own name")
        if members[0].participant == members[1].participant:
            raise UsageError(f"the pair {name} is twice the same participant, {members[0].participant}")
    notes = []
    for name, members in shared.items():
        people = Counter(trace.participant for trace in members)
        if len(members) == 2 and len(people) == 2:
            named[name] = members
        elif len(people) > 1:
            notes.append(f"synchrony: {name} has {len(members)} people; name pairs in a column pair, or it is left out")
    return [(name, first, second) for name, (first, second) in named.items()], notes
