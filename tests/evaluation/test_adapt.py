from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from vatrace.evaluation.adapt import GAP, MIN_SECONDS, Rated, _splits, fit, fitted_line, samples_of
from vatrace.inference.adaptation import Adaptation
from vatrace.metrics import concordance_cc, rmse

RATE = 10.0


def drift(rng: np.random.Generator, steps: int, seconds: float) -> NDArray[np.float64]:
    """Two slow random traces (T, 2) of standard deviation 1, whose correlation falls to 1 / e in so many seconds."""
    keep = np.exp(-1 / (seconds * RATE))
    trace = rng.normal(size=(steps, 2))
    for step in range(1, steps):
        trace[step] = keep * trace[step - 1] + np.sqrt(1 - keep**2) * trace[step]
    return trace


def recordings(
    seed: int, count: int, seconds: float, scale: float = 1.5, shift: float = 0.2, noise: float = 0.1
) -> list[Rated]:
    """Recordings whose ratings are a scale and a shift of the model's values, with noise as slow as that of raters."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(count):
        steps = round(seconds * RATE)
        values = 0.15 * drift(rng, steps, 3)
        ratings = scale * values + shift + noise * drift(rng, steps, 2)
        made.append(Rated(f"p{index}", RATE, values, np.full((steps, 2), 0.1), ratings))
    return made


def corrected(rated: Rated, adaptation: Adaptation) -> NDArray[np.float64]:
    return adaptation.values(rated.values)


def test_a_known_scale_and_shift_are_found() -> None:
    result = fit(recordings(0, 5, 120, noise=0.03), calibrated=True)
    assert result.over == "5 recordings" and result.by_recording
    for fitted in result.found.values():
        assert fitted is not None and fitted.tried is None and fitted.seconds == pytest.approx(600)
        assert fitted.correction.scale == pytest.approx(1.5, abs=0.03)
        assert fitted.correction.shift == pytest.approx(0.2, abs=0.01)
        assert fitted.after.ccc > 0.98 > fitted.before.ccc and fitted.after.rmse < 0.04 < fitted.before.rmse
        assert fitted.after.r == pytest.approx(fitted.before.r, abs=0.01)


def test_little_data_changes_little() -> None:
    (one,) = recordings(1, 1, 300, noise=0.3)
    x, y = one.values[:, 0], one.ratings[:, 0]
    lines = [
        fitted_line([replace(samples_of(one, 0), rate=rate)]) for rate in (1e-6, 1, 10, 100, 1e9)
    ]  # the same samples, ever shorter
    scales = [scale for scale, _ in lines]
    means = [scale * x.mean() + shift - x.mean() for scale, shift in lines]
    full = np.sqrt(np.corrcoef(x, y)[0, 1]) * y.std() / x.std()
    assert scales == sorted(scales, key=lambda scale: -abs(scale - 1)) and means == sorted(means, reverse=True)
    assert (scales[0], means[0]) == pytest.approx((full, y.mean() - x.mean()), abs=1e-3)
    assert lines[-1] == pytest.approx((1, 0), abs=1e-3)


@pytest.mark.parametrize(("count", "seconds"), [(5, 120), (3, 60), (1, 300)])
def test_intervals_hold_nine_times_in_ten_where_the_fit_has_not_been(count: int, seconds: float) -> None:
    inside, cross_validated, before = [], [], []
    for seed in range(20):
        rated = recordings(seed, count, seconds)
        fitted = fit(rated, calibrated=True).found["arousal"]
        assert fitted is not None
        for new in recordings(1000 + seed, 3, 120):
            values = new.values[:, 1] * fitted.correction.scale + fitted.correction.shift
            inside.append(np.abs(new.ratings[:, 1] - values) <= new.half_widths[:, 1] * fitted.correction.interval)
        cross_validated.append(fitted.after.coverage)
        before.append(fitted.before.coverage)
    assert np.mean(before) < 0.5
    assert np.mean(inside) == pytest.approx(0.91, abs=0.025)
    assert np.mean(cross_validated) == pytest.approx(0.91, abs=0.03)


def test_a_rater_like_the_model_gains_nothing_so_only_intervals_change() -> None:
    result = fit(recordings(3, 5, 120, scale=1, shift=0, noise=0.15), calibrated=True)
    for fitted in result.found.values():
        assert fitted is not None and fitted.tried is not None
        assert (fitted.correction.scale, fitted.correction.shift) == (1, 0) and fitted.correction.interval > 1.5
        assert (fitted.after.ccc, fitted.after.rmse) == (fitted.before.ccc, fitted.before.rmse)
        assert fitted.tried.ccc <= fitted.before.ccc or fitted.tried.rmse >= fitted.before.rmse
        assert abs(fitted.after.coverage - 0.9) < abs(fitted.before.coverage - 0.9)


def test_the_agreement_is_that_of_fits_without_the_recording() -> None:
    rated = recordings(4, 3, 90)
    truth, values = [], []
    for index, left_out in enumerate(rated):
        others = fit([one for i, one in enumerate(rated) if i != index], calibrated=True)
        assert others.found["valence"] is not None and others.found["valence"].tried is None
        truth.append(left_out.ratings[:, 0])
        values.append(corrected(left_out, others.adaptation("", "", {}))[:, 0])
    fitted = fit(rated, calibrated=True).found["valence"]
    assert fitted is not None
    assert fitted.after.ccc == pytest.approx(concordance_cc(np.concatenate(truth), np.concatenate(values)))
    assert fitted.after.rmse == pytest.approx(rmse(np.concatenate(truth), np.concatenate(values)))


def test_blocks_of_one_recording_are_apart_from_what_is_fitted_on() -> None:
    (alone,) = recordings(5, 1, 100)
    tested = np.zeros(1000, int)
    for (train,), (test,) in _splits([samples_of(alone, 0)]):
        tested[test.steps] += 1
        assert np.abs(train.steps[:, None] - test.steps).min() == GAP * RATE
    assert (tested == 1).all()
    short = [samples_of(one, 0) for one in recordings(6, 3, 22)]  # as short as what remains of 4 when one is left out
    for train, test in _splits(short):
        assert sum(len(one.steps) for one in train) > 200 and 130 <= sum(len(one.steps) for one in test) <= 133
    assert fit([alone], calibrated=True).over == "blocks of one recording"
    assert fit([alone, *recordings(6, 1, 20)], calibrated=True).over == "blocks of 2 recordings"  # 20 s are too few to fit on


def test_a_dimension_with_too_few_ratings_is_left_alone() -> None:
    rated = recordings(7, 4, 30)
    for one in rated:
        one.ratings[int(0.49 * MIN_SECONDS * RATE / 2) :, 1] = np.nan
    result = fit(rated, calibrated=True)
    assert result.found["valence"] is not None and result.found["arousal"] is None
    assert result.seconds("valence") == pytest.approx(120) and result.seconds("arousal") == pytest.approx(58.8)
    adaptation = result.adaptation("fusion.onnx", "0" * 64, {"": 0.0})
    assert vars(adaptation.corrections["arousal"]) == {"scale": 1, "shift": 0, "interval": 1}
    assert list(adaptation.facts["agreement"]) == ["valence"]
    assert adaptation.facts["recordings"]["p0"] == {"valence_seconds": 30, "arousal_seconds": 14.7}


def test_a_flat_model_or_rater_gives_no_wild_values() -> None:
    for flat in ("values", "ratings"):
        rated = recordings(8, 3, 60)
        for one in rated:
            getattr(one, flat)[:] = 0.3
        fitted = fit(rated, calibrated=False).found["valence"]
        assert fitted is not None and np.isnan(fitted.before.coverage)
        assert np.isfinite([*vars(fitted.correction).values()]).all() and 0 <= fitted.correction.scale <= 1
