"""Agreement between a true and a predicted trace: numpy only, NaN where a measure is undefined."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def concordance_cc(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Concordance correlation coefficient (Lin 1989, Biometrics 45, 255-268), population moments.

    CCC = 2 cov / (var_truth + var_prediction + (mean_truth - mean_prediction)^2)

    Args:
        truth: (N,) values.
        prediction: (N,) values on the same scale.

    Returns:
        The coefficient in -1..1; NaN for no values or when both are the same constant.

    Raises:
        ValueError: if the two differ in shape.
    """
    x, y = np.asarray(truth, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    if x.shape != y.shape:
        raise ValueError(f"truth has shape {x.shape} but prediction has {y.shape}")
    if x.size == 0:
        return float("nan")
    denominator = x.var() + y.var() + (x.mean() - y.mean()) ** 2
    if denominator == 0:
        return float("nan")
    return float(2 * np.mean((x - x.mean()) * (y - y.mean())) / denominator)
