"""How far off values may be: intervals that held the truth nine times in ten on recordings kept for that. Numpy only.

Split conformal prediction (Lei et al. 2018, JASA 113, 1094-1111) by what is there at a step: the half-width is the quantile of
absolute errors on calibration recordings at steps where the same modalities were there. The promise is for recordings like
those; steps of one recording are not independent, so it holds over many recordings, not within each.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vatrace.prediction import MODALITIES

LEVEL = 0.9
MEMORY = 3.0
"""Seconds from the nearest step with anything, within which a step with nothing still rests on something."""
MIN_ERRORS = 200
"""Fewer errors than this say too little of a situation by itself."""

NOTHING, NOTHING_NEAR = "nothing", "nothing near"

HalfWidths = dict[str, tuple[float, float]]
"""Of valence and arousal, by situation."""


def situations(valid: Mapping[str, NDArray[np.bool_]], rate: float) -> NDArray[np.str_]:
    """What each step rests on, (T,): such as "face+words"; "nothing"; or "nothing near" within MEMORY seconds of something.

    Args:
        valid: (T,) by modality.
        rate: steps a second.
    """
    there = {name: np.asarray(valid[name], dtype=bool) for name in MODALITIES if name in valid}
    steps = np.arange(len(next(iter(there.values()))))
    supported = np.flatnonzero(np.logical_or.reduce(list(there.values())))
    result = np.full(len(steps), "", dtype="<U24")
    for name, mask in there.items():
        joined = np.char.add(np.where(result == "", "", np.char.add(result, "+")), name)
        result = np.where(mask, joined, result)
    if not len(supported):
        return np.where(result == "", NOTHING, result)
    after = np.searchsorted(supported, steps).clip(max=len(supported) - 1)
    distance = np.minimum(np.abs(supported[after] - steps), np.abs(supported[np.maximum(after - 1, 0)] - steps))
    near = np.where(distance <= MEMORY * rate, NOTHING_NEAR, NOTHING)
    return np.where(result == "", near, result)


def half_widths(errors: Mapping[str, NDArray[np.float64]], level: float = LEVEL) -> HalfWidths:
    """The conformal quantile of absolute errors in each situation.

    Args:
        errors: (N, 2) differences between truth and value by situation.
        level: share of truths that are to lie inside.

    Returns:
        By situation; those with fewer than MIN_ERRORS have the widest of the others.
    """
    known = {name: _quantiles(np.abs(values), level) for name, values in errors.items() if len(values) >= MIN_ERRORS}
    if not known:
        return {}
    widest = tuple(np.max(list(known.values()), axis=0).tolist())
    return {name: known.get(name, widest) for name in errors}


def _quantiles(values: NDArray[np.float64], level: float) -> tuple[float, float]:
    """The ceil((N + 1) level)-th smallest of each column."""
    index = min(int(np.ceil((len(values) + 1) * level)), len(values)) - 1
    first, second = np.partition(values, index, axis=0)[index].tolist()
    return first, second


def bounds(
    values: NDArray[np.float64], where: NDArray[np.str_], widths: HalfWidths
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper ends (T, 2) within -1..1 around values (T, 2). A situation that is not known has the widest."""
    widest = np.max(list(widths.values()), axis=0)
    half = np.array([widths.get(name, widest) for name in where.tolist()]).reshape(-1, 2)
    return np.clip(values - half, -1, 1), np.clip(values + half, -1, 1)
