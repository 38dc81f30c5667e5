import math

import numpy as np
import pytest

from vatrace.metrics import concordance_cc, concordance_parts, pearson_cc, rmse, sign_agreement


def test_concordance_cc_is_correlation_times_the_agreement_of_scale_and_place() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0.2, 0.5, 500)
    y = 0.6 * x + rng.normal(0.1, 0.3, 500)
    r = np.corrcoef(x, y)[0, 1]
    scale, shift = x.std() / y.std(), (x.mean() - y.mean()) / np.sqrt(x.std() * y.std())
    bias = 2 / (scale + 1 / scale + shift**2)  # Lin 1989, equation for C_b
    assert concordance_cc(x, y) == pytest.approx(r * bias)


def test_concordance_cc_at_its_ends() -> None:
    x = np.array([-1.0, 0.0, 1.0])
    assert concordance_cc(x, x) == pytest.approx(1)
    assert concordance_cc(x, -x) == pytest.approx(-1)
    assert concordance_cc(x, np.zeros(3)) == 0


def test_concordance_cc_is_nan_where_it_is_undefined() -> None:
    assert math.isnan(concordance_cc([], []))
    assert math.isnan(concordance_cc([0.5, 0.5], [0.5, 0.5]))
    assert math.isnan(concordance_cc([0.1] * 7, [0.1] * 7))  # whose standard deviation is not 0, by rounding
    assert concordance_cc([0.1] * 7, [0.3] * 7) == pytest.approx(0)


def test_concordance_cc_refuses_unequal_lengths() -> None:
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        concordance_cc([1, 2], [1, 2, 3])


def test_other_measures_are_those_of_their_equations() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(0.2, 1, 300)
    prediction = 0.6 * truth + rng.normal(0.3, 0.5, 300)
    assert pearson_cc(truth, prediction) == pytest.approx(np.corrcoef(truth, prediction)[0, 1])
    assert rmse(truth, prediction) == pytest.approx(
        math.sqrt(sum((a - b) ** 2 for a, b in zip(truth, prediction, strict=True)) / 300)
    )
    assert sign_agreement([1, -1, 0, 2], [3, 1, 0, -2]) == 0.5
    parts = concordance_parts(truth, prediction)
    v, u = prediction.std() / truth.std(), (prediction.mean() - truth.mean()) / math.sqrt(prediction.std() * truth.std())
    assert (parts.scale, parts.shift, parts.accuracy) == pytest.approx((v, u, 2 / (v + 1 / v + u * u)))
    assert parts.correlation * parts.accuracy == pytest.approx(concordance_cc(truth, prediction))


def test_what_is_undefined_is_nan_and_shapes_must_agree() -> None:
    assert math.isnan(pearson_cc([1, 1], [0, 1])) and math.isnan(rmse([], [])) and math.isnan(sign_agreement([], []))
    assert math.isnan(concordance_parts([1, 2], [3, 3]).shift)
    assert math.isnan(pearson_cc([0.1] * 7, range(7))) and math.isnan(concordance_parts(range(7), [0.1] * 7).scale)
    for measure in (pearson_cc, rmse, sign_agreement, concordance_parts):
        with pytest.raises(ValueError, match="shape"):
            measure([1, 2], [1, 2, 3])
