"""Live, shares and boxes on recordings of real people. Annotation is tested in tests/web, in a browser."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from command import run
from conftest import write_movie
from vatrace import Model
from vatrace.inference.follower import START_DUR, Follower, Value
from vatrace.media.reading import SAMPLING_RATE, AudioReader, VideoReader


@dataclass
class Clip:
    """A woman or man who says one sentence, 3 s, and is visible throughout."""

    path: Path
    images: list[Image.Image]
    audio: NDArray[np.float32]


@pytest.fixture(scope="module")
def clip(shared: Path) -> Clip:
    path = shared / "clips" / "lrwp9a.mpg"
    return Clip(path, [frame.image for frame in VideoReader(path, 25)], np.concatenate(list(AudioReader(path, 1.0))))


def live(clip: Clip, camera_opens: float = 0.0, block: int = SAMPLING_RATE // 10) -> list[Value]:
    """The values of a session whose camera opens late."""
    streamer, values, shown = Follower(), list[Value](), 0
    for start in range(0, len(clip.audio), block):
        now = min(start + block, len(clip.audio)) / SAMPLING_RATE
        streamer.add_audio(clip.audio[start : start + block])
        while shown < len(clip.images) and shown / 25 < now:
            if shown / 25 >= camera_opens and shown % 3 == 0:
                streamer.add_frame(np.asarray(clip.images[shown]), shown / 25)
            shown += 1
        values += streamer.values(now)
    streamer.end("face")
    streamer.end("voice")
    return values + streamer.values(len(clip.audio) / SAMPLING_RATE)


def test_a_camera_that_opens_late_makes_no_jump(clip: Clip) -> None:
    assert START_DUR > 1.2
    values = live(clip, camera_opens=1.2)
    assert values[0].presence["face"] and values[0].time == pytest.approx(1.3, abs=0.11)
    points = np.array([(value.valence, value.arousal) for value in values])
    whole = np.array([(value.valence, value.arousal) for value in live(clip)])[-len(points) :]
    assert np.abs(points[0] - whole[0]).max() < 0.15  # as if the camera had been open from the start


def test_all_rows_of_the_time_come(clip: Clip) -> None:
    values = live(clip)
    assert [value.time for value in values] == pytest.approx(np.arange(len(values)) / 10) and len(values) in {29, 30}
    result = run("live", "--camera", clip.path, "--seconds", 2)
    times = pd.read_csv(io.StringIO(result.out))["time"]
    first = round(times[0] * 10)
    assert first <= 5, result.err  # a busy machine may leave out the first frames
    np.testing.assert_allclose(times, np.arange(first, 20) / 10)


def test_the_lengths_of_blocks_change_nothing(clip: Clip) -> None:
    first, *others = ([(v.valence, v.arousal) for v in live(clip, block=size)] for size in (160, 592, len(clip.audio)))
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-4)


def test_shares_are_only_given_where_a_modality_is_near(model: Model, clip: Clip, tmp_path: Path) -> None:
    black = [Image.new("RGB", clip.images[0].size)] * (30 * 25)
    sound = np.concatenate([np.zeros(30 * SAMPLING_RATE, np.float32), clip.audio])
    path = write_movie(tmp_path / "late.mp4", black + clip.images, sound=sound, frame_rate=25)
    prediction = model.predict(path, explain=True)
    assert prediction.explanation is not None
    for name, share in prediction.explanation.shares.items():
        assert prediction.presence[name].any() and not prediction.presence[name][:300].any()
        assert np.isnan(share[:180]).all()  # more than 12 s before it
        assert not np.isnan(share[prediction.presence[name]]).any()


def turned(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write a display matrix into the header of the first track, the video's."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes of other fields
    a, b, c, d = matrix
    numbers = (a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    data[at : at + 36] = b"".join(number.to_bytes(4, "big", signed=True) for number in numbers)
    path.write_bytes(data)
    return path


def test_the_box_is_on_the_face_as_it_is_shown(model: Model, clip: Clip, tmp_path: Path) -> None:
    images = clip.images[:25]
    upright = model.predict(write_movie(tmp_path / "upright.mp4", images), modalities=["face"]).boxes
    lying = [image.transpose(Image.Transpose.ROTATE_90) for image in images]
    rotated = turned(write_movie(tmp_path / "rotated.mp4", lying), (0, 1, -1, 0))
    assert upright is not None and not np.isnan(upright).any()
    assert ((upright[:, 2:] - upright[:, :2]) > 0.1).all()
    found = model.predict(rotated, modalities=["face"]).boxes
    np.testing.assert_allclose(found, upright, atol=0.03)
    narrow = tmp_path / "narrow.mp4"  # pixels twice as wide as high
    with av.open(str(narrow), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = images[0].width // 2, images[0].height, "yuv420p"
        stream.codec_context.sample_aspect_ratio = 2
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_image(image.resize((image.width // 2, image.height)))))
        container.mux(stream.encode(None))
    np.testing.assert_allclose(model.predict(narrow, modalities=["face"]).boxes, upright, atol=0.03)
