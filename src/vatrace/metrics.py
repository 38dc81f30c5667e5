"""Agreement between a true and a predicted trace. NumPy only; NaN where a measure is undefined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


def concordance_cc(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Concordance correlation coefficient (Lin 1989, Biometrics 45, 255-268), population moments.

    CCC = 2 cov / (var_truth + var_prediction + (mean_truth - mean_prediction)^2)

    Args:
        truth: (N,) values.
        prediction: (N,) values on the same scale.

    Returns:
        The coefficient in -1..1; NaN without values, or if both are the same constant.

    Raises:
        ValueError: if the two differ in shape.
    """
    x, y = _pair(truth, prediction)
    if x.size == 0 or (_is_constant(x) and _is_constant(y) and x[0] == y[0]):
        return float("nan")
    denominator = x.var() + y.var() + (x.mean() - y.mean()) ** 2
    return float(2 * np.mean((x - x.mean()) * (y - y.mean())) / denominator)


def pearson_cc(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Pearson's correlation coefficient in -1..1; NaN if one of the two is constant or empty.

    Args:
        truth: (N,) values.
        prediction: (N,) values.
    """
    x, y = _pair(truth, prediction)
    if x.size == 0 or _is_constant(x) or _is_constant(y):
        return float("nan")
    return float(np.mean((x - x.mean()) * (y - y.mean())) / (x.std() * y.std()))


def rmse(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Root of the mean squared error; NaN without values.

    Args:
        truth: (N,) values.
        prediction: (N,) values.
    """
    x, y = _pair(truth, prediction)
    return float(np.sqrt(np.mean((x - y) ** 2))) if x.size else float("nan")


def sign_agreement(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Share of values with the same sign, "SAGR" (Nicolaou et al. 2011, IEEE Trans. Affective Computing 2, 92-105), 0..1.

    Args:
        truth: (N,) values.
        prediction: (N,) values.
    """
    x, y = _pair(truth, prediction)
    return float(np.mean(np.sign(x) == np.sign(y))) if x.size else float("nan")


@dataclass(frozen=True)
class ConcordanceParts:
    """The parts of CCC (Lin 1989): CCC = correlation * accuracy, accuracy = 2 / (scale + 1 / scale + shift^2).

    Attributes:
        correlation: Pearson's r.
        accuracy: 0..1, Lin's C_b.
        scale: standard deviation of the prediction divided by that of the truth; below 1, the prediction is too flat.
        shift: mean of the prediction minus that of the truth, divided by the root of the product of the standard deviations.
    """

    correlation: float
    accuracy: float
    scale: float
    shift: float


def concordance_parts(truth: ArrayLike, prediction: ArrayLike) -> ConcordanceParts:
    """Split CCC into correlation, scale and shift; all NaN if one of the two is constant or empty.

    Args:
        truth: (N,) values.
        prediction: (N,) values.
    """
    x, y = _pair(truth, prediction)
    correlation = pearson_cc(x, y)
    if np.isnan(correlation):
        return ConcordanceParts(*[float("nan")] * 4)
    scale = y.std() / x.std()
    shift = (y.mean() - x.mean()) / np.sqrt(x.std() * y.std())
    return ConcordanceParts(correlation, float(2 / (scale + 1 / scale + shift**2)), float(scale), float(shift))


def _is_constant(values: NDArray[np.float64]) -> bool:
    """Whether all values are equal. Because of rounding, the standard deviation of 0.1, 0.1, 0.1 isn't 0."""
    return bool(values.min() == values.max())


def _pair(truth: ArrayLike, prediction: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(truth, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    if x.shape != y.shape:
        raise ValueError(f"truth has shape {x.shape} but prediction has {y.shape}")
    return x, y
