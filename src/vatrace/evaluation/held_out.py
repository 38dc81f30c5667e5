"""Evaluate, compare and apply runs on recordings that they were not trained on; the test split stays locked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vatrace.errors import StoreError, UsageError
from vatrace.evaluation.bootstrap import Pair
from vatrace.evaluation.compare import Difference, compare
from vatrace.evaluation.evaluate import Evaluation, evaluate, labelled
from vatrace.names import Split
from vatrace.store import Store, StoredRecording, log_look

if TYPE_CHECKING:
    from vatrace.training.run import Predictor, Run

Progress = Callable[[float], None]
"""Called with the share done, 0..1."""


def recordings_to_evaluate(
    store: Store, runs: Sequence[Run], split: Split = "dev", unlock_test: bool = False
) -> list[StoredRecording]:
    """The recordings of a split with their labels, after checking that no run was trained on them.

    With folds, dev is all recordings in the folds.

    Args:
        store: a store that fits the runs (`Run.check_fits`).
        runs: the runs, which are evaluated on the same recordings.
        split: dev or test.
        unlock_test: needed for test; the evaluation is logged in test-log.jsonl of the store and of each run.

    Raises:
        RunError: if a run does not fit the store, or was trained on one of the recordings.
        UsageError: if test is locked, or only some of the runs have folds.
        ValueError: if there is no such split.
    """
    if split not in {"dev", "test"}:
        raise ValueError(f"split must be dev or test, not {split!r}")
    for run in runs:
        run.check_fits(store)
    if split == "dev":
        return _dev_recordings(store, runs)
    if not unlock_test:
        raise UsageError(
            "the test split is for the end, after all choices have been made: unlock it with --unlock-test "
            "(unlock_test=True), which is logged in test-log.jsonl of the store and of the run"
        )
    for run in runs:
        run.check_held_out(store.names_in("test"), "test")
    why = ", ".join(str(run.folder.absolute()) for run in runs)
    recordings = store.unlock_test(why)
    for run in runs:
        log_look(run.folder, why)
    return recordings


def _dev_recordings(store: Store, runs: Sequence[Run]) -> list[StoredRecording]:
    folds = {run.has_folds for run in runs}
    if len(folds) > 1:
        raise UsageError("runs with folds and runs without have different dev recordings: compare runs of the same kind")
    names = store.names_in("dev")
    if folds == {True}:
        names = sorted({name for member in runs[0].members for name in member.dev})
    locked = sorted({*names} & {*store.names_in("test")})
    if locked:
        raise UsageError(f"{', '.join(locked[:5])}: in the folds of the run, but now in the test split: train again")
    for run in runs:
        run.check_held_out(names, "dev")
    return [store.recording(name) for name in names]


def evaluate_run(
    predictor: Predictor,
    store: Store,
    split: Split = "dev",
    unlock_test: bool = False,
    progress: Progress = lambda done: None,
) -> tuple[Evaluation, dict[str, Pair]]:
    """Evaluate a run on a split; with folds, each dev recording is predicted by models that were not trained on it.

    Args:
        predictor: the run's models.
        store: a store that fits the run (`Run.check_fits`).
        split: dev or test.
        unlock_test: needed for test; see `recordings_to_evaluate`.
        progress: called with the share done, 0..1.

    Returns:
        The evaluation, and truth and prediction (T, 2) of each recording by name.

    Raises:
        RunError, UsageError: as `recordings_to_evaluate`.
        StoreError: if no recording of the split has labels.
    """
    recordings = recordings_to_evaluate(store, [predictor.run], split, unlock_test)
    return evaluate(
        lambda recording, change: predictor.predict_held_out(recording, split, change),
        recordings,
        {name: member.subject for name, member in store.members.items()},
        np.array(predictor.run.content["train_mean"]),
        store.corpus_facts.get("agreement"),
        progress,
        predictor.run.content["config"]["model"]["feature_dims"],
    )


def compare_runs(
    predictors: Sequence[Predictor],
    store: Store,
    split: Split = "dev",
    unlock_test: bool = False,
    progress: Progress = lambda done: None,
) -> tuple[dict[str, dict[str, Difference]], int]:
    """Compare runs with the first on a split; recordings without labels are left out.

    Args:
        predictors: the runs' models.
        store: a store that fits the runs (`Run.check_fits`).
        split: dev or test.
        unlock_test: needed for test; see `recordings_to_evaluate`.
        progress: called with the share done, 0..1.

    Returns:
        The result of `compare`, by the runs' folders, and the number of subjects (or recordings where subjects are unknown).

    Raises:
        RunError, UsageError: as `recordings_to_evaluate`, and RunError if the runs don't predict the same steps.
        StoreError: if no recording of the split has labels.
    """
    recordings = labelled(recordings_to_evaluate(store, [predictor.run for predictor in predictors], split, unlock_test))
    subjects = {name: member.subject for name, member in store.members.items()}
    predictions: list[dict[str, Pair]] = []
    for predictor in predictors:
        pairs: dict[str, Pair] = {}
        for recording in recordings:
            pairs[recording.name] = (recording.labels(), predictor.predict_held_out(recording, split))
            progress((len(predictions) + len(pairs) / len(recordings)) / len(predictors))
        predictions.append(pairs)
    names = [str(predictor.run.folder) for predictor in predictors]
    units = {subjects.get(recording.name) or recording.name for recording in recordings}
    return compare(predictions, names, subjects), len(units)


def predict_test(
    predictor: Predictor, store: Store, progress: Progress = lambda done: None
) -> tuple[list[StoredRecording], dict[str, NDArray[np.float64]]]:
    """Predict the test split without its labels.

    Args:
        predictor: the run's models.
        store: a store that fits the run (`Run.check_fits`).
        progress: called with the share done, 0..1.

    Returns:
        The recordings, with locked labels, and valence and arousal (T, 2) by name.

    Raises:
        RunError: if the run does not fit the store.
        StoreError: if no recording is in the test split.
    """
    predictor.run.check_fits(store)
    recordings = store.split("test", labels=False)
    if not recordings:
        raise StoreError(f"{store.path}: no recording of this store is in the test split")
    predictions = {}
    for done, recording in enumerate(recordings, start=1):
        predictions[recording.name] = predictor.predict(recording)
        progress(done / len(recordings))
    return recordings, predictions
