import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from command import run
from conftest import write_movie
from vatrace import Model
from vatrace.media.demo import SPEECH, packaged_file
from vatrace.media.reading import SAMPLING_RATE, AudioReader
from vatrace.web.annotations import add, archive
from vatrace.weights import package_file

SCALE, SHIFT, LAG, NOISE = np.array([1.6, 0.7]), np.array([0.15, -0.1]), 1.2, 0.02


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, model: Model, face_images: list[Image.Image]) -> Path:
    """74 s of a voice, 30 s of it with a face, rated by somebody who follows the model in a known way.

    The ratings are those that the annotate page writes, and its archive, unpacked.
    """
    root = tmp_path_factory.mktemp("rated")
    speech = np.concatenate(list(AudioReader(packaged_file(*SPEECH), 60)))
    halves = np.split(speech[: 44 * SAMPLING_RATE], 2)
    faces = [*face_images, *face_images[::-1]] * 4
    for number, (images, half) in enumerate(
        [([], halves[0]), ([], halves[1]), (faces[: 30 * 30], speech[: 30 * SAMPLING_RATE])]
    ):
        write_movie(root / f"p{number}.mp4", images, sound=half, frame_rate=30)
    rng = np.random.default_rng(0)
    traces = []
    for path in sorted(root.glob("*.mp4")):
        folder = root / "server" / path.stem
        folder.mkdir(parents=True)
        ratings = rate(path, model, rng)
        for column, dimension in enumerate(("valence", "arousal")):
            add(folder / "anna.csv", dimension, list(zip(np.arange(len(ratings)) / 10, ratings[:, column], strict=True)))
        traces.append((path.stem, folder))
    (root / "annotations.zip").write_bytes(archive(traces))
    return unpacked(root)


def rate(path: Path, model: Model, rng: np.random.Generator) -> NDArray[np.float64]:
    """Ratings (T, 2), ten a second, of somebody who sees what the model sees, but later, on another scale and with noise."""
    trace = model.predict(path)
    late = np.clip(np.arange(len(trace.times)) - round(LAG * 10), 0, None)
    values = np.stack([trace.valence, trace.arousal], axis=-1)[late]
    return SCALE * values + SHIFT + rng.normal(0, NOISE, values.shape)


def unpacked(root: Path) -> Path:
    import shutil

    shutil.unpack_archive(root / "annotations.zip", root)
    shutil.rmtree(root / "server")
    (root / "annotations.zip").unlink()
    return root


@pytest.fixture(scope="module")
def adapted(corpus: Path) -> tuple[Path, str]:
    """The file of `vatrace adapt`, and what it printed."""
    out = corpus.parent / "mine.json"
    result = run("adapt", corpus, "--out", out)
    assert result.status == 0, result.err
    assert result.err.count("warning: ") == 2 and "s of valence are rated; 3 to 10 minutes are better" in result.err
    return out, result.out


def test_a_known_rater_is_recovered(adapted: tuple[Path, str], model: Model) -> None:
    out, printed = adapted
    found = json.loads(out.read_text())
    assert found["model_sha256"] == model.sha256 and found["model"].startswith("fusion.onnx ")
    assert found["annotators"]["anna"]["lag"] == pytest.approx(LAG, abs=0.15)
    for column, dimension in enumerate(("valence", "arousal")):
        assert found[dimension]["scale"] == pytest.approx(SCALE[column], abs=0.1)
        assert found[dimension]["shift"] == pytest.approx(SHIFT[column], abs=0.03)
        before, after = (found["agreement"][dimension][when] for when in ("before", "after"))
        assert after["ccc"] > 0.95 > before["ccc"] and after["rmse"] < 0.5 * before["rmse"]
        assert after["coverage"] >= 0.9  # more, because a minute is little
        assert found[dimension]["interval"] < 0.5  # this rater is much nearer to the model than real ones
    assert set(found["recordings"]) == {"p0", "p1", "p2"} and found["cross_validated_over"] == "blocks of 3 recordings"
    lines = [line.split() for line in printed.splitlines()]
    assert lines[0][-3:] == ["anna", "1.2", "s"]
    assert [line[0] for line in lines[2:6]] == ["valence", "after", "arousal", "after"]
    assert lines[-1][:2] == [f"{out}:", "next:"]


def test_predictions_with_it_are_the_raters(adapted: tuple[Path, str], corpus: Path, tmp_path: Path) -> None:
    options = ["--adapt", adapted[0], "--format", "csv,json", "--summary", tmp_path / "all.csv"]
    result = run("predict", corpus / "p0.mp4", "--out", tmp_path, *options)
    assert result.status == 0 and "note: adapted by mine.json" in result.out
    table, ratings = pd.read_csv(tmp_path / "p0.csv"), pd.read_csv(corpus / "annotations" / "p0.anna.csv")
    lag = round(LAG * 10)
    for dimension in ("valence", "arousal"):
        truth, values = ratings[dimension].to_numpy()[lag:], table[dimension].to_numpy()[: len(ratings) - lag]
        assert np.abs(truth - values).mean() < 0.04
        assert (table[f"{dimension}_high"] - table[f"{dimension}_low"]).max() < 0.4
    assert json.loads((tmp_path / "p0.json").read_text())["made_by"]["adapt"].startswith("mine.json ")
    assert pd.read_csv(tmp_path / "all.csv")["adapt"][0].startswith("mine.json ")


def test_nothing_is_replaced_unasked(adapted: tuple[Path, str], corpus: Path) -> None:
    before = adapted[0].read_bytes()
    result = run("adapt", corpus, "--out", adapted[0])
    assert result.status == 1 and "already exists" in result.err and adapted[0].read_bytes() == before


def test_another_model_is_refused(adapted: tuple[Path, str], corpus: Path, talking: Path, tmp_path: Path) -> None:
    content = json.loads(adapted[0].read_text()) | {"model_sha256": "0" * 64, "model": "other.onnx 000000000000"}
    (tmp_path / "other.json").write_text(json.dumps(content))
    result = run("predict", talking, "--out", tmp_path / "out", "--adapt", tmp_path / "other.json")
    assert result.status == 1 and "was fitted for the model other.onnx 000000000000, not for fusion.onnx" in result.err
    assert not list((tmp_path / "out").glob("*"))
    result = run("adapt", corpus, "--model", package_file("streaming.onnx"), "--out", tmp_path / "live.json")
    assert result.status == 1 and "is for a live stream" in result.err


def make_rated(root: Path, sound: NDArray[np.float32], table: str) -> Path:
    root.mkdir()
    write_movie(root / "a.mp4", sound=sound)
    (root / "annotations").mkdir()
    (root / "annotations" / "a.csv").write_text(table)
    return root


def test_too_few_or_wrong_ratings_are_refused(speech: NDArray[np.float32], tmp_path: Path) -> None:
    sound, out = speech[: 6 * SAMPLING_RATE], tmp_path / "mine.json"
    rows = [f"{step / 10},{np.sin(step / 9):.3f}," for step in range(60)]
    short = make_rated(tmp_path / "short", sound, "\n".join(["time,valence,arousal", *rows]))
    result = run("adapt", short, "--out", out)
    assert (
        result.status == 1
        and "s of valence and 0 s of arousal are rated where a face, a voice or words are present; at least 60 s are needed"
        in result.err
    )
    scale = make_rated(
        tmp_path / "scale", sound, "\n".join(["time,valence,arousal", *(f"{i},{i % 9 + 1},5" for i in range(6))])
    )
    result = run("adapt", scale, "--out", out)
    assert result.status == 1 and "on a scale of 1..7?" in result.err
    (short / "annotations" / "a.csv").unlink()
    result = run("adapt", short, "--out", out)
    assert result.status == 1 and "contains no annotated recordings" in result.err
    assert not out.exists()
