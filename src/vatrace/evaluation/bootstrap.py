"""Intervals of CCC by bootstrap over recordings or subjects, because the steps of one recording are not independent.

CCC depends only on sums, so the CCC of a resample follows from the weighted moments of its units. NumPy only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NUM_RESAMPLES = 2000
CONFIDENCE = 0.95
FEW_UNITS = 10
"""With fewer recordings or subjects, a percentile interval is clearly too narrow."""
MIN_SPREAD = 1e-12
"""A smaller spread is a rounding error."""

Pair = tuple[NDArray[np.floating], NDArray[np.floating]]
"""Truth and prediction (T, 2), NaN where there is none."""


def moments(pairs: Sequence[Pair], units: Sequence[str]) -> NDArray[np.float64]:
    """The sums of each unit from which CCC is computed.

    Args:
        pairs: truth and prediction of each recording.
        units: unit of each recording; recordings of one unit, such as a subject, are resampled together.

    Returns:
        (U, 2, 6): for each unit and dimension, the number of steps and the sums of x, y, x^2, y^2 and x y.
    """
    order = {unit: index for index, unit in enumerate(dict.fromkeys(units))}
    result = np.zeros((len(order), 2, 6))
    for (truth, prediction), unit in zip(pairs, units, strict=True):
        for column in range(2):
            x, y = truth[:, column].astype(np.float64), prediction[:, column].astype(np.float64)
            known = ~np.isnan(x) & ~np.isnan(y)
            x, y = x[known], y[known]
            result[order[unit], column] += [len(x), x.sum(), y.sum(), (x**2).sum(), (y**2).sum(), (x * y).sum()]
    return result


def ccc_of_moments(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """CCC from the `moments` summed over units, (..., 6) -> (...); NaN where it is undefined."""
    count, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x, mean_y = x / count, y / count
        covariance = xy / count - mean_x * mean_y
        spread = xx / count - mean_x**2 + yy / count - mean_y**2 + (mean_x - mean_y) ** 2
        return np.where(spread > MIN_SPREAD, 2 * covariance / spread, np.nan)


def resample_counts(num_units: int, num_resamples: int = NUM_RESAMPLES, seed: int = 0) -> NDArray[np.int64]:
    """How often each unit occurs in each resample, (R, U)."""
    return np.random.default_rng(seed).multinomial(num_units, np.full(num_units, 1 / num_units), num_resamples)


def resampled_ccc(unit_moments: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """CCC of valence, of arousal, and their mean, for each resample (R, 3); NaN for a single unit."""
    if len(unit_moments) < 2:
        return np.full((len(counts), 3), np.nan)
    values = ccc_of_moments(np.tensordot(counts, unit_moments, axes=1))
    return np.concatenate([values, nan_mean(values)[:, None]], axis=1)


def nan_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of the defined values over the last axis; NaN if none is defined."""
    known = ~np.isnan(values)
    return np.where(known.any(axis=-1), np.where(known, values, 0).sum(axis=-1) / np.maximum(known.sum(axis=-1), 1), np.nan)


def caution(num_units: int) -> str:
    """A warning about intervals from few units, or "" if there are enough."""
    if num_units >= FEW_UNITS:
        return ""
    if num_units < 2:
        return "No intervals: they need more than one subject or recording."
    return f"Intervals from only {num_units} subjects or recordings are rough and too narrow."


def interval(values: NDArray[np.float64], level: float = CONFIDENCE) -> tuple[float, float]:
    """The percentile interval of resampled values (R,); NaN where fewer than half are defined."""
    defined = values[~np.isnan(values)]
    if len(defined) * 2 < len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
