"""What should not matter doesn't, on real clips: a packaged one, and a few of the GRID corpus where it is there."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from conftest import SHARED, write_movie
from vatrace import Model, Prediction
from vatrace.media.reading import SAMPLING_RATE, AudioReader, VideoReader

MAX_CHANGE = 0.1
"""Of the mean of a trace, on the scale of -1..1."""
GRID = [path.name for path in sorted((SHARED / "clips").glob("*.mpg"))[::4]]


@dataclass(frozen=True)
class Clip:
    """Pictures and 16 kHz sound."""

    images: list[Image.Image]
    frame_rate: int
    sound: NDArray[np.float32]

    def write(self, path: Path) -> Path:
        return write_movie(path, self.images, sound=self.sound, frame_rate=self.frame_rate)

    def pictures(self, change: Callable[[Image.Image], Image.Image]) -> Clip:
        return Clip([change(image) for image in self.images], self.frame_rate, self.sound)

    def louder(self, decibels: float) -> Clip:
        return Clip(self.images, self.frame_rate, np.clip(self.sound * 10 ** (decibels / 20), -1, 1).astype(np.float32))


@pytest.fixture(scope="module", params=["packaged", *GRID])
def clip(request: pytest.FixtureRequest, face_images: list[Image.Image], speech: NDArray[np.float32]) -> Clip:
    if request.param == "packaged":
        return Clip(face_images[:120], 30, speech[: 4 * SAMPLING_RATE])
    path = SHARED / "clips" / request.param
    return Clip([frame.image for frame in VideoReader(path, 25)], 25, np.concatenate(list(AudioReader(path, 60))))


@pytest.fixture(scope="module")
def usual(clip: Clip, model: Model, tmp_path_factory: pytest.TempPathFactory) -> Prediction:
    return model.predict(clip.write(tmp_path_factory.mktemp("usual") / "clip.mp4"))


def jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=40)
    return Image.open(file).convert("RGB")


CHANGES: dict[str, Callable[[Clip], Clip]] = {
    "12 dB louder": lambda clip: clip.louder(12),
    "12 dB softer": lambda clip: clip.louder(-12),
    "mirrored": lambda clip: clip.pictures(ImageOps.mirror),
    "30 % brighter": lambda clip: clip.pictures(lambda image: ImageEnhance.Brightness(image).enhance(1.3)),
    "30 % darker": lambda clip: clip.pictures(lambda image: ImageEnhance.Brightness(image).enhance(0.7)),
    "JPEG of quality 40": lambda clip: clip.pictures(jpeg),
    "half the frames": lambda clip: Clip(clip.images[::2], clip.frame_rate // 2, clip.sound),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_mean_trace_stays(change: str, clip: Clip, usual: Prediction, model: Model, tmp_path: Path) -> None:
    changed = model.predict(CHANGES[change](clip).write(tmp_path / "changed.mp4"))
    for name in ("valence", "arousal"):
        assert abs(getattr(changed, name).mean() - getattr(usual, name).mean()) < MAX_CHANGE, name


def test_no_jump_when_the_face_goes_and_comes_back(clip: Clip, model: Model, tmp_path: Path) -> None:
    seen = clip.images[: round(1.2 * clip.frame_rate)]
    images = seen + [Image.new("RGB", seen[0].size, "grey")] * clip.frame_rate + seen[::-1] + seen
    found = model.predict(Clip(images, clip.frame_rate, clip.sound).write(tmp_path / "away.mp4"))
    assert found.presence["face"][:10].all() and not found.presence["face"][13:21].any() and found.presence["face"][24:].any()
    assert found.bounds is not None
    low, high = found.bounds
    jumps = np.abs(np.diff(np.stack([found.valence, found.arousal], axis=-1), axis=0))
    assert (jumps <= (high - low)[:-1] / 2).all() and (jumps <= (high - low)[1:] / 2).all()


@pytest.mark.slow
def test_half_an_hour_of_the_same_talk_does_not_drift(model: Model, speech: NDArray[np.float32], tmp_path: Path) -> None:
    path = write_movie(tmp_path / "long.mkv", sound=np.tile(speech, 60))
    found = model.predict(path, modalities=["voice"])
    assert found.times[-1] == pytest.approx(30 * 60, abs=1)
    for trace in (found.valence, found.arousal):
        minutes = trace[: 30 * 600].reshape(30, 600).mean(axis=1)
        assert np.ptp(minutes) < MAX_CHANGE and abs(minutes[:10].mean() - minutes[-10:].mean()) < MAX_CHANGE / 5
