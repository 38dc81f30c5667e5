"""The mean of curves, and the test by changes of sign."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from vatrace.analysis.curves import MIN_CLUSTERS, mean_curve


def test_one_point_has_the_interval_of_student_and_the_p_value_of_all_signs() -> None:
    values = np.array([0.4, -0.1, 0.3, 0.5, 0.2, 0.6, -0.2])
    found = mean_curve(values[:, None], np.array([True]))
    assert found is not None
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.mean[0] - found.half[0], found.mean[0] + found.half[0]) == pytest.approx((low, high))
    means = [abs(np.mean(values * signs)) for signs in product((1, -1), repeat=7)]  # the largest t has the largest mean
    assert found.p == pytest.approx(np.mean(np.array(means) >= abs(values.mean()) - 1e-12))
    assert found.half_all[0] > 0


def test_missing_values_count_where_they_are() -> None:
    rng = np.random.default_rng(0)
    curves = rng.normal(size=(8, 3))
    curves[:3, 1] = np.nan
    curves[:5, 2] = np.nan
    found = mean_curve(curves, np.ones(3, dtype=bool))
    assert found is not None
    assert found.mean[1] == pytest.approx(curves[3:, 1].mean())
    assert found.half[1] == pytest.approx(stats.sem(curves[3:, 1]) * stats.t.ppf(0.975, 4))
    assert np.isnan(found.mean[2])  # fewer than half


def test_few_or_equal_curves_have_no_test() -> None:
    few = mean_curve(np.random.default_rng(0).normal(size=(MIN_CLUSTERS - 1, 4)), np.ones(4, dtype=bool))
    assert few is not None
    assert np.isnan(few.p) and np.isnan(few.half_all).all() and not np.isnan(few.half).any()
    for value in (1.0, 0.1, 1 / 3, 0.7):  # of some of them, rounding leaves a sum of squares
        assert mean_curve(np.full((7, 4), value), np.ones(4, dtype=bool)) is None
