"""Face crops that a corpus provides: one image for each video frame that shows the person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.features.faces import CROP_SIZE
from vatrace.media.reading import CLOCK_TOLERANCE

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
BATCH = 64


def numbered_images(folder: Path) -> dict[int, Path]:
    """The images in a folder by frame number, which is their name: the video's first frame is 1, `00001.jpg`."""
    return {
        int(path.stem): path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.stem.isdecimal()
    }


def read_crops(
    folder: Path, times: NDArray[np.float64], rate: float, num_steps: int, size: int = CROP_SIZE
) -> Iterator[tuple[list[int], NDArray[np.uint8]]]:
    """Read the images that a grid needs, scaled to one size.

    Args:
        folder: of the images.
        times: (F,) when each frame of the video is shown, seconds.
        rate: steps a second.
        num_steps: T.
        size: S, in pixels.

    Yields:
        N <= 64 steps and their images (N, S, S, 3) RGB. Steps whose frame has no readable image are left out.
    """
    images = numbered_images(folder)
    numbers = np.searchsorted(times, np.arange(num_steps) / rate + CLOCK_TOLERANCE, side="right")
    steps: list[int] = []
    crops: list[NDArray[np.uint8]] = []
    for step, number in enumerate(numbers.tolist()):
        crop = _read(images[number], size) if number in images else None
        if crop is not None:
            steps.append(step)
            crops.append(crop)
        if len(crops) == BATCH:
            yield steps, np.stack(crops)
            steps, crops = [], []
    if crops:
        yield steps, np.stack(crops)


def _read(path: Path, size: int) -> NDArray[np.uint8] | None:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
    except (OSError, SyntaxError):  # Pillow's errors for files that aren't images
        return None
