"""How long annotators take to react: the lag at which features explain the labels best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vatrace.store import StoredRecording

MAX_LAG, LAG_STEP = 5.0, 0.1
"""Seconds. Reported lags lie between 1 and 5 s (Mariooryad & Busso 2015, IEEE Trans. Affective Computing 6(2), 97-108)."""
SAMPLES_PER_SECOND = 2.0
RIDGE = 0.1
"""Strength of the ridge penalty, relative to the mean squared feature."""
MIN_CORRELATION, MIN_GAIN = 0.1, 0.01
"""Below these, the features explain the labels, or one lag better than none, too little to estimate it."""
MIN_DEVIATIONS = 4.0
"""Standard errors of a correlation by chance, 1 / sqrt(n), that the best of so many lags must reach as well."""


@dataclass(frozen=True)
class Reaction:
    """How well features explain labels that are moved back.

    Attributes:
        lags: (L,) seconds.
        correlations: (L,) Pearson's r on held-out recordings, mean of those of valence and arousal that are annotated.
        lag: the best, in seconds; 0 if it can't be estimated.
        clear: whether it can be estimated.
    """

    lags: NDArray[np.float64]
    correlations: NDArray[np.float64]
    lag: float
    clear: bool


def reaction_lag(recordings: Sequence[StoredRecording], labels: Mapping[str, NDArray[np.float64]]) -> Reaction | None:
    """Estimate the lag of labels behind the features.

    For each lag, a ridge regression from the features of a moment to the labels that much later is fitted on half of the
    recordings and evaluated on the others, and vice versa.

    Args:
        recordings: at least two, with labels.
        labels: (T, 2) by name, NaN where there is none.

    Returns:
        None if there are too few recordings or labels.
    """
    lags = np.arange(0, MAX_LAG + LAG_STEP / 2, LAG_STEP)
    annotated = np.any([~np.isnan(labels[recording.name]).all(axis=0) for recording in recordings], axis=0)
    if not annotated.any():
        return None
    halves = [_Sums(), _Sums()]
    for index, recording in enumerate(recordings):
        halves[index % 2].add(*_samples(recording, labels[recording.name][:, annotated], lags))
    if not all(half.count for half in halves):
        return None
    correlations = np.zeros(len(lags))
    for train, held_out in (halves, halves[::-1]):
        xx, xy, _ = train.centred()
        weights = np.linalg.solve(xx + RIDGE * np.trace(xx) / len(xx) * np.eye(len(xx)), xy)  # (D, 2 L)
        xx, xy, yy = held_out.centred()
        products, spread = (weights * xy).sum(axis=0), np.einsum("dl,de,el->l", weights, xx, weights, optimize=True) * yy
        found = products / np.sqrt(np.where(spread > 0, spread, 1))
        correlations += found.reshape(len(lags), -1).mean(axis=1) / 2
    best = int(np.argmax(correlations))
    least = max(MIN_CORRELATION, MIN_DEVIATIONS / np.sqrt(min(half.count for half in halves)))
    clear = bool(correlations[best] >= least and correlations[best] - correlations[0] >= MIN_GAIN)
    return Reaction(lags, correlations, float(lags[best]) if clear else 0.0, clear)


class _Sums:
    """Sums over samples for ridge regression and correlation, so that memory doesn't grow with their number."""

    def __init__(self) -> None:
        self.count = 0
        self._xx: NDArray[np.float64] | float = 0.0
        self._xy: NDArray[np.float64] | float = 0.0
        self._x: NDArray[np.float64] | float = 0.0
        self._y: NDArray[np.float64] | float = 0.0
        self._yy: NDArray[np.float64] | float = 0.0

    def add(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        """Add samples x (n, D) with y (n, K)."""
        self.count += len(x)
        self._xx, self._xy = self._xx + x.T @ x, self._xy + x.T @ y
        self._x, self._y, self._yy = self._x + x.sum(axis=0), self._y + y.sum(axis=0), self._yy + (y**2).sum(axis=0)

    def centred(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Sums of products about the means: (D, D), (D, K) and (K,)."""
        x, y = np.atleast_1d(self._x), np.atleast_1d(self._y)
        return (
            np.atleast_2d(self._xx) - np.outer(x, x) / self.count,
            np.atleast_2d(self._xy) - np.outer(x, y) / self.count,
            np.atleast_1d(self._yy) - y**2 / self.count,
        )


def _samples(
    recording: StoredRecording, labels: NDArray[np.float64], lags: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features and validity (n, D) of moments whose labels are known at all lags, and these labels (n, L K)."""
    rate = recording.meta.rate
    shifts = np.round(lags * rate).astype(int)
    moments = np.arange(0, max(recording.num_steps - shifts[-1], 0), max(1, round(rate / SAMPLES_PER_SECOND)))
    targets = labels[moments[:, None] + shifts].reshape(len(moments), len(lags) * labels.shape[1])
    known = ~np.isnan(targets).any(axis=1)
    moments, targets = moments[known], targets[known]
    valid = recording.valid()
    columns = []
    for name in recording.schema.dims:
        columns += [recording.features(name)[moments].astype(np.float64), valid[name][moments, None]]
    return np.concatenate(columns, axis=1), targets
