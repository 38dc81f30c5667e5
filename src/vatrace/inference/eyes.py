"""The visible part of a live session: the face at each step."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.encoders import DEFAULT_ENCODERS
from vatrace.features.faces import REJOIN_SECONDS, Detection, FaceTracker, face_crop
from vatrace.features.landmarker import Landmarker
from vatrace.inference.ears import KEEP_DUR
from vatrace.timeline import TOLERANCE

MAX_FRAME_RATE = 60
"""Frames a second up to which faces are kept for KEEP_DUR."""
MAX_FACE_AGE = 0.35
"""Seconds for which a face counts after the frame that showed it."""


class Eyes:
    """The face of the person who is followed, as of the latest frames.

    Args:
        rate: steps a second.

    Attributes:
        time: seconds until which the face is known.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self.time = 0.0
        self._encoder = DEFAULT_ENCODERS["face"].build(1)
        self._tracker = FaceTracker(Landmarker())
        self._main: int | None = None
        self._main_seen = 0.0
        self._seen_together: set[int] = set()
        self._seen: deque[tuple[float, NDArray[np.float32] | None]] = deque(maxlen=round(MAX_FRAME_RATE * KEEP_DUR))

    def add_frame(self, image: Image.Image, time: float) -> None:
        """Process the next frame, shown at `time` seconds."""
        detections = self._tracker.update(image, time)
        followed = self._choose(detections, time)
        vector = None
        if followed is not None:
            self._main_seen = time
            vector = self._encoder(face_crop(image, followed.square, self._encoder.crop_size)[None])[0]
        self._seen.append((time, vector))
        self.time = time + 1 / self._rate  # steps before this are known

    def _choose(self, detections: list[Detection], time: float) -> Detection | None:
        """The detection of the person who is followed; None if they aren't in this frame."""
        main = next((found for found in detections if found.track == self._main), None)
        if main is not None:
            self._seen_together = {found.track for found in detections} - {main.track}
            return main
        # a face that wasn't seen together with the person who is followed can be theirs, with a new track
        gone = self._main is None or time - self._main_seen > REJOIN_SECONDS
        others = [found for found in detections if gone or found.track not in self._seen_together]
        chosen = max(others, key=lambda found: found.square.side, default=None)
        if chosen is not None:
            self._main = chosen.track
        elif gone:
            self._main = None
        return chosen

    def at(self, moment: float) -> NDArray[np.float32] | None:
        """The face at a moment, later than at the previous call: that of the latest frame before it, unless it is too old."""
        self.forget(moment)
        if not self._seen:
            return None
        time, vector = self._seen[0]
        return vector if -TOLERANCE <= moment - time <= MAX_FACE_AGE else None

    def forget(self, moment: float) -> None:
        """Drop the frames that no step from this moment on needs."""
        while len(self._seen) > 1 and self._seen[1][0] <= moment + TOLERANCE:
            self._seen.popleft()


def as_image(image: Image.Image | NDArray[np.uint8]) -> Image.Image:
    """A frame as RGB.

    Raises:
        ValueError: if an array isn't (H, W, 3) of uint8.
    """
    if isinstance(image, Image.Image):
        return image if image.mode == "RGB" else image.convert("RGB")
    array = np.asarray(image)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise ValueError(f"a frame must be an image or an array (H, W, 3) of uint8, not {array.shape} of {array.dtype}")
    return Image.fromarray(array)
