from pathlib import Path
from threading import Event

import numpy as np
import pytest
from PIL import Image

from conftest import write_movie
from vatrace.features.faces import FaceTracker, box_in
from vatrace.features.landmarker import INNER_LIPS, LEFT_EYE, NUM_LANDMARKS, RIGHT_EYE, Landmarker
from vatrace.features.mouths import RESTS, Mouth, mouth_on_grid, mouth_opening, says_nothing, watch_mouths
from vatrace.features.people import Person, Track
from vatrace.media.reading import VideoReader


def seen(path: Path, landmarker: Landmarker, rate: float = 10) -> tuple[Person, list[tuple[float, float, float, float]]]:
    """The one person in a video, and the boxes of the face."""
    tracker, track, boxes = FaceTracker(landmarker), Track(), []
    for frame in VideoReader(path, rate):
        for found in tracker.update(frame.image, frame.time):
            track.add(found, frame.steps, len(boxes))
            boxes.append(box_in(found.square, frame.image.size))
    return Person([track], set(track.steps)), boxes


def person(openings: list[float], side: float = 100.0) -> Person:
    steps = list(range(len(openings)))
    return Person([Track(steps=steps, sizes=[side] * len(steps), openings=openings)], set(steps))


def test_the_opening_is_the_distance_of_the_lips_over_that_of_the_eyes() -> None:
    points = np.zeros((NUM_LANDMARKS, 2))
    points[RIGHT_EYE[0]], points[LEFT_EYE[0]], points[1] = (10, 0), (50, 0), (30, 20)
    points[INNER_LIPS[0]], points[INNER_LIPS[1]] = (30, 40), (30, 48)
    assert mouth_opening(points) == pytest.approx(8 / 40)
    assert mouth_opening(3 * points[:, ::-1]) == pytest.approx(8 / 40)
    points[1] = (49, 20)  # the nose is beside the left eye: a profile
    assert np.isnan(mouth_opening(points))


def test_motion_is_the_mean_change_in_a_tenth_of_a_second_at_any_rate() -> None:
    for rate in (10, 15, 25, 50):
        times = np.arange(0, 4, 1 / rate)
        rising = Mouth(times, 0.2 * times)
        assert rising.motion(0.5, 3.0) == pytest.approx(0.02)
    hidden = Mouth(times, np.where(times < 2, 0.2 * times, np.nan))
    assert hidden.motion(0.5, 1.5) == pytest.approx(0.02)
    assert np.isnan(hidden.motion(1.8, 3.8)) and np.isnan(rising.motion(5, 6))


def test_mouths_are_measured_again_during_speech_only(talking: Path) -> None:
    landmarker = Landmarker()
    man, boxes = seen(talking, landmarker)
    shares: list[float] = []
    both = [man, man]  # if only one mouth moved, it would plainly be the speaker's
    mouth, _ = watch_mouths(VideoReader(talking, 10), both, boxes, [(1.0, 2.0)], landmarker, shares.append, Event())
    inside = (mouth.times > 1.0) & (mouth.times < 2.0)
    np.testing.assert_allclose(np.diff(mouth.times[inside]), 1 / 15, atol=1e-3)
    np.testing.assert_allclose(np.diff(mouth.times[mouth.times > 2.5]), 0.1, atol=1e-9)
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1.0, abs=0.05)
    grid = mouth_on_grid(man, 10)
    again = np.interp(grid.times, mouth.times, mouth.openings)
    assert np.corrcoef(again[10:20], grid.openings[10:20])[0, 1] > 0.9  # the same mouth, seen from other starting points


def test_a_mouth_that_rests_is_not_measured_again(tmp_path: Path, face_images: list[Image.Image]) -> None:
    path, landmarker = write_movie(tmp_path / "still.mp4", face_images[:1] * 50), Landmarker()
    man, boxes = seen(path, landmarker)
    (mouth,) = watch_mouths(VideoReader(path, 10), [man], boxes, [(0.0, 2.0)], landmarker, lambda share: None, Event())
    assert mouth.motion(0, 1.9) < RESTS
    np.testing.assert_array_equal(mouth.times, mouth_on_grid(man, 10).times)


def test_who_surely_says_nothing() -> None:
    rng = np.random.default_rng(0)
    resting = [0.001 * value for value in rng.random(100)]
    yawn = [0.0, 0.1, 0.2, 0.3, 0.2, 0.1, 0.0]
    speech = [(0.0, 9.9)]
    assert says_nothing(person(resting + yawn), speech, 10)
    assert not says_nothing(person(resting), speech, 10)  # never seen to open: it may be blurred
    assert not says_nothing(person(resting + yawn, side=30.0), speech, 10)
    assert not says_nothing(person(resting[:40] + yawn), [(0.0, 4.0)], 10)  # too short to be sure
    assert not says_nothing(person(resting[:50] + yawn + resting[50:]), [(0.0, 10.6)], 10)  # moves during speech
    assert not says_nothing(person([np.nan] * 107), speech, 10)
    assert not says_nothing(person(list(0.1 * rng.random(107))), speech, 10)
