"""How far the mouth of each person in a video is open over time, as evidence of who speaks.

The first pass over a video measures each mouth once per grid step. In a second pass, the mouths that move during speech are
measured again, at a higher rate; mouths at rest can't be the speaker's, and are not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.features.identity import turned_away
from vatrace.features.landmarker import INNER_LIPS, LEFT_EYE, MIN_SCORE, RIGHT_EYE, Landmarker, Roi, roi_from_mesh
from vatrace.free_memory import check_memory
from vatrace.media.reading import VideoReader

if TYPE_CHECKING:
    from vatrace.features.people import Person

MAX_TURN = 0.7
"""How far a face may be turned (`turned_away`) for its mouth to be measured: in profile, the distance between the eyes
vanishes."""

MAX_RATE = 15.0
"""Maximum number of frames measured per second: 25 don't distinguish speakers better than 12.5 (`SLOW` in `attribution.py`)."""

MEASURED, MARGIN = 4.0, 0.3
"""Seconds at the start of each stretch of speech that are measured for each person, and seconds added before and after it."""

MOTION_STEP = 0.1
"""Seconds between the two openings whose difference is the motion of a mouth."""

RESTS = 0.006
"""Motion below which a mouth is at rest. GRID speakers have 0.041 to 0.062 while they speak (at least 0.033 in any second), and
0 to 0.003 before and after, also when their faces are scaled down to 30 pixels."""

MOVES = 0.015
"""Motion from which a mouth certainly moves. Photographs of wide-open mouths, with a shaking camera, have at most 0.009."""

TALKS = 0.022
"""Median motion during speech from which the only visible person is taken for the speaker. People who talk have 0.025 (a
close-up) to 0.063 (a man in a car), and mouths that chew 0.018."""
PLAINLY = 0.03
"""Motion in a stretch of speech from which a mouth is clearly the speaker's, if every other visible mouth is at rest."""

SURE_SECONDS, SURE_SHARE, SURE_SIDE, SEEN_TO_OPEN = 5.0, 0.9, 40.0, 0.05
"""Conditions for being certain that a visible person says nothing: seconds of speech during which the mouth is visible; the
share of the speech during which it is visible, and of these seconds in which it is at rest; the side of the face's square in
pixels; and by how much the mouth was seen to open at other times. The last one excludes blurred faces: with GRID speakers
blurred by 6 pixels (their faces have 140), or compressed as JPEG of quality 5, some mouths seem to be at rest while they
speak."""

ROI_PER_BOX, ROI_DROP = 1.48, 0.06
"""The square in which the landmarks of the next frame are searched for, relative to a face's box: its side, and how far its
centre lies below the box's, in sides of the box. Means over five GRID clips."""

MAX_JUMP = 0.5
"""A face that has moved this far from its box, in sides of the box, is another one."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom as shares of the picture."""


def mouth_opening(points: NDArray[np.float64]) -> float:
    """How far a mouth is open: the distance between the inner lips divided by that between the outer corners of the eyes.

    Args:
        points: (478, 2) landmarks in pixels.

    Returns:
        0 for closed lips, about 0.3 for a wide open mouth; NaN for a face in profile.
    """
    if turned_away(points) > MAX_TURN:
        return np.nan
    upper, lower = points[list(INNER_LIPS)]
    right, left = points[RIGHT_EYE[0]], points[LEFT_EYE[0]]
    return float(np.hypot(*(upper - lower)) / max(np.hypot(*(right - left)), 1e-9))


@dataclass(frozen=True)
class Mouth:
    """The mouth of one person.

    Attributes:
        times: (F,) seconds, ascending; the person is visible at each.
        openings: (F,) `mouth_opening`, NaN where it is hidden.
    """

    times: NDArray[np.float64]
    openings: NDArray[np.float64]

    def motion(self, start: float, end: float) -> float:
        """The mean change of the opening within MOTION_STEP; NaN if the mouth is unknown for most of the time."""
        moments = np.arange(start, end, MOTION_STEP)
        if len(moments) < 2:
            return np.nan
        openings, near = self.at(moments, 1.5 * MOTION_STEP)
        changes = np.abs(np.diff(openings))[near[1:] & near[:-1]]
        return float(changes.mean()) if 2 * len(changes) >= len(moments) - 1 else np.nan

    def at(self, moments: NDArray[np.float64], max_gap: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The openings at other times (N,), ascending, in seconds, and whether one was measured within `max_gap` of each."""
        known = np.isfinite(self.openings)
        times, openings = self.times[known], self.openings[known]
        if len(times) < 2:
            return np.zeros(len(moments)), np.zeros(len(moments), bool)
        after = np.clip(np.searchsorted(times, moments), 1, len(times) - 1)
        near = np.minimum(np.abs(times[after] - moments), np.abs(times[after - 1] - moments)) <= max_gap
        return np.interp(moments, times, openings), near


def mouth_on_grid(person: Person, rate: float) -> Mouth:
    """The mouth of a person as measured in the first pass over the video, at `rate` steps per second."""
    found = {step: opening for track in person.tracks for step, opening in zip(track.steps, track.openings, strict=False)}
    steps = sorted(found)
    return Mouth(np.array(steps, dtype=np.float64) / rate, np.array([found[step] for step in steps], dtype=np.float64))


def talks(person: Person, spans: Sequence[tuple[float, float]], rate: float) -> bool:
    """Whether the first pass alone shows that the only visible person moves their mouth as in speech.

    The arguments are those of `says_nothing`.
    """
    mouth = mouth_on_grid(person, rate)
    motions = np.array([mouth.motion(*span) for span in spans])
    known = motions[np.isfinite(motions)]
    return bool(len(known) and np.median(known) >= TALKS)


def says_nothing(person: Person, spans: Sequence[tuple[float, float]], rate: float) -> bool:
    """Whether the first pass alone makes it certain that a visible person never speaks: the mouth rests during all speech.

    Args:
        person: whose mouth.
        spans: of speech, (start, end) in seconds.
        rate: steps a second of the person's tracks.
    """
    mouth = mouth_on_grid(person, rate)
    if not np.isfinite(mouth.openings).any() or np.ptp(mouth.openings[np.isfinite(mouth.openings)]) < SEEN_TO_OPEN:
        return False
    if np.median([size for track in person.tracks for size in track.sizes]) < SURE_SIDE:
        return False
    seconds = [(moment, moment + 1) for start, end in spans for moment in np.arange(start, max(end - 1, start) + 1e-9)]
    motions = np.array([mouth.motion(*second) for second in seconds])
    known = np.isfinite(motions)
    if known.sum() < max(SURE_SECONDS, SURE_SHARE * len(motions)):
        return False
    return bool((motions[known] < RESTS).mean() >= SURE_SHARE and motions[known].max() < MOVES)


@dataclass
class _Watched:
    """One person during the second pass.

    Attributes:
        boxes: of the face at the steps at which it is to be measured.
        roi: where the face is expected in the next frame.
        times: of the frames so far.
        openings: in them.
    """

    boxes: dict[int, Box]
    roi: Roi | None = None
    times: list[float] = field(default_factory=list)
    openings: list[float] = field(default_factory=list)

    def measure(self, image: Image.Image, time: float, step: int, landmarker: Landmarker) -> None:
        """Measure the mouth in one frame."""
        box = self.boxes.get(step)
        if box is None:
            self.roi = None
            return
        place = _roi_at(box, image.size)
        side = place.side / ROI_PER_BOX
        if self.roi is None or np.hypot(self.roi.x - place.x, self.roi.y - place.y) > MAX_JUMP * side:
            self.roi = roi_from_mesh(landmarker.landmarks(image, place).points)
        mesh = landmarker.landmarks(image, self.roi)
        self.roi = roi_from_mesh(mesh.points)
        lost = mesh.presence < MIN_SCORE or np.hypot(self.roi.x - place.x, self.roi.y - place.y) > MAX_JUMP * side
        self.times.append(time)
        self.openings.append(np.nan if lost else mouth_opening(mesh.points))
        if lost:
            self.roi = None


def _roi_at(box: Box, size: tuple[int, int]) -> Roi:
    """Where to search for the landmarks of the face in a box of a picture of `size` (width, height)."""
    left, top, right, bottom = np.array(box) * (size * 2)
    side = max(right - left, bottom - top)
    return Roi((left + right) / 2, (top + bottom) / 2 + ROI_DROP * side, ROI_PER_BOX * side, 0.0)


def watch_mouths(
    reader: VideoReader,
    people: Sequence[Person],
    boxes: Sequence[Box],
    spans: Sequence[tuple[float, float]],
    landmarker: Landmarker,
    progress: Callable[[float], None],
    stop: Event,
) -> list[Mouth]:
    """Measure the mouths that move during speech at the video's own rate, MAX_RATE frames a second at most.

    Speech during which one mouth clearly moves and all others are at rest is left out.

    Args:
        reader: of the video, at the rate of the first pass, whose steps are those of the people's tracks.
        people: whose mouths.
        boxes: of all faces, at the rows of the tracks.
        spans: of speech, (start, end) in seconds, in order, without overlaps.
        landmarker: finds the landmarks; used by several threads.
        progress: called with the share that is done, 0..1.
        stop: ends it early when set.

    Returns:
        One for each person, at all times at which the person is visible: at the video's rate where it was measured again, else
        at the grid's.
    """
    mouths = [mouth_on_grid(person, reader.rate) for person in people]
    doubtful = [span for span in spans if not _is_plain(mouths, span)]
    chosen = [_chosen_steps(person, mouth, doubtful, reader.rate) for person, mouth in zip(people, mouths, strict=True)]
    watched = [_Watched(boxes_of(person, boxes, steps)) for person, steps in zip(people, chosen, strict=True)]
    anybody = sorted(set().union(*(person.boxes for person in watched)))
    if not anybody:
        return mouths
    last = anybody[-1] / reader.rate
    check_memory()
    with ThreadPoolExecutor(min(len(people), os.cpu_count() or 1)) as pool:
        for image, time in reader.between(list(_stretches(anybody, reader.rate)), MAX_RATE):
            if stop.is_set():
                break
            step = round(time * reader.rate)
            list(pool.map(lambda person, at=(image, time, step): person.measure(*at, landmarker), watched))
            progress(min(time / max(last, 1e-9), 1.0))
    return [_joined(mouth, person, reader.rate) for mouth, person in zip(mouths, watched, strict=True)]


def _is_plain(mouths: Sequence[Mouth], span: tuple[float, float]) -> bool:
    """Whether one mouth clearly moves in a stretch of speech, and every other visible mouth is at rest."""
    motions = np.array([mouth.motion(*span) for mouth in mouths])
    moving = motions[motions >= RESTS]  # neither those at rest nor NaN
    return len(moving) == 1 and bool(moving[0] >= PLAINLY)


def _chosen_steps(person: Person, mouth: Mouth, spans: Sequence[tuple[float, float]], rate: float) -> list[int]:
    """The steps at which the person's mouth is to be measured again."""
    steps, chosen = np.array(sorted(person.steps)), list[int]()
    rests = RESTS if person.moves is not False else MOVES  # noise moves the mouth of a photograph
    for start, end in spans:
        inside = steps[(steps >= (start - MARGIN) * rate) & (steps <= (end + MARGIN) * rate)]
        if len(inside) and not mouth.motion(inside[0] / rate, inside[-1] / rate) < rests:
            chosen += inside[: round((MEASURED + MARGIN) * rate)].tolist()
    return chosen


def boxes_of(person: Person, boxes: Sequence[Box], steps: Sequence[int]) -> dict[int, Box]:
    """The person's boxes at the given steps."""
    rows = {step: row for track in person.tracks for step, row in zip(track.steps, track.rows, strict=True)}
    return {step: boxes[rows[step]] for step in steps}


def _stretches(steps: Sequence[int], rate: float) -> Iterator[tuple[float, float]]:
    """The time for which any of the steps (ascending) is the nearest one: (start, end) in seconds."""
    ends = np.flatnonzero(np.diff(steps) > 1)
    for first, last in zip([0, *(ends + 1)], [*ends, len(steps) - 1], strict=True):
        yield (steps[first] - 0.5) / rate, (steps[last] + 0.5) / rate


def _joined(mouth: Mouth, again: _Watched, rate: float) -> Mouth:
    """The second measurement where there is one, and the first at all other steps."""
    kept = ~np.isin(np.rint(mouth.times * rate), list(again.boxes)) if again.times else np.ones(len(mouth.times), bool)
    times = np.concatenate([mouth.times[kept], again.times])
    order = np.argsort(times, kind="stable")
    return Mouth(times[order], np.concatenate([mouth.openings[kept], again.openings])[order])
