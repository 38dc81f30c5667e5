"""An interval of the mean of a stretch of a trace, whose rows depend on each other. NumPy only.

The rows are prewhitened by an autoregression, the residuals are resampled in blocks of random length, and the variance of their
mean is carried back (as Andrews and Monahan 1992 do for other estimates of a long-run variance). Without this, blocks would
have to be longer than most stretches: rows of a trace that are 0.1 s apart are nearly equal.

The variance over all resamples of the stationary bootstrap (Politis and Romano 1994) has a closed form, so nothing is drawn at
random. The mean length of the blocks is that of Politis and White (2004), with the correction of Patton et al. (2009).
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

LEVEL = 0.95
MAX_ORDER = 15
"""Largest order of the autoregression: 1.5 s at 10 rows a second."""
MIN_ROWS = 30
"""With fewer rows in the whole trace, the autoregression can't be estimated."""
MIN_INDEPENDENT = 4.0
"""A stretch worth fewer independent values has no interval: it would be wider than the scale, or rest on a poor estimate."""
MAX_SUM = 0.995
"""Largest sum of the coefficients: a trace that wanders like a random walk has no mean."""


@dataclass(frozen=True)
class Dependence:
    """How the rows of a trace depend on the rows before.

    Attributes:
        coefficients: (p,) of the autoregression.
        total: their sum, corrected for the bias of short traces.
        block: mean length of the residuals' blocks in rows.
    """

    coefficients: Values
    total: float
    block: float


def dependence(values: Values) -> Dependence | None:
    """Estimate how rows depend on each other, from a whole trace (T,); None if it is too short or constant."""
    centred = values - values.mean() if len(values) else values
    if len(values) < MIN_ROWS or centred.std() < 1e-9:
        return None
    coefficients = _autoregression(centred)
    total = float(coefficients.sum())
    if len(coefficients):  # the bias of the estimate of order 1 (Kendall 1954)
        total += (1 + 3 * total) / len(values)
    return Dependence(coefficients, min(total, MAX_SUM), block_length(_residuals(centred, coefficients)))


def _autoregression(centred: Values) -> Values:
    """Coefficients of an autoregression by Burg's method, of the order with the best BIC."""
    num_rows, forward, backward = len(centred), centred[1:], centred[:-1]
    found, power = np.zeros(0), float(centred @ centred) / len(centred)
    best, best_score = found, num_rows * np.log(power)
    for order in range(1, min(MAX_ORDER, num_rows // 10) + 1):
        energy = float(forward @ forward + backward @ backward)
        if energy < 1e-20:
            break
        reflection = 2 * float(forward @ backward) / energy
        found = np.append(found - reflection * found[::-1], reflection)
        power *= 1 - reflection**2
        forward, backward = (forward - reflection * backward)[1:], (backward - reflection * forward)[:-1]
        if power < 1e-20:
            break
        score = num_rows * np.log(power) + order * np.log(num_rows)
        if score < best_score:
            best, best_score = found, score
    return best


def _residuals(centred: Values, coefficients: Values) -> Values:
    """What the rows before don't predict, (T - p,)."""
    order = len(coefficients)
    rest = centred[order:].copy()
    for lag, coefficient in enumerate(coefficients, start=1):
        rest -= coefficient * centred[order - lag : len(centred) - lag]
    return rest


def block_length(values: Values) -> float:
    """The mean block length in rows for the stationary bootstrap of a mean (Politis and White 2004, Patton et al. 2009)."""
    num_rows = len(values)
    run = max(5, int(np.sqrt(np.log10(num_rows))))
    longest = int(np.ceil(np.sqrt(num_rows))) + run
    covariances = _autocovariances(values - values.mean(), min(2 * longest, num_rows - 1))
    if covariances[0] < 1e-20:
        return 1.0
    small = np.abs(covariances[1 : longest + 1] / covariances[0]) < 2 * np.sqrt(np.log10(num_rows) / num_rows)
    quiet = [lag for lag in range(len(small) - run + 1) if small[lag : lag + run].all()]
    first = quiet[0] if quiet else int(np.flatnonzero(~small)[-1]) + 1
    lags = np.arange(1, min(2 * max(first, 1), longest, len(covariances) - 1) + 1)
    window = np.minimum(1, 2 * (1 - lags / lags[-1])) * covariances[lags]
    spectrum, slope = covariances[0] + 2 * window.sum(), 2 * (lags * window).sum()
    if abs(spectrum) < 1e-20:
        return 1.0
    length = (slope**2 / spectrum**2) ** (1 / 3) * num_rows ** (1 / 3)
    return float(min(max(length, 1.0), np.ceil(min(3 * np.sqrt(num_rows), num_rows / 3))))


def _autocovariances(centred: Values, most: int) -> Values:
    """(most + 1,) at lags 0 .. most, over all rows."""
    spectrum = np.fft.rfft(centred, 2 * len(centred))
    return np.fft.irfft(np.abs(spectrum) ** 2)[: most + 1] / len(centred)


def bootstrap_variance(values: Values, block: float) -> float:
    """The variance of the mean over all resamples of the stationary bootstrap (Politis and Romano 1994, lemma 1).

    Args:
        values: (T,), T >= 2.
        block: mean length of a block in rows, at least 1.
    """
    num_rows = len(values)
    covariances = _autocovariances(values - values.mean(), num_rows - 1)
    lags, stays = np.arange(1, num_rows), 1 - 1 / block
    weights = (1 - lags / num_rows) * stays**lags + lags / num_rows * stays ** (num_rows - lags)
    return float(max(covariances[0] + 2 * (weights * covariances[1:]).sum(), 0.0) / num_rows)


def mean_interval(values: Values, known: Dependence | None) -> tuple[float, float]:
    """The ends of a 95 % interval of the mean of a stretch; NaN if it is worth too few independent values.

    Args:
        values: (n,) the supported rows of the stretch.
        known: of the whole trace.
    """
    undefined = float("nan"), float("nan")
    if known is None or len(values) < len(known.coefficients) + 5:
        return undefined
    centred = values - values.mean()
    spread = float(centred @ centred) / len(values)
    rest = _residuals(centred, known.coefficients)
    scale = len(rest) / len(values) / (1 - known.total) ** 2
    variance = bootstrap_variance(rest, max(min(known.block, len(rest) / 4), 1.0)) * scale
    if spread < 1e-12 or variance <= 0:
        return undefined
    independent = min(spread / variance, len(values))
    if independent < MIN_INDEPENDENT:
        return undefined
    half = _student(independent - 1) * float(np.sqrt(variance))
    middle = float(values.mean())
    return middle - half, middle + half


def _student(freedom: float) -> float:
    """The quantile of Student's t for LEVEL, by its expansion (Abramowitz and Stegun 26.7.5); within 0.5 % from 3 on."""
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + float(sum(term / freedom**power for power, term in enumerate(terms, start=1)))
