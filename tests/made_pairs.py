"""Truths and predictions, for the tests of evaluation."""

import numpy as np


def ccc(x: np.ndarray, y: np.ndarray) -> float:
    return 2 * np.mean((x - x.mean()) * (y - y.mean())) / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)


def made_pairs(count: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        truth = rng.normal(rng.normal(), 1, (int(rng.integers(30, 90)), 2))
        truth[rng.random(truth.shape) < 0.1] = np.nan
        pairs.append((truth, 0.7 * np.nan_to_num(truth) + rng.normal(0, 0.5, truth.shape)))
    return pairs
