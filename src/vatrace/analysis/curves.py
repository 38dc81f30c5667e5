"""The mean of curves of independent people or pairs, with pointwise and simultaneous bands, and a test of the whole curve.

If nothing happens, each person's curve is as likely as its mirror image. So the largest absolute t value of the mean curve is
compared with that after random changes of sign, for whole curves at once: a permutation test that needs no normal distribution,
and that allows for the number of points and for their dependence (Nichols and Holmes 2002, Human Brain Mapping 15, 1-25).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

MIN_CLUSTERS = 6
"""With fewer, even all changes of sign together can't give a p value below 0.05: 2 of 2^5 have the same largest t."""
NUM_FLIPS = 4096
"""Number of random changes of sign; if there are no more than this many, all are used."""
LEVEL = 0.95
ROUNDING = 1e-12
"""Share of the sum of squares that rounding can leave where curves are all the same."""


@dataclass(frozen=True)
class MeanCurve:
    """The mean of curves.

    Attributes:
        mean: (T,); NaN where fewer than half of the clusters have a value.
        half: (T,) half the width of the pointwise 95 % interval, by Student's t.
        half_all: (T,) half the width of the 95 % band that contains the whole curve; NaN with fewer than MIN_CLUSTERS.
        largest: the largest absolute t value in the part that is tested.
        peak: its index.
        p: of the test that the curve is 0 throughout; NaN with fewer than MIN_CLUSTERS.
        clusters: number of curves.
    """

    mean: Values
    half: Values
    half_all: Values
    largest: float
    peak: int
    p: float
    clusters: int


def mean_curve(curves: Values, tested: NDArray[np.bool_], seed: int = 0) -> MeanCurve | None:
    """The mean of curves, and a test whether it is 0 throughout.

    Args:
        curves: (C, T) of independent clusters, NaN where one has no value.
        tested: (T,) the part that is tested, and that the simultaneous band is for.
        seed: of the random changes of sign.

    Returns:
        None if no point has enough values, or if all curves are the same.
    """
    from scipy import stats

    known = ~np.isnan(curves)
    counts = known.sum(axis=0)
    usable = (counts >= 2) & (counts * 2 >= len(curves))
    filled = np.where(known, curves, 0.0)
    safe = np.maximum(counts, 2)
    mean = filled.sum(axis=0) / safe
    error = _error(filled, mean, safe)
    usable &= error > 0
    places = np.flatnonzero(usable & tested)
    if not len(places):
        return None
    scores = np.abs(mean[places] / error[places])
    peak = int(places[np.argmax(scores)])
    half = np.where(usable, stats.t.ppf((1 + LEVEL) / 2, safe - 1) * error, np.nan)
    half_all, p = np.full(len(mean), np.nan), float("nan")
    if len(curves) >= MIN_CLUSTERS:
        signs = _signs(len(curves), seed)
        p = float(np.mean(_largest(filled[:, places], counts[places], signs) >= scores.max() * (1 - 1e-9)))
        centred = np.where(known, curves - mean, 0.0)[:, places]
        width = float(np.quantile(_largest(centred, counts[places], signs), LEVEL))
        half_all = np.where(usable & tested, width * error, np.nan)
    return MeanCurve(np.where(usable, mean, np.nan), half, half_all, float(scores.max()), peak, p, len(curves))


def _error(filled: Values, mean: Values, counts: NDArray[np.int64]) -> Values:
    """The standard error of the mean, (T,). Changes of sign leave the sum of the squares as it is."""
    total = (filled**2).sum(axis=0)
    spread = total - counts * mean**2
    spread = np.where(spread > ROUNDING * total, spread, 0.0)  # of curves that are all the same
    return np.sqrt(spread / (counts - 1) / counts)


def _signs(num_clusters: int, seed: int) -> Values:
    """Changes of sign, (F, C), the first of which changes nothing."""
    if 2**num_clusters <= NUM_FLIPS:
        return np.array(list(product((1.0, -1.0), repeat=num_clusters)))
    signs = np.random.default_rng(seed).choice((-1.0, 1.0), size=(NUM_FLIPS, num_clusters))
    signs[0] = 1.0
    return signs


def _largest(filled: Values, counts: NDArray[np.int64], signs: Values) -> Values:
    """The largest absolute t value after each change of sign, (F,)."""
    means = signs @ filled / counts
    spread = np.maximum((filled**2).sum(axis=0) - counts * means**2, 1e-24)
    return np.abs(means / np.sqrt(spread / (counts - 1) / counts)).max(axis=1)
