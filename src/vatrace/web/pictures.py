"""Small pictures of recordings for the list, and the face that somebody clicked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vatrace.errors import MediaError
from vatrace.features.landmarker import Landmarker
from vatrace.inference.prediction import Prediction
from vatrace.media.reading import VideoReader
from vatrace.media.recording import Recording

THUMB = (192, 108)
"""Pixels of a small picture: those of a wide screen, at the density of most."""
MARGIN = 1.5
"""Half the side of the picture of a clicked face, in sides of its box: finding the face again needs its surroundings."""


def write_thumb(copy: Path, kind: str, prediction: Prediction, path: Path) -> bool:
    """Write a JPEG from the middle of the time in which the face is visible, with the face in it.

    Args:
        copy: the small copy of the recording.
        kind: its media type.
        prediction: of the recording.
        path: the picture.

    Returns:
        Whether there is one.
    """
    visible = np.flatnonzero(prediction.presence["face"])
    row = int(visible[len(visible) // 2]) if len(visible) else len(prediction.times) // 2
    time = float(prediction.times[row])
    image = Image.open(copy).convert("RGB") if kind.startswith("image") else image_at(copy, time)
    if image is None:
        return False
    box = prediction.box_at(time)
    across, down = (0.5, 0.5) if box is None else ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    scale = min(image.width / THUMB[0], image.height / THUMB[1])
    width, height = scale * THUMB[0], scale * THUMB[1]
    left = min(max(across * image.width - width / 2, 0), image.width - width)
    top = min(max(down * image.height - height / 2, 0), image.height - height)
    image.resize(THUMB, Image.Resampling.LANCZOS, (left, top, left + width, top + height)).save(path, "JPEG", quality=80)
    return True


def image_at(path: Path, time: float) -> Image.Image | None:
    """The image that is shown at a time in seconds, or the last one before it; None if there is none."""
    found = None
    for frame in VideoReader(path, 10):
        if found is not None and frame.time > time:
            break
        found = frame.image
    return found


def write_clicked_face(recording: Recording, click: Sequence[float], path: Path) -> Path:
    """Write a picture of the face that was clicked, by which the person can be found.

    Args:
        recording: a video or an image.
        click: the time in seconds, and the place as shares of the width and the height.
        path: the picture.

    Raises:
        MediaError: if no face was clicked.
    """
    time, across, down = click
    image = image_at(recording.path, time) if recording.has_frames else None
    faces = [] if image is None else Landmarker().detect(image)
    if image is not None:
        x, y = across * image.width, down * image.height
        for face in sorted(faces, key=lambda face: abs(face.x - x) + abs(face.y - y)):
            if max(abs(face.x - x), abs(face.y - y)) <= face.side / 2:
                reach = MARGIN * face.side
                image.crop((round(face.x - reach), round(face.y - reach), round(face.x + reach), round(face.y + reach))).save(
                    path
                )
                return path
    raise MediaError(f"{recording.path}: no face was found where you clicked, at {time:.1f} s")
