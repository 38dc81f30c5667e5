"""The people in a video: which face tracks show the same person, and which people are followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vatrace.errors import MediaError
from vatrace.features.blinks import Openness
from vatrace.features.faces import Detection, FaceTracker
from vatrace.features.identity import DIM, SAME_PERSON, Identity, IdentityEncoder, View
from vatrace.features.landmarker import Landmarker
from vatrace.features.mouths import mouth_opening
from vatrace.features.stillness import Motion
from vatrace.features.turns import Turn
from vatrace.media.reading import VideoReader
from vatrace.media.recording import open_recording

MIN_STEPS = 3
"""A person seen at fewer steps than this is taken for a false detection, unless the recording itself is shorter."""

MIN_SHARE_OF_OTHERS = 0.1
"""Other people are passers-by unless they are visible for more than this share of the time of the most visible one."""

TALKING, MIN_CHANGES = 0.06, 5
"""A change of the mouth opening from one step to the next (a tenth of a second) that photographs never show, and how many such
changes prove that somebody talks. Photographs of five GRID speakers stay at 0.04 or below when the camera pans, zooms or
shakes; while the speakers talk, one change in ten is above 0.07."""


@dataclass
class Track:
    """A face track: one face, for as long as its track number stayed the same.

    Attributes:
        steps: grid steps at which it was visible, ascending.
        sizes: side of its square at each of them, pixels.
        centres: horizontal position of its square's centre at each of them, pixels.
        rows: which row of the recording's face embeddings belongs to each of them.
        openings: how far the mouth is open at each of them (`mouth_opening`); NaN where that can't be measured.
        identity: who it is.
        motion: how much it moves, after the camera's motion is removed.
        num_overexposed: number of steps at which it was overexposed.
        num_dark: number of steps at which it was dark.
        openness: how far the eyes are open in each frame; empty if nobody asked for it.
    """

    steps: list[int] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)
    centres: list[float] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    openings: list[float] = field(default_factory=list)
    identity: Identity = field(default_factory=Identity)
    motion: Motion = field(default_factory=Motion)
    num_overexposed: int = 0
    num_dark: int = 0
    openness: Openness = field(default_factory=Openness)

    @property
    def talks(self) -> bool:
        """Whether the mouth ever moves as in speech, however still the face is at other times."""
        changes = np.abs(np.diff(self.openings))
        return int((changes > TALKING).sum()) >= MIN_CHANGES

    def add(self, detection: Detection, steps: Sequence[int], row: int) -> None:
        """Add the face of one frame: the frame is that of `steps`, and the face's embedding is in `row`."""
        self.steps += steps
        self.sizes += [detection.square.side] * len(steps)
        self.centres += [detection.square.x] * len(steps)
        self.rows += [row] * len(steps)
        self.openings += [mouth_opening(detection.points)] * len(steps)
        self.motion.add(detection.points, detection.time, detection.patch)
        if detection.view is not None:
            self.identity.add(detection.view)


@dataclass(frozen=True)
class Person:
    """One person: face tracks that never overlap in time; or a voice, in a recording in which nobody was seen.

    Attributes:
        tracks: the longest first; none for a voice.
        steps: all steps at which the person was seen.
        voice: the number of the voice; None for somebody who was seen.
        looks_like: index of an earlier person who was seen at the same time and whose face can't be told apart from this one: a
            twin, or the same person in a mirror or on a screen. Once both have been out of view, the two may have been
            confused.
    """

    tracks: list[Track]
    steps: set[int]
    voice: int | None = None
    looks_like: int | None = None

    @property
    def prominence(self) -> float:
        """How long and how large the face is visible: the sum of its sizes in pixels over all steps."""
        return sum(sum(track.sizes) for track in self.tracks)

    @property
    def centre(self) -> float:
        """How far to the right the face is on average, in pixels."""
        return sum(sum(track.centres) for track in self.tracks) / len(self.steps)

    @property
    def is_overexposed(self) -> bool:
        """Whether the face is overexposed at most steps."""
        return 2 * sum(track.num_overexposed for track in self.tracks) > len(self.steps)

    @property
    def is_dark(self) -> bool:
        """Whether the face is dark at most steps."""
        return 2 * sum(track.num_dark for track in self.tracks) > len(self.steps)

    @property
    def identity(self) -> Identity:
        """The person's face, averaged over all tracks, to be compared with views from another recording or image."""
        known = Identity()
        for track in self.tracks:
            if track.identity.weight:
                known.add(View(track.identity.mean, track.identity.weight))
        return known

    @property
    def moves(self) -> bool | None:
        """Whether the face certainly moves, unlike any photograph; None if its motion is unknown for at least half the time."""
        known = [track for track in self.tracks if track.motion.is_known]
        if 2 * sum(len(track.steps) for track in known) <= len(self.steps):
            return None
        return any(track.motion.moves or track.talks for track in known)

    @property
    def is_still(self) -> bool:
        """Whether the face certainly never moves, like a photograph."""
        known = [track for track in self.tracks if track.motion.is_known]
        return self.moves is False and all(track.motion.is_still for track in known)

    @property
    def hardly_moves(self) -> bool:
        """Whether it is doubtful if the face moves: it may be a photograph, or a person holding still."""
        return self.moves is False and not self.is_still


def voices_only(turns: Sequence[Turn]) -> list[Person]:
    """The people in a recording in which nobody was seen: one for each voice."""
    return [Person([], set(), voice) for voice in sorted({turn.voice for turn in turns if turn.voice is not None})]


def living(people: Sequence[Person]) -> list[Person]:
    """The people who are neither photographs nor visible far more briefly than some photograph."""
    longest = max((len(person.steps) for person in people if person.is_still), default=0)
    return [person for person in people if not person.is_still and len(person.steps) > MIN_SHARE_OF_OTHERS * longest]


def people_like(people: Sequence[Person], view: View) -> list[int]:
    """The indices of those who may be the person in a view from another recording or image, the most similar first."""
    apart = np.array([person.identity.distance(view) for person in people])
    return [int(index) for index in np.argsort(apart, kind="stable") if apart[index] < SAME_PERSON]


def view_in(path: Path, landmarker: Landmarker, identities: IdentityEncoder) -> tuple[View, int]:
    """The largest face in an image file, and the number of faces in it.

    Raises:
        MediaError: if the file isn't an image, or no face is found in it.
    """
    if open_recording(path).kind != "image":
        raise MediaError(f"{path}: not an image; a picture of the person's face is needed")
    image = next(iter(VideoReader(path, 1.0))).image
    tracker = FaceTracker(landmarker, identities)
    found = tracker.update(image, 0.0)
    if not found:
        raise MediaError(f"{path}: no face was found in it")
    view = max(found, key=lambda face: face.square.side).view
    assert view is not None  # new faces are always recognised
    return view, tracker.most_seen


def group_tracks(tracks: Sequence[Track], num_steps: int) -> list[Person]:
    """Group the tracks of a recording by person, and put the people in order.

    The most prominent person is first. After the people come faces that may be photographs, then people who only pass by, and
    photographs last.

    Tracks of one person have similar identity embeddings and never overlap in time. A track joins the person who has the most
    similar track.
    """
    tracks = sorted(tracks, key=lambda track: -len(track.steps))
    means = np.array([track.identity.mean if track.identity.weight else np.full(DIM, np.inf) for track in tracks])
    persons: list[Person] = []
    owner = np.zeros(len(tracks), dtype=int)
    for index, track in enumerate(tracks):
        for number in dict.fromkeys(owner[_alike(means[:index], means[index])].tolist()):
            if persons[number].steps.isdisjoint(track.steps):
                persons[number].tracks.append(track)
                persons[number].steps.update(track.steps)
                owner[index] = number
                break
        else:
            owner[index] = len(persons)
            persons.append(Person([track], set(track.steps)))
    lasting = [person for person in persons if len(person.steps) >= min(MIN_STEPS, num_steps)]
    alive = living(lasting)
    longest = max((len(person.steps) for person in alive), default=0)

    def rank(person: Person) -> tuple[bool, bool, bool, float]:
        passes_by = len(person.steps) <= MIN_SHARE_OF_OTHERS * longest
        return person not in alive, passes_by, person.hardly_moves, -person.prominence

    lasting.sort(key=rank)
    return [replace(person, looks_like=_double(lasting[:index], person)) for index, person in enumerate(lasting)]


def _double(earlier: Sequence[Person], person: Person) -> int | None:
    """Index of the first earlier person who looks like this one and was seen at the same time; None if there is none."""
    known = person.identity
    if not known.weight:
        return None
    view = View(known.mean, 1.0)
    for index, other in enumerate(earlier):
        if other.identity.distance(view) < SAME_PERSON and not other.steps.isdisjoint(person.steps):
            return index
    return None


def _alike(means: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which of the means (N, 128) may be of the same person as another (128,), the most similar first; infinite is unknown."""
    if not len(means) or not np.isfinite(mean[0]):
        return np.zeros(0, dtype=np.int64)
    apart = np.linalg.norm(means - mean, axis=1)
    return np.array([index for index in np.argsort(apart, kind="stable") if apart[index] < SAME_PERSON], dtype=np.int64)


def rows_on_grid(person: Person, num_steps: int) -> NDArray[np.int64]:
    """The row of the person's embedding at each step, -1 where there is none, (T,)."""
    rows = np.full(num_steps, -1)
    for track in person.tracks:
        inside = [(step, row) for step, row in zip(track.steps, track.rows, strict=True) if step < num_steps]
        if inside:
            steps, values = zip(*inside, strict=True)
            rows[list(steps)] = values
    return rows
