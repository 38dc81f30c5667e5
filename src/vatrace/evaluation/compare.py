"""Whether one run is better than another on the same recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vatrace.errors import RunError
from vatrace.evaluation.bootstrap import Pair, ccc_of_moments, interval, moments, resample_counts, resampled_ccc

COLUMNS = ("valence", "arousal", "mean")


@dataclass(frozen=True)
class Difference:
    """How much better a run's CCC is than that of the first run.

    Attributes:
        ccc: CCC of the run.
        difference: its CCC minus that of the first run.
        low: lower end of the 95 % paired bootstrap interval of the difference.
        high: upper end.
        better: share of the resamples in which the run is better.
    """

    ccc: float
    difference: float
    low: float
    high: float
    better: float


def compare(
    predictions: Sequence[Mapping[str, Pair]], names: Sequence[str], subjects: Mapping[str, str]
) -> dict[str, dict[str, Difference]]:
    """Compare runs with the first, by the same resamples of subjects (or of recordings where subjects are unknown).

    Args:
        predictions: for each run, truth and prediction (T, 2) by recording.
        names: names of the runs, all different.
        subjects: subject by recording; "" where unknown.

    Returns:
        The differences, by run and by valence, arousal and their mean; NaN where a run does not have that output.

    Raises:
        RunError: if the runs have different recordings, or predict different steps of them.
    """
    recordings = list(predictions[0])
    for name, run in zip(names, predictions, strict=True):
        differing = sorted(set(run) ^ set(recordings)) or _unlike(predictions[0], run)
        if differing:
            raise RunError(f"{name}: not evaluated on the same recordings as {names[0]} (such as {', '.join(differing[:5])})")
    units = [subjects.get(name) or name for name in recordings]
    unit_moments = [moments([run[name] for name in recordings], units) for run in predictions]
    counts = resample_counts(len(unit_moments[0]))
    resamples = [resampled_ccc(values, counts) for values in unit_moments]
    whole = []
    for values in unit_moments:
        both = ccc_of_moments(values.sum(axis=0))
        whole.append([*both.tolist(), float(both.mean())])
    result = {}
    for name, ccc, resampled in zip(names, whole, resamples, strict=True):
        change = resampled - resamples[0]
        change[:, 2] = change[:, :2].mean(axis=1)  # NaN if either is: one output can't be compared with a mean of two
        result[name] = {
            column: Difference(ccc[k], ccc[k] - whole[0][k], *interval(change[:, k]), _share_above(change[:, k]))
            for k, column in enumerate(COLUMNS)
        }
    return result


def _unlike(first: Mapping[str, Pair], other: Mapping[str, Pair]) -> list[str]:
    """Recordings of which the runs predict different steps in an output that both have, as with different folds."""
    counts = [
        {name: (~np.isnan(truth + prediction)).sum(axis=0) for name, (truth, prediction) in run.items()}
        for run in (first, other)
    ]
    in_both = np.logical_and(*(np.any(list(by_name.values()), axis=0) for by_name in counts))
    return [name for name in sorted(first) if ((counts[0][name] != counts[1][name]) & in_both).any()]


def _share_above(values: NDArray[np.float64]) -> float:
    """The share of the defined values that are above 0; NaN if none is defined."""
    defined = values[~np.isnan(values)]
    return float(np.mean(defined > 0)) if len(defined) else float("nan")


def text_table(differences: Mapping[str, Mapping[str, Difference]]) -> str:
    """The comparison in plain text."""
    width = max(len(name) for name in differences)
    lines = []
    for column in COLUMNS:
        lines += [f"{column:{width}}{'CCC':>9}{'difference [95 %]':>28}{'better in':>12}"]
        for index, (name, by_column) in enumerate(differences.items()):
            found = by_column[column]
            row = f"{name:{width}}{found.ccc:>9.3f}"
            if index:
                row += f"{f'{found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}]':>28}{found.better:>12.0%}"
            lines.append(row)
        lines.append("")
    return "\n".join(lines).rstrip()
