"""Agreement of traces with human ratings of the same recordings."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vatrace.analysis.design import Study, Trace, name_in
from vatrace.analysis.findings import Finding
from vatrace.corpora.annotators import merged, on_grid, relative_lags, shifted
from vatrace.corpora.corpus import Annotation
from vatrace.corpora.csv_table import column_names, number, read_table
from vatrace.errors import UsageError
from vatrace.evaluation.bootstrap import caution, interval, moments, resample_counts, resampled_ccc
from vatrace.files import as_meant
from vatrace.metrics import concordance_cc, pearson_cc, rmse
from vatrace.names import DIMENSIONS
from vatrace.timeline import num_steps

Values = NDArray[np.float64]
Ratings = dict[tuple[str, str], list[Annotation]]

MODEL = " model"
"""The model's name among the raters. Theirs never begin with a space."""


@dataclass(frozen=True)
class Compared:
    """A trace and the mean rating of it at the same times, with the raters' lags removed.

    Attributes:
        trace: the trace.
        ratings: (T, 2), NaN where nobody rated or nothing supports the trace.
        values: (T, 2) of the trace.
        bounds: (T, 2, 2) of the trace; None if it has none.
    """

    trace: Trace
    ratings: Values
    values: Values
    bounds: Values | None


def read_ratings(path: Path, study: Study) -> Ratings:
    """Read a table of ratings: `recording`, `time`, `valence`, `arousal`, and perhaps `person` and `rater`.

    Returns:
        The annotations by recording and person.

    Raises:
        UsageError: if a cell can't be understood, or a recording isn't in the study.
        CorpusError: if it can't be read, or lacks a column.
    """
    rated = [name for name in DIMENSIONS if name in column_names(path)]
    if not rated:
        raise UsageError(f"{path}: line 1: no column 'valence' or 'arousal'")
    rows: dict[tuple[str, str, str], list[list[float]]] = defaultdict(list)
    for line, (recording, *cells, person, rater) in read_table(path, ["recording", "time", *rated], ("person", "rater")):
        numbers = []
        for column, cell in zip(("time", *rated), cells, strict=True):
            try:
                numbers.append(number(cell))
            except ValueError as error:
                raise UsageError(f"{path}: line {line}, column {column}: {error}") from error
            if column != "time" and abs(numbers[-1]) > 1:
                raise UsageError(f"{path}: line {line}, column {column}: must be from -1 to 1, not {cell}")
        if math.isnan(numbers[0]):
            raise UsageError(f"{path}: line {line}, column time: is empty")
        key = _key(path, line, as_meant(recording), as_meant(person), study)
        values = dict(zip(rated, numbers[1:], strict=True))
        rows[*key, as_meant(rater)].append([numbers[0], *(values.get(name, math.nan) for name in DIMENSIONS)])
    found: Ratings = defaultdict(list)
    for (recording, person, rater), table in rows.items():
        ordered = np.array(sorted(table))
        found[recording, person].append(Annotation(rater, ordered[:, 0], ordered[:, 1:]))
    return dict(found)


def _key(path: Path, line: int, recording: str, person: str, study: Study) -> tuple[str, str]:
    """The trace that a rating is of."""
    name = name_in({trace.recording for trace in study.traces}, recording)
    inside = [trace for trace in study.traces if trace.recording == name]
    if not inside:
        raise UsageError(f"{path}: line {line}, column recording: {recording} is not in the analysis")
    chosen = [trace for trace in inside if person in {"", trace.person}]
    if len(chosen) != 1:
        raise UsageError(f"{path}: line {line}, column person: {recording} has {', '.join(t.person for t in inside)}, not one "
                         f"{person or 'person'}")  # fmt: skip
    return chosen[0].recording, chosen[0].person


def compare_with_ratings(study: Study, ratings: Mapping[tuple[str, str], list[Annotation]]) -> tuple[list[Compared], list[str]]:
    """Put the traces and their ratings on one grid, with the raters' lags removed; and notes."""
    rated = [trace for trace in study.traces if (trace.recording, trace.person) in ratings]
    groups = [[Annotation(MODEL, trace.times, trace.values), *ratings[trace.recording, trace.person]] for trace in rated]
    lags = relative_lags(groups)
    behind = {one.annotator: 0.0 for group in groups for one in group[1:]}
    if MODEL in lags:
        behind |= {name: max(lags[name] - lags[MODEL], 0.0) for name in behind if name in lags}
    named = ", ".join(f"{name or 'the rater'} {lag:.1f} s" for name, lag in behind.items())
    notes = [f"agreement: lag of the ratings, estimated and removed: {named}"]
    unclear = [name or "the rater" for name in behind if name not in lags or MODEL not in lags]
    if unclear:
        notes.append(f"agreement: no lag could be estimated for {', '.join(unclear)}, so none was removed")
    found = []
    for trace, group in zip(rated, groups, strict=True):
        rate = trace.rate
        steps = num_steps(float(trace.times[-1]) + 1 / rate, rate)
        grids = {one.annotator: on_grid(shifted(one, behind[one.annotator]), rate, steps) for one in group[1:]}
        places = np.clip(np.round(trace.times * rate).astype(int), 0, steps - 1)
        mean = merged(grids)[places]
        found.append(Compared(trace, np.where(np.isnan(trace.values), np.nan, mean), trace.values, trace.bounds))
    return found, notes


def agreement_findings(compared: list[Compared], seed: int = 0) -> tuple[list[Finding], list[str]]:
    """CCC with its interval by bootstrap over participants, r, RMSE, and the share of ratings in the 90 % intervals.

    Traces are left out if nothing supports them wherever they were rated.

    Raises:
        UsageError: if no trace is left.
    """
    compared = [one for one in compared if not np.isnan(one.ratings).all()]
    if not compared:
        raise UsageError("the ratings lie where nothing supports the traces, so there is nothing to compare")
    units = [one.trace.participant for one in compared]
    sums = moments([(one.ratings, one.values) for one in compared], units)
    resampled = resampled_ccc(sums, resample_counts(len(sums), seed=seed))
    rows = []
    for column, dimension in enumerate(DIMENSIONS):
        truth = np.concatenate([one.ratings[:, column] for one in compared])
        values = np.concatenate([one.values[:, column] for one in compared])
        known = ~np.isnan(truth) & ~np.isnan(values)
        if not known.any():
            continue
        low, high = interval(resampled[:, column])
        count = len({one.trace.participant for one in compared if not np.isnan(one.ratings[:, column]).all()})
        truth, values = truth[known], values[known]
        rows.append(Finding("agreement", dimension, "CCC", concordance_cc(truth, values), low=low, high=high, clusters=count))
        rows.append(Finding("agreement", dimension, "Pearson r", pearson_cc(truth, values), clusters=count))
        rows.append(Finding("agreement", dimension, "RMSE", rmse(truth, values), clusters=count))
        if all(one.bounds is not None for one in compared):
            ends = np.concatenate([one.bounds[:, column] for one in compared if one.bounds is not None])[known]
            inside = float(np.mean((truth >= ends[:, 0]) & (truth <= ends[:, 1])))
            rows.append(Finding("agreement", dimension, "ratings in the 90 % interval", inside, clusters=count))
    notes = [f"agreement: {caution(len(sums))}"] if caution(len(sums)) else []
    return rows, notes
