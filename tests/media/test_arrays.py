"""Recordings in memory are read like the same recordings in files."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vatrace
from vatrace import Arrays, MediaError, Model, UsageError, Word
from vatrace.inference.prediction import Prediction
from vatrace.media.arrays import opened
from vatrace.media.reading import SAMPLING_RATE, AudioReader, VideoReader

FRAMES = np.random.default_rng(0).integers(0, 256, (6, 48, 65, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Temporary files are gone afterwards."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert list(tmp_path.glob("vatrace-*")) == []


def same(one: Prediction, other: Prediction) -> None:
    np.testing.assert_array_equal(one.valence, other.valence)
    np.testing.assert_array_equal(one.arousal, other.arousal)
    assert one.words == other.words and one.notes == other.notes


def test_bytes_and_open_files_give_the_same_as_the_path(model: Model, talking: Path) -> None:
    by_path, content = model.predict(talking), talking.read_bytes()
    by_bytes = model.predict(content)
    same(by_path, by_bytes)
    assert by_bytes.source == Path("bytes")
    same(by_path, vatrace.predict(memoryview(content), model=model))
    file = io.BytesIO(b"skipped" + content)
    file.seek(7)
    same(by_path, model.predict(file))
    with talking.open("rb") as disk:
        by_file = model.predict(disk)
    same(by_path, by_file)
    assert by_file.source == Path(talking.name)


def test_frames_and_audio_are_those_that_were_given() -> None:
    times = np.array([0.0, 0.04, 0.5, 0.6123456, 1.0, 1.9])
    audio = np.sin(np.arange(3 * 44100) / 20) * 0.5
    with opened(Arrays(FRAMES, times=times, audio=audio, sampling_rate=44100)) as recording:
        reader = VideoReader(recording.path, 100.0)
        frames = list(reader)
        np.testing.assert_allclose(reader.times, times, atol=1e-6)
        for frame, image, time in zip(frames, FRAMES, times, strict=True):
            np.testing.assert_array_equal(np.asarray(frame.image), image)
            assert frame.time == pytest.approx(time, abs=1e-6)
        heard = np.concatenate(list(AudioReader(recording.path, 1.0)))
    assert len(heard) == pytest.approx(3 * SAMPLING_RATE, abs=1)
    expected = np.interp(np.arange(len(heard)) / SAMPLING_RATE, np.arange(len(audio)) / 44100, audio)
    assert np.abs(heard / np.abs(heard).max() * 0.5 - expected)[1000:-1000].max() < 0.01


def test_arrays_give_what_their_file_gives(model: Model, talking: Path, speech: np.ndarray) -> None:
    reader = VideoReader(talking, 30)
    frames = [np.asarray(frame.image) for frame in reader]
    whole = model.predict(talking)
    arrays = Arrays(
        frames, times=np.array(reader.times)[: len(frames)], audio=speech[: 4 * SAMPLING_RATE], sampling_rate=SAMPLING_RATE
    )
    found = model.predict(arrays)
    assert len(found.times) == 40 and found.source == Path("arrays.nut")
    assert np.abs(found.valence - whole.valence[:40]).max() < 0.1  # the file's audio was compressed, and is a little longer
    assert [word.text for word in found.words][:6] == [word.text for word in whole.words][:6]
    as_integers = np.round(speech[: 4 * SAMPLING_RATE] * 32767).astype(np.int16)
    other = model.predict(Arrays(frames, fps=30, audio=as_integers, sampling_rate=SAMPLING_RATE))
    assert np.abs(other.valence - found.valence).max() < 0.02


def test_one_modality_is_enough(model: Model, speech: np.ndarray) -> None:
    seen = model.predict(Arrays(FRAMES, fps=2.0))
    assert len(seen.times) == 30 and "contains no audio" in seen.notes
    heard = model.predict(Arrays(audio=speech[: 3 * SAMPLING_RATE], sampling_rate=SAMPLING_RATE))
    assert len(heard.times) == 30 and heard.presence["voice"].any()


def test_words_replace_recognition(model: Model, speech: np.ndarray) -> None:
    given = [("wonderful", 1.0, 1.5), Word("day", 0.5, 1.0)]
    alone = model.predict(Arrays(words=given))
    assert [word.text for word in alone.words] == ["day", "wonderful"] and alone.presence["words"][5:15].all()
    audio = Arrays(audio=speech[: 4 * SAMPLING_RATE], sampling_rate=SAMPLING_RATE, words=[*given, ("late", 5.0, 6.0)])
    heard = model.predict(audio)
    assert [word.text for word in heard.words] == ["day", "wonderful"] and "the recording ends at 4.0 s" in heard.notes[-1]
    german = model.predict(Arrays(words=[("wunderbar", 0.0, 1.0)]), language="de")
    assert german.words[0].language == "de"
    silent = model.predict(Arrays(audio=speech[: 4 * SAMPLING_RATE], sampling_rate=SAMPLING_RATE, words=[]))
    assert not silent.presence["words"].any() and silent.words == []
    with pytest.raises(UsageError, match="words are given, and words are not among the modalities"):
        model.predict(Arrays(FRAMES, fps=2, words=given), modalities=["face"])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "need frames, audio or words"),
        ({"frames": FRAMES}, "either fps or times"),
        ({"frames": FRAMES, "fps": 1, "times": range(6)}, "either fps or times"),
        ({"frames": FRAMES, "fps": 0}, "above 0"),
        ({"frames": FRAMES, "fps": float("nan")}, "above 0"),
        ({"frames": FRAMES, "times": range(5)}, "one for each of the 6 frames"),
        ({"frames": FRAMES, "times": [0, 1, 1, 2, 3, 4]}, "ascending"),
        ({"frames": FRAMES[0], "fps": 1}, r"\(T, H, W, 3\) of uint8, not \(48, 65, 3\)"),
        ({"frames": FRAMES / 255, "fps": 1}, "uint8, not .* of float64"),
        ({"frames": [FRAMES[0], FRAMES[0, :20]], "fps": 1}, "same size; frame 1"),
        ({"frames": FRAMES[:0], "fps": 1}, "no frames"),
        ({"fps": 1, "words": []}, "there are no frames"),
        ({"audio": np.zeros(10)}, "sampling_rate"),
        ({"audio": np.zeros(10), "sampling_rate": 0}, "sampling_rate"),
        ({"audio": np.zeros((10, 2)), "sampling_rate": 8000}, r"one dimension, .* not the shape \(10, 2\)"),
        ({"audio": np.zeros(10, np.uint8), "sampling_rate": 8000}, "not of uint8"),
        ({"audio": [], "sampling_rate": 8000}, "no samples"),
        (
            {
                "words": ["one"],
            },
            "tuple",
        ),
        ({"words": [("one", 2.0, 1.0)]}, "from its start to its end"),
        ({"words": [("one", float("nan"), 1.0)]}, "from its start to its end"),
        ({"words": [(" ", 0.0, 1.0)]}, "must have a text"),
    ],
)
def test_what_does_not_fit_is_refused_when_it_is_made(arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Arrays(**arrays)


def test_what_can_not_be_read_is_named_without_the_temporary_file(model: Model, tmp_path: Path) -> None:
    for source in (b"nothing", io.BytesIO(b"nothing")):
        with pytest.raises(MediaError, match=r"^(bytes|file): not a readable"):
            model.predict(source)
    with pytest.raises(MediaError, match=r"^bytes: the file is empty"):
        model.predict(b"")
    with pytest.raises(ValueError, match="rb"):
        model.predict(io.StringIO("text"))
    with pytest.raises(ValueError, match="not int"):
        model.predict(3)
    with pytest.raises(ValueError, match="either words or a transcript"):
        model.predict(Arrays(words=[("one", 0.0, 1.0)]), transcript="a.srt")
