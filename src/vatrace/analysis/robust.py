"""Cluster-robust tests of linear models that hold with few clusters: CR2 variances with Satterthwaite's degrees of freedom.

Equations from Bell and McCaffrey (2002, Survey Methodology 28, 169-181) and Pustejovsky and Tipton (2018, Journal of Business &
Economic Statistics 36, 672-683), who show that the usual normal and t tests reject too often with few clusters. The R package
clubSandwich has the same estimators; the tests compare the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

MIN_ERROR = 1e-9
"""A smaller standard error of values in -1..1 is a rounding error: the estimate is the same for all clusters."""
MIN_FREEDOM = 1e-6
"""Fewer degrees of freedom are a rounding error of none."""


@dataclass(frozen=True)
class Estimate:
    """An estimate, its 95 % interval and its t test.

    Attributes:
        value: of the estimate.
        error: its standard error.
        low: end of the interval.
        high: end of the interval.
        freedom: degrees of freedom.
        statistic: t.
        p: two-sided.
    """

    value: float
    error: float
    low: float
    high: float
    freedom: float
    statistic: float
    p: float


@dataclass(frozen=True)
class Joint:
    """An F test of several contrasts at once (HTZ of Pustejovsky and Tipton 2018).

    Attributes:
        statistic: F.
        freedom: degrees of freedom of the numerator and of the denominator.
        p: of the test.
    """

    statistic: float
    freedom: tuple[float, float]
    p: float


def estimate(value: float, error: float, freedom: float) -> Estimate:
    """An estimate by its standard error and degrees of freedom."""
    from scipy import stats

    half = float(stats.t.ppf(0.975, freedom)) * error
    statistic = value / error
    return Estimate(
        value, error, value - half, value + half, freedom, statistic, float(2 * stats.t.sf(abs(statistic), freedom))
    )


class RobustModel:
    """A linear model with a random intercept for each cluster, by generalised least squares.

    Attributes:
        coefficients: (P,).
        covariance: (P, P) of the coefficients, CR2.
    """

    def __init__(self, design: Values, outcome: Values, clusters: Sequence[str], share: float) -> None:
        """Fit the model.

        Args:
            design: (N, P) of full rank.
            outcome: (N,).
            clusters: of each row.
            share: variance of the random intercept divided by that of the residuals.
        """
        labels = np.asarray(clusters)
        self._rows = [np.flatnonzero(labels == label) for label in dict.fromkeys(clusters)]
        covariances = [np.eye(len(rows)) + share for rows in self._rows]
        weights = [np.linalg.inv(covariance) for covariance in covariances]
        parts = [design[rows] for rows in self._rows]
        self._bread = np.linalg.inv(sum(part.T @ weight @ part for part, weight in zip(parts, weights, strict=True)))
        cross = sum(part.T @ weight @ outcome[rows] for part, weight, rows in zip(parts, weights, self._rows, strict=True))
        self.coefficients = self._bread @ cross
        scores, spreads = [], []
        hat = np.zeros((len(outcome), len(outcome)))
        whole = np.zeros_like(hat)
        for part, weight, rows, covariance in zip(parts, weights, self._rows, covariances, strict=True):
            root = np.linalg.cholesky(covariance).T
            inner = root @ (covariance - part @ self._bread @ part.T) @ root.T
            adjusted = part.T @ weight @ root.T @ _inverse_root(inner) @ root
            spreads.append(adjusted)
            scores.append(adjusted @ (outcome[rows] - part @ self.coefficients))
            hat[:, rows] = design @ self._bread @ part.T @ weight
            whole[np.ix_(rows, rows)] = covariance
        meat = sum(np.outer(score, score) for score in scores)
        self.covariance = self._bread @ meat @ self._bread
        rest = np.eye(len(outcome)) - hat
        # the weights of the outcome in each cluster's adjusted score, (P, N), and their products under the working covariance
        self._loads = [spread @ rest[rows] for spread, rows in zip(spreads, self._rows, strict=True)]
        self._whole = whole

    def _products(self, first: Values, second: Values) -> Values:
        """Covariances under the working model of two contrasts' parts, over clusters times clusters."""
        left = np.stack([first @ self._bread @ load for load in self._loads])
        right = np.stack([second @ self._bread @ load for load in self._loads])
        return left @ self._whole @ right.T

    def contrast(self, weights: Values) -> Estimate | None:
        """A weighted sum of the coefficients, with Satterthwaite's degrees of freedom; None if it has no error.

        Args:
            weights: (P,).
        """
        error = float(np.sqrt(max(float(weights @ self.covariance @ weights), 0.0)))
        if error < MIN_ERROR:
            return None
        products = self._products(weights, weights)
        freedom = float(np.trace(products) ** 2 / (products**2).sum())
        return estimate(float(weights @ self.coefficients), error, freedom)

    def joint(self, contrasts: Values) -> Joint | str:
        """Test whether all contrasts are 0; or why this can't be tested.

        Args:
            contrasts: (Q, P) of rank Q.
        """
        from scipy import stats

        count = len(contrasts)
        root = _inverse_root(contrasts @ self._bread @ contrasts.T)
        scaled = root @ contrasts
        total = 0.0
        for s in range(count):
            for t in range(count):
                crossed = self._products(scaled[s], scaled[t])
                total += float((crossed * crossed.T).sum())
                total += float((self._products(scaled[s], scaled[s]) * self._products(scaled[t], scaled[t])).sum())
        freedom = count * (count + 1) / total
        if freedom <= count - 1 + MIN_FREEDOM:
            return "too few participants"
        covariance = contrasts @ self.covariance @ contrasts.T
        spreads = np.linalg.eigvalsh(covariance)
        if spreads[0] < max(MIN_ERROR**2, 1e-10 * spreads[-1]):
            return "a difference is the same for all participants"
        values = contrasts @ self.coefficients
        quadratic = float(values @ np.linalg.solve(covariance, values))
        statistic = (freedom - count + 1) / (freedom * count) * quadratic
        second = freedom - count + 1
        return Joint(statistic, (float(count), second), float(stats.f.sf(statistic, count, second)))


def _inverse_root(matrix: Values) -> Values:
    """The symmetric inverse root; of a singular matrix, that of the part that isn't."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    known = values > 1e-10 * max(values.max(), 1e-300)
    inverse = np.where(known, 1 / np.sqrt(np.where(known, values, 1.0)), 0.0)
    return (vectors * inverse) @ vectors.T


def holm(values: Sequence[float]) -> list[float]:
    """Adjust p values for their number (Holm 1979, Scandinavian Journal of Statistics 6, 65-70)."""
    found, largest = [1.0] * len(values), 0.0
    for place, index in enumerate(sorted(range(len(values)), key=lambda index: values[index])):
        largest = min(max(largest, (len(values) - place) * values[index]), 1.0)
        found[index] = largest
    return found
