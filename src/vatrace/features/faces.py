"""From pictures to the face of one person: tracks, aligned crops, and which person to follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

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
from vatrace.features.spool import Spool
from vatrace.names import Side

CROP_SIZE = 48
"""Side of an expression crop in pixels."""

FER_EYE_TO_MOUTH, FER_EYE_TO_EYE, FER_DROP = 18.9, 17.4, 4.1
"""Where faces lie in 48 x 48 FER2013 pictures, in pixels (medians over 497 training pictures): from between the eyes to between
the corners of the mouth; from eye to eye; and how far below the picture's middle the point half-way from eyes to mouth lies.
Crops are cut alike, since the expression network learned on FER2013."""

MAX_FACES = 4
DETECT_EVERY = 5
"""While somebody is tracked, others are looked for only every so many pictures."""

CUT_DIFFERENCE = 20.0
"""Mean absolute grey difference (0..255) of 32 x 32 thumbnails above which the scene has changed. A man who turns in a driving
car stays below 11 from one step to the next; a cut between two speakers in one studio is at 28."""

MIN_STEPS = 3
"""A person seen at fewer steps than this, in a recording that has as many, is taken for the detector's mistake."""

REJOIN_SECONDS = 2.0
"""How long a lost face may be away and still come back to its own track by its place alone."""

PORTRAIT_SIZE, PORTRAIT_SCALE = 16, 1.5
SAME_PERSON = 0.9
"""Coarse colour pictures of head and hair, and the least cosine between two of one person. In eleven GRID clips halves of one
clip are at 0.99 or more, different speakers at 0.90 or less."""

FaceEncoder = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""RGB crops (N, 48, 48, 3) to embeddings (N, E)."""


@dataclass
class Track:
    """One face, followed while it can be.

    Attributes:
        roi: where it was last.
        last_seen: seconds.
        steps: grid steps at which it was seen, ascending.
        sizes: side of its crop in pixels at each of them.
        centres: how far to the right its crop's centre is at each of them, pixels.
        rows: where its embedding at each of them is in the tracker's spool.
        portrait: (768,) sum of its portraits.
    """

    roi: Roi
    last_seen: float = 0.0
    steps: list[int] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)
    centres: list[float] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    portrait: NDArray[np.float64] = field(default_factory=lambda: np.zeros(PORTRAIT_SIZE**2 * 3))


def aligned_square(points: NDArray[np.float64]) -> Roi:
    """The square around a face that a FER2013 picture would show, with the eyes level.

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


def expression_crop(picture: Image.Image, square: Roi) -> NDArray[np.uint8]:
    """The (48, 48, 3) RGB picture of a face, 0..255."""
    return np.asarray(crop(picture, square_matrix(square, CROP_SIZE), CROP_SIZE))


def _portrait(picture: Image.Image, square: Roi) -> NDArray[np.float64]:
    wide = Roi(square.x, square.y, square.side * PORTRAIT_SCALE, square.angle)
    pixels = np.asarray(crop(picture, square_matrix(wide, PORTRAIT_SIZE), PORTRAIT_SIZE), dtype=np.float64)
    return (pixels - pixels.mean()).ravel()


def _near(one: Roi, other: Roi) -> bool:
    """Whether two squares can be one face a moment apart."""
    side = max(one.side, other.side)
    return np.hypot(one.x - other.x, one.y - other.y) < 0.5 * side and min(one.side, other.side) > 0.6 * side


class FaceTracker:
    """Follows every face through the pictures of one video.

    Args:
        landmarker: finds faces and landmarks.
        encoder: turns crops into embeddings.
        spool: takes the embeddings of all faces, one after the other.
        crops: takes their crops likewise, where they are to be kept.
    """

    def __init__(self, landmarker: Landmarker, encoder: FaceEncoder, spool: Spool, crops: Spool | None = None) -> None:
        self.tracks: list[Track] = []
        self._landmarker = landmarker
        self._encoder = encoder
        self._spool, self._crops = spool, crops
        self._live: list[Track] = []
        self._lost: list[Track] = []
        self._thumbnail: NDArray[np.float32] | None = None
        self._pictures_since_detection = DETECT_EVERY

    def update(self, picture: Image.Image, time: float, steps: range) -> None:
        """Look at the next picture.

        Args:
            picture: RGB.
            time: when it is shown, in seconds.
            steps: the grid steps that show it.
        """
        if self._scene_changed(picture):
            self._live, self._lost = [], []
        self._lost = [track for track in self._lost if time - track.last_seen <= REJOIN_SECONDS]
        found = self._follow(picture)
        self._pictures_since_detection += 1
        if self._lost or not self._live or self._pictures_since_detection >= DETECT_EVERY:
            found += self._discover(picture, found)
        if not found:
            return
        squares = [aligned_square(points) for _, points in found]
        crops = np.stack([expression_crop(picture, square) for square in squares])
        first = self._spool.length
        self._spool.write(first, self._encoder(crops))
        if self._crops is not None:
            self._crops.write(first, crops)
        for row, ((track, points), square) in enumerate(zip(found, squares, strict=True), first):
            track.roi, track.last_seen = roi_from_mesh(points), time
            track.steps.extend(steps)
            track.sizes.extend([square.side] * len(steps))
            track.centres.extend([square.x] * len(steps))
            track.rows.extend([row] * len(steps))
            track.portrait += _portrait(picture, square)

    def _scene_changed(self, picture: Image.Image) -> bool:
        thumbnail = np.asarray(picture.resize((32, 32), Image.Resampling.BOX).convert("L"), dtype=np.float32)
        previous, self._thumbnail = self._thumbnail, thumbnail
        return previous is not None and float(np.abs(thumbnail - previous).mean()) > CUT_DIFFERENCE

    def _follow(self, picture: Image.Image) -> list[tuple[Track, NDArray[np.float64]]]:
        """Find live tracks where they were last."""
        found: list[tuple[Track, NDArray[np.float64]]] = []
        taken: list[Roi] = []
        for track in self._live:
            mesh = self._landmarker.landmarks(picture, track.roi)
            roi = roi_from_mesh(mesh.points)
            if mesh.presence >= MIN_SCORE and not any(_near(roi, other) for other in taken):
                found.append((track, mesh.points))
                taken.append(roi)
            else:
                self._lost.append(track)
        self._live = [track for track, _ in found]
        return found

    def _discover(
        self, picture: Image.Image, known: list[tuple[Track, NDArray[np.float64]]]
    ) -> list[tuple[Track, NDArray[np.float64]]]:
        """Find faces that aren't followed: those that come back to a lost track, and new ones."""
        self._pictures_since_detection = 0
        found: list[tuple[Track, NDArray[np.float64]]] = []
        taken = [roi_from_mesh(points) for _, points in known]
        for roi in self._landmarker.detect(picture):
            if len(taken) == MAX_FACES:
                break
            if any(_near(roi, other) for other in taken):
                continue
            mesh = self._landmarker.landmarks(picture, roi)
            if mesh.presence >= MIN_SCORE:  # a face is still one at a second look, a car's rear window is not
                mesh = self._landmarker.landmarks(picture, roi_from_mesh(mesh.points))
            if mesh.presence < MIN_SCORE:
                continue
            place = roi_from_mesh(mesh.points)
            track = next((track for track in self._lost if _near(track.roi, place)), None)
            if track is None:
                track = Track(place)
                self.tracks.append(track)
            else:
                self._lost.remove(track)
            self._live.append(track)
            found.append((track, mesh.points))
            taken.append(place)
        return found


@dataclass(frozen=True)
class Person:
    """Tracks that show one person, never at the same time.

    Attributes:
        tracks: the longest first.
        steps: all steps at which the person was seen.
    """

    tracks: list[Track]
    steps: set[int]

    @property
    def prominence(self) -> float:
        """Steps times size, in pixels."""
        return sum(sum(track.sizes) for track in self.tracks)

    @property
    def centre(self) -> float:
        """How far to the right the face is on average, in pixels."""
        return sum(sum(track.centres) for track in self.tracks) / len(self.steps)


def person_at(found: list[Person], side: Side | None) -> Person | None:
    """Who is meant of those found: the most prominent, or of the two most prominent the one at a side of the picture."""
    if side is None or len(found) < 2:
        return found[0] if found else None
    left, right = sorted(found[:2], key=lambda person: person.centre)
    return left if side == "left" else right


def people(tracks: list[Track], num_steps: int) -> list[Person]:
    """Group the tracks of a recording of `num_steps` by person, the one seen longest and largest first.

    Tracks of one person have like portraits and are never seen at the same time.
    """
    tracks = sorted(tracks, key=lambda track: -len(track.steps))
    portraits = np.array([track.portrait / max(float(np.linalg.norm(track.portrait)), 1e-9) for track in tracks])
    persons: list[Person] = []
    owner = np.zeros(len(tracks), dtype=int)
    for index, track in enumerate(tracks):
        alike = portraits[:index] @ portraits[index] >= SAME_PERSON if index else []
        for number in dict.fromkeys(owner[:index][alike]):
            if persons[number].steps.isdisjoint(track.steps):
                persons[number].tracks.append(track)
                persons[number].steps.update(track.steps)
                owner[index] = number
                break
        else:
            owner[index] = len(persons)
            persons.append(Person([track], set(track.steps)))
    lasting = [person for person in persons if len(person.steps) >= min(MIN_STEPS, num_steps)]
    return sorted(lasting, key=lambda person: -person.prominence)


def rows_on_grid(person: Person, num_steps: int) -> NDArray[np.int64]:
    """The row of the person's embedding at each step, -1 where there is none, (T,)."""
    rows = np.full(num_steps, -1)
    for track in person.tracks:
        inside = [(step, row) for step, row in zip(track.steps, track.rows, strict=True) if step < num_steps]
        if inside:
            steps, values = zip(*inside, strict=True)
            rows[list(steps)] = values
    return rows
