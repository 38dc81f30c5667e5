import numpy as np
import pytest
from numpy.typing import NDArray

from vatrace.output.mean_interval import MIN_INDEPENDENT, block_length, bootstrap_variance, dependence, mean_interval


def autoregressive(rng: np.random.Generator, length: int, *roots: float) -> NDArray[np.float64]:
    """A series of mean 0 with these real roots, after a long start."""
    values = rng.normal(size=length + 1000)
    for root in roots:
        for step in range(1, len(values)):
            values[step] += root * values[step - 1]
    return values[1000:]


def test_the_block_length_is_near_its_limit() -> None:
    """For an autoregression of order 1, it is ((2 a / (1 - a^2))^2 n)^(1/3)."""
    rng = np.random.default_rng(0)
    for root in (0.3, 0.5, 0.7):
        found = np.mean([block_length(autoregressive(rng, 4000, root)) for _ in range(20)])
        assert found == pytest.approx(((2 * root / (1 - root**2)) ** 2 * 4000) ** (1 / 3), rel=0.3)
    assert np.median([block_length(rng.normal(size=2000)) for _ in range(20)]) < 3
    assert block_length(np.ones(100)) == 1


def test_the_variance_is_that_of_many_resamples() -> None:
    rng = np.random.default_rng(1)
    values, block = autoregressive(rng, 60, 0.6), 5.0
    means = []
    for _ in range(20_000):
        starts, jumps = rng.integers(60, size=60), rng.random(60) < 1 / block
        place, drawn = starts[0], np.empty(60)
        for step in range(60):
            place = starts[step] if jumps[step] else (place + 1) % 60
            drawn[step] = values[place]
        means.append(drawn.mean())
    assert bootstrap_variance(values, block) == pytest.approx(np.var(means), rel=0.05)
    assert bootstrap_variance(values, 1.0) == pytest.approx(values.var() / 60)  # independent draws


@pytest.mark.parametrize("roots", [(0.0,), (0.9,), (0.9, 0.6), (0.95,)])
def test_the_interval_contains_the_mean_as_often_as_it_says(roots: tuple[float, ...]) -> None:
    """Of 250 series of 150 s with a mean of 0, and their first 60 s; 95 % are promised, two standard errors are 2.8 %."""
    rng = np.random.default_rng(2)
    hits, naive = [], []
    for _ in range(250):
        values = autoregressive(rng, 1500, *roots)
        stretch = values[:600]
        low, high = mean_interval(stretch, dependence(values))
        half = 1.96 * stretch.std() / np.sqrt(600)
        naive.append(abs(stretch.mean()) < half)
        hits.append(low < 0 < high)
    assert 0.91 < np.mean(hits) <= 1.0
    if roots != (0.0,):
        assert np.mean(naive) < 0.5  # what an interval for independent rows would do


def test_there_is_no_interval_where_the_stretch_is_too_short_for_its_dependence() -> None:
    rng = np.random.default_rng(3)
    values = autoregressive(rng, 3000, 0.99)  # about 200 rows are worth one
    assert np.isnan(mean_interval(values[:50], dependence(values))).all()
    independent = rng.normal(size=300)
    low, high = mean_interval(independent[:20], dependence(independent))
    assert low < independent[:20].mean() < high
    assert np.isnan(mean_interval(independent[: int(MIN_INDEPENDENT)], dependence(independent))).all()
    for empty in (np.zeros(0), np.zeros(100), independent[:10]):
        assert dependence(empty) is None and np.isnan(mean_interval(empty, None)).all()
