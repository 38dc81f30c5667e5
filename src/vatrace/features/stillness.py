"""Tells living faces from still images of faces: a photograph on the wall, a paused screen, a printed page.

When a camera pans, zooms, rolls or moves past a flat picture, all of the picture changes by nearly the same affine map. Two
measures give the motion of a face that such a map doesn't explain:

- **Landmarks** (`Motion.amount`), over the whole time. They show a talking mouth, but aren't exact enough for a person who
  holds still: noise and compression move the landmarks of a photograph just as much.
- **Pixels** (`Motion.drift`): the change between frames half a second apart that neither an affine map nor a change of light
  explains. It shows eyelids, cheeks and a swaying head. The change between frames a tenth of a second apart is subtracted:
  noise, compression and flicker change a photograph as much in a tenth of a second as in half a second, while a living face
  goes on moving.

If the two agree, the face moves or is still. If they disagree, it is doubtful.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.features.landmarker import LEFT_EYE, NUM_LANDMARKS, RIGHT_EYE, Roi, crop, eye_angle, square_matrix

MIN_SECONDS, MIN_FRAMES = 2.0, 10
"""Seconds and frames for which a face must be observed: between words, people can be still for half a second."""

STILL, PER_TRAVEL, MOST = 0.008, 0.04, 0.013
"""Motion of the landmarks, in shares of the face's radius, below which a face is still: the threshold for a face that stays in
its place; the increase for each radius that it travels in the picture, because landmarks and codecs are then less exact; and
the maximum. Photographs of GRID speakers, encoded in H.264 at a rate factor of 23, have 0.001 to 0.007 with a static camera,
and 0.004 to 0.012 with one that pans, zooms or shakes. The speakers themselves have 0.014 to 0.026 while they speak, and 0.06
or more if they also turn their heads; but while they rest, 0.0025 to 0.011."""

PATCH_SIZE, PATCH_RADII, BLOCK = 64, 3.6, 8
"""Side in pixels of the patch that is compared; its side in radii of the face, which covers the face from brows to chin; and
side in pixels of the blocks whose motion is measured."""
TEXTURE = 16.0
"""Mean square of the grey-level gradient below which the motion of a block is damped: there, noise looks like motion."""
COMPARE_SECONDS, SHORT_SECONDS = 0.5, 0.1
"""Seconds between the frames that are compared, and between those that show the noise."""
NOISE = 1.5
"""Factor on the noise between frames SHORT_SECONDS apart before it is subtracted, because codecs correct part of their errors
only after a few frames."""
MIN_COMPARED = 3
"""The fewest comparisons from which the drift is computed."""
STILL_DRIFT, DRIFT_PER_TRAVEL, MOST_DRIFT = 0.0009, 0.014, 0.0022
"""Drift below which a face is still: the threshold for a face that stays in its place; the increase for each radius that it
travels; and the maximum. Six GRID speakers at rest before or after they speak, without a blink, have at least 0.0011 with a
static camera, half of them 0.0035 or more. Photographs of them have at most 0.0009, but up to 0.0026 with flickering or
changing light and strong compression, or if the camera moves; people at rest then have at least 0.0005, so one in six is taken
for a photograph."""
SURE_DRIFT, MOST_SURE_DRIFT = 0.003, 0.005
"""Drift from which a face certainly moves, whatever its landmarks do: the threshold for a face that stays in its place, which
increases in the same way, and the maximum. No photograph had more than 0.0025 with a static camera, or 0.0040 with a moving
one."""


@dataclass(frozen=True)
class FacePatch:
    """A face that may be compared with the same face at another time; most are not, so its pixels are computed when needed.

    Attributes:
        part: the picture around the face, RGB or grey.
        matrix: (2, 3) from pixels of the patch to those of `part` after it is reduced.
        shrink: factor by which it is reduced.
    """

    part: Image.Image
    matrix: NDArray[np.float64]
    shrink: int

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """(PATCH_SIZE, PATCH_SIZE) grey, upright and scaled, 0..255."""
        return np.asarray(crop(self.part.convert("L").reduce(self.shrink), self.matrix, PATCH_SIZE))


def face_patch(image: Image.Image, points: NDArray[np.float64]) -> FacePatch | None:
    """The patch of a face; None if the edge of the picture cuts it off.

    Args:
        image: RGB.
        points: (478, 2) landmarks in pixels.
    """
    (x, y), radius = _place(points)
    angle = eye_angle(points[list(RIGHT_EYE)].mean(axis=0), points[list(LEFT_EYE)].mean(axis=0))
    matrix = square_matrix(Roi(x, y, PATCH_RADII * radius, angle), PATCH_SIZE)
    corners = np.array([(0, 0, 1), (PATCH_SIZE, 0, 1), (0, PATCH_SIZE, 1), (PATCH_SIZE, PATCH_SIZE, 1)]) @ matrix.T
    if (corners < 0).any() or (corners > image.size).any():
        return None
    left, top = np.floor(corners.min(axis=0)).astype(int).tolist()
    right, bottom = np.ceil(corners.max(axis=0)).astype(int).tolist()
    shrink = max(int(PATCH_RADII * radius / PATCH_SIZE / 2), 1)  # by no more, so that the position of pixels matters little
    matrix = (matrix - [[0, 0, left], [0, 0, top]]) / shrink  # to reduce a large face is faster than to sample it finely
    return FacePatch(image.crop((left, top, right, bottom)), matrix, shrink)


def _place(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The centre of a face, and its radius: the root mean square distance of the landmarks (N, 2) from the centre."""
    centre = points.mean(axis=0)
    return centre, float(np.sqrt(((points - centre) ** 2).sum(axis=1).mean()))


class Motion:
    """Measures how much one face moves over any number of frames, after the camera's motion is removed."""

    def __init__(self) -> None:
        self._count = 0
        self._start = self._end = 0.0
        self._design: NDArray[np.float64] = np.empty((0, 3))
        self._fit: NDArray[np.float64] = np.empty((3, 0))
        self._sums = np.zeros((2, NUM_LANDMARKS, 2))  # of the residuals, and of their squares
        self._places = np.zeros((2, 3))  # of centre and radius, and of their squares
        self._patches: deque[tuple[float, FacePatch]] = deque()
        self._compared = -np.inf
        self._changes: list[tuple[float, float]] = []

    def add(self, points: NDArray[np.float64], time: float, patch: FacePatch | None = None) -> None:
        """Add one more frame.

        Args:
            points: (478, 2) landmarks in pixels.
            time: seconds, later than the previous frame's.
            patch: the result of `face_patch`.
        """
        centre, radius = _place(points)
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
        if patch is not None:
            self._compare(patch, time)

    def _compare(self, patch: FacePatch, time: float) -> None:
        """Every COMPARE_SECONDS, compare the face with those of COMPARE_SECONDS and SHORT_SECONDS ago.

        If frames are so rare that both are the same one, nothing is subtracted as noise.
        """
        while len(self._patches) > 1 and self._patches[0][0] < time - 1.5 * COMPARE_SECONDS:
            self._patches.popleft()
        ages = time - np.array([moment for moment, _ in self._patches])
        if len(ages) and min(time - self._compared, ages[0]) > 0.8 * COMPARE_SECONDS:
            then, lately = (int(np.abs(ages - seconds).argmin()) for seconds in (COMPARE_SECONDS, SHORT_SECONDS))
            change = inner_motion(self._patches[then][1].pixels, patch.pixels)
            noise = inner_motion(self._patches[lately][1].pixels, patch.pixels) if lately != then else 0.0
            self._changes.append((change, noise))
            self._compared = time
        self._patches.append((time, patch))

    @property
    def amount(self) -> float:
        """Standard deviation of the landmarks over time after an affine map per frame is removed, in shares of the radius."""
        return float(np.sqrt(_variance(self._sums, self._count).sum(axis=1).mean()))

    @property
    def travel(self) -> float:
        """Standard deviation of the face's place and size in the picture, in shares of the radius."""
        return float(np.sqrt(_variance(self._places, self._count).sum()) / max(self._places[0, 2] / max(self._count, 1), 1e-9))

    @property
    def drift(self) -> float:
        """How far parts of the face move in COMPARE_SECONDS beyond noise, in shares of the radius; NaN if it isn't known.

        It is a median over time, so keyframes and the changes of a slide show have no effect.
        """
        if len(self._changes) < MIN_COMPARED:
            return np.nan
        long, short = np.square(self._changes).T
        return float(np.sqrt(max(np.median(long - NOISE * short), 0.0)))

    @property
    def is_known(self) -> bool:
        """Whether the face was observed long enough."""
        return self._count >= MIN_FRAMES and self._end - self._start >= MIN_SECONDS

    @property
    def moves(self) -> bool:
        """Whether it is certain that the face moves."""
        if not self.is_known:
            return False
        sure = min(SURE_DRIFT + DRIFT_PER_TRAVEL * self.travel, MOST_SURE_DRIFT)
        return self.drift > sure or not (self._has_still_landmarks or self.drift < self._least_drift)

    @property
    def is_still(self) -> bool:
        """Whether it is certain that the face never moves."""
        return self.is_known and self._has_still_landmarks and self.drift < self._least_drift

    @property
    def _has_still_landmarks(self) -> bool:
        return self.amount < min(STILL + PER_TRAVEL * self.travel, MOST)

    @property
    def _least_drift(self) -> float:
        return min(STILL_DRIFT + DRIFT_PER_TRAVEL * self.travel, MOST_DRIFT)


def _variance(sums: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Variance from the sums of `count` values and of their squares."""
    mean, squares = sums / max(count, 1)
    return np.maximum(squares - mean**2, 0)


_AXIS = (np.arange(PATCH_SIZE, dtype=np.float32) + 0.5) / PATCH_SIZE * 2 - 1
_SUM = np.kron(np.eye(PATCH_SIZE // BLOCK, dtype=np.float32), np.ones((1, BLOCK), np.float32))
"""Sums the rows of each block."""


def inner_motion(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    """How far the blocks of a patch have moved, apart from an affine map of the whole patch and a change of light.

    All are found by least squares from the differences and slopes of grey levels (Lucas and Kanade 1981), so the patches must
    be aligned to about a pixel.

    Args:
        before: (PATCH_SIZE, PATCH_SIZE), 0..255.
        after: the same face later.

    Returns:
        The root mean square over blocks, in radii of the face.
    """
    first, second = _smooth(before), _smooth(after)
    mean, difference = (first + second) / 2, second - first
    across, down = np.zeros_like(mean), np.zeros_like(mean)
    across[:, 1:-1], down[1:-1] = (mean[:, 2:] - mean[:, :-2]) / 2, (mean[2:] - mean[:-2]) / 2
    x, y = _AXIS[None, :], _AXIS[:, None]
    columns = [across, across * x, across * y, down, down * x, down * y, np.ones_like(mean), mean]
    design = np.stack([column[1:-1, 1:-1].ravel() for column in columns])  # (8, N)
    found = np.linalg.lstsq(design @ design.T, design @ difference[1:-1, 1:-1].ravel(), rcond=1e-7)[0]
    rest = np.zeros_like(mean)
    rest[1:-1, 1:-1] = difference[1:-1, 1:-1] - (found @ design).reshape(PATCH_SIZE - 2, -1)

    def total(values: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        return np.asarray(_SUM @ values @ _SUM.T)

    damping = TEXTURE * BLOCK**2
    xx, xy, yy = total(across * across) + damping, total(across * down), total(down * down) + damping
    to_x, to_y = total(rest * across), total(rest * down)
    squares = ((yy * to_x - xy * to_y) ** 2 + (xx * to_y - xy * to_x) ** 2) / (xx * yy - xy * xy) ** 2
    return float(np.sqrt(squares.mean()) * PATCH_RADII / PATCH_SIZE)


def _smooth(patch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A patch without its finest detail, which differs from frame to frame."""
    padded = np.pad(patch.astype(np.float32), 1, mode="edge")
    rows = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return np.asarray((rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4, dtype=np.float32)
