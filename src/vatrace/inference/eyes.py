"""The video of a live session: the face of the person who is followed, and the number of other people in view."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.encoders import DEFAULT_ENCODERS
from vatrace.features.faces import Detection, FaceTracker, face_crop
from vatrace.features.identity import SAME_PERSON, Identity, View
from vatrace.features.landmarker import LEFT_EYE, RIGHT_EYE, Landmarker
from vatrace.features.stillness import Motion
from vatrace.inference.ears import KEEP_DUR
from vatrace.timeline import TOLERANCE

MAX_FRAME_RATE = 60
"""Frames a second up to which faces are kept for KEEP_DUR."""
MAX_FACE_AGE = 0.35
"""Seconds for which a face counts after the frame that showed it."""


MAX_FACES = 4
"""Faces that are followed at once: a live session uses only one of them, and eight would be too slow."""
NEW_PERSON_SECONDS = 30.0
"""Seconds for which the person who is followed must be out of view, and another person in view, before that one is followed.
Shorter absences happen within a session; after a longer one, somebody else has probably sat down for a session of their own."""
BRIEF_SECONDS = 2.0
"""A person who was in view for less than this is waited for only for MAX_GAP: the first pictures of a camera can be blurred, or
the head turned away, so that the same person isn't recognised afterwards."""
MAX_GAP = 1.0
"""Seconds without a person's face that don't interrupt this time."""
MIN_FRAMES = 3
"""Frames in which a face must be seen before it counts as another person: false detections are shorter."""
PICTURE_SECONDS = 5.0
"""Seconds after which a face that has never moved is taken for a photograph: a person can be that still for two seconds."""
MAX_PEOPLE = 64
"""People who are remembered apart from the one who is followed; the one seen longest ago is forgotten first."""


@dataclass(frozen=True)
class Seen:
    """What a live session shows at one moment.

    Attributes:
        vector: the face of the person who is followed; None if they aren't in view.
        person: number of the person who is followed, 1 for the first; 0 before the first is seen.
        others: number of other people in view.
    """

    vector: NDArray[np.float32] | None = None
    person: int = 0
    others: int = 0


@dataclass(frozen=True)
class Place:
    """Where the face of the person who is followed is in the picture.

    Attributes:
        time: of the frame, in seconds.
        corners: (4, 2) of the square around the face, clockwise from its upper left, as shares of the picture's width and
            height.
        eyes: (2, 2) the centres of both eyes, likewise, the left one in the picture first.
    """

    time: float
    corners: tuple[tuple[float, float], ...]
    eyes: tuple[tuple[float, float], ...]


@dataclass(eq=False)
class _Someone:
    """A person who was in view.

    Attributes:
        identity: who it is.
        tracks: the tracker's numbers of their face.
        motion: how much the face moves.
        num_frames: number of frames in which they were seen.
        first_seen: seconds.
        since: when their latest time in view began, in seconds.
        last_seen: seconds.
        number: as the person who is followed; 0 if they never were.
    """

    identity: Identity = field(default_factory=Identity)
    tracks: set[int] = field(default_factory=set)
    motion: Motion = field(default_factory=Motion)
    num_frames: int = 0
    first_seen: float = 0.0
    since: float = 0.0
    last_seen: float = -np.inf
    number: int = 0

    def add(self, found: Detection, time: float) -> None:
        """Add their face in the next frame."""
        if not self.num_frames:
            self.first_seen = time
        if time - self.last_seen > MAX_GAP:
            self.since = time
        self.last_seen = time
        self.num_frames += 1
        self.tracks.add(found.track)
        self.motion.add(found.points, time, found.patch)
        if found.view is not None:
            self.identity.add(found.view)

    @property
    def is_picture(self) -> bool:
        """Whether the face has never moved, as in a photograph."""
        return self.motion.is_still and self.last_seen - self.first_seen >= PICTURE_SECONDS


class Eyes:
    """The face of the person who is followed, as of the latest frames.

    The person with the largest face is followed first, and stays the one who is followed. While they are out of view, nobody's
    face is used. Another person is followed only when that has lasted for NEW_PERSON_SECONDS, or for MAX_GAP if the first was
    seen only briefly. A face that never moves, as in a photograph, isn't followed if another one moves, and doesn't count as a
    person in view.

    Args:
        rate: steps a second.

    Attributes:
        time: seconds until which the face is known.
        place: where the face is in the latest frame; None if it isn't in view.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self.time = 0.0
        self.place: Place | None = None
        self._encoder = DEFAULT_ENCODERS["face"].build(1)
        self._tracker = FaceTracker(Landmarker(), max_faces=MAX_FACES)
        self._people: list[_Someone] = []
        self._followed: _Someone | None = None
        self._num_followed = 0
        self._seen: deque[tuple[float, Seen]] = deque(maxlen=round(MAX_FRAME_RATE * KEEP_DUR))

    def add_frame(self, image: Image.Image, time: float) -> None:
        """Process the next frame, shown at `time` seconds."""
        in_view = self._who(self._tracker.update(image, time), time)
        followed = self._followed = self._choose([someone for someone, _ in in_view], time)
        vector, others, place = None, 0, None
        for someone, found in in_view:
            if someone is followed:
                vector = self._encoder(face_crop(image, found.square, self._encoder.crop_size)[None])[0]
                place = _place(found, image.size)
            elif someone.num_frames >= MIN_FRAMES and not someone.is_picture:
                others += 1
        self.place = place
        self._seen.append((time, Seen(vector, followed.number if followed else 0, others)))
        self.time = time + 1 / self._rate  # steps before this are known

    def _who(self, detections: list[Detection], time: float) -> list[tuple[_Someone, Detection]]:
        """Whose faces these are, the largest first."""
        in_view: list[tuple[_Someone, Detection]] = []
        by_track = {track: someone for someone in self._people for track in someone.tracks}
        present = {id(by_track[found.track]) for found in detections if found.track in by_track}
        for found in sorted(detections, key=lambda found: -found.square.side):
            someone = by_track.get(found.track)
            if someone is None:
                absent = [known for known in self._people if id(known) not in present]
                someone = _alike(absent, found.view) or _Someone()
                present.add(id(someone))
                if someone not in self._people:
                    self._people.append(someone)
            someone.add(found, time)
            in_view.append((someone, found))
        others = sorted((known for known in self._people if known is not self._followed), key=lambda known: known.last_seen)
        forgotten = {id(known) for known in others[: max(len(others) - MAX_PEOPLE, 0)]}
        self._people = [known for known in self._people if id(known) not in forgotten]
        return in_view

    def _choose(self, in_view: list[_Someone], time: float) -> _Someone | None:
        """The person to follow from now on; None if there was nobody yet. Those in view are the largest first."""
        followed = self._followed
        if followed is None:
            allowed = in_view
        elif followed.is_picture:
            allowed = [someone for someone in in_view if someone.motion.is_known and not someone.motion.is_still]
        else:
            was_brief = followed.last_seen - followed.first_seen < BRIEF_SECONDS
            begun = {id(someone): max(someone.since, followed.last_seen) for someone in in_view}
            least = MAX_GAP if was_brief else NEW_PERSON_SECONDS
            allowed = [someone for someone in in_view if time - begun[id(someone)] >= least]
        chosen = next((someone for someone in allowed if not someone.is_picture), None)
        if chosen is None:
            return followed
        if not chosen.number:
            self._num_followed += 1
            chosen.number = self._num_followed
        return chosen

    def at(self, moment: float) -> Seen:
        """What the latest frame before a moment shows, unless it is too old. Moments must be in order."""
        self.forget(moment)
        if not self._seen:
            return Seen()
        time, seen = self._seen[0]
        return seen if -TOLERANCE <= moment - time <= MAX_FACE_AGE else Seen(person=seen.person)

    def forget(self, moment: float) -> None:
        """Drop the frames that no step from this moment on needs."""
        while len(self._seen) > 1 and self._seen[1][0] <= moment + TOLERANCE:
            self._seen.popleft()


def _place(found: Detection, size: tuple[int, int]) -> Place:
    """Where a face is in a picture of this width and height."""
    square, across = found.square, np.array([np.cos(found.square.angle), np.sin(found.square.angle)])
    axes = np.stack([across, [-across[1], across[0]]]) * square.side / 2
    corners = np.array([square.x, square.y]) + np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) @ axes
    eyes = np.stack([found.points[list(corner)].mean(axis=0) for corner in (RIGHT_EYE, LEFT_EYE)])
    pairs = [tuple((float(x), float(y)) for x, y in points / np.array(size)) for points in (corners, eyes)]
    return Place(found.time, *pairs)


def _alike(people: list[_Someone], view: View | None) -> _Someone | None:
    """The person whom a view shows; None if it shows none of them."""
    if view is None:
        return None
    nearest = min(people, key=lambda someone: someone.identity.distance(view), default=None)
    return nearest if nearest is not None and nearest.identity.distance(view) < SAME_PERSON else None


def as_image(image: Image.Image | NDArray[np.uint8], bgr: bool = False) -> Image.Image:
    """A frame as RGB.

    Args:
        image: of any mode, or an array (H, W, 3), 0..255.
        bgr: whether the array has blue first, as OpenCV's have.

    Raises:
        ValueError: if an array isn't (H, W, 3) of uint8.
    """
    if isinstance(image, Image.Image):
        return image if image.mode == "RGB" else image.convert("RGB")
    array = np.asarray(image)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise ValueError(f"a frame must be an image or an array (H, W, 3) of uint8, not {array.shape} of {array.dtype}")
    return Image.fromarray(array[..., ::-1] if bgr else array)
