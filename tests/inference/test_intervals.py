import math

import numpy as np
import pytest

from vatrace.inference.intervals import MIN_ERRORS, bounds, half_widths, half_widths_at, metadata, situations


def errors_in(situation: str, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Errors of one recording that is in one situation throughout."""
    return errors, np.full(len(errors), situation)


def test_a_step_rests_on_what_is_there_and_near() -> None:
    valid = {name: np.zeros(100, bool) for name in ("face", "voice", "words")}
    valid["face"][10:20] = True
    valid["words"][15:22] = True
    found = situations(valid, rate=2.0)  # 3 s are 6 steps
    expected = {
        range(4): "nothing",
        range(4, 9): "nothing, near face",
        range(9, 10): "nothing, near face+words",
        range(10, 15): "face, near words",
        range(15, 20): "face+words",
        range(20, 22): "words, near face",
        range(22, 26): "nothing, near face+words",
        range(26, 28): "nothing, near words",
        range(28, 100): "nothing",
    }
    for steps, name in expected.items():
        assert set(found[steps.start : steps.stop]) == {name}
    assert set(situations({name: np.zeros(5, bool) for name in valid}, 10.0)) == {"nothing"}


def test_what_looks_back_only_has_nothing_near_ahead() -> None:
    valid = {"face": np.arange(100) == 50, "voice": np.zeros(100, bool), "words": np.zeros(100, bool)}
    where = situations(valid, rate=10, ahead=False)
    assert set(where[:50]) == {"nothing"} and where[50] == "face"
    assert set(where[51:81]) == {"nothing, near face"} and set(where[81:]) == {"nothing"}


def test_a_situation_names_another_language_than_english() -> None:
    valid = {"face": np.zeros(3, bool), "voice": np.array([True, True, False]), "words": np.zeros(3, bool)}
    where = situations(valid, 10.0, languages=np.array(["en", "tr", "tr"]))
    assert where.tolist() == ["voice", "voice, in tr", "nothing, near voice, in tr"]


def test_a_language_has_its_own_half_widths_or_those_of_others_or_of_english() -> None:
    widths = {"face": (0.1, 0.2), "voice": (0.3, 0.4), "voice, in another language": (0.6, 0.8), "voice, in de": (0.5, 0.5)}
    where = np.array(["voice", "voice, in de", "voice, in tr", "face, in tr", "voice, near face", "voice, near face, in tr"])
    expected = [(0.3, 0.4), (0.5, 0.5), (0.6, 0.8), (0.1, 0.2), (0.3, 0.4), (0.3, 0.4)]
    np.testing.assert_allclose(half_widths_at(where, widths), expected)


def test_half_widths_are_conformal_quantiles() -> None:
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(999, 2))
    found = half_widths([errors_in("face", errors)])["face"]
    ranked = np.sort(np.abs(errors), axis=0)
    assert found == pytest.approx(ranked[math.ceil(1000 * 0.9) - 1])
    unlabelled = np.concatenate([errors, np.full((500, 2), np.nan)])
    assert half_widths([errors_in("face", unlabelled)])["face"] == found
    assert half_widths([errors_in("face", errors[: MIN_ERRORS - 1])]) == {} and metadata({}) == {}
    parts = [errors_in("face", errors[:500]), errors_in("face", errors[500:]), errors_in("voice", 3 * errors)]
    widths = half_widths([*parts, errors_in("words", errors[:10])])
    assert widths["face"] == found
    assert set(widths) == {"face", "voice"} and widths["voice"] == pytest.approx(3 * np.array(found))


def test_new_values_lie_inside_as_often_as_promised() -> None:
    rng = np.random.default_rng(1)
    held = []
    for _ in range(300):
        widths = half_widths([errors_in("face", rng.laplace(size=(300, 2)) * 0.2)])
        truth = rng.laplace(size=(100, 2)) * 0.2
        low, high = bounds(np.zeros((100, 2)), np.full(100, "face"), widths)
        held.append(np.mean((low <= np.clip(truth, -1, 1)) & (np.clip(truth, -1, 1) <= high)))
    assert np.mean(held) == pytest.approx(0.9, abs=0.01)


def test_bounds_stay_on_the_scale_and_are_widest_where_nothing_is_known() -> None:
    widths = {"face": (0.2, 0.1), "face, near words": (0.1, 0.2), "nothing": (0.6, 0.5)}
    where = np.array(["face", "voice", "face, near voice"])
    low, high = bounds(np.array([[0.9, 0.0], [-0.8, 0.2], [0.0, 0.0]]), where, widths)
    np.testing.assert_allclose(low, [[0.7, -0.1], [-1, -0.3], [-0.2, -0.2]])
    np.testing.assert_allclose(high, [[1, 0.1], [-0.2, 0.7], [0.2, 0.2]])
