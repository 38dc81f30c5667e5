from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from conftest import write_movie
from vatrace.features.landmarker import NUM_LANDMARKS, Landmarker, roi_from_mesh
from vatrace.features.stillness import (
    BLOCK,
    MIN_FRAMES,
    MIN_SECONDS,
    PATCH_RADII,
    PATCH_SIZE,
    STILL,
    FacePatch,
    Motion,
    face_patch,
    inner_motion,
)
from vatrace.media.reading import VideoReader

RNG = np.random.default_rng(0)
FACE = RNG.normal(size=(NUM_LANDMARKS, 2)) * 40 + 100
"""Points with a radius of 40 √2 pixels."""
RESTS = {"bbaf2n": (0, 20), "brbk7n": (58, 74), "lbax4n": (56, 74), "lbbc2a": (55, 74), "pwij3p": (60, 74)}
"""First and last frame of the longer part in which nobody speaks, in the clips of the tuning scenes."""

Camera = Callable[[int], tuple[float, ...]]
Patch = NDArray[np.uint8]
UNCHANGED = np.eye(2, 3)
"""The map of a patch whose pixels are those of its picture."""


def grain(right: NDArray[np.float64] | float = 0.0, down: NDArray[np.float64] | float = 0.0, light: float = 1.0) -> Patch:
    """A patch with texture everywhere, moved by so many pixels."""
    y, x = np.mgrid[:PATCH_SIZE, :PATCH_SIZE]
    x, y = x - right, y - down
    grey = 120 + 40 * np.sin(0.7 * x + 0.3 * y) + 30 * np.sin(0.9 * y - 0.4 * x) + 20 * np.sin(0.2 * x * np.cos(0.1 * y))
    return np.rint(grey * light).astype(np.uint8)


def watched(faces: Sequence[NDArray[np.float64]], rate: float = 10, patches: Sequence[Patch | None] | None = None) -> Motion:
    """The motion of faces whose patches, unless given, never change."""
    motion = Motion()
    for index, points in enumerate(faces):
        patch = patches[index] if patches else grain()
        motion.add(points, index / rate, None if patch is None else FacePatch(Image.fromarray(patch), UNCHANGED, 1))
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
    assert motion.amount < 1e-6 and motion.drift == 0 and motion.travel > 0.3 and motion.is_still


def test_the_amount_is_the_noise_of_the_landmarks_in_radii() -> None:
    radius = np.sqrt(((FACE - FACE.mean(axis=0)) ** 2).sum(axis=1).mean())
    noisy = [affine(FACE, step / 10) * 1.0 for step in range(300)]
    sizes = [np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=1).mean()) / radius for points in noisy]
    noisy = [points + RNG.normal(0, 0.02 * radius * size, FACE.shape) for points, size in zip(noisy, sizes, strict=True)]
    assert watched(noisy).amount == pytest.approx(0.02 * np.sqrt(2), rel=0.1)


def test_an_affine_map_and_another_light_are_no_motion_of_the_face() -> None:
    x = (np.arange(PATCH_SIZE) - PATCH_SIZE / 2) / PATCH_SIZE
    blank = np.full((PATCH_SIZE, PATCH_SIZE), 90, np.uint8)
    assert inner_motion(blank, blank + 9) == pytest.approx(0, abs=1e-5)
    whole = inner_motion(grain(), grain(0.3 + 0.4 * x[None] - 0.2 * x[:, None], 0.2 - 0.3 * x[:, None], light=0.9))
    assert whole < 0.0006
    lid = np.zeros((PATCH_SIZE, PATCH_SIZE))
    lid[16:32, 16:48] = 0.5
    assert inner_motion(grain(), grain(0, lid)) > 4 * whole


@pytest.mark.parametrize("pixels", [0.2, 0.5])
def test_the_motion_of_a_quarter_of_the_face_is_measured_in_radii(pixels: float) -> None:
    moved = np.zeros((PATCH_SIZE, PATCH_SIZE))
    moved[:32, :32] = pixels
    places = (np.arange(PATCH_SIZE // BLOCK) + 0.5) * BLOCK
    x, y = (axis.ravel() for axis in np.meshgrid(places, places))
    design = np.column_stack([x, y, np.ones(len(x))])
    field = pixels * ((x < 32) & (y < 32))
    rest = field - design @ np.linalg.lstsq(design, field)[0]
    expected = np.sqrt((rest**2).mean()) * PATCH_RADII / PATCH_SIZE
    assert inner_motion(grain(), grain(moved)) == pytest.approx(expected, rel=0.2)


def test_noise_alone_is_no_drift_and_slow_motion_is() -> None:
    """Landmarks that move as in a photograph, and grey levels with the same noise."""
    lid = np.zeros((PATCH_SIZE, PATCH_SIZE))
    lid[16:32, 16:48] = 1.0
    noise = RNG.normal(0, 3, (40, PATCH_SIZE, PATCH_SIZE))
    still = [np.rint(grain() + one).clip(0, 255).astype(np.uint8) for one in noise]
    slow = [np.rint(grain(0, lid * np.sin(step / 4)) + one).clip(0, 255).astype(np.uint8) for step, one in enumerate(noise)]
    photograph, person = watched([FACE] * 40, patches=still), watched([FACE] * 40, patches=slow)
    assert photograph.is_still and not photograph.moves
    assert person.drift > 4 * photograph.drift and not person.is_still and person.moves


def test_a_mouth_that_opens_is_not_still() -> None:
    faces = []
    for step in range(30):
        points = FACE.copy()
        points[:60, 1] += 6 * np.sin(step)
        faces.append(points)
    motion = watched(faces)
    assert motion.amount > STILL and not motion.is_still
    assert not motion.moves  # the pixels disagree


@pytest.mark.parametrize(("frames", "rate"), [(MIN_FRAMES - 1, 1.0), (round(MIN_SECONDS * 100) - 5, 100.0)])
def test_a_face_that_was_hardly_seen_is_not_judged(frames: int, rate: float) -> None:
    motion = watched([FACE] * frames, rate)
    assert not motion.is_known and not motion.is_still and not motion.moves


def test_a_face_that_the_picture_cuts_off_is_not_still() -> None:
    assert face_patch(Image.new("RGB", (100, 100)), FACE) is None
    motion = watched([FACE] * 40, patches=[None] * 40)
    assert np.isnan(motion.drift) and not motion.is_still and not motion.moves


def seen(images: Sequence[Image.Image], rate: float = 10) -> Motion:
    """The motion of the face in pictures, `rate` a second."""
    landmarker, motion = Landmarker(), Motion()
    roi = landmarker.detect(images[0])[0]
    for index, image in enumerate(images):
        points = landmarker.landmarks(image, roi).points
        roi = roi_from_mesh(points)
        motion.add(points, index / rate, face_patch(image, points))
    return motion


def decoded(path: Path) -> list[Image.Image]:
    return [frame.image for frame in VideoReader(path, 10)]


def frames(shared: Path, name: str) -> list[Image.Image]:
    return [frame.image for frame in VideoReader(shared / "clips" / f"{name}.mpg", 25)]


def pan(step: int) -> tuple[float, ...]:
    return (1, 0, 20 * np.sin(step / 5), 0, 1, 8 * np.sin(step / 5))


def zoom(step: int) -> tuple[float, ...]:
    scale = 1 / (1 + 0.005 * step)
    return (scale, 0, 180 * (1 - scale), 0, scale, 144 * (1 - scale))


def rest(step: int) -> tuple[float, ...]:
    return (1, 0, 0, 0, 1, 0)


@pytest.mark.parametrize("name", ["bbaf2n", "lrwp9a"])
@pytest.mark.parametrize("camera", [rest, pan, zoom])
def test_a_photograph_is_still_whatever_the_camera_does(shared: Path, name: str, camera: Camera) -> None:
    photograph = frames(shared, name)[0]
    images = []
    for step in range(35):
        image = photograph.transform(photograph.size, Image.Transform.AFFINE, camera(step), Image.Resampling.BICUBIC)
        images.append(Image.fromarray((np.asarray(image) + RNG.normal(0, 3, (288, 360, 3))).clip(0, 255).astype(np.uint8)))
    motion = seen(images)
    assert motion.is_still and not motion.moves


@pytest.mark.parametrize("suffix", ["mp4", "webm", "mpg"])
def test_a_photograph_in_a_video_is_still_whatever_the_codec(shared: Path, tmp_path: Path, suffix: str) -> None:
    photograph = frames(shared, "pwij3p")[0]
    assert seen(decoded(write_movie(tmp_path / f"cover.{suffix}", [photograph] * 100))).is_still


def test_a_cover_of_a_frame_a_second_is_still_and_a_person_is_not(shared: Path, tmp_path: Path) -> None:
    clip = frames(shared, "brbk7n")
    cover, person = [clip[0]] * 12, [clip[step * 23 % len(clip)] for step in range(12)]
    found = [seen(decoded(write_movie(tmp_path / "slow.mp4", shown, frame_rate=1)), 1) for shown in (cover, person)]
    assert [motion.is_still for motion in found] == [True, False]


@pytest.mark.parametrize("name", RESTS)
def test_people_who_hold_still_are_not(shared: Path, tmp_path: Path, name: str) -> None:
    """Half a second before or after they speak, to and fro: there are no blinks in it."""
    clip, (first, last) = frames(shared, name), RESTS[name]
    resting = [clip[last - abs(last - first - step % (2 * (last - first)))] for step in range(150)]
    assert not seen(decoded(write_movie(tmp_path / "resting.mp4", resting))).is_still


def test_pictures_of_one_person_that_change_are_no_person_who_moves(shared: Path, tmp_path: Path) -> None:
    clip = frames(shared, "bbaf2n")
    slides = [clip[20 * (step // 50)] for step in range(150)]
    motion = seen(decoded(write_movie(tmp_path / "slides.mp4", slides)))
    assert motion.amount > STILL and not motion.moves


def test_people_who_speak_move(shared: Path, face_images: list[Image.Image]) -> None:
    clips = {path.name: decoded(path) for path in sorted((shared / "clips").glob("*.mpg"))}
    clips["close-up"] = decoded(shared / "real" / "closeup_moving_head.mp4")
    clips["car"] = face_images[::3]
    assert len(clips) > 10
    for name, images in clips.items():
        motion = seen(images)
        assert motion.is_known and motion.moves, name
