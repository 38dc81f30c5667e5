import numpy as np
import pytest

from made_pairs import ccc, made_pairs
from vatrace.evaluation.bootstrap import ccc_of_moments, interval, moments, resample_counts, resampled_ccc


def test_ccc_from_sums_is_ccc() -> None:
    pairs = made_pairs(5)
    found = ccc_of_moments(moments(pairs, list("aabbc")).sum(axis=0))
    for column in range(2):
        x = np.concatenate([truth[:, column] for truth, _ in pairs])
        y = np.concatenate([prediction[:, column] for _, prediction in pairs])
        known = ~np.isnan(x)
        assert found[column] == pytest.approx(ccc(x[known], y[known]), abs=1e-12)


def test_resamples_are_those_of_whole_units() -> None:
    pairs, units = made_pairs(6), list("aabbcc")
    counts = resample_counts(3, 20)
    assert (counts.sum(axis=1) == 3).all() and (counts == resample_counts(3, 20)).all()
    found = resampled_ccc(moments(pairs, units), counts)
    for resample, row in zip(counts, found, strict=True):
        drawn = [pairs[2 * unit + k] for unit in range(3) for _ in range(resample[unit]) for k in range(2)]
        for column in range(2):
            x, y = (np.concatenate([pair[i][:, column] for pair in drawn]) for i in range(2))
            assert row[column] == pytest.approx(ccc(x[~np.isnan(x)], y[~np.isnan(x)]), abs=1e-10)
        assert row[2] == pytest.approx(row[:2].mean())


def test_intervals_contain_the_true_value_as_often_as_stated() -> None:
    """Intervals from repeated samples of recordings, against the CCC of a very large sample."""
    rng = np.random.default_rng(0)

    def draw(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
        offsets = rng.normal(0, 0.5, (count, 1, 2))
        truths = rng.normal(0, 1, (count, 20, 2))
        return [(truth, truth + offset) for truth, offset in zip(truths, offsets, strict=True)]

    many = draw(20_000)
    expected = ccc_of_moments(moments(many, [""] * len(many)))[0, 0]
    held = 0
    for _ in range(200):
        unit_moments = moments(draw(40), [str(i) for i in range(40)])
        low, high = interval(resampled_ccc(unit_moments, resample_counts(40, 400))[:, 0])
        held += low <= expected <= high
    assert 0.88 <= held / 200 <= 0.99  # 95 % nominal; percentile intervals of 40 units are a little short


def test_equal_constants_have_no_ccc() -> None:
    pair = (np.full((7, 2), 0.1), np.full((7, 2), 0.1))
    assert np.isnan(ccc_of_moments(moments([pair] * 3, ["a"] * 3)[0])).all()
