"""Faces in the frames of a video: found, followed, and cut out as the expression network expects them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.features.landmarker import (
    LEFT_EYE,
    MIN_SCORE,
    MOUTH,
    RIGHT_EYE,
    Landmarker,
    Roi,
    crop,
    eye_angle,
    roi_from_mesh,
    square_matrix,
)

CROP_SIZE = 48
"""Side of an expression crop in pixels."""

FER_EYE_TO_MOUTH, FER_EYE_TO_EYE, FER_DROP = 18.9, 17.4, 4.1
"""Where faces lie in 48 x 48 FER2013 images, in pixels (medians over 497 training images): the distance from between the eyes
to between the corners of the mouth; the distance between the eyes; and how far below the centre of the image the point half-way
between eyes and mouth lies. Crops are cut alike, since the expression network was trained on FER2013."""

MAX_FACES = 4
DETECT_EVERY = 5
"""While somebody is followed, new faces are looked for only in every so many frames."""

CUT_DIFFERENCE = 20.0
"""Mean absolute grey difference (0..255) between 32 x 32 thumbnails above which the scene has changed. A man who turns in a
driving car stays below 11 from one step to the next; a cut between two speakers in one studio is at 28."""

REJOIN_SECONDS = 2.0
"""How long a lost face may be away and still return to its own track by its place alone."""

PORTRAIT_SIZE, PORTRAIT_SCALE = 16, 1.5
"""Side in pixels of a portrait, a coarse colour image of head and hair, and its width in crops."""


@dataclass(frozen=True)
class Detection:
    """A face in one frame.

    Attributes:
        track: a number that stays the same while the face is followed; each new face gets the next one.
        square: what a crop of the face shows.
        portrait: (768,) a coarse colour image of head and hair, by which people are told apart.
    """

    track: int
    square: Roi
    portrait: NDArray[np.float64]


def aligned_square(points: NDArray[np.float64]) -> Roi:
    """The square around a face that a FER2013 image would show, with the eyes level.

    Args:
        points: (478, 2) landmarks in pixels.
    """
    right, left, mouth = (points[list(corners)].mean(axis=0) for corners in (RIGHT_EYE, LEFT_EYE, MOUTH))
    eyes = (right + left) / 2
    # a turned head shortens one distance, a nodding one the other
    scale = max(np.hypot(*(mouth - eyes)) / FER_EYE_TO_MOUTH, np.hypot(*(left - right)) / FER_EYE_TO_EYE)
    angle = eye_angle(right, left)
    up = np.array([np.sin(angle), -np.cos(angle)]) * scale
    x, y = (eyes + mouth) / 2 + up * FER_DROP
    return Roi(float(x), float(y), float(scale) * CROP_SIZE, angle)


def face_crop(image: Image.Image, square: Roi, size: int = CROP_SIZE) -> NDArray[np.uint8]:
    """Cut out a face: (size, size, 3) RGB, 0..255."""
    return np.asarray(crop(image, square_matrix(square, size), size))


def box_in(square: Roi, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The upright box around a square, as shares 0..1 of a picture of `size` (width, height): left, top, right, bottom."""
    reach = square.side / 2 * (abs(np.cos(square.angle)) + abs(np.sin(square.angle)))
    ends = (square.x - reach, square.y - reach, square.x + reach, square.y + reach)
    left, top, right, bottom = (min(max(float(end) / side, 0.0), 1.0) for end, side in zip(ends, size * 2, strict=True))
    return left, top, right, bottom


def _portrait(image: Image.Image, square: Roi) -> NDArray[np.float64]:
    wide = Roi(square.x, square.y, square.side * PORTRAIT_SCALE, square.angle)
    pixels = np.asarray(crop(image, square_matrix(wide, PORTRAIT_SIZE), PORTRAIT_SIZE), dtype=np.float64)
    return (pixels - pixels.mean()).ravel()


def _near(one: Roi, other: Roi) -> bool:
    """Whether two squares can be one face a moment apart."""
    side = max(one.side, other.side)
    return np.hypot(one.x - other.x, one.y - other.y) < 0.5 * side and min(one.side, other.side) > 0.6 * side


@dataclass
class _Track:
    """A face that is followed, or has just been lost."""

    number: int
    roi: Roi
    last_seen: float = 0.0


_Found = list[tuple[_Track, NDArray[np.float64]]]
"""Tracks with the landmarks (478, 2) of their face in this frame."""


class FaceTracker:
    """Follows every face from frame to frame of one video. It remembers where the faces are, and nothing else.

    Args:
        landmarker: finds faces and landmarks.
    """

    def __init__(self, landmarker: Landmarker) -> None:
        self._landmarker = landmarker
        self._live: list[_Track] = []
        self._lost: list[_Track] = []
        self._num_tracks = 0
        self._thumbnail: NDArray[np.float32] | None = None
        self._frames_since_detection = DETECT_EVERY

    def update(self, image: Image.Image, time: float) -> list[Detection]:
        """Find the faces in the next frame.

        Args:
            image: RGB.
            time: when it is shown, in seconds.
        """
        if self._scene_changed(image):
            self._live, self._lost = [], []
        self._lost = [track for track in self._lost if time - track.last_seen <= REJOIN_SECONDS]
        found = self._follow(image)
        self._frames_since_detection += 1
        if self._lost or not self._live or self._frames_since_detection >= DETECT_EVERY:
            found += self._discover(image, found)
        detections = []
        for track, points in found:
            track.roi, track.last_seen = roi_from_mesh(points), time
            square = aligned_square(points)
            detections.append(Detection(track.number, square, _portrait(image, square)))
        return detections

    def _scene_changed(self, image: Image.Image) -> bool:
        thumbnail = np.asarray(image.resize((32, 32), Image.Resampling.BOX).convert("L"), dtype=np.float32)
        previous, self._thumbnail = self._thumbnail, thumbnail
        return previous is not None and float(np.abs(thumbnail - previous).mean()) > CUT_DIFFERENCE

    def _follow(self, image: Image.Image) -> _Found:
        """Find the live tracks near where they were last."""
        found: _Found = []
        taken: list[Roi] = []
        for track in self._live:
            mesh = self._landmarker.landmarks(image, track.roi)
            roi = roi_from_mesh(mesh.points)
            if mesh.presence >= MIN_SCORE and not any(_near(roi, other) for other in taken):
                found.append((track, mesh.points))
                taken.append(roi)
            else:
                self._lost.append(track)
        self._live = [track for track, _ in found]
        return found

    def _discover(self, image: Image.Image, known: _Found) -> _Found:
        """Find faces that aren't followed yet: new ones, and those that return to a lost track."""
        self._frames_since_detection = 0
        found: _Found = []
        taken = [roi_from_mesh(points) for _, points in known]
        for roi in self._landmarker.detect(image):
            if len(taken) == MAX_FACES:
                break
            if any(_near(roi, other) for other in taken):
                continue
            mesh = self._landmarker.landmarks(image, roi)
            if mesh.presence >= MIN_SCORE:  # a face passes a second look, a car's rear window doesn't
                mesh = self._landmarker.landmarks(image, roi_from_mesh(mesh.points))
            if mesh.presence < MIN_SCORE:
                continue
            place = roi_from_mesh(mesh.points)
            track = next((track for track in self._lost if _near(track.roi, place)), None)
            if track is None:
                track = _Track(self._num_tracks, place)
                self._num_tracks += 1
            else:
                self._lost.remove(track)
            self._live.append(track)
            found.append((track, mesh.points))
            taken.append(place)
        return found
