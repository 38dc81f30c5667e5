"""Several annotators of one recording: their reaction lags, their agreement, and one label from all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vatrace.corpora.corpus import Annotation
from vatrace.metrics import concordance_cc
from vatrace.names import DIMENSIONS
from vatrace.timeline import num_steps

MAX_GAP = 1.0
"""Seconds between two values up to which values between them are interpolated."""
LAG_RATE = 25.0
"""Steps a second at which annotators are compared."""
MAX_LAG = 3.0
"""Seconds by which one annotator may be behind the others."""
MAX_ROUNDS = 10
MIN_CORRELATION, MIN_GAIN = 0.3, 0.02
"""Below this correlation with the others, an annotator's lag is unknown; with less than this gain over no lag, it is 0."""
INDEPENDENT_DUR = 3.0
"""Seconds after which values of a trace count as independent, to estimate what correlation arises by chance."""

Merge = Literal["mean", "ewe"]
"""The plain mean, or the evaluator weighted estimator."""


@dataclass(frozen=True)
class Agreement:
    """How well annotators agree, pooled over all steps that at least two have annotated: a ceiling for models.

    Attributes:
        num_annotators: number of annotators.
        others: mean over annotators of the CCC between each and the mean of the others, by dimension.
        pairs: mean over pairs of annotators of their CCC, by dimension.
    """

    num_annotators: int
    others: dict[str, float]
    pairs: dict[str, float]


def on_grid(annotation: Annotation, rate: float, steps: int) -> NDArray[np.float64]:
    """Put an annotation on a grid.

    A step's value is the mean of the values within it; a step without values is interpolated between its neighbours, if these
    are at most MAX_GAP apart.

    Args:
        annotation: N values with times.
        rate: steps a second.
        steps: T.

    Returns:
        (T, 2), NaN where nothing is annotated.
    """
    from vatrace.media.reading import CLOCK_TOLERANCE

    grid = np.full((steps, 2), np.nan)
    index = np.floor((annotation.times + CLOCK_TOLERANCE) * rate).astype(int)
    inside = (index >= 0) & (index < steps)
    index, times, values = index[inside], annotation.times[inside], annotation.values[inside]
    if not len(index):
        return grid
    empty = np.bincount(index, minlength=steps) == 0
    moments = np.flatnonzero(empty) / rate
    after = np.searchsorted(times, moments)
    between = (after > 0) & (after < len(times))
    before, after = np.clip(after - 1, 0, None), np.clip(after, None, len(times) - 1)
    between &= times[after] - times[before] <= MAX_GAP
    share = (moments - times[before]) / np.maximum(times[after] - times[before], 1e-9)
    for column in range(2):
        column_values = values[:, column]
        known = ~np.isnan(column_values)
        counts = np.bincount(index[known], minlength=steps)
        sums = np.bincount(index[known], column_values[known], minlength=steps)
        grid[:, column] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
        line = column_values[before] + share * (column_values[after] - column_values[before])  # NaN if either is
        grid[empty, column] = np.where(between, line, np.nan)
    return grid


def shifted(annotation: Annotation, lag: float) -> Annotation:
    """The annotation as if its annotator had not lagged by so many seconds."""
    return replace(annotation, times=annotation.times - lag)


def relative_lags(recordings: Sequence[Sequence[Annotation]]) -> dict[str, float]:
    """How many seconds each annotator is behind the fastest of them, at most MAX_LAG.

    Annotators who agree too little with the others to estimate it are left out.

    An annotator's lag is the one at which the traces of all recordings together correlate best with the mean of the others;
    this is repeated with the lags found until they no longer change.

    Args:
        recordings: the annotations of each recording.
    """
    present = [[annotation for annotation in group if len(annotation.times)] for group in recordings]
    shared = [group for group in present if len(group) > 1]
    lags = {annotation.annotator: 0.0 for group in shared for annotation in group}
    reach = round(MAX_LAG * LAG_RATE)
    traces = []
    for group in shared:
        steps = num_steps(max(float(annotation.times[-1]) for annotation in group), LAG_RATE)
        traces.append({a.annotator: _centred(on_grid(a, LAG_RATE, steps)) for a in group})
    told = set(lags)
    for _ in range(MAX_ROUNDS):
        before = dict(lags)
        for name in lags:
            scores, steps = np.zeros(2 * reach + 1), 0
            for by_name in traces:
                if name not in by_name:
                    continue
                others = _nanmean(np.stack([_moved(trace, lags[other]) for other, trace in by_name.items() if other != name]))
                scores += [_product(by_name[name], others, shift) for shift in range(-reach, reach + 1)]
                steps += len(by_name[name])
            scores /= max(steps, 1)
            by_chance = 2 / np.sqrt(max(steps / LAG_RATE / INDEPENDENT_DUR, 1))
            if scores.max() < max(MIN_CORRELATION, by_chance):
                told.discard(name)
                lags[name] = 0.0
            elif scores.max() >= scores[reach] + MIN_GAIN:
                told.add(name)
                lags[name] = (int(np.argmax(scores)) - reach) / LAG_RATE
            else:
                told.add(name)
                lags[name] = 0.0
        fastest = min((lags[name] for name in told), default=0.0)
        lags = {name: lag - fastest if name in told else 0.0 for name, lag in lags.items()}
        if lags == before:
            break
    return {name: min(lag, MAX_LAG) for name, lag in lags.items() if name in told}


def _centred(trace: NDArray[np.float64]) -> NDArray[np.float64]:
    """A trace of zero mean and unit spread, so that all recordings and annotators count equally."""
    centred = trace - _nanmean(trace)
    spread = np.sqrt(_nanmean(centred**2))
    return centred / np.where(spread > 0, spread, 1)


def _moved(trace: NDArray[np.float64], lag: float) -> NDArray[np.float64]:
    """A trace moved back by a lag, NaN where no values remain."""
    steps = min(max(round(lag * LAG_RATE), -len(trace)), len(trace))
    moved = np.full_like(trace, np.nan)
    if steps >= 0:
        moved[: len(trace) - steps] = trace[steps:]
    else:
        moved[-steps:] = trace[:steps]
    return moved


def _product(trace: NDArray[np.float64], other: NDArray[np.float64], shift: int) -> float:
    """The mean product of a trace, moved back by `shift` steps, and another, where both are known, times the trace's length.

    It is 0 if less than half of the trace's values, in the dimensions of the other, can be compared.
    """
    product = _moved(trace, shift / LAG_RATE) * other
    known = ~np.isnan(product)
    given = ~np.isnan(trace) & ~np.isnan(other).all(axis=0)
    return float(product[known].mean()) * len(trace) if known.any() and known.sum() >= given.sum() / 2 else 0.0


def ewe_weights(grids: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """The weights of the evaluator weighted estimator (Grimm & Kroschel 2005, ASRU).

    An annotator's weight is the correlation with the mean of the others, 0 where that is negative or undefined.

    Args:
        grids: (T, 2) by annotator, of all recordings end to end, NaN where an annotator gives no value.

    Returns:
        (2,) by annotator.
    """
    return {name: np.maximum(_correlations(grid, _others(grids, name)), 0) for name, grid in grids.items()}


def merged(
    grids: Mapping[str, NDArray[np.float64]], weights: Mapping[str, NDArray[np.float64]] | None = None
) -> NDArray[np.float64]:
    """One label from several annotators: at each step, the mean of those who give a value.

    Args:
        grids: (T, 2) by annotator.
        weights: (2,) by annotator, for a weighted mean; where those who give a value all have weight 0, the plain mean.

    Returns:
        (T, 2), NaN where nobody gives a value.
    """
    stacked = np.stack(list(grids.values()))
    plain = _nanmean(stacked)
    if weights is None:
        return plain
    weight = np.stack([weights[name] for name in grids])[:, None] * ~np.isnan(stacked)
    total = weight.sum(axis=0)
    return np.where(total > 0, (weight * np.nan_to_num(stacked)).sum(axis=0) / np.where(total > 0, total, 1), plain)


def agreement(grids: Mapping[str, NDArray[np.float64]]) -> Agreement:
    """How well annotators agree.

    Args:
        grids: (T, 2) by annotator, of all recordings end to end, NaN where an annotator gives no value.
    """
    others = np.array([_cccs(grid, _others(grids, name)) for name, grid in grids.items()])
    pairs = np.array([_cccs(one, other) for one, other in combinations(grids.values(), 2)]).reshape(-1, 2)
    return Agreement(
        len(grids),
        dict(zip(DIMENSIONS, _nanmean(others).tolist(), strict=True)),
        dict(zip(DIMENSIONS, _nanmean(pairs).tolist(), strict=True)),
    )


def _others(grids: Mapping[str, NDArray[np.float64]], name: str) -> NDArray[np.float64]:
    """The mean of all annotators but one."""
    others = [grid for other, grid in grids.items() if other != name]
    return _nanmean(np.stack(others)) if others else np.full_like(grids[name], np.nan)


def _cccs(one: NDArray[np.float64], other: NDArray[np.float64]) -> list[float]:
    """CCC of both dimensions where both are known."""
    known = ~np.isnan(one) & ~np.isnan(other)
    return [concordance_cc(one[known[:, k], k], other[known[:, k], k]) for k in range(2)]


def _correlations(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson's r of both dimensions where both are known, 0 where it is undefined."""
    result = np.zeros(2)
    for k in range(2):
        known = ~np.isnan(one[:, k]) & ~np.isnan(other[:, k])
        x, y = one[known, k], other[known, k]
        if len(x) > 1 and x.std() > 0 and y.std() > 0:
            result[k] = np.corrcoef(x, y)[0, 1]
    return result


def _nanmean(stacked: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of the known values over the first axis, NaN where none are."""
    known = ~np.isnan(stacked)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, stacked, 0).sum(axis=0) / np.maximum(count, 1), np.nan)
