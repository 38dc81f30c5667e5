from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import write_movie
from vatrace.errors import MediaError
from vatrace.inference import capture
from vatrace.inference.capture import DEFAULT_MICROPHONE, NONE, Capture, usual_microphone
from vatrace.inference.follower import Value
from vatrace.inference.streamer import Streamer
from vatrace.media.reading import SAMPLING_RATE


class Recorder:
    """In place of a follower: keeps what it is given, and has a value for every step until now."""

    def __init__(self) -> None:
        self.frames: list[float] = []
        self.audio, self.step = 0.0, 0
        self.ended: set[str] = set()

    def add_frame(self, image: Image.Image, time: float) -> None:
        self.frames.append(time)

    def add_audio(self, samples: np.ndarray, hurry: bool) -> None:
        self.audio += len(samples) / SAMPLING_RATE

    def skip_audio(self, seconds: float) -> None:
        self.audio += seconds

    def end(self, modality: str) -> None:
        self.ended.add(modality)

    def values(self, now: float) -> list[Value]:
        steps = range(self.step, int(now * 10))
        self.step = max(self.step, int(now * 10))
        return [Value(step / 10, 0.0, 0.0, {}) for step in steps]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def streamer(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> Streamer:
    monkeypatch.setattr("vatrace.inference.streamer.Follower", lambda *_: recorder)
    return Streamer()


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory, face_images: list[Image.Image]) -> Path:
    """A video of 1 s without audio."""
    return write_movie(tmp_path_factory.mktemp("silent") / "silent.mp4", face_images[:30], frame_rate=30)


def test_a_file_is_played_at_its_pace_to_its_end(streamer: Streamer, recorder: Recorder, talking: Path) -> None:
    start = time.monotonic()
    times = []
    with Capture(streamer, str(talking), str(talking)) as capturing:
        for now, values, _ in capturing.values():
            assert all(value.time <= now for value in values) and now == pytest.approx(time.monotonic() - start, abs=0.1)
            times += [value.time for value in values]
    assert time.monotonic() - start > 4
    assert times == pytest.approx(np.arange(len(times)) / 10) and len(times) in {40, 41}  # none after its end
    assert recorder.ended == {"face", "voice"}
    assert recorder.audio == pytest.approx(4, abs=0.1) and recorder.frames[-1] == pytest.approx(4, abs=0.3)


def test_it_ends_when_the_time_is_up_and_stops_reading(streamer: Streamer, recorder: Recorder, talking: Path) -> None:
    with Capture(streamer, str(talking), NONE) as capturing:
        times = [value.time for _, values, _ in capturing.values(0.5) for value in values]
    assert times == pytest.approx(np.arange(5) / 10)  # all of the time until then, and none after it
    time.sleep(0.3)
    read = len(recorder.frames)
    time.sleep(0.5)
    assert len(recorder.frames) == read > 0 and recorder.audio == 0


def test_what_can_not_be_read_ends_it(streamer: Streamer, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_text("no video")
    with Capture(streamer, str(tmp_path / "broken.mp4"), NONE) as capturing, pytest.raises(MediaError, match=r"broken\.mp4"):
        list(capturing.values())


def test_a_camera_goes_on_without_the_microphone_of_the_system(
    streamer: Streamer, recorder: Recorder, silent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_microphone(*_: object) -> Iterator[object]:
        raise MediaError("microphone default: can't be opened")
        yield

    monkeypatch.setattr(capture, "read_microphone", no_microphone)
    warnings: list[str] = []
    with Capture(streamer, str(silent), DEFAULT_MICROPHONE, warnings.append) as capturing:
        assert sum(len(values) for _, values, _ in capturing.values()) == 10
    assert warnings == ["microphone default: can't be opened; continuing without audio"]
    with Capture(streamer, NONE, DEFAULT_MICROPHONE) as capturing, pytest.raises(MediaError, match="microphone default"):
        list(capturing.values())


def test_the_microphone_of_a_file_is_its_audio(talking: Path, silent: Path) -> None:
    assert usual_microphone(str(talking)) == str(talking)
    assert usual_microphone(str(silent)) == NONE
    assert usual_microphone("0") == DEFAULT_MICROPHONE
