import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from made_stores import CONFIG, make_store
from vatrace.cli import main
from vatrace.errors import CheckpointError, RunError, TrainingError
from vatrace.inference.intervals import MIN_ERRORS, situations
from vatrace.models.affect import ModelConfig
from vatrace.models.backbone import BackboneConfig, GreyFaceNet
from vatrace.store import Membership, Store
from vatrace.training.checkpoint import load_model, load_tensors
from vatrace.training.config import RunConfig
from vatrace.training.data import statistics
from vatrace.training.loop import Epoch, TrainConfig
from vatrace.training.run import Member, Predictor, Run
from vatrace.training.train import Report, RunOptions, dev_scores, train_run

SEED_5 = RunOptions(seed=5)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_it_learns_what_is_planted(run: Run, store: Store) -> None:
    (member,) = run.members
    model, facts = load_model(member.weights)
    scores = dev_scores(model, store.split("dev"), member.outputs, run.win_len)
    assert min(scores.values()) > 0.7
    logged = rows(member.folder / "log.csv")
    best = max(logged, key=lambda row: float(row["dev_ccc_valence"]) + float(row["dev_ccc_arousal"]))
    assert [float(best["dev_ccc_valence"]), float(best["dev_ccc_arousal"])] == pytest.approx(list(scores.values()), abs=1e-5)
    assert facts["rate"] == 10.0 and facts["encoders"] == {"face": "face-1", "voice": "voice-1", "words": "words-1"}
    assert any((member.folder / "tensorboard").iterdir())
    assert json.loads((member.folder / "model.json").read_text())["model"]["fusion"] == "concat"


def test_statistics_travel_with_the_weights_and_are_of_train_only(run: Run, store: Store) -> None:
    model, _ = load_model(run.members[0].weights)
    for name, (mean, deviation) in statistics(store.split("train"), ("face", "voice", "words")).items():
        torch.testing.assert_close(model.get_buffer(f"{name}_mean"), mean)
        torch.testing.assert_close(model.get_buffer(f"{name}_scale"), 1 / deviation)


def weights(run: Run | None) -> list[dict[str, torch.Tensor]]:
    assert run is not None
    return [load_tensors(member.weights)[0] for member in run.members]


class StopError(Exception):
    """Stands for an interruption."""


def stop_after(member: str, epoch: float) -> Report:
    def step(name: str, epochs: float) -> None:
        if name == member and epochs > epoch:
            raise StopError

    return Report(step=step)


@pytest.mark.parametrize(
    "changes",
    [
        {"modality_dropout": 0.3},
        {"optimizer": "adam", "schedule": "plateau", "patience": 0, "warmup_epochs": 1, "learning_rate": 0.05},
    ],
)
def test_an_interrupted_run_ends_as_one_that_was_not(
    store: Store, config: RunConfig, tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = replace(config, model=replace(config.model, dropout=0.2), train=replace(config.train, num_epochs=6, **changes))
    whole = train_run(config, store, tmp_path / "whole", SEED_5)
    for moment in (0.5, 2.3, 4.9):
        with pytest.raises(StopError):
            train_run(config, store, tmp_path / "parts", SEED_5, report=stop_after("model", moment))
        with pytest.raises(RunError, match="this run is unfinished"):
            Run.open(tmp_path / "parts")
    told: list[Epoch] = []
    report = Report(epoch=lambda member, epoch: told.append(epoch))
    parts = train_run(config, store, tmp_path / "parts", SEED_5, report=report)
    assert [epoch.number for epoch in told] == [1, 2, 3, 4, 5, 6]
    for one, two in zip(weights(whole), weights(parts), strict=True):
        assert all(torch.equal(one[name], two[name]) for name in one)
    told.clear()
    notes: list[str] = []
    assert train_run(config, store, tmp_path / "parts", SEED_5, report=replace(report, note=notes.append)) == parts
    assert told == [] and notes == [f"{tmp_path / 'parts'} is already finished: nothing is left to train"]
    logs = [(tmp_path / name / "model" / "log.csv").read_text() for name in ("whole", "parts")]
    assert logs[0] == logs[1]
    if "schedule" in changes:
        rates = {row["learning_rate"] for row in rows(tmp_path / "whole" / "model" / "log.csv")}
        assert len(rates) > 1  # the plateau's state did matter


def test_another_seed_gives_another_model_and_the_same_the_same(store: Store, config: RunConfig, tmp_path: Path) -> None:
    runs = [train_run(config, store, tmp_path / str(i), RunOptions(seed=seed)) for i, seed in enumerate((1, 1, 2))]
    one, again, other = (weights(run)[0] for run in runs)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["output.weight"], other["output.weight"])


def test_folds_are_predicted_by_models_not_trained_on_them(tmp_path: Path, config: RunConfig) -> None:
    subjects = {"a": "x", "b": "x"}
    store = make_store(tmp_path / "s", subjects=subjects)
    config = replace(config, train=replace(config.train, num_epochs=2, separate=True))
    with pytest.raises(StopError):
        train_run(config, store, tmp_path / "r", RunOptions(folds=3), report=stop_after("fold-2-valence", 1.2))
    finished = load_tensors(tmp_path / "r" / "fold-1-arousal" / "model.safetensors")[0]
    steps: dict[str, list[float]] = {}
    report = Report(step=lambda member, epochs: steps.setdefault(member, []).append(epochs))
    run = train_run(config, store, tmp_path / "r", RunOptions(folds=3), report)
    assert run is not None and run.has_folds
    assert set(steps) == {"fold-2-valence", "fold-2-arousal", "fold-3-valence", "fold-3-arousal"}  # the others were finished
    assert steps["fold-2-valence"][0] > 1  # its first epoch was
    assert all(torch.equal(weights(run)[1][name], value) for name, value in finished.items())
    assert [(m.folder.name, m.outputs) for m in run.members] == [
        (f"fold-{i}-{output}", (output,)) for i in (1, 2, 3) for output in ("valence", "arousal")
    ]
    held_out = [set(m.dev) for m in run.members if m.outputs == ("valence",)]
    assert set.union(*held_out) == {"a", "b", "c", "d", "e", "f"} and sum(map(len, held_out)) == 6
    assert any({"a", "b"} <= names for names in held_out)
    predictor = Predictor(run)
    recording = store.recording("c")
    mine = [member for member in run.members if "c" in member.dev]
    assert [member.outputs for member in mine] == [("valence",), ("arousal",)]
    np.testing.assert_array_equal(predictor.predict_held_out(recording, "dev"), predictor.predict(recording, mine))
    everything = predictor.predict(recording)
    valence = [predictor.predict(recording, [m])[:, 0] for m in run.members if m.outputs == ("valence",)]
    np.testing.assert_allclose(everything[:, 0], np.mean(valence, axis=0))
    assert np.isnan(predictor.predict(recording, [run.members[0]])[:, 1]).all()


def test_folds_are_over_all_recordings_except_test(tmp_path: Path, config: RunConfig) -> None:
    store = make_store(tmp_path / "s")
    members = store.members
    store.write_corpus({name: Membership("test" if name == "g" else None) for name in members}, {"kind": "folder"})
    run = train_run(replace(config, train=replace(config.train, num_epochs=1)), store, tmp_path / "r", RunOptions(folds=2))
    assert run is not None
    assert sorted(name for member in run.members for name in member.dev) == ["a", "b", "c", "d", "e", "f"]


def test_test_recordings_are_never_read_for_their_labels(store: Store, config: RunConfig, tmp_path: Path) -> None:
    before = train_run(config, store, tmp_path / "before")
    copy = make_store(tmp_path / "copy")
    copy.write_labels("g", -copy.unlock_test("to change them")[0].labels())
    after = train_run(config, copy, tmp_path / "after")
    assert all(torch.equal(weights(before)[0][name], value) for name, value in weights(after)[0].items())


def test_a_folder_with_another_run_is_left_alone(run: Run, store: Store, config: RunConfig) -> None:
    with pytest.raises(RunError, match="contains another run"):
        train_run(config, store, run.folder, RunOptions(seed=99))
    with pytest.raises(RunError, match="contains another run"):
        train_run(replace(config, train=replace(config.train, learning_rate=1e-4)), store, run.folder)
    assert Run.open(run.folder).members == run.members


def test_other_labels_make_another_run(config: RunConfig, tmp_path: Path) -> None:
    store = make_store(tmp_path / "s")
    train_run(config, store, tmp_path / "r")
    store.write_labels("a", -store.recording("a").labels())
    with pytest.raises(RunError, match=r"contains another run \(different data"):
        train_run(config, store, tmp_path / "r")


def test_a_store_that_does_not_fit_is_refused_with_advice(store: Store, config: RunConfig, tmp_path: Path) -> None:
    other = replace(config, model=replace(config.model, feature_dims={"face": 6, "voice": 5, "words": 9}))
    with pytest.raises(RunError, match=r"\[model\.feature_dims\]\nface = 6\nvoice = 5\nwords = 4\n\[model\.widths\]\nface = 8"):
        train_run(other, store, tmp_path / "r")
    alone = make_store(tmp_path / "s", {"a": "train"})
    with pytest.raises(RunError, match=r"no recording with labels in dev: .*--folds"):
        train_run(config, alone, tmp_path / "r")
    with pytest.raises(RunError, match="not a run"):
        Run.open(tmp_path)
    assert not (tmp_path / "r").exists()


def test_missing_annotations_are_refused_with_advice(config: RunConfig, tmp_path: Path) -> None:
    store = make_store(tmp_path / "s")
    for recording in [*store.split("train"), *store.split("dev")]:
        store.write_labels(recording.name, recording.labels() * [1, np.nan])
    separate = replace(config, train=replace(config.train, separate=True))
    for wrong, outputs in ((config, "both valence and arousal"), (separate, "arousal")):
        with pytest.raises(RunError, match=rf'no step in train is annotated in {outputs}: .* outputs = \["valence"\]'):
            train_run(wrong, store, tmp_path / "r")
    for index, recording in enumerate([*store.split("train"), *store.split("dev")]):
        store.write_labels(recording.name, np.where([index % 2 == 0, index % 2 == 1], recording.labels()[:, :1], np.nan))
    with pytest.raises(RunError, match=r"both valence and arousal: the config should have separate = true in \[train\]"):
        train_run(config, store, tmp_path / "r")
    run = train_run(replace(config, model=replace(config.model, outputs=("valence",))), store, tmp_path / "r")
    assert run is not None and len(run.members) == 1


def test_weights_of_a_face_network_that_were_replaced_make_another_run(tmp_path: Path) -> None:
    torch.manual_seed(0)
    names = {"a": "train", "b": "train", "c": "train"}
    store = make_store(tmp_path / "s", names, steps=20, crops=True)
    file = tmp_path / "w.pth"
    torch.save(GreyFaceNet().state_dict(), file)
    model = ModelConfig(feature_dims={"face": 128}, widths={"face": 8}, fusion="concat", num_levels=1)
    train = TrainConfig(num_epochs=1, batch_size=1, win_len=10, hop_len=10)
    config = RunConfig(model, train, BackboneConfig("ferplus", str(file)))
    folds = RunOptions(folds=2)
    with pytest.raises(StopError):
        train_run(config, store, tmp_path / "r", folds, stop_after("fold-2", 0))
    before = file.read_bytes()
    torch.save(GreyFaceNet().state_dict(), file)
    with pytest.raises(RunError, match=r"contains another run \(different backbone weights\)"):
        train_run(config, store, tmp_path / "r", folds)

    content = json.loads((tmp_path / "r" / "run.json").read_text())  # as an earlier version wrote it
    del content["backbone weights"]
    (tmp_path / "r" / "run.json").write_text(json.dumps(content))
    file.write_bytes(before)
    notes: list[str] = []
    assert train_run(config, store, tmp_path / "r", folds, Report(note=notes.append)) is not None
    assert "begun by an earlier version" in notes[0]
    torch.save(GreyFaceNet().state_dict(), file)
    with pytest.raises(RunError, match="different backbone weights"):  # not: nothing is left to train
        train_run(config, store, tmp_path / "r", folds)
    file.unlink()
    with pytest.raises(RunError, match=r"w\.pth: can't be read"):
        train_run(config, store, tmp_path / "r", folds)


def test_weights_of_a_face_network_that_are_replaced_between_folds(tmp_path: Path) -> None:
    torch.manual_seed(0)
    store = make_store(tmp_path / "s", {"a": "train", "b": "train"}, steps=20, crops=True)
    file = tmp_path / "w.pth"
    torch.save(GreyFaceNet().state_dict(), file)
    model = ModelConfig(feature_dims={"face": 128}, widths={"face": 8}, fusion="concat", num_levels=1)
    train = TrainConfig(num_epochs=1, batch_size=1, win_len=10, hop_len=10)
    config = RunConfig(model, train, BackboneConfig("ferplus", str(file)))
    replace_file = Report(epoch=lambda member, epoch: torch.save(GreyFaceNet().state_dict(), file))
    with pytest.raises(RunError, match=r"the weights of \[backbone\] have been replaced since this run began"):
        train_run(config, store, tmp_path / "r", RunOptions(folds=2), replace_file)


def test_of_two_models_each_learns_from_what_is_annotated_for_it(config: RunConfig, tmp_path: Path) -> None:
    store = make_store(tmp_path / "s")
    store.write_labels("a", store.recording("a").labels() * [1, np.nan])
    run = train_run(replace(config, train=replace(config.train, separate=True)), store, tmp_path / "r")
    assert run is not None and {member.outputs: "a" in member.train for member in run.members} == {
        ("valence",): True,
        ("arousal",): False,
    }


def test_a_run_may_use_some_modalities_and_outputs(store: Store, config: RunConfig, tmp_path: Path) -> None:
    face = replace(config.model, feature_dims={"face": 6}, widths={"face": 8}, outputs=("valence",))
    run = train_run(replace(config, model=face), store, tmp_path / "r")
    assert run is not None
    predicted = Predictor(run).predict(store.split("dev")[0])
    assert np.isfinite(predicted[:, 0]).all() and np.isnan(predicted[:, 1]).all()
    assert not (run.folder / "model.onnx").exists()


def test_the_exported_model_predicts_the_same(run: Run, store: Store) -> None:
    from vatrace.weights import onnx_session

    session = onnx_session(run.folder / "model.onnx")
    assert session.get_modelmeta().custom_metadata_map["rate"] == "10.0"
    recording, model = store.split("dev")[0], load_model(run.members[0].weights)[0]
    inputs = {name: recording.features(name, 0, 40).astype(np.float32)[None] for name in model.modalities}
    valid = np.stack(list(recording.valid(0, 40).values()), axis=-1)[None]
    found = session.run(["values"], inputs | {"valid": valid})[0]
    with torch.inference_mode():
        expected = model(
            {n: torch.from_numpy(x) for n, x in inputs.items()},
            {n: torch.from_numpy(m)[None] for n, m in recording.valid(0, 40).items()},
        )
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


def test_a_causal_model_is_exported_for_live_too(run: Run, store: Store) -> None:
    from vatrace.weights import onnx_session

    session = onnx_session(run.folder / "streaming.onnx")
    recording, model = store.split("dev")[0], load_model(run.members[0].weights)[0]
    inputs = {name: recording.features(name).astype(np.float32)[None] for name in model.modalities}
    valid = recording.valid()
    states = {
        value.name: np.zeros([1, *value.shape[1:]], np.float32) for value in session.get_inputs() if "state" in value.name
    }
    found = session.run(["values"], inputs | {"valid": np.stack(list(valid.values()), axis=-1)[None]} | states)[0]
    with torch.inference_mode():
        there = {name: torch.from_numpy(mask)[None] for name, mask in valid.items()}
        expected = model({name: torch.from_numpy(x) for name, x in inputs.items()}, there)
    assert states
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


def test_a_run_that_was_stopped_before_its_onnx_file_gets_it(
    store: Store, config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: object, **options: object) -> None:
        raise StopError

    with monkeypatch.context() as patch:
        patch.setattr("vatrace.training.export.export_onnx", stop)
        with pytest.raises(StopError):
            train_run(config, store, tmp_path / "r")
    run = train_run(config, store, tmp_path / "r")
    assert run is not None and (run.folder / "model.onnx").is_file()


def test_its_intervals_contain_nine_in_ten_labels_of_dev(config: RunConfig, tmp_path: Path) -> None:
    from vatrace.weights import onnx_session

    store = make_store(tmp_path / "s", steps=1500)
    run = train_run(config, store, tmp_path / "r")
    assert run is not None
    facts = onnx_session(run.folder / "model.onnx").get_modelmeta().custom_metadata_map
    widths = {name: np.array(pair) for name, pair in json.loads(facts["intervals"]).items()}
    misses: dict[str, list[np.ndarray]] = {}
    for recording in store.split("dev"):
        missed = np.abs(recording.labels() - Predictor(run).predict(recording))
        where = situations(recording.valid(), recording.meta.rate)
        known = ~np.isnan(missed).any(axis=1)
        for name in set(where[known].tolist()):
            misses.setdefault(name, []).append(missed[(where == name) & known])
    common = {name: np.concatenate(parts) for name, parts in misses.items() if sum(map(len, parts)) >= MIN_ERRORS}
    assert common
    for name, errors in common.items():
        assert (abs((errors <= widths[name]).mean(axis=0) - 0.9) < 0.01).all(), name
    assert float(facts["interval_level"]) == 0.9


def test_intervals_of_a_run_with_fewer_modalities_than_its_store(config: RunConfig, tmp_path: Path) -> None:
    from vatrace.inference.intervals import half_widths
    from vatrace.weights import onnx_session

    store = make_store(tmp_path / "s", steps=800)
    face = replace(config.model, feature_dims={"face": 6}, widths={"face": 8})
    run = train_run(replace(config, model=face, train=replace(config.train, num_epochs=1)), store, tmp_path / "r")
    assert run is not None
    widths = json.loads(onnx_session(run.folder / "model.onnx").get_modelmeta().custom_metadata_map["intervals"])
    errors = []
    for recording in store.split("dev"):
        where = situations({"face": recording.valid()["face"]}, recording.meta.rate)
        errors.append((recording.labels() - Predictor(run).predict(recording), where))
    expected = half_widths(errors)
    assert set(expected) == {"face", "nothing, near face"}  # the face is never away for long
    assert set(widths) == set(expected)
    for name, pair in expected.items():
        assert widths[name] == pytest.approx(pair, abs=1e-3)


def test_a_damaged_checkpoint_is_named(run: Run, tmp_path: Path) -> None:
    content = run.members[0].weights.read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: can't be read"):
        load_model(tmp_path / "model.safetensors")
    assert isinstance(run.members[0], Member)


def test_a_loss_that_breaks_down_is_an_error(store: Store, config: RunConfig, tmp_path: Path) -> None:
    wild = replace(config, train=replace(config.train, learning_rate=1e30, max_grad_norm=0, warmup_epochs=0))
    with pytest.raises(TrainingError, match=r"learning_rate|no score"):
        train_run(wild, store, tmp_path / "r")


def test_too_little_memory_is_reported_in_one_line(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("vatrace.training.train.train_run", full)
    with pytest.raises(SystemExit) as ended:
        main(["train", "default", "--store", str(store.path), "--out", str(tmp_path / "r")])
    assert ended.value.code == 1 and "error: cpu has too little memory for this: try a smaller" in capsys.readouterr().err


def test_a_killed_run_continues(store: Store, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(CONFIG.replace("num_epochs = 4", "num_epochs = 60"))
    command = [sys.executable, "-m", "vatrace.cli", "train", str(tmp_path / "run.toml")]
    command += ["--store", str(store.path), "--out", str(tmp_path / "r")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    state = tmp_path / "r" / "model" / "state.safetensors"
    for _ in range(600):
        if state.is_file() or process.poll() is not None:
            break
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = len(load_tensors(state)[1]["history"])
    assert 1 <= done < 60
    (tmp_path / "run.toml").write_text(CONFIG.replace("num_epochs = 4", "num_epochs = 60"))
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert len(rows(tmp_path / "r" / "model" / "log.csv")) == 60
