"""Flags of real recordings: of clips that are clean, and of the same ones made dark, clipped or late."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from conftest import CODECS, write_movie
from vatrace import Model
from vatrace.features.hearing import LATE, MAX_LATE
from vatrace.features.perceived import DARK_PICTURE
from vatrace.inference.notes import DARK
from vatrace.media.mixing import CLIPPED, choose_mix
from vatrace.media.reading import SAMPLING_RATE, AudioReader, VideoReader
from vatrace.output.flags import flags

CLIPS = ("bbaf2n", "brbk7n", "id2_vcd_swwp2s", "lbax4n", "lbbc2a", "lrwp9a", "lwbsza", "pwij3p", "sbia1a", "sbwe5n", "swiz3n")
"""GRID's: eleven speakers, 3 s each."""


def images_of(path: Path) -> list[Image.Image]:
    """Every third picture of the first 1.8 s, 8 a second."""
    return [frame.image for frame in VideoReader(path, 25)][:45:3]


def sound_of(path: Path) -> NDArray[np.float32]:
    return np.concatenate(list(AudioReader(path, 10)))


def darkened(images: list[Image.Image], gain: float) -> list[Image.Image]:
    return [image.point([round(gain * value) for value in range(256)] * 3) for image in images]


@pytest.mark.parametrize("name", CLIPS)
def test_the_sound_of_clean_clips_is_not_clipped(shared: Path, name: str) -> None:
    assert choose_mix(shared / "clips" / f"{name}.mpg").notes == ()


@pytest.mark.parametrize("name", ["id2_vcd_swwp2s", "lbbc2a"])
def test_clean_clips_have_no_flag(model: Model, shared: Path, name: str) -> None:
    assert flags(model.predict(shared / "clips" / f"{name}.mpg", modalities=["face", "voice"])) == []


@pytest.mark.parametrize(
    ("name", "gain", "expected"), [("swiz3n", 0.5, None), ("lwbsza", 0.07, DARK), ("swiz3n", 0.01, DARK_PICTURE)]
)
def test_a_dark_face_is_noted(tmp_path: Path, model: Model, shared: Path, name: str, gain: float, expected: str | None) -> None:
    """At 7 % of its light, the trace of lwbsza changes by 0.22; at 1 %, no face is found any more."""
    images = darkened(images_of(shared / "clips" / f"{name}.mpg"), gain)
    found = model.predict(write_movie(tmp_path / "a.mp4", images, frame_rate=8), modalities=["face"])
    assert [note for note in found.notes if note in {DARK, DARK_PICTURE}] == ([expected] if expected else [])
    assert ("dark" in flags(found)) == bool(expected)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("name", ["bbaf2n", "lrwp9a", "swiz3n"])
@pytest.mark.parametrize(
    ("share", "level", "noted"), [(0.0, 1.0, False), (0.001, 1.0, False), (0.1, 0.9, True), (0.1, 0.2, True)]
)
def test_clipped_speech_is_noted(
    tmp_path: Path, shared: Path, name: str, suffix: str, share: float, level: float, noted: bool
) -> None:
    """Cut off where this share of the samples is larger, and then brought to a level, as a recorder or an editor does it."""
    sound = sound_of(shared / "clips" / f"{name}.mpg")
    loud = np.abs(sound)[np.abs(sound) > 0.02 * np.abs(sound).max()]
    limit = np.quantile(loud, 1 - share)
    cut = np.clip(sound, -limit, limit) * np.float32(level / limit)
    path = write_movie(tmp_path / f"a.{suffix}", sound=cut)
    assert (CLIPPED in choose_mix(path).notes) == noted


def test_clipped_speech_is_flagged(tmp_path: Path, model: Model, speech: NDArray[np.float32]) -> None:
    sound = speech[: 6 * SAMPLING_RATE]
    for gain, expected in ((1.0, []), (8.0, ["clipped sound"])):
        path = write_movie(tmp_path / f"{gain}.mkv", sound=np.clip(gain * sound / np.abs(sound).max(), -1, 1))
        assert flags(model.predict(path, modalities=["voice"])) == expected


@pytest.mark.parametrize("suffix", sorted({*CODECS} - {"avi"}))  # AVI has no field for it
def test_sound_that_starts_late(
    tmp_path: Path, model: Model, face_images: list[Image.Image], speech: NDArray[np.float32], suffix: str
) -> None:
    sound = speech[: 2 * SAMPLING_RATE]
    for start in (0.0, 1.0):
        path = write_movie(tmp_path / f"{start:g}.{suffix}", face_images[:90:3], None, sound, start, 10)
        reader = AudioReader(path, 10)
        assert list(reader) and reader.start is not None
        assert reader.start == pytest.approx(start, abs=0.1)
        if suffix == "mp4":
            found = model.predict(path, modalities=["voice"])
            assert any(note.startswith(LATE) for note in found.notes) == ("late sound" in flags(found)) == (start > MAX_LATE)


def test_sound_alone_is_never_late(tmp_path: Path, model: Model, speech: NDArray[np.float32]) -> None:
    path = write_movie(tmp_path / "a.mkv", sound=speech[: 2 * SAMPLING_RATE], sound_start=1.0)
    assert "late sound" not in flags(model.predict(path, modalities=["voice"]))
