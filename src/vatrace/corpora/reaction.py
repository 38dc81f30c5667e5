"""How long annotators take to react: the lag at which features explain the labels best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vatrace.store import Recording

MAX_LAG, LAG_STEP = 5.0, 0.1
"""Seconds. Reported lags lie between 1 and 5 s (Mariooryad & Busso 2015, IEEE Trans. Affective Computing 6(2), 97-108)."""
SAMPLES_PER_SECOND = 2.0
RIDGE = 0.1
"""Of the mean squared feature."""
MIN_CORRELATION, MIN_GAIN = 0.1, 0.01
"""Below these the features say too little of the labels, or of one lag rather than none, to tell."""
MIN_DEVIATIONS = 4.0
"""Standard errors of a correlation of nothing with nothing, 1 / sqrt(n), that the best of so many lags must reach as well."""


@dataclass(frozen=True)
class Reaction:
    """How well features explain labels that are moved back.

    Attributes:
        lags: (L,) seconds.
        correlations: (L,) Pearson's r on held-out recordings, mean of valence and arousal.
        lag: the best, in seconds; 0 where it can't be told.
        clear: whether it can.
    """

    lags: NDArray[np.float64]
    correlations: NDArray[np.float64]
    lag: float
    clear: bool


def reaction_lag(recordings: Sequence[Recording], labels: Mapping[str, NDArray[np.float64]]) -> Reaction | None:
    """Estimate the lag of labels behind what is seen and heard.

    For each lag a ridge regression from the features of a moment to the labels that much later is fitted on half of the
    recordings and tried on the others, and the other way round.

    Args:
        recordings: at least two, with labels.
        labels: (T, 2) by name, NaN where there is none.

    Returns:
        None if there are too few recordings or labels.
    """
    lags = np.arange(0, MAX_LAG + LAG_STEP / 2, LAG_STEP)
    halves: list[list[tuple[NDArray[np.float64], NDArray[np.float64]]]] = [[], []]
    for index, recording in enumerate(recordings):
        inputs, targets = _samples(recording, labels[recording.name], lags)
        if len(inputs):
            halves[index % 2].append((inputs, targets))
    if not all(halves):
        return None
    mean = np.mean([inputs.mean(axis=0) for half in halves for inputs, _ in half], axis=0)
    correlations = np.zeros(len(lags))
    for train, held_out in (halves, halves[::-1]):
        x = np.concatenate([inputs for inputs, _ in train]) - mean
        y = np.concatenate([targets for _, targets in train])
        moments = x.T @ x
        penalty = RIDGE * np.trace(moments) / len(moments) * np.eye(len(moments))
        weights = np.linalg.solve(moments + penalty, x.T @ (y - y.mean(axis=0)))
        x = np.concatenate([inputs for inputs, _ in held_out]) - mean
        y = np.concatenate([targets for _, targets in held_out])
        correlations += _correlations(x @ weights, y).reshape(len(lags), 2).mean(axis=1) / 2
    best = int(np.argmax(correlations))
    num_samples = min(sum(len(inputs) for inputs, _ in half) for half in halves)
    least = max(MIN_CORRELATION, MIN_DEVIATIONS / np.sqrt(num_samples))
    clear = bool(correlations[best] >= least and correlations[best] - correlations[0] >= MIN_GAIN)
    return Reaction(lags, correlations, float(lags[best]) if clear else 0.0, clear)


def _samples(
    recording: Recording, labels: NDArray[np.float64], lags: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features and validity (n, D) of moments whose labels are known at all lags, and these labels (n, 2 L)."""
    rate = recording.meta.rate
    shifts = np.round(lags * rate).astype(int)
    moments = np.arange(0, max(recording.num_steps - shifts[-1], 0), max(1, round(rate / SAMPLES_PER_SECOND)))
    targets = labels[moments[:, None] + shifts].reshape(len(moments), 2 * len(lags))
    known = ~np.isnan(targets).any(axis=1)
    moments, targets = moments[known], targets[known]
    valid = recording.valid()
    columns = []
    for name in recording.schema.dims:
        columns += [recording.features(name)[moments].astype(np.float64), valid[name][moments, None]]
    return np.concatenate(columns, axis=1), targets


def _correlations(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    scale = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    return (x * y).sum(axis=0) / np.where(scale > 0, scale, 1)
