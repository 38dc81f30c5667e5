"""The pose of heads and the openness of eyes, against faces that were turned and changed by known amounts."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vatrace.features.head import HEAD, LIDS, RIGID, blinks, measured, measures, pose
from vatrace.features.landmarker import Landmarker, Mesh, roi_from_mesh
from vatrace.media.reading import VideoReader

SIDE = 400
"""Pixels of the pictures; the face is about half as large."""


@pytest.fixture(scope="module")
def landmarker() -> Landmarker:
    return Landmarker()


@pytest.fixture(scope="module")
def face(face_images: list[Image.Image]) -> Image.Image:
    """A face in the middle of a square picture."""
    left = (face_images[0].width - face_images[0].height) / 2
    square = face_images[0].crop((int(left), 0, int(left) + face_images[0].height, face_images[0].height))
    return square.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def mesh_of(landmarker: Landmarker, image: Image.Image) -> Mesh:
    mesh = landmarker.landmarks(image, landmarker.detect(image)[0])
    return landmarker.landmarks(image, roi_from_mesh(mesh.points))


def rotation(yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """From x right, y up, z towards the camera: first clockwise, then up, then to the right; by the textbook's matrices."""
    y, p, r = np.radians([yaw, pitch, roll])
    about_z = np.array([[np.cos(r), np.sin(r), 0], [-np.sin(r), np.cos(r), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    return np.asarray(about_y @ about_x @ about_z)


@pytest.mark.parametrize("angles", [(0, 0, 0), (30, 0, 0), (0, 20, 0), (0, 0, 25), (-40, 15, -10), (80, -30, 60)])
def test_a_head_that_is_turned_by_known_angles_has_these_angles(angles: tuple[float, float, float]) -> None:
    points = np.zeros((478, 3))
    points[list(RIGID)] = np.array(list(RIGID.values())) @ rotation(*angles).T * 7 * (1, -1, -1) + (200, 150, 30)
    np.testing.assert_allclose(pose(points), angles, atol=1e-6)


def warped(image: Image.Image, points: NDArray[np.float64], moved: NDArray[np.float64]) -> Image.Image:
    """A picture whose landmarks (478, 2) were moved; what lies outside of the face stays."""
    from matplotlib.tri import LinearTriInterpolator, Triangulation

    frame = [(x, y) for x in np.linspace(0, SIDE - 1, 5) for y in np.linspace(0, SIDE - 1, 5) if {x, y} & {0.0, SIDE - 1.0}]
    sources, targets = np.vstack([points, frame]), np.vstack([moved, frame])
    mesh = Triangulation(*targets.T)
    grid = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    x, y = (
        np.clip(LinearTriInterpolator(mesh, column)(*grid).filled(0), 0, SIDE - 1).round().astype(int) for column in sources.T
    )
    return Image.fromarray(np.asarray(image)[y, x])


@pytest.mark.parametrize("angles", [(20, 0, 0), (-20, 0, 0), (0, 12, 0), (0, -12, 0), (0, 0, 20), (12, 8, -10)])
def test_a_picture_of_a_face_that_is_turned_has_about_these_angles(
    face: Image.Image, landmarker: Landmarker, angles: tuple[float, float, float]
) -> None:
    """The network takes turned faces for less turned ones: yaw comes out at 0.6 to 0.9 of the truth in such pictures."""
    mesh = mesh_of(landmarker, face)
    before = pose(np.column_stack([mesh.points, mesh.depths]))
    space = np.column_stack([mesh.points, mesh.depths]) * (1, -1, -1)
    centre = space.mean(axis=0)
    upright = (space - centre) @ rotation(*before)  # facing the camera
    turned = upright @ rotation(*angles).T + centre
    found = mesh_of(landmarker, warped(face, mesh.points, turned[:, :2] * (1, -1)))
    values = dict(zip(HEAD, measures(found), strict=True))
    for name, angle in zip(HEAD, angles, strict=False):
        assert abs(values[name] - angle) < 3 + 0.35 * abs(angle), (name, values[name])


def test_a_mirror_image_is_turned_to_the_other_side(face: Image.Image, landmarker: Landmarker) -> None:
    mirrored = face.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    (yaw, pitch, roll, *open_), (yaw2, pitch2, roll2, *open2) = (
        measures(mesh_of(landmarker, image)) for image in (face, mirrored)
    )
    assert (yaw2, pitch2, roll2) == pytest.approx((-yaw, pitch, -roll), abs=5)
    assert open2 == pytest.approx(open_, abs=0.05)


def test_lids_that_meet_are_closed_whatever_the_pose(face: Image.Image, landmarker: Landmarker) -> None:
    mesh = mesh_of(landmarker, face)
    usual = measures(mesh)
    points = np.column_stack([mesh.points, mesh.depths])
    for upper, lower in LIDS:
        points[upper] += 0.9 * (points[lower] - points[upper])
    turned = points @ rotation(40, 10, 20).T
    found = measures(Mesh(turned[:, :2], turned[:, 2], 1.0))
    assert found[3] == pytest.approx(0.1 * usual[3]) and found[4] == pytest.approx(usual[4])


def test_the_blinks_of_a_real_person_are_found(shared: Path, landmarker: Landmarker) -> None:
    """The lids begin to fall in frames 34 and 47 (counted in the pictures, 25 a second)."""
    points, openness, yaws = None, [], []
    for frame in VideoReader(shared / "clips" / "pwij3p.mpg", 25):
        known = mesh_of(landmarker, frame.image).points if points is None else points
        points = landmarker.landmarks(frame.image, roi_from_mesh(known)).points
        yaw, *_, opened, _ = measured(landmarker, frame.image, points)
        openness.append(opened)
        yaws.append(yaw)
    found = np.flatnonzero(blinks(np.array(openness), 25.0) == 1)
    assert found.tolist() == pytest.approx([34, 48], abs=1) and len(found) == 2
    assert np.std(yaws) < 1 and abs(np.mean(yaws)) < 8  # he looks into the camera


def test_blinks_are_short_closures_between_open_eyes() -> None:
    openness = np.full(100, 0.35)
    openness[[10, 11, 30, 99]] = 0.1  # a blink of two rows, one of one row, and one that doesn't end
    openness[50:56] = 0.1  # 0.6 s: not a blink
    openness[70:73] = 0.2  # lowered, not closed
    openness[80], openness[81] = 0.1, np.nan  # the face disappears
    found = blinks(openness, 10.0)
    assert np.flatnonzero(found == 1).tolist() == [10, 30]
    assert np.flatnonzero(np.isnan(found)).tolist() == [81]
    assert np.isnan(blinks(np.full(5, np.nan), 10.0)).all()


@pytest.mark.parametrize(("duration", "share"), [(0.05, 0.5), (0.1, 1.0), (0.2, 1.0)])
def test_blinks_shorter_than_a_row_are_missed_at_times(duration: float, share: float) -> None:
    starts = np.random.default_rng(0).uniform(0, 1, 1000) + 3 * np.arange(1000)
    times = np.arange(30_000) / 10
    last = starts[np.clip(np.searchsorted(starts, times, side="right") - 1, 0, None)]
    openness = np.where((times >= last) & (times < last + duration), 0.05, 0.35)
    assert np.nansum(blinks(openness, 10.0)) / 1000 == pytest.approx(share, abs=0.05)
