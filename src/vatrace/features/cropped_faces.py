"""Face crops that a corpus provides: one image for each video frame that shows the person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.features.faces import CROP_SIZE
from vatrace.features.identity import Identity, IdentityEncoder, View
from vatrace.features.landmarker import MIN_SCORE, Landmarker, Roi, roi_from_mesh
from vatrace.media.container import MAX_PIXELS
from vatrace.media.picture import STILL_FORMATS
from vatrace.media.reading import CLOCK_TOLERANCE

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
BATCH = 64
NUM_VIEWS = 12
"""Cropped faces from which it is learned how the person looks, evenly spread."""
VIEW_SIZE, AROUND = 160, 1.25
"""Side in pixels to which these are scaled, and side of the first square in which landmarks are searched for, in sides of a
crop. The network finds the same landmarks for 1.0 to 1.5 sides, and crops of 0.8 to 1.8 times the usual size: with five GRID
speakers, views of crops are at most 0.26 from the speaker's own, and at least 0.62 from the others'."""


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
        with Image.open(path, formats=STILL_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                return None
            return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # Pillow's errors for files that aren't images
        return None


def view_of_crops(folder: Path, landmarker: Landmarker, identities: IdentityEncoder) -> View | None:
    """How the person in a folder of cropped faces looks, from NUM_VIEWS of them; None if no face can be recognised in them."""
    images = [path for _, path in sorted(numbered_images(folder).items())]
    known = Identity()
    for place in np.unique(np.linspace(0, len(images) - 1, NUM_VIEWS).round().astype(int)) if images else ():
        crop = _read(images[place], VIEW_SIZE)
        if crop is None:
            continue
        image = Image.fromarray(crop)
        mesh = landmarker.landmarks(image, Roi(VIEW_SIZE / 2, VIEW_SIZE / 2, VIEW_SIZE * AROUND, 0.0))
        mesh = landmarker.landmarks(image, roi_from_mesh(mesh.points))  # of the face itself, however much the crop shows
        if mesh.presence >= MIN_SCORE:
            known.add(identities(image, mesh.points))
    return View(known.mean, 1.0) if known.weight else None
