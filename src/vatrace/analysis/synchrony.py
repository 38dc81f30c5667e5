"""Synchrony of two people: windowed cross-correlation, compared with shuffled windows.

The traces are cut into windows, and the windows of one person are correlated with those of the other, at several lags (Boker et
al. 2002, Psychological Methods 7, 338-355). Two traces also correlate by chance, or because both drift in the same way: this is
what remains when the windows of the second person are shuffled, as in Ramseyer and Tschacher (2011, Journal of Consulting and
Clinical Psychology 79, 284-295). The mean over all ways to shuffle them is subtracted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vatrace.analysis.curves import MIN_CLUSTERS, MeanCurve, mean_curve
from vatrace.analysis.design import Trace
from vatrace.analysis.findings import NAN, Finding, of_curve
from vatrace.names import DIMENSIONS

Values = NDArray[np.float64]

WINDOW = 30.0
"""Seconds of a window. Several changes of expression fit into it, and 5 minutes still have ten."""
MAX_LAG = 5.0
"""Largest lag in seconds, as is usual for nonverbal behaviour (Ramseyer and Tschacher 2011)."""
MIN_SUPPORTED = 0.8
"""Share of the rows of a window that must be supported."""
MIN_WINDOWS = 3
"""With fewer windows of a pair, shuffling them says little about chance."""
MIN_FOR_P = 6
"""Windows that a p value of a single pair needs: with fewer, there are too few ways to shuffle them."""
NUM_BLOCKS, SHUFFLES_PER_BLOCK = 10, 100
"""Random shuffles for the p value of a single pair, in blocks, so that long recordings need little memory."""
NAME = "synchrony above chance"
"""The term of the finding."""


@dataclass(frozen=True)
class Pair:
    """How two people vary together.

    Attributes:
        name: of the pair.
        first: the participant whose trace is ahead at positive lags.
        second: the other participant.
        dimension: valence or arousal.
        windows: number of windows used.
        lags: (T,) seconds by which the second follows the first.
        curve: (T,) the mean correlation in windows (Fisher's z) minus that of shuffled windows.
        p: of the pair alone, by shuffling; NaN with fewer than MIN_FOR_P windows.
    """

    name: str
    first: str
    second: str
    dimension: str
    windows: int
    lags: Values
    curve: Values
    p: float


@dataclass(frozen=True)
class Together:
    """The mean over pairs.

    Attributes:
        dimension: valence or arousal.
        lags: (T,) seconds by which the second follows the first.
        clusters: names of the independent groups of pairs: pairs that share a participant are one group.
        curves: (C, T) the mean curve of each.
        found: their mean; None if there is too little.
    """

    dimension: str
    lags: Values
    clusters: tuple[str, ...]
    curves: Values
    found: MeanCurve | None


def synchrony(pairs: Sequence[tuple[str, Trace, Trace]], seed: int = 0) -> tuple[list[Pair], list[Together], list[str]]:
    """The synchrony of each pair, the mean over pairs, and notes.

    Args:
        pairs: name and traces of each, from `design.pairs`.
        seed: of the shuffles.
    """
    rate = float(np.median([trace.rate for _, *both in pairs for trace in both]))
    reach = round(MAX_LAG * rate)
    lags = np.arange(-reach, reach + 1) / rate
    found, notes, short = [], [], []
    for name, first, second in pairs:
        cuts = _windows(first, second, rate)
        if len(cuts[0]) < MIN_WINDOWS:
            short.append(name)
            continue
        for column, dimension in enumerate(DIMENSIONS):
            scores = _correlations(cuts[0][:, :, column], cuts[1][:, :, column], len(lags))
            if scores is not None:
                curve, p = _against_chance(scores, np.random.default_rng(seed))
                count = len(scores[0])
                found.append(Pair(name, first.participant, second.participant, dimension, count, lags, curve, p))
    if short:
        names = ", ".join(short[:5]) + (f" and {len(short) - 5} more" if len(short) > 5 else "")
        notes.append(f"synchrony: left out, because fewer than {MIN_WINDOWS} windows of {WINDOW:g} s are supported: {names}")
    means = [_together([pair for pair in found if pair.dimension == name], name, lags) for name in DIMENSIONS] if found else []
    for mean in means:
        if len(mean.clusters) < MIN_CLUSTERS:
            notes.append(f"synchrony: {len(mean.clusters)} independent pairs for {mean.dimension}; a test needs {MIN_CLUSTERS}")
    return found, means, notes


def _windows(first: Trace, second: Trace, rate: float) -> tuple[Values, Values]:
    """Windows (W, n, 2) of the first person, and (W, n + lags, 2) of the second, longer by the lags on both sides."""
    start, end = max(first.times[0], second.times[0]), min(first.times[-1], second.times[-1])
    length, reach = round(WINDOW * rate), round(MAX_LAG * rate)
    total = int((end - start) * rate + 1 + 1e-6)
    if total < length:
        return np.zeros((0, length, 2)), np.zeros((0, length + 2 * reach, 2))
    one, other = (_on_grid(trace, start, rate, total) for trace in (first, second))
    starts = range(reach, total - length - reach + 1, length)
    left, right = [], []
    for place in starts:
        inner, outer = one[place : place + length], other[place - reach : place + length + reach]
        if min(_supported(inner), _supported(outer)) >= MIN_SUPPORTED:
            left.append(inner)
            right.append(outer)
    if not left:
        return np.zeros((0, length, 2)), np.zeros((0, length + 2 * reach, 2))
    return np.stack(left), np.stack(right)


def _supported(values: Values) -> float:
    return float((~np.isnan(values[:, 0])).mean())


def _on_grid(trace: Trace, start: float, rate: float, total: int) -> Values:
    """The values (total, 2) at the nearest rows; NaN where there is none."""
    wanted = start + np.arange(total) / rate
    right = np.clip(np.searchsorted(trace.times, wanted), 1, len(trace.times) - 1)
    nearest = np.where(wanted - trace.times[right - 1] <= trace.times[right] - wanted, right - 1, right)
    near = np.abs(trace.times[nearest] - wanted) <= 1 / trace.rate
    return np.where(near[:, None], trace.values[nearest], NAN)


def _correlations(first: Values, second: Values, num_lags: int) -> Values | None:
    """Fisher's z of the correlation of each window of the first with each of the second: (L, W, W).

    Unsupported rows count as the mean of their window. Windows that are constant for one of the two are left out.
    """
    length = first.shape[1]
    left = _standard(first)
    use = ~np.isnan(left).all(axis=1)
    found = np.empty((num_lags, len(first), len(first)))
    for lag in range(num_lags):
        right = _standard(second[:, lag : lag + length])
        use &= ~np.isnan(right).all(axis=1)
        found[lag] = np.nan_to_num(left) @ np.nan_to_num(right).T / length
    if use.sum() < MIN_WINDOWS:
        return None
    return np.asarray(np.arctanh(np.clip(found[:, use][:, :, use], -0.999, 0.999)))


def _standard(windows: Values) -> Values:
    """Windows (W, n) with mean 0 and standard deviation 1; NaN where unsupported, and throughout in constant windows."""
    known = ~np.isnan(windows)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    centred = windows - np.where(known, windows, 0).sum(axis=1, keepdims=True) / count
    spread = np.sqrt((np.where(known, centred, 0) ** 2).sum(axis=1, keepdims=True) / windows.shape[1])
    return np.where(spread > 1e-6, centred / np.maximum(spread, 1e-6), NAN)


def _against_chance(scores: Values, rng: np.random.Generator) -> tuple[Values, float]:
    """The mean over windows minus the mean over all other pairings, and the p value by shuffling."""
    count = scores.shape[1]
    diagonal = scores.diagonal(axis1=1, axis2=2).mean(axis=1)
    everything = scores.mean(axis=(1, 2))
    chance = (everything * count - diagonal) / (count - 1)
    if count < MIN_FOR_P:
        return diagonal - chance, NAN
    rows, limit, reached = np.arange(count), np.abs(diagonal - everything).max() - 1e-12, 0
    by_windows = np.ascontiguousarray(np.moveaxis(scores, 0, 2))
    for _ in range(NUM_BLOCKS):
        orders = rng.permuted(np.tile(rows, (SHUFFLES_PER_BLOCK, 1)), axis=1)
        shuffled = by_windows[rows, orders].mean(axis=1) - everything
        reached += int((np.abs(shuffled).max(axis=1) >= limit).sum())
    return diagonal - chance, (reached + 1) / (NUM_BLOCKS * SHUFFLES_PER_BLOCK + 1)


def _together(pairs: Sequence[Pair], dimension: str, lags: Values) -> Together:
    """The mean over pairs of one dimension; pairs that share a participant count as one."""
    groups: list[tuple[set[str], list[Pair]]] = []
    for pair in pairs:
        members, inside = {pair.first, pair.second}, [pair]
        apart = []
        for people, others in groups:
            if people & members:
                members |= people
                inside = others + inside
            else:
                apart.append((people, others))
        groups = [*apart, (members, inside)]
    names = tuple("+".join(sorted(people)) for people, _ in groups)
    curves = np.array([np.mean([pair.curve for pair in inside], axis=0) for _, inside in groups]).reshape(-1, len(lags))
    mean = mean_curve(curves, np.ones(len(lags), dtype=bool)) if len(curves) > 1 else None
    return Together(dimension, lags, names, curves, mean)


def synchrony_findings(means: Sequence[Together]) -> list[Finding]:
    """A row for each dimension, at the lag with the largest t."""
    return [of_curve(mean.found, "synchrony", mean.dimension, NAME, mean.lags) for mean in means if mean.found is not None]
