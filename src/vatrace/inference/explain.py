"""What a prediction is based on: how much each modality matters at each step, and what each recursion changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NOTHING = 1e-6
"""Movements of the point smaller than this are rounding errors."""
REMEMBERED = 0.005
"""How far the point must move for the model to remember a modality that is absent: half of the last digit that reports show."""


@dataclass(frozen=True)
class Explanation:
    """The explanation of a trace with T rows.

    Attributes:
        shares: (T,) by modality, 0..1: the modality's contribution to the value, NaN where it isn't given (see
            `modality_shares`). Those that are given add up to 1.
        changes: (R, T) how far each recursion moved the point (valence, arousal), 0..2.8. R is 0 without recursions.
    """

    shares: dict[str, NDArray[np.float64]]
    changes: NDArray[np.float64]


def modality_shares(
    values: NDArray[np.floating], without: Mapping[str, NDArray[np.floating]], present: Mapping[str, NDArray[np.bool_]]
) -> dict[str, NDArray[np.float64]]:
    """Leave-one-out shares: how far the point moves when a modality is missing, over the sum of that for all modalities.

    A share is given where the modality is present, and where it is absent but within the model's memory: as long as leaving it
    out moves the point by REMEMBERED. A share shows what the model used, not what caused the person's expression.

    Args:
        values: (T, K) with all modalities.
        without: (T, K) by modality, the model's values when that one is missing.
        present: (T,) by modality.

    Returns:
        (T,) by modality, 0..1, NaN where it isn't given, and where none that could be given changes anything.
    """
    moved = {name: np.linalg.norm(np.asarray(values, np.float64) - other, axis=-1) for name, other in without.items()}
    given = {name: present[name] | (x >= REMEMBERED) for name, x in moved.items()}
    total = np.sum([np.where(given[name], x, 0) for name, x in moved.items()], axis=0)
    return {
        name: np.divide(x, total, out=np.full(len(total), np.nan), where=given[name] & (total > NOTHING))
        for name, x in moved.items()
    }


def recursion_changes(recursions: NDArray[np.floating]) -> NDArray[np.float64]:
    """How far each recursion moved the point, (R, T), from the values after 0, 1, ..., R recursions (R + 1, T, K)."""
    return np.linalg.norm(np.diff(np.asarray(recursions, np.float64), axis=0), axis=-1)
