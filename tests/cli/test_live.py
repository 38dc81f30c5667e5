"""The command live, on a file that stands for camera and microphone."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from command import run
from conftest import write_movie
from vatrace import Model
from vatrace.media.reading import SAMPLING_RATE, VideoReader


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory, face_images: list[Image.Image]) -> Path:
    """A video without sound."""
    return write_movie(tmp_path_factory.mktemp("silent") / "silent.mp4", face_images[:60], frame_rate=30)


def test_a_file_is_followed_at_its_pace_into_a_pipe_and_a_file(talking: Path, tmp_path: Path, model: Model) -> None:
    result = run("live", "--camera", talking, "--out", tmp_path / "live.csv")
    assert result.status == 0, result.err
    piped, kept = pd.read_csv(io.StringIO(result.out)), pd.read_csv(tmp_path / "live.csv")
    pd.testing.assert_frame_equal(piped, kept)
    first = round(kept["time"][0] * 10)
    assert first <= 5  # a busy machine may leave out the first frames
    np.testing.assert_allclose(kept["time"], np.arange(first, first + len(kept)) / 10)
    assert first + len(kept) >= 40 and kept["face"][5:38].mean() > 0.9 and kept["voice"].any()
    assert (kept["valence_low"] <= kept["valence"]).all() and (kept["arousal"] <= kept["arousal_high"]).all()
    assert first + len(kept) == len(model.predict(talking).times)
    assert kept["late"].isin(["face", "voice", "face+voice", np.nan]).all()
    assert "median delay" in result.err and b"\r" not in (tmp_path / "live.csv").read_bytes()
    again = run("live", "--camera", talking, "--out", tmp_path / "live.csv")
    assert again.status == 1 and "already exists" in again.err


def test_sound_that_ends_before_the_pictures_is_not_late(
    tmp_path: Path, face_images: list[Image.Image], speech: np.ndarray
) -> None:
    video = write_movie(tmp_path / "short.mp4", face_images[:120], sound=speech[:SAMPLING_RATE], frame_rate=30)
    result = run("live", "--camera", video)
    table = pd.read_csv(io.StringIO(result.out))
    first = round(table["time"][0] * 10)
    assert result.status == 0 and first <= 5  # a busy machine may leave out the first frames
    np.testing.assert_allclose(table["time"], np.arange(first, 40) / 10)
    assert table["late"].isna()[:10].all() and table["late"].isna()[-10:].all()


def test_all_values_of_the_time_that_was_asked_for_come(talking: Path) -> None:
    result = run("live", "--camera", talking, "--seconds", 3)
    table = pd.read_csv(io.StringIO(result.out))
    assert result.status == 0, result.err
    first = round(table["time"][0] * 10)
    assert first <= 5  # a busy machine may leave out the first frames
    np.testing.assert_allclose(table["time"], np.arange(first, 30) / 10)
    assert table["face"].mean() > 0.9 and table["supported"].mean() > 0.9


def test_another_person_in_view_is_counted_and_said(tmp_path: Path, face_images: list[Image.Image], shared: Path) -> None:
    other = [frame.image for frame in VideoReader(shared / "clips" / "brbk7n.mpg", 30)]
    scenes = []
    for index in range(90):
        scene = Image.new("RGB", (560, 240), (90, 90, 90))
        scene.paste(face_images[index].resize((320, 240)), (0, 0))
        if index >= 30:
            scene.paste(other[index % len(other)].resize((200, 160)), (340, 40))
        scenes.append(scene)
    result = run("live", "--camera", write_movie(tmp_path / "two.mp4", scenes, frame_rate=30))
    table = pd.read_csv(io.StringIO(result.out))
    assert result.status == 0 and set(table["person"]) == {1} and table["face"].mean() > 0.9
    assert (table["others"][table["time"] < 1] == 0).all() and (table["others"][table["time"] > 2.4] == 1).all()
    assert "another person was in view at" in result.err


def test_a_video_without_sound_is_followed(silent: Path) -> None:
    result = run("live", "--camera", silent)
    table = pd.read_csv(io.StringIO(result.out))
    assert result.status == 0 and table["face"].mean() > 0.9 and table["late"].isna().all(), result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--camera", "none", "--microphone", "none"], "choose at least one"),
        (["--camera", "97", "--microphone", "none"], "camera 97: can't be opened"),
        (["--camera", "none", "--microphone", "no-such-device"], "microphone no-such-device: can't be opened"),
        (["--camera", "no.mp4"], "no.mp4: no such file"),
        (["--camera", "none", "--microphone", "no.wav"], "no.wav: no such file"),
        (["--camera", "none", "--microphone", "{silent}"], "silent.mp4: contains no audio"),
        (["--out", "/proc/none/live.csv"], "/proc/none: can't be written to"),
        (["--model", "no.onnx"], "no.onnx: no such model file"),
    ],
)
def test_what_is_not_there_is_named(arguments: list[str], message: str, silent: Path) -> None:
    result = run("live", *(argument.format(silent=silent) for argument in arguments))
    assert result.status == 1 and message in result.err and "Traceback" not in result.err


def test_a_language_that_no_model_knows_is_named(talking: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vatrace.features.speech.has_languages", lambda: False)
    result = run("live", "--camera", talking, "--language", "de")
    assert result.status == 1 and "speech in German needs the extra `languages`" in result.err
