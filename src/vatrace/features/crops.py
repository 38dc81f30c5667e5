"""Faces that a corpus gives out cropped: one picture for each frame of the video that shows the person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.features.faces import CROP_SIZE
from vatrace.media.reading import CLOCK_TOLERANCE

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
BATCH = 64


def numbered_pictures(folder: Path) -> dict[int, Path]:
    """The pictures in a folder by the number that is their name: the video's first frame is 1, `00001.jpg`."""
    return {
        int(path.stem): path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and path.stem.isdecimal()
    }


def read_crops(
    folder: Path, times: NDArray[np.float64], rate: float, num_steps: int
) -> Iterator[tuple[list[int], NDArray[np.uint8]]]:
    """Read the pictures that a grid needs, made 48 x 48.

    Args:
        folder: of the pictures.
        times: (F,) when each frame of the video is shown, seconds.
        rate: steps a second.
        num_steps: T.

    Yields:
        N <= 64 steps and their pictures (N, 48, 48, 3) RGB. Steps whose frame has no picture, or none that can be read, are
        left out.
    """
    pictures = numbered_pictures(folder)
    numbers = np.searchsorted(times, np.arange(num_steps) / rate + CLOCK_TOLERANCE, side="right")
    steps: list[int] = []
    crops: list[NDArray[np.uint8]] = []
    for step, number in enumerate(numbers.tolist()):
        crop = _read(pictures[number]) if number in pictures else None
        if crop is not None:
            steps.append(step)
            crops.append(crop)
        if len(crops) == BATCH:
            yield steps, np.stack(crops)
            steps, crops = [], []
    if crops:
        yield steps, np.stack(crops)


def _read(path: Path) -> NDArray[np.uint8] | None:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB").resize((CROP_SIZE, CROP_SIZE), Image.Resampling.BILINEAR))
    except (OSError, SyntaxError):  # Pillow's errors for what is no picture
        return None
