"""Faces that never move, as in a photograph on the wall, a still on a screen or a printed page, however the camera moves.

When a camera pans, zooms, rolls or moves past a flat picture, all landmarks change by nearly the same affine map. The rest is
noise in a picture; in a living face, it is also the motion of the mouth and the eyelids, and the relief of a head that turns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vatrace.features.landmarker import NUM_LANDMARKS

MIN_SECONDS, MIN_FRAMES = 2.0, 10
"""Seconds and frames for which a face must be observed: between two words, people hold still for half a second."""

STILL, PER_TRAVEL, MOST = 0.008, 0.04, 0.013
"""Motion, in shares of the face's radius, below which a face is still: if it stays in its place; the increase for each radius
that it travels in the picture, because landmarks and codecs are less exact then; and the maximum. Photographs of GRID's
speakers, encoded in H.264 at a rate factor of 23, have 0.001 to 0.007 with a camera at rest, and 0.004 to 0.012 with one that
pans, zooms or shakes. The speakers themselves have 0.014 to 0.026, heads that turn while they talk 0.06 or more."""


class Motion:
    """How much one face moves, apart from the camera's motion, from its landmarks in any number of frames."""

    def __init__(self) -> None:
        self._count = 0
        self._start = self._end = 0.0
        self._design: NDArray[np.float64] = np.empty((0, 3))
        self._fit: NDArray[np.float64] = np.empty((3, 0))
        self._sums = np.zeros((2, NUM_LANDMARKS, 2))  # of the residuals, and of their squares
        self._places = np.zeros((2, 3))  # of centre and radius, and of their squares

    def add(self, points: NDArray[np.float64], time: float) -> None:
        """Add one more frame.

        Args:
            points: (478, 2) landmarks in pixels.
            time: seconds, later than the previous frame's.
        """
        centre = points.mean(axis=0)
        radius = float(np.sqrt(((points - centre) ** 2).sum(axis=1).mean()))
        if not self._count:
            self._start = time
            self._design = np.column_stack([(points - centre) / max(radius, 1e-9), np.ones(len(points))])
            self._fit = np.linalg.pinv(self._design).astype(np.float64)
        self._count, self._end = self._count + 1, time
        affine = self._fit @ points  # (3, 2): the first frame's face to this one
        if abs(np.linalg.det(affine[:2])) > 1e-9:
            rest = (points - self._design @ affine) @ np.linalg.inv(affine[:2])
            self._sums += rest, rest**2
        place = np.array([*centre, radius])
        self._places += place, place**2

    @property
    def amount(self) -> float:
        """Standard deviation of the landmarks over time after an affine map per frame is removed, in shares of the radius."""
        return float(np.sqrt(_variance(self._sums, self._count).sum(axis=1).mean()))

    @property
    def travel(self) -> float:
        """Standard deviation of the face's place and size in the picture, in shares of the radius."""
        return float(np.sqrt(_variance(self._places, self._count).sum()) / max(self._places[0, 2] / max(self._count, 1), 1e-9))

    @property
    def is_known(self) -> bool:
        """Whether the face was observed long enough."""
        return self._count >= MIN_FRAMES and self._end - self._start >= MIN_SECONDS

    @property
    def is_still(self) -> bool:
        """Whether the face was observed long enough and never moved."""
        return self.is_known and self.amount < min(STILL + PER_TRAVEL * self.travel, MOST)


def _variance(sums: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Variance from the sums of `count` values and of their squares."""
    mean, squares = sums / max(count, 1)
    return np.maximum(squares - mean**2, 0)
