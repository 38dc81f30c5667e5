"""Classes and features from outside the package go through all commands, and nothing in it is edited for them."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from command import run
from layouts import make_folder_corpus
from vatrace.encoders import DEFAULT_ENCODERS
from vatrace.store import Store

CONFIG = """
[model]
fusion = "my_lab:Sum"
num_levels = 2
head_dim = 8
[model.feature_dims]
{dims}
[model.widths]
{widths}
[train]
num_epochs = 2
batch_size = 4
win_len = 20
hop_len = 10
"""
OTHERS = "voice=none,words=none"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def write_config(path: Path, dims: dict[str, int]) -> Path:
    tables = {"dims": dims, "widths": dict.fromkeys(dims, 6)}
    lines = {key: "\n".join(f"{name} = {value}" for name, value in table.items()) for key, table in tables.items()}
    path.write_text(CONFIG.format(**lines))
    return path


def command(*arguments: object, status: int = 0) -> str:
    """Run a command and check its status; its standard output."""
    result = run(*arguments)
    assert result.status == status, result.err + result.out
    return result.out + result.err


def values(path: Path) -> np.ndarray:
    with path.open(newline="") as file:
        return np.array([[float(row["valence"]), float(row["arousal"])] for row in csv.DictReader(file)])


def test_an_encoder_and_a_fusion_from_outside_go_through_all_commands(tmp_path: Path, talking: Path) -> None:
    corpus, store, folder = tmp_path / "corpus", tmp_path / "store", tmp_path / "run"
    make_folder_corpus(corpus, lags={"anna": 0.0})
    encoders = f"face=my_lab:Brightness,{OTHERS}"
    command("check", corpus)
    command("extract", corpus, "--store", store, "--encoders", encoders, "--lag", 0)
    assert Store(store).schema.dims == {"face": 4}
    command("train", write_config(tmp_path / "run.toml", {"face": 4}), "--store", store, "--out", folder)
    refused = command("evaluate", folder, "--store", store, status=1)
    assert "--plugin my_lab:Sum" in refused
    command("evaluate", folder, "--store", store, "--plugin", "my_lab:Sum", "--out", tmp_path / "report")
    assert json.loads((tmp_path / "report" / "evaluation.json").read_text())["num_recordings"] == 1
    model = ("--model", folder / "model.onnx")
    refused = command("predict", talking, *model, "--out", tmp_path / "traces", status=1)
    assert "my_lab:Brightness" in refused and "--encoders face=" in refused
    command("predict", talking, *model, "--encoders", encoders, "--out", tmp_path / "traces")
    assert np.isfinite(values(tmp_path / "traces" / "talking.csv")).all()


def write_features(root: Path, recordings: dict[str, str]) -> None:
    """Features of face, as by the package's own encoder, and of physiology, with labels; five seconds each."""
    rng = np.random.default_rng(0)
    times = np.arange(50) / 10
    rows = ["recording,time,valence,arousal"]
    for modality in ("face", "physiology"):
        (root / modality).mkdir(parents=True)
    for name in recordings:
        phases = rng.uniform(0, 6, 2)
        labels = 0.8 * np.sin(times[:, None] + phases)
        rows += [f"{name},{time:.1f},{a:.4f},{b:.4f}" for time, (a, b) in zip(times, labels, strict=True)]
        np.save(root / "face" / f"{name}.npy", rng.normal(size=(125, DEFAULT_ENCODERS["face"].dim)).astype(np.float32))
        heart = [f"{time:.1f},{60 + 10 * b:.3f},{a:.3f}" for time, (a, b) in zip(times, labels, strict=True)]
        (root / "physiology" / f"{name}.csv").write_text("\n".join(["time,heart_rate,skin", *heart]) + "\n")
    (root / "annotations.csv").write_text("\n".join(rows) + "\n")
    (root / "splits.csv").write_text("\n".join(["recording,split", *(f"{n},{s}" for n, s in recordings.items())]) + "\n")


def test_features_of_another_modality_go_through_all_commands(tmp_path: Path, talking: Path) -> None:
    features, store, folder = tmp_path / "features", tmp_path / "store", tmp_path / "run"
    write_features(features, {"a": "train", "b": "train", "c": "dev", "d": "test"})
    assert "(features: 2 train, 1 dev, 1 test); 0 errors" in command("check", features)
    options = ("--store", store, "--feature-rate", 25, "--lag", 0)
    name = f"face={DEFAULT_ENCODERS['face'].version},physiology=wristband-2"
    command("import", features, *options, "--name", name)
    assert Store(store).schema.encoders["physiology"].version == "wristband-2"
    dims = Store(store).schema.dims
    assert list(dims.items()) == [("face", 128), ("physiology", 2)]
    config = write_config(tmp_path / "run.toml", dims)
    config.write_text(config.read_text().replace("num_epochs = 2", "num_epochs = 10\nlearning_rate = 1e-2"))
    command("train", config, "--store", store, "--out", folder)
    command("evaluate", folder, "--store", store, "--plugin", "my_lab:Sum", "--out", tmp_path / "report")
    ablation = json.loads((tmp_path / "report" / "evaluation.json").read_text())["ablation"]
    assert set(ablation) == {"all", "only face", "only physiology", "without face", "without physiology"}
    assert ablation["only physiology"]["valence"] > 0.5 > ablation["only face"]["valence"]  # the face is noise
    command("submit", folder, "--store", store, "--out", tmp_path / "p.txt", "--plugin", "my_lab:Sum", status=1)  # no video
    out = command("predict", talking, "--model", folder / "model.onnx", "--out", tmp_path / "traces")
    assert "physiology, which can't be extracted" in out
    assert np.isfinite(values(tmp_path / "traces" / "talking.csv")).all()
    other = command("import", features, *options, "--name", "wristband-3", status=1)
    assert "wristband-2" in other and "give another --store" in other


def test_a_reader_from_outside_is_checked_and_extracted(tmp_path: Path, talking: Path) -> None:
    for name in ("s1", "s2"):
        (tmp_path / "corpus" / name).mkdir(parents=True)
        shutil.copy(talking, tmp_path / "corpus" / name / "video.mp4")
        (tmp_path / "corpus" / name / "rating.txt").write_text("0.5 -0.25")
    (tmp_path / "corpus" / "splits.csv").write_text("recording,split,subject\ns1,train,ann\ns2,dev,bob\n")
    reader = ("--reader", "my_lab:Sessions")
    assert "(sessions: 1 train, 1 dev)" in command("check", tmp_path / "corpus", *reader)
    encoders = f"face=my_lab:Brightness,{OTHERS}"
    command("extract", tmp_path / "corpus", "--store", tmp_path / "s", "--encoders", encoders, *reader)
    store = Store(tmp_path / "s")
    assert {name: (member.split, member.subject) for name, member in store.members.items()} == {
        "s1": ("train", "ann"),
        "s2": ("dev", "bob"),
    }
    np.testing.assert_array_equal(store.recording("s1").labels(), np.tile(np.float32([0.5, -0.25]), (40, 1)))
    refused = command("check", tmp_path / "corpus", "--reader", "my_lab:Brightness", status=1)
    assert "my_lab:Brightness: must be constructed without arguments" in refused
    assert "affwild2, folder, features" in command("check", tmp_path / "corpus", "--reader", "lab", status=1)
