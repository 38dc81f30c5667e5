from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vatrace.features.landmarker import NUM_LANDMARKS, Landmarker, roi_from_mesh
from vatrace.features.stillness import MIN_FRAMES, MIN_SECONDS, STILL, Motion
from vatrace.media.reading import VideoReader

RNG = np.random.default_rng(0)
FACE = RNG.normal(size=(NUM_LANDMARKS, 2)) * 40 + 100
"""Points with a radius of 40 √2 pixels."""


def watched(faces: list[NDArray[np.float64]], rate: float = 10) -> Motion:
    motion = Motion()
    for index, points in enumerate(faces):
        motion.add(points, index / rate)
    return motion


def affine(points: NDArray[np.float64], time: float) -> NDArray[np.float64]:
    """What a camera that swings, zooms, turns and walks past does to a flat picture."""
    turn, zoom = 0.2 * np.sin(time), 1 + 0.3 * np.sin(0.7 * time)
    matrix = (
        zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag([1, 1 - 0.2 * np.sin(time)])
    )
    return points @ matrix.T + (30 * time, 5 * time)


def test_a_moving_camera_does_not_make_a_picture_move() -> None:
    motion = watched([affine(FACE, step / 10) for step in range(40)])
    assert motion.amount < 1e-6 and motion.travel > 0.3 and motion.is_still


def test_the_amount_is_the_noise_of_the_landmarks_in_radii() -> None:
    radius = np.sqrt(((FACE - FACE.mean(axis=0)) ** 2).sum(axis=1).mean())
    noisy = [affine(FACE, step / 10) * 1.0 for step in range(300)]
    sizes = [np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=1).mean()) / radius for points in noisy]
    noisy = [points + RNG.normal(0, 0.02 * radius * size, FACE.shape) for points, size in zip(noisy, sizes, strict=True)]
    assert watched(noisy).amount == pytest.approx(0.02 * np.sqrt(2), rel=0.1)


def test_a_mouth_that_opens_is_alive() -> None:
    faces = []
    for step in range(30):
        points = FACE.copy()
        points[:60, 1] += 6 * np.sin(step)
        faces.append(points)
    motion = watched(faces)
    assert motion.amount > STILL and not motion.is_still


@pytest.mark.parametrize(("frames", "rate"), [(MIN_FRAMES - 1, 1.0), (round(MIN_SECONDS * 100) - 5, 100.0)])
def test_a_face_that_was_hardly_seen_is_not_judged(frames: int, rate: float) -> None:
    motion = watched([FACE] * frames, rate)
    assert not motion.is_known and not motion.is_still


def landmarks(images: list[Image.Image]) -> list[NDArray[np.float64]]:
    landmarker = Landmarker()
    roi = landmarker.detect(images[0])[0]
    found = []
    for image in images:
        points = landmarker.landmarks(image, roi).points
        roi = roi_from_mesh(points)
        found.append(points)
    return found


def pan(step: int) -> tuple[float, ...]:
    return (1, 0, 20 * np.sin(step / 5), 0, 1, 8 * np.sin(step / 5))


def zoom(step: int) -> tuple[float, ...]:
    scale = 1 / (1 + 0.015 * step)
    return (scale, 0, 180 * (1 - scale), 0, scale, 144 * (1 - scale))


def rest(step: int) -> tuple[float, ...]:
    return (1, 0, 0, 0, 1, 0)


@pytest.mark.parametrize("name", ["bbaf2n", "lrwp9a"])
@pytest.mark.parametrize("camera", [rest, pan, zoom])
def test_a_photograph_is_still_whatever_the_camera_does(
    shared: Path, name: str, camera: Callable[[int], tuple[float, ...]]
) -> None:
    photograph = next(iter(VideoReader(shared / "clips" / f"{name}.mpg", 10))).image
    images = []
    for step in range(25):
        seen = photograph.transform(photograph.size, Image.Transform.AFFINE, camera(step), Image.Resampling.BICUBIC)
        images.append(Image.fromarray((np.asarray(seen) + RNG.normal(0, 3, (288, 360, 3))).clip(0, 255).astype(np.uint8)))
    assert watched(landmarks(images)).is_still


def test_people_who_speak_are_never_still(shared: Path, face_images: list[Image.Image]) -> None:
    clips = {path.name: [frame.image for frame in VideoReader(path, 10)] for path in sorted((shared / "clips").glob("*.mpg"))}
    clips["close-up"] = [frame.image for frame in VideoReader(shared / "real" / "closeup_moving_head.mp4", 10)]
    clips["car"] = face_images[::3]
    assert len(clips) > 10
    for name, images in clips.items():
        motion = watched(landmarks(images))
        assert motion.is_known and not motion.is_still, name
