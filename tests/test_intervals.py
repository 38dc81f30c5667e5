import math

import numpy as np
import pytest

from vatrace.intervals import MIN_ERRORS, bounds, half_widths, situations


def test_a_step_rests_on_what_is_there_or_near() -> None:
    valid = {name: np.zeros(100, bool) for name in ("face", "voice", "words")}
    valid["face"][10:20] = True
    valid["words"][15:22] = True
    found = situations(valid, rate=2.0)  # 3 s are 6 steps
    assert found[:4].tolist() == ["nothing"] * 4 and found[4:10].tolist() == ["nothing near"] * 6
    assert set(found[10:15]) == {"face"} and set(found[15:20]) == {"face+words"} and set(found[20:22]) == {"words"}
    assert set(found[22:28]) == {"nothing near"} and set(found[28:]) == {"nothing"}
    assert set(situations({name: np.zeros(5, bool) for name in valid}, 10.0)) == {"nothing"}


def test_half_widths_are_conformal_quantiles() -> None:
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(999, 2))
    found = half_widths({"face": errors})["face"]
    ranked = np.sort(np.abs(errors), axis=0)
    assert found == pytest.approx(ranked[math.ceil(1000 * 0.9) - 1])
    assert half_widths({"face": errors[: MIN_ERRORS - 1]}) == {}
    widths = half_widths({"face": errors, "voice": 3 * errors, "words": errors[:10]})
    assert widths["words"] == widths["voice"] == pytest.approx(3 * np.array(found))


def test_new_values_lie_inside_as_often_as_promised() -> None:
    rng = np.random.default_rng(1)
    held = []
    for _ in range(300):
        widths = half_widths({"face": rng.laplace(size=(300, 2)) * 0.2})
        truth = rng.laplace(size=(100, 2)) * 0.2
        low, high = bounds(np.zeros((100, 2)), np.full(100, "face"), widths)
        held.append(np.mean((low <= np.clip(truth, -1, 1)) & (np.clip(truth, -1, 1) <= high)))
    assert np.mean(held) == pytest.approx(0.9, abs=0.01)


def test_bounds_stay_on_the_scale_and_are_widest_where_nothing_is_known() -> None:
    widths = {"face": (0.2, 0.1), "nothing": (0.6, 0.5)}
    low, high = bounds(np.array([[0.9, 0.0], [-0.8, 0.2]]), np.array(["face", "voice"]), widths)
    np.testing.assert_allclose(low, [[0.7, -0.1], [-1, -0.3]])
    np.testing.assert_allclose(high, [[1, 0.1], [-0.2, 0.7]])
