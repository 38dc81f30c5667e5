"""Fit an adaptation to somebody's ratings, and find out by cross-validation whether it helps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vatrace import __version__
from vatrace.inference.adaptation import Adaptation, Correction
from vatrace.inference.intervals import COVERAGE
from vatrace.metrics import concordance_cc, pearson_cc, rmse
from vatrace.names import DIMENSIONS

MIN_SECONDS = 60.0
"""Seconds of ratings below which a dimension isn't adapted: with less, there are fewer than a dozen independent errors."""
MAX_FOLDS, NUM_BLOCKS = 10, 5
"""The most folds of recordings, and the blocks into which the rated time is cut if there are too few recordings."""
GAP = 10.0
"""Seconds on either side of a block that are not used for fitting, because neighbouring ratings are alike."""
MAX_GAP = 1 / 6
"""Share of the rated time that such a gap takes at most, so that something remains to fit on."""
INDEPENDENT_DUR = 5.0
"""Seconds after which errors count as independent."""
POWER = 0.5
"""The slope is r ** POWER s_y / s_x, with the correlation r and the standard deviations s. With 1, it has the smallest squared
error, and is flat if r is low; with 0, the largest CCC, and exaggerates. The mean of both costs little of either
(`recipes/raters.py`)."""
SHIFT_SD, SCALE_SD = 0.3, 0.5
"""How far raters are expected to be from a shift of 0 and a scale of 1, as standard deviations of a normal distribution. They
decide how much of a change is made if there is little data (`recipes/raters.py`)."""


@dataclass(frozen=True)
class Rated:
    """One recording of T steps, with the model's values and somebody's ratings.

    Attributes:
        name: of the recording.
        rate: steps a second.
        values: (T, 2) the model's valence and arousal.
        half_widths: (T, 2) of its intervals; 1 if the model has none.
        ratings: (T, 2) without lag, NaN where not rated, or where nothing supports the model's values.
    """

    name: str
    rate: float
    values: NDArray[np.float64]
    half_widths: NDArray[np.float64]
    ratings: NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """How well values agree with ratings in one dimension.

    Attributes:
        ccc: concordance correlation coefficient over all rated steps.
        r: Pearson's correlation.
        rmse: root of the mean squared error.
        coverage: share of the ratings that lie inside the intervals; NaN if there are none.
    """

    ccc: float
    r: float
    rmse: float
    coverage: float


@dataclass(frozen=True)
class Fitted:
    """What was found for one dimension.

    Attributes:
        seconds: how long it is rated.
        correction: what to do.
        before: agreement of the model as it is.
        after: agreement with corrections that were fitted without the recordings, or blocks, that they are applied to.
        tried: the same with scale and shift, if these didn't help and are therefore not used; otherwise None.
    """

    seconds: float
    correction: Correction
    before: Agreement
    after: Agreement
    tried: Agreement | None


@dataclass(frozen=True)
class Fit:
    """What was found.

    Attributes:
        recordings: how many seconds of each recording are rated, by dimension.
        found: by dimension; None for one with less than MIN_SECONDS of ratings.
        over: over what it was cross-validated.
        by_recording: whether that is whole recordings, not blocks of them.
    """

    recordings: dict[str, dict[str, float]]
    found: dict[str, Fitted | None]
    over: str
    by_recording: bool

    def seconds(self, dimension: str) -> float:
        """How long a dimension is rated."""
        return sum(seconds[dimension] for seconds in self.recordings.values())

    def adaptation(self, model: str, sha256: str, lags: Mapping[str, float]) -> Adaptation:
        """The adaptation for a model, with what it was fitted on and the agreement.

        Args:
            model: its name.
            sha256: of its file.
            lags: seconds that were removed, by annotator.
        """
        facts = {
            "model": model,
            "vatrace": __version__,
            "recordings": {
                name: {f"{dimension}_seconds": round(seconds, 1) for dimension, seconds in parts.items()}
                for name, parts in self.recordings.items()
            },
            "annotators": {name: {"lag": round(lag, 2)} for name, lag in lags.items()},
            "cross_validated_over": self.over,
            "agreement": {
                name: {
                    "minutes": round(fitted.seconds / 60, 2),
                    "before": _rounded(fitted.before),
                    "after": _rounded(fitted.after),
                }
                for name, fitted in self.found.items()
                if fitted is not None
            },
        }
        corrections = {name: Correction() if fitted is None else fitted.correction for name, fitted in self.found.items()}
        return Adaptation(sha256, corrections, facts)


def _rounded(found: Agreement) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else round(value, 3) for name, value in asdict(found).items()}


@dataclass(frozen=True)
class Samples:
    """The rated steps of one dimension in one recording.

    Attributes:
        rate: steps a second.
        steps: (N,) their numbers.
        values: (N,) the model's.
        half_widths: (N,) of its intervals.
        ratings: (N,).
    """

    rate: float
    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    half_widths: NDArray[np.float64]
    ratings: NDArray[np.float64]

    @property
    def seconds(self) -> float:
        """How long is rated."""
        return len(self.steps) / self.rate

    def where(self, kept: NDArray[np.bool_] | slice) -> Samples:
        """Some of the samples."""
        return replace(
            self,
            steps=self.steps[kept],
            values=self.values[kept],
            half_widths=self.half_widths[kept],
            ratings=self.ratings[kept],
        )


Split = tuple[list[Samples], list[Samples]]
"""Samples to fit on, and samples to test."""


def fit(rated: Sequence[Rated], calibrated: bool) -> Fit:
    """Fit corrections, and cross-validate them.

    Scale and shift are used if they improve both CCC and RMSE in cross-validation. The width of the intervals always follows
    the errors in cross-validation.

    Args:
        rated: recordings.
        calibrated: whether the model has intervals of its own.
    """
    data = {str(name): [samples_of(recording, column) for recording in rated] for column, name in enumerate(DIMENSIONS)}
    recordings = {
        recording.name: {name: samples[index].seconds for name, samples in data.items()}
        for index, recording in enumerate(rated)
    }
    used = {name: [one for one in samples if len(one.steps)] for name, samples in data.items()}
    enough = {name: sum(one.seconds for one in samples) >= MIN_SECONDS for name, samples in used.items()}
    found = {name: _fitted(samples, calibrated) if enough[name] else None for name, samples in used.items()}
    longest = max((samples for name, samples in used.items() if enough[name]), key=len, default=[])
    by_recording = bool(longest) and _by_recording(longest)
    counted = "one recording" if len(longest) == 1 else f"{len(longest)} recordings"
    return Fit(recordings, found, counted if by_recording else f"blocks of {counted}", by_recording)


def _fitted(data: Sequence[Samples], calibrated: bool) -> Fitted:
    """What is found for one dimension."""
    before, after = _cross_validated(data, line=True)
    before = before if calibrated else replace(before, coverage=np.nan)
    helps = after.ccc > before.ccc and after.rmse < before.rmse
    kept = after if helps else _cross_validated(data, line=False)[1]
    seconds = sum(samples.seconds for samples in data)
    return Fitted(seconds, _correction(data, line=helps), before, kept, None if helps else after)


def samples_of(recording: Rated, column: int) -> Samples:
    """The rated steps of one dimension."""
    steps = np.flatnonzero(~np.isnan(recording.ratings[:, column]))
    parts = (recording.values, recording.half_widths, recording.ratings)
    return Samples(recording.rate, steps, *(part[steps, column] for part in parts))


def _by_recording(data: Sequence[Samples]) -> bool:
    """Whether enough remains to fit on if the recording with the most ratings is left out."""
    seconds = [samples.seconds for samples in data]
    return sum(seconds) - max(seconds) >= MIN_SECONDS


def _splits(data: Sequence[Samples]) -> Iterator[Split]:
    """Leave out each recording once, or each of MAX_FOLDS groups of them; if they are too few, each block of the rated time."""
    if _by_recording(data):
        num_folds = min(MAX_FOLDS, len(data))
        for fold in range(num_folds):
            yield [s for i, s in enumerate(data) if i % num_folds != fold], list(data[fold::num_folds])
        return
    sizes = [len(samples.steps) for samples in data]
    starts = np.cumsum([0, *sizes[:-1]])
    gap = min(GAP, MAX_GAP * sum(samples.seconds for samples in data))
    for block in range(NUM_BLOCKS):
        first, stop = (sum(sizes) * (block + end) // NUM_BLOCKS for end in (0, 1))
        train, test = [], []
        for samples, start in zip(data, starts, strict=True):
            inside = samples.where(slice(*np.clip([first - start, stop - start], 0, len(samples.steps))))
            if not len(inside.steps):
                train.append(samples)
                continue
            away = (samples.steps <= inside.steps[0] - gap * samples.rate) | (
                samples.steps >= inside.steps[-1] + gap * samples.rate
            )
            train.append(samples.where(away))
            test.append(inside)
        yield train, test


def _cross_validated(data: Sequence[Samples], line: bool) -> tuple[Agreement, Agreement]:
    """Agreement of the values as they are, and corrected by what was fitted on the rest of the data."""
    before, after = [], []
    for train, test in _splits(data):
        correction = _correction(train, line)
        before += [_tested(samples, Correction()) for samples in test]
        after += [_tested(samples, correction) for samples in test]
    return _agreement(before), _agreement(after)


def _tested(samples: Samples, correction: Correction) -> NDArray[np.float64]:
    """Corrected values, ratings, and whether these are inside the intervals, (3, N)."""
    values = correction.values(samples.values)
    inside = np.abs(samples.ratings - values) <= samples.half_widths * correction.interval
    return np.stack([values, samples.ratings, inside])


def _agreement(tested: Sequence[NDArray[np.float64]]) -> Agreement:
    values, ratings, inside = np.concatenate(tested, axis=1)
    return Agreement(concordance_cc(ratings, values), pearson_cc(ratings, values), rmse(ratings, values), float(inside.mean()))


def _correction(data: Sequence[Samples], line: bool) -> Correction:
    """Scale and shift from all data (without `line`, 1 and 0), and the interval from errors on data that is left out once.

    The interval's factor is a conformal quantile (see `vatrace.inference.intervals`) of the errors divided by the model's
    half-widths.
    """
    errors = []
    for train, test in _splits(data):
        rest = Correction(*fitted_line(train)) if line else Correction()
        errors += [np.abs(samples.ratings - rest.values(samples.values)) / samples.half_widths for samples in test]
    scale, shift = fitted_line(data) if line else (1.0, 0.0)
    return Correction(scale, shift, _quantile(np.concatenate(errors), sum(samples.seconds for samples in data)))


def _quantile(errors: NDArray[np.float64], seconds: float) -> float:
    """The conformal quantile of errors that are as good as `seconds` / INDEPENDENT_DUR independent ones."""
    number = max(seconds / INDEPENDENT_DUR, 1.0)
    return float(np.quantile(errors, min(COVERAGE * (1 + 1 / number), 1.0)))


def fitted_line(data: Sequence[Samples]) -> tuple[float, float]:
    """Scale and shift from the model's values to the ratings, drawn towards 1 and 0 if there is little data.

    The change from a scale of 1 is multiplied by n v SD^2 / (n v SD^2 + e), with n independent samples, v the variance of the
    values and e that of the errors: the weight of Bayesian linear regression with a normal prior of SCALE_SD (Bishop 2006,
    Pattern Recognition and Machine Learning, 3.3). The change of the mean is drawn towards 0 in the same way.
    """
    x, y = (np.concatenate([getattr(samples, part) for samples in data]) for part in ("values", "ratings"))
    number = sum(samples.seconds for samples in data) / INDEPENDENT_DUR
    r = pearson_cc(x, y)
    r = 0.0 if np.isnan(r) else max(r, 0.0)
    errors = float(y.var() * (1 - r**2)) + 1e-9
    steepness = SCALE_SD**2 * float(x.var()) * number
    scale = 1 + steepness / (steepness + errors) * (r**POWER * y.std() / max(x.std(), 1e-9) - 1)
    distance = SHIFT_SD**2 * number
    middle = x.mean() + distance / (distance + errors) * (y.mean() - x.mean())
    return float(scale), float(middle - scale * x.mean())
