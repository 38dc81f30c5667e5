import numpy as np
import pytest

from vatrace.corpora.annotators import agreement, ewe_weights, merged, on_grid, relative_lags, shifted
from vatrace.corpora.corpus import Annotation


def said(times: np.ndarray, valence: np.ndarray, name: str = "a") -> Annotation:
    return Annotation(name, times, np.stack([valence, -valence], axis=1))


def test_a_steps_value_is_the_mean_of_the_values_within_it() -> None:
    times = np.arange(25) / 25
    grid = on_grid(said(times, times), 5.0, 5)
    np.testing.assert_allclose(grid[:, 0], [times[5 * i : 5 * i + 5].mean() for i in range(5)])
    np.testing.assert_allclose(grid[:, 1], -grid[:, 0])


def test_each_frame_has_its_own_step_at_the_frame_rate_also_where_times_are_rounded() -> None:
    rate = 30000 / 1001
    times = np.round(np.arange(3000) / rate, 3)  # as Matroska has them
    values = np.random.default_rng(0).uniform(-1, 1, 3000)
    np.testing.assert_array_equal(on_grid(said(times, values), rate, 3000)[:, 0], values)


def test_values_that_were_not_annotated_stay_out() -> None:
    times, values = np.arange(10) / 10, np.arange(10) / 10
    values[3:6] = np.nan
    grid = on_grid(said(times, values), 5.0, 6)
    np.testing.assert_allclose(grid[:, 0], [0.05, 0.2, np.nan, 0.65, 0.85, np.nan])


def test_slow_annotations_are_joined_by_lines_but_not_over_gaps() -> None:
    times = np.array([0.0, 0.5, 1.0, 3.0, 3.5])
    values = np.array([0.0, 0.5, 0.0, 1.0, np.nan])
    grid = on_grid(said(times, values), 10.0, 40)[:, 0]
    np.testing.assert_allclose(grid[:11], [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.4, 0.3, 0.2, 0.1, 0])
    assert np.isnan(grid[11:30]).all() and grid[30] == 1.0 and np.isnan(grid[31:]).all()


def wander(rng: np.random.Generator, steps: int) -> np.ndarray:
    """A smooth random path."""
    return np.convolve(rng.normal(size=steps + 50), np.hanning(51) / 5, "valid")[:steps]


def test_lags_between_annotators_are_found_to_a_step() -> None:
    rng, rate = np.random.default_rng(0), 25.0
    lags = {"a": 0.4, "b": 1.2, "c": 2.0}
    recordings = []
    for _ in range(3):
        truth = wander(rng, 1500)
        group = []
        for name, lag in lags.items():
            late = np.roll(truth, round(lag * rate)) + rng.normal(0, 0.1, 1500)
            group.append(said(np.arange(1500) / rate, 0.3 * late + rng.normal(0, 0.2), name))
        recordings.append(group)
    found = relative_lags(recordings)
    assert found == pytest.approx({name: lag - 0.4 for name, lag in lags.items()}, abs=1.01 / rate)
    straight = [shifted(a, found[a.annotator]) for a in recordings[0]]
    grids = {a.annotator: on_grid(a, rate, 1500)[100:1400] for a in straight}
    assert (
        agreement(grids).pairs["valence"]
        > agreement({a.annotator: on_grid(a, rate, 1500) for a in recordings[0]}).pairs["valence"]
    )


@pytest.mark.parametrize("unsaid", [{"a": 1, "b": 1}, {"b": 1}, {"a": 0, "b": 0}])
def test_lags_are_found_where_one_dimension_is_annotated(unsaid: dict[str, int]) -> None:
    rng, times = np.random.default_rng(0), np.arange(3000) / 25
    truth = wander(rng, 3000)
    group = [said(times, np.roll(truth, shift) + rng.normal(0, 0.1, 3000), name) for name, shift in (("a", 0), ("b", 30))]
    for annotation in group:
        if annotation.annotator in unsaid:
            annotation.values[:, unsaid[annotation.annotator]] = np.nan
    assert relative_lags([group]) == pytest.approx({"a": 0, "b": 1.2}, abs=0.041)


def test_lags_are_found_in_short_recordings_too() -> None:
    rng, times = np.random.default_rng(0), np.arange(0, 3, 0.04)
    recordings = []
    for index in range(12):
        group = []
        for name, lag in (("anna", 0.3), ("ben", 0.7)):
            values = 0.6 * np.sin(2 * (times - lag) + index) + rng.normal(0, 0.05, len(times))
            group.append(said(times, values, name))
        recordings.append(group)
    assert relative_lags(recordings) == pytest.approx({"anna": 0, "ben": 0.4}, abs=0.08)


def test_who_agrees_with_nobody_has_no_lag_and_moves_nobody() -> None:
    rng, times = np.random.default_rng(3), np.arange(1500) / 25
    recordings = []
    for _ in range(8):
        truth = wander(rng, 1500)
        group = [said(times, np.roll(truth, shift) + rng.normal(0, 0.1, 1500), name) for name, shift in (("a", 0), ("b", 20))]
        recordings.append([*group, said(times, np.zeros(1500), "flat"), said(times, wander(rng, 1500), "other")])
    assert relative_lags(recordings) == pytest.approx({"a": 0, "b": 0.8}, abs=0.04)
    strangers = [[said(times, wander(rng, 1500), name) for name in "xy"] for _ in range(8)]
    assert relative_lags(strangers) == {}


def test_one_annotator_has_no_lag_to_others() -> None:
    assert relative_lags([[said(np.arange(10.0), np.zeros(10))]]) == {}


def test_weights_are_correlations_with_the_others_and_never_negative() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(4000, 2))
    grids = {"good": truth + 0.1 * rng.normal(size=truth.shape), "fair": truth + rng.normal(size=truth.shape), "wrong": -truth}
    grids["good"][:50] = np.nan
    weights = ewe_weights(grids)
    mean = (grids["fair"] + grids["wrong"]) / 2
    assert (weights["wrong"] == 0).all()
    expected = [max(np.corrcoef(grids["good"][50:, k], mean[50:, k])[0, 1], 0) for k in range(2)]
    np.testing.assert_allclose(weights["good"], expected)


def test_merging_is_a_weighted_mean_of_those_who_say_something() -> None:
    nan = np.nan
    grids = {"a": np.array([[0.0, 0.2], [0.4, nan], [nan, nan]]), "b": np.array([[1.0, nan], [nan, nan], [nan, 0.5]])}
    np.testing.assert_allclose(merged(grids), [[0.5, 0.2], [0.4, nan], [nan, 0.5]])
    weights = {"a": np.array([3.0, 1.0]), "b": np.array([1.0, 0.0])}
    np.testing.assert_allclose(merged(grids, weights), [[0.25, 0.2], [0.4, nan], [nan, 0.5]])


def test_agreement_is_that_of_its_equation() -> None:
    rng = np.random.default_rng(2)
    grids = {name: rng.normal(size=(100, 2)) + np.linspace(-1, 1, 100)[:, None] for name in "abc"}

    def ccc(x: np.ndarray, y: np.ndarray) -> float:
        return 2 * np.mean((x - x.mean()) * (y - y.mean())) / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)

    a, b, c = (grids[name][:, 1] for name in "abc")
    found = agreement(grids)
    assert found.num_annotators == 3
    assert found.pairs["arousal"] == pytest.approx((ccc(a, b) + ccc(a, c) + ccc(b, c)) / 3)
    assert found.others["arousal"] == pytest.approx((ccc(a, (b + c) / 2) + ccc(b, (a + c) / 2) + ccc(c, (a + b) / 2)) / 3)
