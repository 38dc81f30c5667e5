"""Faces in the frames of a video: detected, followed, and cropped as the expression network expects them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.features.identity import SAME_PERSON, Identity, IdentityEncoder, View
from vatrace.features.landmarker import (
    LEFT_EYE,
    MIN_SCORE,
    MOUTH,
    RIGHT_EYE,
    Landmarker,
    Roi,
    crop,
    eye_angle,
    fine_squares,
    large_squares,
    roi_from_mesh,
    square_matrix,
    whole,
)
from vatrace.features.stillness import FacePatch, face_patch

CROP_SIZE = 48
"""Side of an expression crop in pixels."""

FER_EYE_TO_MOUTH, FER_EYE_TO_EYE, FER_DROP = 18.9, 17.4, 4.1
"""Where faces lie in 48 x 48 FER2013 images, in pixels (medians over 497 training images): the distance from between the eyes
to between the corners of the mouth; the distance between the eyes; and how far below the centre of the image the point half-way
between eyes and mouth lies. Crops are cut in the same way, because the expression network was trained on FER2013."""

CLIPPED, CLIPPED_SHARE = 250, 0.15
"""A colour value from which light is clipped, and the share of a face from which that changes what it seems to express. GRID's
clips at 1.8 times their light have 0.17 to 0.5, and at 1.4 times, where valence and arousal change by 0.01 on average, 0.03 at
most."""

LUMA = np.array([0.299, 0.587, 0.114])
DARK = 25.0
"""Luma (0..255) that the brightest tenth of a dark face doesn't reach. In GRID's eleven clips, darkened, valence
and arousal change by up to 0.08 above it, and by 0.02 on average; below it, by up to 0.22. Below a luma of 7, no face is found.
Dark skin is brighter: no face in 16,069 pictures of FER+ (every second one for training and development) is below 44."""

MAX_FACES = 8
"""Faces that are followed at once: the largest ones. Each costs about 12 ms a frame."""
LARGER = 1.25
"""How much larger than the smallest of MAX_FACES faces another one must be to take its place."""
DETECT_EVERY = 5
"""While somebody is followed, new faces are searched for only once in this many frames."""
SQUARES_SECONDS = 2.0
"""Seconds between searches for small faces in `large_squares`. In between, each search for new faces includes one of the
`fine_squares`, so that the 18 of a wide picture are searched within 9 s at ten frames a second."""
SEARCHED_AGAIN = 3
"""Number of lost faces whose surroundings are searched while they may return."""

CUT_DIFFERENCE, CUT_COLOURS = 12.0, 0.08
"""Differences between two frames above which a cut is possible: the mean absolute grey difference (0..255) of 32 x 32
thumbnails, and the share of pixels whose colour changed (8 levels a channel). Within GRID's clips they stay below 2 and 0.06.
At cuts between its speakers, who sit in front of the same blue wall, they are at least 6 and 0.13. A head that turns in a
close-up reaches 21 and 0.10: a possible cut is only a reason to check who it is."""

CUT_MOVE = 0.15
"""Share of its side (`Roi`) by which a face may move from one frame to the next without a check of who it is. The close-up
stays below 0.1."""

EARLY_VIEWS, EARLY_SECONDS, CHECK_SECONDS = 4, 0.5, 2.0
"""A face is recognised when it appears. Views are added every EARLY_SECONDS until it has EARLY_VIEWS, then every CHECK_SECONDS;
each is also a check that it is still the same person, which isn't so after a dissolve."""

REJOIN_SECONDS = 2.0
"""Seconds for which a lost face is searched for in every frame."""

MEETING, MEETING_SECONDS = 1.2, 0.3
"""Distance, in sides, within which two faces may soon cover each other, or one has just covered the other; and seconds between
checks of who is who while they do."""

SAME_PLACE = 0.6
"""Distance to a face that was lost near this place a moment ago below which a new one is taken for it until the next check:
while a face is partly covered, its distance from its own views rises to this."""

AMBIGUOUS = 0.1
"""Difference between the distances to two lost faces up to which both may be meant, as with twins or a mirror; then the one
that was lost nearer to the place is taken."""

SURROUNDINGS = 4.0
"""Side of the square in which a lost face is searched for, in sides of its own."""

MAX_GALLERY = 256
"""Number of lost faces that are remembered; the one lost longest ago is forgotten first."""


@dataclass(frozen=True)
class Detection:
    """A face in one frame.

    Attributes:
        track: a number that stays the same while the face is followed; each new face gets the next one.
        square: the area that a crop of the face shows.
        points: (478, 2) landmarks in pixels.
        time: of the frame, in seconds.
        view: for its identity; None in most frames, in which it isn't checked.
        patch: for its motion (`face_patch`); None if the picture cuts the face off.
    """

    track: int
    square: Roi
    points: NDArray[np.float64]
    time: float
    view: View | None = None
    patch: FacePatch | None = None


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


def is_overexposed(crop: NDArray[np.uint8]) -> bool:
    """Whether a face (S, S, 3) is so bright that CLIPPED_SHARE of it has lost two of its three colours."""
    return float(((_skin(crop) >= CLIPPED).sum(axis=1) >= 2).mean()) > CLIPPED_SHARE


def is_dark(crop: NDArray[np.uint8]) -> bool:
    """Whether even the brightest tenth of a face (S, S, 3) is darker than DARK."""
    return luma_of_bright(_skin(crop)) < DARK


def luma_of_bright(pixels: NDArray[np.uint8]) -> float:
    """The luma (ITU-R BT.601, 0..255) that a tenth of some pixels (N, 3) reach."""
    return float(np.quantile(pixels @ LUMA, 0.9))


def _skin(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pixels (N, 3) in the ellipse that the face fills in a FER2013 crop (S, S, 3)."""
    axis = (np.arange(len(crop)) + 0.5) / len(crop) - 0.5
    return crop[(axis / 0.31) ** 2 + ((axis[:, None] - 0.03) / 0.375) ** 2 < 1]


def _near(one: Roi, other: Roi, reach: float = 0.5) -> bool:
    """Whether two squares can be one face a moment apart: within `reach` sides of each other, and of similar size."""
    side = max(one.side, other.side)
    return np.hypot(one.x - other.x, one.y - other.y) < reach * side and min(one.side, other.side) > 0.6 * side


def _inside(one: Roi, other: Roi) -> bool:
    """Whether the centre of a square lies in the middle of another, where no second face can be."""
    return max(abs(one.x - other.x), abs(one.y - other.y)) < 0.25 * other.side


@dataclass(eq=False)
class _Track:
    """A face that is followed, or has been lost.

    Attributes:
        number: of the track.
        roi: its last position.
        identity: who it is.
        last_seen: seconds.
        check_at: when to check again who it is, in seconds.
        checked: when that was last checked.
        doubt: the last view, if it seemed to show somebody else.
        num_views: number of views of this person.
    """

    number: int
    roi: Roi
    identity: Identity = field(default_factory=Identity)
    last_seen: float = 0.0
    check_at: float = 0.0
    checked: float = 0.0
    doubt: View | None = None
    num_views: int = 0

    def learn(self, view: View, time: float) -> None:
        """Add a view of this person."""
        self.identity.add(view)
        self.num_views += 1
        self.doubt = None
        self.checked = time
        self.check_at = time + (EARLY_SECONDS if self.num_views < EARLY_VIEWS else CHECK_SECONDS)


@dataclass(eq=False)
class _Face:
    """A face in the current frame."""

    track: _Track
    points: NDArray[np.float64]
    view: View | None = None

    @property
    def place(self) -> Roi:
        """Its square."""
        return roi_from_mesh(self.points)


class FaceTracker:
    """Follows the largest faces from frame to frame of one video, and remembers those that were lost.

    From one frame to the next, its position decides whose face it is. When it is new or returns, when two faces meet, or when
    the scene may have changed, the identity network decides.

    Args:
        landmarker: finds faces and landmarks.
        identities: recognises faces; None to load the package's own network.
        max_faces: how many faces to follow at once.

    Attributes:
        most_seen: the largest number of faces that were seen at once, whether they were followed or not.
    """

    def __init__(self, landmarker: Landmarker, identities: IdentityEncoder | None = None, max_faces: int = MAX_FACES) -> None:
        self.most_seen = 0
        self._landmarker = landmarker
        self._identities = identities or IdentityEncoder()
        self._max_faces = max_faces
        self._live: list[_Track] = []
        self._lost: list[_Track] = []
        self._num_tracks = 0
        self._scene = _Scene()
        self._frames_since_detection = DETECT_EVERY
        self._cut_at = 0.0
        self._squares_at = 0.0
        self._next_square = 0
        self._most_candidates = 0

    def update(self, image: Image.Image, time: float) -> list[Detection]:
        """Find the faces in the next frame.

        Args:
            image: RGB.
            time: when it is shown, in seconds.
        """
        may_be_cut = self._scene.changed(image)
        self._cut_at = time if may_be_cut else self._cut_at
        num_live = len(self._live)
        faces = self._follow(image, time, may_be_cut)
        self._frames_since_detection += 1
        searching = any(time - track.last_seen <= REJOIN_SECONDS for track in self._lost)
        if may_be_cut or searching or not self._live or self._frames_since_detection >= DETECT_EVERY:
            new_scene = not num_live or (may_be_cut and (searching or len(self._live) < num_live))
            faces = self._discover(image, time, faces, new_scene)
        for face in faces:
            face.track.roi, face.track.last_seen = roi_from_mesh(face.points), time
        self.most_seen = max(self.most_seen, len(faces))
        return [
            Detection(
                face.track.number, aligned_square(face.points), face.points, time, face.view, face_patch(image, face.points)
            )
            for face in faces
        ]

    def _follow(self, image: Image.Image, time: float, may_be_cut: bool) -> list[_Face]:
        """Find the live tracks near their last positions."""
        seen: list[_Face] = []
        for track in self._live:
            mesh = self._landmarker.landmarks(image, track.roi)
            face = _Face(track, mesh.points)
            rival = next((other for other in seen if _near(face.place, other.place)), None)
            if mesh.presence < MIN_SCORE:
                self._lose(track)
            elif rival is None:
                seen.append(face)
            else:  # one face covers the other: whose is it?
                view = rival.view = rival.view or self._identities(image, rival.points)
                loser = max(track, rival.track, key=lambda other: other.identity.distance(view))
                rival.track = rival.track if loser is track else track
                self._lose(loser)
        self._expect_meetings(seen, time)
        kept: list[_Face] = []
        others: list[_Face] = []
        for face in seen:
            moved = not _near(face.track.roi, face.place, CUT_MOVE)
            if self._is_same(image, time, face, may_be_cut or moved or face.view is not None):
                kept.append(face)
            else:
                self._lose(face.track)
                others.append(face)
        self._live = [face.track for face in kept]
        refused = [face.track for face in others]
        for face in others:
            assert face.view is not None
            kept.append(self._recognise(face.points, face.view, time, refused))
        return kept

    def _expect_meetings(self, seen: list[_Face], time: float) -> None:
        """Check more often who is who where faces are close to each other, or where one was lost."""
        lost = [track for track in self._lost if time - track.last_seen <= REJOIN_SECONDS]
        for face in seen:
            others = [track.roi for track in lost] + [other.place for other in seen if other is not face]
            if any(_near(face.place, other, MEETING) for other in others):
                face.track.check_at = min(face.track.check_at, face.track.checked + MEETING_SECONDS)

    def _is_same(self, image: Image.Image, time: float, face: _Face, suspected: bool) -> bool:
        """Whether a face that was followed to this frame is still the same person's; sets `face.view` if this was checked."""
        track = face.track
        if not suspected and time < track.check_at:
            return True
        view = face.view or self._identities(image, face.points)
        track.checked = time
        if track.identity.distance(view) < SAME_PERSON:
            face.view = view
            track.learn(view, time)
            return True
        if not suspected:  # one view can be blurred, half hidden or turned away, but not two that agree
            confirmed = track.doubt is not None and track.doubt.distance(view) < SAME_PERSON
            if not view.is_full:
                track.doubt, track.check_at = None, time + EARLY_SECONDS
                return True
            if not confirmed and not any(lost.identity.distance(view) < SAME_PERSON for lost in self._lost):
                track.doubt = view
                return True
        face.view = view
        return False

    def _lose(self, track: _Track) -> None:
        track.doubt = None
        self._lost = [*self._lost, track][-MAX_GALLERY:]

    def _recognise(self, points: NDArray[np.float64], view: View, time: float, refused: Collection[_Track] = ()) -> _Face:
        """A face that isn't followed yet: it continues a lost track of the same person, or starts a new one.

        Args:
            points: (478, 2) landmarks in pixels.
            view: for its identity.
            time: seconds.
            refused: tracks of which it has just turned out that they show somebody else.
        """
        place = roi_from_mesh(points)
        apart = {track.number: track.identity.distance(view) for track in self._lost}
        nearest = min(apart.values(), default=np.inf)
        alike = [track for track in self._lost if apart[track.number] < min(SAME_PERSON, nearest + AMBIGUOUS)]
        track = min(alike, key=lambda track: np.hypot(track.roi.x - place.x, track.roi.y - place.y), default=None)
        here = [lost for lost in self._lost if _near(lost.roi, place, MEETING) and apart[lost.number] < SAME_PLACE]
        here = [lost for lost in here if lost.last_seen >= max(time - REJOIN_SECONDS, self._cut_at) and lost not in refused]
        if track is not None:
            self._lost.remove(track)
        elif here:
            track = min(here, key=lambda track: apart[track.number])
            self._lost.remove(track)
            self._live.append(track)
            track.check_at = time + MEETING_SECONDS
            return _Face(track, points)
        else:
            track = _Track(self._num_tracks, place)
            self._num_tracks += 1
        track.learn(view, time)
        self._live.append(track)
        return _Face(track, points, view)

    def _discover(self, image: Image.Image, time: float, known: list[_Face], new_scene: bool) -> list[_Face]:
        """Find the faces that aren't followed yet, both new and returning ones; the result includes those in `known`.

        The largest come first. If there are too many, the smallest ones are no longer followed.
        """
        self._frames_since_detection = 0
        faces = list(known)
        candidates = self._search(image, time, [face.place for face in known], new_scene)
        self._count(image, len(known), candidates)
        for roi in candidates:
            smallest = min(faces, key=lambda face: face.place.side) if len(faces) >= self._max_faces else None
            if smallest is not None and roi.side < LARGER * smallest.place.side:
                break
            points = self._verified(image, roi)
            if points is None or any(_near(roi_from_mesh(points), face.place) for face in faces):
                continue
            if smallest is not None:
                faces.remove(smallest)
                self._live.remove(smallest.track)
                self._lose(smallest.track)
            faces.append(self._recognise(points, self._identities(image, points), time))
        return faces

    def _search(self, image: Image.Image, time: float, known: list[Roi], new_scene: bool) -> list[Roi]:
        """Where else there may be a face, the largest first.

        The whole picture shows large faces only, so squares of it are searched as well: all of them in a new scene, otherwise
        those where somebody was lost, and the others now and then.
        """
        squares = whole(image.size)
        fine = fine_squares(image.size)
        if new_scene or not known or time >= self._squares_at:
            self._squares_at = time + SQUARES_SECONDS
            squares += large_squares(image.size)
        if new_scene:
            squares += fine
        elif fine:
            self._next_square = (self._next_square + 1) % len(fine)
            squares.append(fine[self._next_square])
        lost = [track.roi for track in self._lost if time - track.last_seen <= REJOIN_SECONDS]
        squares += [Roi(roi.x, roi.y, SURROUNDINGS * roi.side, 0.0) for roi in lost[-SEARCHED_AGAIN:]]
        found: list[Roi] = []
        for roi in sorted(self._landmarker.detect(image, squares), key=lambda roi: -roi.side):
            if not any(_near(roi, other) or _inside(roi, other) for other in known + found):
                found.append(roi)
        return found

    def _count(self, image: Image.Image, num_known: int, candidates: list[Roi]) -> None:
        """Update `most_seen` if there are more faces than can be followed."""
        if num_known + len(candidates) > max(self._max_faces, self._most_candidates):
            self._most_candidates = num_known + len(candidates)
            real = sum(self._verified(image, roi) is not None for roi in candidates)
            self.most_seen = max(self.most_seen, num_known + real)

    def _verified(self, image: Image.Image, roi: Roi) -> NDArray[np.float64] | None:
        """The landmarks of a face that was detected; None if it isn't one: a car's rear window doesn't pass a second check."""
        mesh = self._landmarker.landmarks(image, roi)
        if mesh.presence >= MIN_SCORE:
            mesh = self._landmarker.landmarks(image, roi_from_mesh(mesh.points))
        return mesh.points if mesh.presence >= MIN_SCORE else None


class _Scene:
    """Compares each frame with the previous one."""

    def __init__(self) -> None:
        self._grey: NDArray[np.float32] | None = None
        self._colours: NDArray[np.float64] | None = None

    def changed(self, image: Image.Image) -> bool:
        """Whether a cut to another scene is possible."""
        small = image.resize((64, 64), Image.Resampling.BOX, reducing_gap=1.0)
        grey = np.asarray(small.reduce(2).convert("L"), dtype=np.float32)
        levels = np.asarray(small, dtype=np.int64) // 32 @ (64, 8, 1)
        colours = np.bincount(levels.ravel(), minlength=512) / levels.size
        before, self._grey, self._colours = (self._grey, self._colours), grey, colours
        if before[0] is None or before[1] is None:
            return False
        return bool(np.abs(grey - before[0]).mean() > CUT_DIFFERENCE or np.abs(colours - before[1]).sum() / 2 > CUT_COLOURS)
