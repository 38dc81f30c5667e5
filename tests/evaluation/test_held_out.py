import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from command import run as run_command
from made_stores import make_store
from vatrace.errors import StoreError, UsageError
from vatrace.evaluation.held_out import compare_runs, predict_test, recordings_to_evaluate
from vatrace.store import Store
from vatrace.training.run import Predictor, Run


def test_the_test_split_is_locked_and_each_evaluation_logged(run: Run, store: Store) -> None:
    locked = run_command("evaluate", run.folder, "--store", store.path, "--split", "test")
    assert locked.status == 1 and "--unlock-test" in locked.err and locked.err.count("\n") == 1
    assert not (store.path / "test-log.jsonl").exists()
    opened = run_command("evaluate", run.folder, "--store", store.path, "--split", "test", "--unlock-test")
    assert opened.status == 0 and "1 recording," in opened.out
    for folder in (store.path, run.folder):
        (line,) = (folder / "test-log.jsonl").read_text().splitlines()
        assert json.loads(line)["why"] == str(run.folder)


def test_training_recordings_are_refused(run: Run, tmp_path: Path) -> None:
    """For instance after splits.csv was changed."""
    for split, named in (("dev", "a"), ("test", "e")):
        store = make_store(tmp_path / split)
        moved = {name: replace(member, split=split) if name == named else member for name, member in store.members.items()}
        store.write_corpus(moved, {})
        unlock = ["--unlock-test"] if split == "test" else []
        result = run_command("evaluate", run.folder, "--store", store.path, "--split", split, *unlock)
        assert result.status == 1 and f"was trained on {named}, now in {split}" in result.err
        assert not (store.path / "test-log.jsonl").exists()


def test_features_of_another_version_are_refused(run: Run, tmp_path: Path) -> None:
    other = make_store(tmp_path / "s")
    content = json.loads((other.path / "store.json").read_text())
    content["encoders"]["voice"]["version"] = "voice-2"
    (other.path / "store.json").write_text(json.dumps(content))
    result = run_command("evaluate", run.folder, "--store", other.path)
    assert result.status == 1 and "voice features are voice-2" in result.err


def test_the_library_locks_the_test_split(run: Run, tmp_path: Path) -> None:
    store = make_store(tmp_path / "s")
    assert [recording.name for recording in recordings_to_evaluate(store, [run])] == ["e", "f"]
    with pytest.raises(UsageError, match="unlock_test=True"):
        recordings_to_evaluate(store, [run], "test")
    with pytest.raises(UsageError, match="compare runs of the same kind"):
        recordings_to_evaluate(store, [run, replace(run, has_folds=True)])
    with pytest.raises(ValueError, match="dev or test, not 'train'"):
        recordings_to_evaluate(store, [run], "train")
    recordings, predictions = predict_test(Predictor(run), store)
    assert list(predictions) == ["g"] and np.isfinite(predictions["g"]).all()
    with pytest.raises(StoreError, match="locked"):
        recordings[0].labels()
    assert not (store.path / "test-log.jsonl").exists()
    for name, member in store.members.items():
        if member.split == "dev":
            store.write_corpus(store.members | {name: replace(member, split="test")}, {})
    with pytest.raises(UsageError, match="e, f: in the folds of the run, but now in the test split"):
        recordings_to_evaluate(store, [replace(run, has_folds=True)])


def test_recordings_without_labels_do_not_change_a_comparison(run: Run, tmp_path: Path) -> None:
    splits = {"a": "train", "b": "train", **{f"d{number:02d}": "dev" for number in range(12)}}
    predictors = [Predictor(run), Predictor(replace(run, folder=tmp_path / "other"))]
    found = []
    for kept in (4, 12):  # recordings in dev; the first four have labels in both stores
        store = make_store(tmp_path / str(kept), dict(list(splits.items())[: 2 + kept]))
        for name in store.names_in("dev")[4:]:
            store.write_labels(name, np.full_like(store.recording(name).labels(), np.nan))
        found.append(compare_runs(predictors, store))
    assert found[0][1] == found[1][1] == 4 and found[0][0] == found[1][0]
