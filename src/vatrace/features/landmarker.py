"""Google's Face Landmarker models (BlazeFace and Face Mesh V2) on ONNX Runtime.

The models are those of `face_landmarker.task` (Apache-2.0), converted by `recipes/landmarker.py`. The MediaPipe library itself
is not used: from 0.10.3x on its wheels report usage to a server, and this package promises that nothing leaves the machine.
Anchors, boxes and crops follow the published graph: short-range BlazeFace (Bazarevsky et al. 2019, arXiv 1907.05047) at
128 x 128 with strides 8 and 16, and a 256 x 256 mesh crop 1.5 times the face, rotated so that the eyes are level.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.weights import onnx_session

DETECTOR_SIZE = 128
MESH_SIZE = 256
NUM_LANDMARKS = 478
ROI_SCALE = 1.5
PER_LENGTH = 1.5
"""Squares along a side of the picture, per length of a square."""
FINE_SIDE = 240
"""Pixels of the smallest squares, in which the detector finds faces of about 30 pixels. Smaller ones can't be recognised."""
FINEST = 3
"""Samples along a side for each pixel of a crop, before they are averaged: a larger face is reduced first. With faces of 300 to
700 pixels, in three clips, valence and arousal differ by at most 0.005 from those with all samples; with 2, by 0.015."""
MIN_SCORE = 0.5
OVERLAP = 0.3

RIGHT_EYE, LEFT_EYE = (33, 133), (263, 362)
"""Mesh points at the outer and inner corner of the person's right and left eye."""
MOUTH = (61, 291)
"""Mesh points at the corners of the mouth."""
INNER_LIPS = (13, 14)
"""Mesh points in the middle of the upper and the lower lip, where they meet."""


@dataclass(frozen=True)
class Roi:
    """A rotated square in an image: centre and side in pixels, angle in radians (0: eyes level)."""

    x: float
    y: float
    side: float
    angle: float


@dataclass(frozen=True)
class Mesh:
    """The landmarks of one face.

    Attributes:
        points: (478, 2) x and y in pixels of the image.
        depths: (478,) how far behind the middle of the head they lie, in the same unit, without perspective.
        presence: probability, 0..1, that the square contains a face.
    """

    points: NDArray[np.float64]
    depths: NDArray[np.float64]
    presence: float


def eye_angle(right_eye: NDArray[np.float64], left_eye: NDArray[np.float64]) -> float:
    """The angle of the line between the eyes in radians, 0 when level."""
    return float(np.arctan2(left_eye[1] - right_eye[1], left_eye[0] - right_eye[0]))


def roi_from_mesh(points: NDArray[np.float64]) -> Roi:
    """Where to expect the face in the next frame, from its landmarks in this one."""
    low, high = points.min(axis=0), points.max(axis=0)
    centre = (low + high) / 2
    angle = eye_angle(points[RIGHT_EYE[0]], points[LEFT_EYE[0]])
    return Roi(centre[0], centre[1], float((high - low).max()) * ROI_SCALE, angle)


def square_matrix(roi: Roi, size: int) -> NDArray[np.float64]:
    """The (2, 3) affine map from pixels of a size x size crop to the pixels of the image that `roi` covers."""
    scale = roi.side / size
    cos, sin = np.cos(roi.angle) * scale, np.sin(roi.angle) * scale
    turn = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([turn, np.array([roi.x, roi.y]) - turn @ np.array([size / 2, size / 2])])


def crop(image: Image.Image, matrix: NDArray[np.float64], size: int, finest: int = FINEST) -> Image.Image:
    """Sample a size x size crop whose pixel p shows the image at `matrix` (2, 3) applied to p, without aliasing.

    Args:
        image: of any mode.
        matrix: the affine map from pixels of the crop to those of the image.
        size: in pixels.
        finest: samples for each pixel of the crop, along a side, if the image has so many.
    """
    coarse = int(_scale(matrix)) // finest
    if coarse >= 2:
        image, matrix = _reduced(image, matrix, size, coarse)
    shrink = int(_scale(matrix))
    if shrink >= 2 and finest > 1:  # sample more finely, then average
        fine = matrix.copy()
        fine[:, :2] /= shrink
        large = image.transform(
            (size * shrink, size * shrink), Image.Transform.AFFINE, fine.ravel().tolist(), Image.Resampling.BILINEAR
        )
        return large.reduce(shrink)
    return image.transform((size, size), Image.Transform.AFFINE, matrix.ravel().tolist(), Image.Resampling.BILINEAR)


def _scale(matrix: NDArray[np.float64]) -> float:
    """How many pixels of the image are a pixel of the crop, along a side."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def _reduced(
    image: Image.Image, matrix: NDArray[np.float64], size: int, factor: int
) -> tuple[Image.Image, NDArray[np.float64]]:
    """The part of an image that a crop shows, reduced by averaging, and the map to it: faster than to sample all of it."""
    corners = np.array([(0, 0, 1), (size, 0, 1), (0, size, 1), (size, size, 1)]) @ matrix.T
    low, high = np.floor(corners.min(axis=0)) - factor, np.ceil(corners.max(axis=0)) + factor
    left, top = np.maximum(low, 0).astype(int).tolist()
    right, bottom = np.minimum(high, image.size).astype(int).tolist()
    if right <= left or bottom <= top:  # all of it lies outside
        return image, matrix
    return image.reduce(factor, (left, top, right, bottom)), (matrix - [[0, 0, left], [0, 0, top]]) / factor


@cache
def _anchors() -> NDArray[np.float64]:
    """Centres of BlazeFace's 896 anchors, (896, 2) in 0..1."""
    centres = []
    for cells, per_cell in ((16, 2), (8, 6)):
        axis = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
        centres.append(np.repeat(grid, per_cell, axis=0))
    return np.concatenate(centres)


def _overlaps(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of one box (4,) with others (N, 4), each x0, y0, x1, y1."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    area = np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return shared / np.maximum(area - shared, 1e-9)


def whole(size: tuple[int, int]) -> list[Roi]:
    """The square around an image of `size` (width, height)."""
    return [Roi(size[0] / 2, size[1] / 2, float(max(size)), 0.0)]


def large_squares(size: tuple[int, int]) -> list[Roi]:
    """Squares as large as the shorter side of an image of `size` (width, height), along its longer side."""
    return _squares(size, min(size)) if size[0] != size[1] else []


def fine_squares(size: tuple[int, int]) -> list[Roi]:
    """Squares half as large as those, everywhere in the image; none if they would be smaller than FINE_SIDE."""
    side = min(size) / 2
    return _squares(size, side) if side >= FINE_SIDE else []


def _squares(size: tuple[int, int], side: float) -> list[Roi]:
    columns, rows = (
        np.linspace(side / 2, length - side / 2, int(np.ceil(PER_LENGTH * length / side)) if length > side else 1)
        for length in size
    )
    return [Roi(float(x), float(y), float(side), 0.0) for y in rows for x in columns]


class Landmarker:
    """Finds faces in RGB images and the 478 landmarks of each."""

    def __init__(self) -> None:
        self._detector = onnx_session("face_detector.onnx")
        self._mesh = onnx_session("face_landmarks.onnx")

    def detect(self, image: Image.Image, squares: Iterable[Roi] | None = None) -> list[Roi]:
        """Faces in upright squares of the image, those of each square with the most certain first.

        One face can be found in several squares that overlap.

        Args:
            image: RGB.
            squares: None for the whole image and, if none are found there, squares along its longer side, in which small
                faces are larger.
        """
        if squares is None:
            return self.detect(image, whole(image.size)) or self.detect(image, large_squares(image.size))
        reduced: dict[int, Image.Image] = {}
        found = []
        for square in squares:
            shrink = max(int(square.side / DETECTOR_SIZE), 1)
            if shrink not in reduced:
                reduced[shrink] = image.reduce(shrink) if shrink > 1 else image
            found += self._detect_in(reduced[shrink], square, shrink)
        return found

    def _detect_in(self, image: Image.Image, square: Roi, shrink: int) -> list[Roi]:
        """Faces in an upright square, the most certain first; `image` is the picture reduced by `shrink`."""
        part = Roi(square.x / shrink, square.y / shrink, square.side / shrink, 0.0)
        small = crop(image, square_matrix(part, DETECTOR_SIZE), DETECTOR_SIZE)
        left, top = square.x - square.side / 2, square.y - square.side / 2
        pixels = np.asarray(small, dtype=np.float32)[None] / 127.5 - 1
        regressors, logits = (output[0] for output in self._detector.run(None, {"pixels": pixels}))
        scores = 1 / (1 + np.exp(-np.clip(logits[:, 0].astype(np.float64), -100, 100)))
        kept = np.flatnonzero(scores >= MIN_SCORE)
        if not kept.size:
            return []
        values = regressors[kept].astype(np.float64).reshape(-1, 8, 2) / DETECTOR_SIZE  # centre, size, six keypoints
        values[:, [0, 2, 3, 4, 5, 6, 7]] += _anchors()[kept, None]
        scores = scores[kept]
        boxes = np.concatenate([values[:, 0] - values[:, 1] / 2, values[:, 0] + values[:, 1] / 2], axis=1)
        rois = []
        remaining = np.argsort(-scores)
        while remaining.size:  # boxes of one face are averaged by their scores, as BlazeFace does
            same = _overlaps(boxes[remaining[0]], boxes[remaining]) > OVERLAP
            same[0] = True
            chosen = remaining[same]
            centre, size, right_eye, left_eye = np.average(values[chosen, :4], axis=0, weights=scores[chosen]) * square.side
            rois.append(Roi(centre[0] + left, centre[1] + top, float(size.max()) * ROI_SCALE, eye_angle(right_eye, left_eye)))
            remaining = remaining[~same]
        return rois

    def landmarks(self, image: Image.Image, roi: Roi) -> Mesh:
        """The landmarks of the face in `roi`; `Mesh.presence` is the probability that it contains one."""
        matrix = square_matrix(roi, MESH_SIZE)
        pixels = np.asarray(crop(image, matrix, MESH_SIZE, finest=1), dtype=np.float32)[None] / 255
        points, presence = self._mesh.run(["landmarks", "presence"], {"pixels": pixels})
        local = points.reshape(NUM_LANDMARKS, 3).astype(np.float64)
        depths = local[:, 2] * roi.side / MESH_SIZE
        return Mesh(local[:, :2] @ matrix[:, :2].T + matrix[:, 2], depths, 1 / (1 + np.exp(-float(presence.item()))))
