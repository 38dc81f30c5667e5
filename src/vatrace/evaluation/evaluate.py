"""Agreement of predictions with labels, its uncertainty, and the contribution of each modality. NumPy only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vatrace.errors import StoreError
from vatrace.evaluation.bootstrap import (
    Pair,
    caution,
    ccc_of_moments,
    interval,
    moments,
    nan_mean,
    resample_counts,
    resampled_ccc,
)
from vatrace.metrics import concordance_cc, concordance_parts, pearson_cc, rmse, sign_agreement
from vatrace.names import DIMENSIONS
from vatrace.store import StoredRecording

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Shares of a modality's steps that are removed."""
SPELL_DUR = 3.0
"""Length of each removed stretch, in seconds."""
MAX_LAG, LAG_STEP = 2.0, 0.2
"""Lags from -MAX_LAG to MAX_LAG, in seconds."""
PERSISTENCE = 1.0
"""The baseline predicts the label of this many seconds before."""

Masks = dict[str, NDArray[np.bool_]]
Predict = Callable[[StoredRecording, Callable[[Masks], Masks] | None], NDArray[np.float64]]
"""Predicts a recording (T, 2), with its masks changed by a function, or unchanged if it is None."""
Variant = Callable[[StoredRecording, int], Callable[[Masks], Masks] | None]
"""Returns a function that changes the masks of a recording, given the recording and its index."""


@dataclass(frozen=True)
class Score:
    """Agreement in one dimension.

    Attributes:
        ccc: CCC over all labelled steps together.
        ccc_low: lower end of its 95 % bootstrap interval over subjects (or recordings where subjects are unknown).
        ccc_high: upper end.
        ccc_by_recording: mean over recordings of the CCC within each.
        pearson: Pearson's correlation.
        rmse: root mean squared error.
        sign_agreement: share of steps with the correct sign.
        accuracy: the factor that CCC loses by scale and shift; CCC = pearson * accuracy.
        scale: standard deviation of the prediction divided by that of the label.
        shift: mean of the prediction minus that of the label, in standard deviations.
    """

    ccc: float
    ccc_low: float
    ccc_high: float
    ccc_by_recording: float
    pearson: float
    rmse: float
    sign_agreement: float
    accuracy: float
    scale: float
    shift: float


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of a run on a split.

    Attributes:
        num_recordings: number of recordings with labels.
        num_units: number of units of the bootstrap: subjects, or recordings where subjects are unknown.
        num_steps: number of labelled steps.
        unsupported: share of the labelled steps at which none of the run's modalities was present.
        scores: scores by dimension; all NaN for an output that the run does not have.
        mean_ccc: mean CCC of the run's outputs, with the ends of its interval.
        baselines: scores of predictions without a model, by name and dimension.
        ablation: CCC by the modalities used and by dimension.
        robustness: CCC by modality, removed share, and dimension.
        lag: CCC by lag of the labels in seconds, and by dimension.
        recordings: name, number of labels and CCCs of each recording, the worst first.
        agreement: agreement between the annotators, a ceiling for models; None for a single annotator.
    """

    num_recordings: int
    num_units: int
    num_steps: int
    unsupported: float
    scores: dict[str, Score]
    mean_ccc: tuple[float, float, float]
    baselines: dict[str, dict[str, float]]
    ablation: dict[str, dict[str, float]]
    robustness: dict[str, dict[float, dict[str, float]]]
    lag: dict[float, dict[str, float]]
    recordings: list[dict[str, Any]]
    agreement: dict[str, Any] | None


def labelled(recordings: Sequence[StoredRecording]) -> list[StoredRecording]:
    """Those with labels: others would be drawn in resamples of the recordings, and make intervals too wide.

    Raises:
        StoreError: if none has labels.
    """
    chosen = [recording for recording in recordings if not np.isnan(recording.labels()).all()]
    if not chosen:
        raise StoreError("no recording of this split has labels")
    return chosen


def evaluate(
    predict: Predict,
    recordings: Sequence[StoredRecording],
    subjects: Mapping[str, str],
    train_mean: NDArray[np.float64],
    agreement: dict[str, Any] | None = None,
    progress: Callable[[float], None] = lambda done: None,
    modalities: Collection[str] | None = None,
) -> tuple[Evaluation, dict[str, Pair]]:
    """Evaluate predictions on recordings with labels.

    Args:
        predict: predicts a recording.
        recordings: recordings of the split; those without labels are left out.
        subjects: subject by recording; "" where unknown.
        train_mean: (2,) mean label of train.
        agreement: agreement between annotators.
        progress: called with the share done, 0..1.
        modalities: those the predictions are based on; None for all that the recordings have.

    Returns:
        The evaluation, and truth and prediction of each recording by name.

    Raises:
        StoreError: if no recording has labels.
    """
    chosen = labelled(recordings)
    units = [subjects.get(recording.name) or recording.name for recording in chosen]
    truths = [recording.labels().astype(np.float64) for recording in chosen]
    names = [name for name in chosen[0].schema.dims if modalities is None or name in modalities]
    whole, pooled = _predict_variants(predict, chosen, truths, names, progress)
    unit_moments = moments(whole, units)
    resamples = resampled_ccc(unit_moments, resample_counts(len(unit_moments)))
    supported = [np.logical_or.reduce([recording.valid()[name] for name in names]) for recording in chosen]
    known = [~np.isnan(truth).all(axis=1) for truth in truths]
    num_steps = int(sum(mask.sum() for mask in known))
    evaluation = Evaluation(
        num_recordings=len(chosen),
        num_units=len(unit_moments),
        num_steps=num_steps,
        unsupported=float(sum((mask & ~present).sum() for mask, present in zip(known, supported, strict=True)) / num_steps),
        scores={name: _score(whole, column, resamples[:, column]) for column, name in enumerate(DIMENSIONS)},
        mean_ccc=(float(nan_mean(ccc_of_moments(unit_moments.sum(axis=0)))), *interval(resamples[:, 2])),
        baselines=_baselines(chosen, truths, train_mean),
        ablation=_ablation(names, pooled),
        robustness={
            name: {0.0: pooled[""]} | {share: pooled[f"{name} {share}"] for share in SHARES}
            for name in (names if len(names) > 1 else [])
        },
        lag=_lags(chosen, whole),
        recordings=_by_recording(chosen, whole),
        agreement=agreement,
    )
    return evaluation, {recording.name: pair for recording, pair in zip(chosen, whole, strict=True)}


def _predict_variants(
    predict: Predict,
    recordings: Sequence[StoredRecording],
    truths: Sequence[NDArray[np.float64]],
    modalities: Sequence[str],
    progress: Callable[[float], None],
) -> tuple[list[Pair], dict[str, dict[str, float]]]:
    """Truth and prediction of each recording with all modalities, and the CCC of each variant."""
    variants: dict[str, Variant] = {"": lambda recording, index: None}
    for name in modalities if len(modalities) > 1 else []:
        variants[f"only {name}"] = _only(name)
        for share in SHARES:
            variants[f"{name} {share}"] = _without(name, share)
    whole: list[Pair] = []
    pooled: dict[str, dict[str, float]] = {}
    for done, (key, variant) in enumerate(variants.items()):
        pairs: list[Pair] = []
        for index, (recording, truth) in enumerate(zip(recordings, truths, strict=True)):
            pairs.append((truth, predict(recording, variant(recording, index))))
            progress((done + (index + 1) / len(recordings)) / len(variants))
        pooled[key] = pooled_ccc(pairs)
        whole = whole or pairs  # only those of the first variant are kept
    return whole, pooled


def pooled_ccc(pairs: Sequence[Pair]) -> dict[str, float]:
    """CCC by dimension over all labelled steps together."""
    values = ccc_of_moments(moments(pairs, ["all"] * len(pairs))[0])
    return dict(zip(DIMENSIONS, values.tolist(), strict=True))


def _known(pair: Pair, column: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = (values[:, column].astype(np.float64) for values in pair)
    known = ~np.isnan(x) & ~np.isnan(y)
    return x[known], y[known]


def _score(pairs: Sequence[Pair], column: int, resampled: NDArray[np.float64]) -> Score:
    each = [_known(pair, column) for pair in pairs]
    x, y = (np.concatenate(values) for values in zip(*each, strict=True))
    parts = concordance_parts(x, y)
    return Score(
        concordance_cc(x, y),
        *interval(resampled),
        float(nan_mean(np.array([concordance_cc(*values) for values in each]))),
        pearson_cc(x, y),
        rmse(x, y),
        sign_agreement(x, y),
        parts.accuracy,
        parts.scale,
        parts.shift,
    )


def _baselines(
    recordings: Sequence[StoredRecording], truths: Sequence[NDArray[np.float64]], train_mean: NDArray[np.float64]
) -> dict[str, dict[str, float]]:
    """CCC of the label PERSISTENCE seconds before, and RMSE of constants, whose CCC is 0 by definition."""
    before = []
    for recording, truth in zip(recordings, truths, strict=True):
        steps = min(round(PERSISTENCE * recording.meta.rate), len(truth))
        before.append((truth, np.concatenate([np.full((steps, 2), np.nan), truth[: len(truth) - steps]])))
    result = {f"label {PERSISTENCE:g} s before": pooled_ccc(before)}
    for name, constant in (("zero", np.zeros(2)), ("train mean", train_mean)):
        pairs = [(truth, np.broadcast_to(constant, truth.shape)) for truth in truths]
        result[f"{name} (RMSE)"] = {
            dimension: rmse(*(np.concatenate(values) for values in zip(*[_known(p, k) for p in pairs], strict=True)))
            for k, dimension in enumerate(DIMENSIONS)
        }
    return result


def _only(name: str) -> Variant:
    return lambda recording, index: (
        lambda masks: {other: mask if other == name else np.zeros_like(mask) for other, mask in masks.items()}
    )


def _without(name: str, share: float) -> Variant:
    def variant(recording: StoredRecording, index: int) -> Callable[[Masks], Masks]:
        removed = spells(recording.num_steps, recording.meta.rate, share, seed=index)
        return lambda masks: {other: mask & ~removed if other == name else mask for other, mask in masks.items()}

    return variant


def spells(steps: int, rate: float, share: float, seed: int) -> NDArray[np.bool_]:
    """A mask (T,) of random spells of SPELL_DUR that together cover a share of all steps."""
    length = max(round(SPELL_DUR * rate), 1)
    block = np.arange(steps) // length
    order = np.random.default_rng(seed).permutation(block[-1] + 1)
    return np.isin(block, order[: round(share * len(order))])


def _ablation(names: Sequence[str], pooled: Mapping[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    result = {"all": pooled[""]}
    if len(names) > 1:
        result |= {f"only {name}": pooled[f"only {name}"] for name in names}
        result |= {f"without {name}": pooled[f"{name} {SHARES[-1]}"] for name in names}
    return result


def _lags(recordings: Sequence[StoredRecording], pairs: Sequence[Pair]) -> dict[float, dict[str, float]]:
    """CCC of the prediction with labels that are moved earlier, by seconds. Except at the ends, all lags use the same steps."""
    result = {}
    for lag in np.arange(-MAX_LAG, MAX_LAG + LAG_STEP / 2, LAG_STEP).round(2).tolist():
        moved = []
        for recording, (truth, prediction) in zip(recordings, pairs, strict=True):
            shift = round(lag * recording.meta.rate)
            later = np.full(truth.shape, np.nan)
            if abs(shift) < len(truth):
                later[max(-shift, 0) : len(truth) - max(shift, 0)] = truth[max(shift, 0) : len(truth) + min(shift, 0)]
            moved.append((later, prediction))
        result[lag] = pooled_ccc(moved)
    return result


def _by_recording(recordings: Sequence[StoredRecording], pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    rows = []
    for recording, pair in zip(recordings, pairs, strict=True):
        known = [_known(pair, column) for column in range(2)]
        scores = {f"ccc_{name}": concordance_cc(*values) for name, values in zip(DIMENSIONS, known, strict=True)}
        rows.append({"name": recording.name, "labels": max(len(x) for x, _ in known), **scores})
    return sorted(rows, key=lambda row: float(np.nan_to_num(nan_mean(np.array(list(row.values())[2:])), nan=-2)))


def text_table(evaluation: Evaluation) -> str:
    """The evaluation in plain text."""
    noun = "recording" if evaluation.num_recordings == 1 else "recordings"
    subjects = f" of {evaluation.num_units} subjects" if evaluation.num_units < evaluation.num_recordings else ""
    lines = [
        f"{evaluation.num_recordings} {noun}{subjects}, {evaluation.num_steps} labelled steps, "
        f"{evaluation.unsupported:.0%} of them without any modality",
        "",
        f"{'':10}{'CCC [95 %]':>24}{'by recording':>14}{'Pearson r':>11}{'RMSE':>8}{'sign':>7}{'scale':>8}{'shift':>8}",
    ]
    for name, score in evaluation.scores.items():
        ccc = f"{score.ccc:.3f} [{score.ccc_low:.3f}, {score.ccc_high:.3f}]"
        lines.append(
            f"{name:10}{ccc:>24}{score.ccc_by_recording:>14.3f}{score.pearson:>11.3f}{score.rmse:>8.3f}"
            f"{score.sign_agreement:>7.2f}{score.scale:>8.2f}{score.shift:>+8.2f}"
        )
    value, low, high = evaluation.mean_ccc
    lines.append(f"{'mean':10}{f'{value:.3f} [{low:.3f}, {high:.3f}]':>24}")
    if evaluation.agreement:
        others = evaluation.agreement["others"]
        lines.append(
            f"{'annotators':10}{'  '.join(f'{others[name]:.3f}' for name in DIMENSIONS):>24}  CCC of each with the others"
        )
    lines += filter(None, [caution(evaluation.num_units)])
    for title, rows in (("baselines", evaluation.baselines), ("contribution, CCC", evaluation.ablation)):
        lines += ["", f"{title:32}{'valence':>9}{'arousal':>9}"]
        lines += [f"  {name:30}{values['valence']:>9.3f}{values['arousal']:>9.3f}" for name, values in rows.items()]
    worst = evaluation.recordings[:5]
    lines += ["", f"{'worst recordings, CCC':32}{'valence':>9}{'arousal':>9}"]
    lines += [f"  {row['name']:30}{row['ccc_valence']:>9.3f}{row['ccc_arousal']:>9.3f}" for row in worst]
    return "\n".join(lines)
