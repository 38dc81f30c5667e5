import math

import numpy as np
import pytest

from vatrace.metrics import concordance_cc


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


def test_concordance_cc_refuses_unequal_lengths() -> None:
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        concordance_cc([1, 2], [1, 2, 3])
