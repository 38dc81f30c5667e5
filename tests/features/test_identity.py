from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vatrace.features.identity import (
    CHIP_POINTS,
    CHIP_SIZE,
    DIM,
    MEAN_FACE,
    PROFILE_WEIGHT,
    SAME_PERSON,
    Identity,
    IdentityEncoder,
    View,
    chip_matrix,
    turned_away,
)
from vatrace.features.landmarker import LEFT_EYE, NUM_LANDMARKS, RIGHT_EYE, Landmarker, roi_from_mesh
from vatrace.media.reading import VideoReader

DLIB, DLIB_LENGTH = [-0.0737, 0.1021, 0.0791, -0.0174, -0.0746, -0.0517], 1.2824
"""The first values of the embedding that dlib 20.0.1 gives for the image of four colours below, and its length."""


def embedding(*start: float) -> NDArray[np.float64]:
    return np.pad(np.array(start, dtype=float), (0, DIM - len(start)))


@pytest.mark.parametrize(("scale", "angle", "shift"), [(1.0, 0.0, 0.0), (3.7, 0.4, 200.0), (0.2, -1.2, -30.0)])
def test_a_chip_shows_a_face_where_dlib_has_it(scale: float, angle: float, shift: float) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    # dlib: the mean face with a quarter of its side as margin on each side
    in_chip = (MEAN_FACE + 0.25) / 1.5 * 150
    points = np.zeros((NUM_LANDMARKS, 2))
    points[list(CHIP_POINTS)] = in_chip @ turn.T + shift
    matrix = chip_matrix(points)
    np.testing.assert_allclose(matrix[:, :2], turn, atol=1e-9)
    np.testing.assert_allclose(matrix[:, 2], shift, atol=1e-6)


@pytest.mark.parametrize("degrees", [0, 30, 60, 90, -60])
def test_a_nose_that_leaves_the_middle_is_a_face_that_turns(degrees: int) -> None:
    # eyes 1 from the axis of the head, the tip of the nose 1 before it: turned by a, they are at -cos a, cos a and sin a
    turn = np.radians(degrees)
    points = np.zeros((NUM_LANDMARKS, 2))
    points[RIGHT_EYE[0], 0], points[LEFT_EYE[0], 0] = -max(np.cos(turn), 0.01), max(np.cos(turn), 0.01)
    points[1, 0] = np.sin(turn)
    assert turned_away(points) == pytest.approx(abs(np.sin(turn)) / max(np.cos(turn), 0.01))


def test_an_identity_is_the_mean_of_its_views_in_which_profiles_count_little() -> None:
    known = Identity()
    assert known.distance(View(embedding(0.0), 1.0)) == np.inf
    known.add(View(embedding(1.0), 1.0))
    known.add(View(embedding(3.0), 1.0))
    np.testing.assert_allclose(known.mean, embedding(2.0))
    known.add(View(embedding(10.0), PROFILE_WEIGHT))
    assert known.mean[0] == pytest.approx((1 + 3 + 10 * PROFILE_WEIGHT) / (2 + PROFILE_WEIGHT))
    assert known.distance(View(embedding(9.0), 1.0)) == pytest.approx(9 - known.mean[0])
    assert known.distance(View(embedding(9.0), PROFILE_WEIGHT)) == pytest.approx(1.0)  # from the latest, a profile as well


@pytest.fixture(scope="module")
def views(shared: Path) -> dict[str, list[View]]:
    """Four views of each speaker of the GRID clips."""
    landmarker, encoder = Landmarker(), IdentityEncoder()
    found: dict[str, list[View]] = {}
    for path in sorted((shared / "clips").glob("*.mpg")):
        for image in [frame.image for frame in VideoReader(path, 10)][::8]:
            points = landmarker.landmarks(image, landmarker.detect(image)[0]).points
            points = landmarker.landmarks(image, roi_from_mesh(points)).points
            found.setdefault(path.stem, []).append(encoder(image, points))
    return found


def test_grid_speakers_are_told_apart(views: dict[str, list[View]]) -> None:
    same_speaker = {"id2_vcd_swwp2s", "pwij3p"}
    for one, its in views.items():
        for other, others in views.items():
            apart = [first.distance(second) for first in its for second in others]
            if one == other or {one, other} == same_speaker:
                assert max(apart) < SAME_PERSON, (one, other)
            else:
                assert min(apart) > SAME_PERSON, (one, other)


def test_views_do_not_depend_on_size_or_tilt(views: dict[str, list[View]], shared: Path) -> None:
    landmarker, encoder = Landmarker(), IdentityEncoder()
    image = next(iter(VideoReader(shared / "clips" / "bbaf2n.mpg", 10))).image
    for changed in (image.resize((180, 144), Image.Resampling.BOX), image.resize((900, 720)), image.rotate(20)):
        points = landmarker.landmarks(changed, landmarker.detect(changed)[0]).points
        points = landmarker.landmarks(changed, roi_from_mesh(points)).points
        assert encoder(changed, points).distance(views["bbaf2n"][0]) < 0.35


def test_embeddings_are_those_of_dlibs_network() -> None:
    image = np.zeros((CHIP_SIZE, CHIP_SIZE, 3), np.uint8)
    image[:75, :75], image[:75, 75:], image[75:, :75], image[75:, 75:] = (
        (200, 30, 30),
        (30, 200, 30),
        (30, 30, 200),
        (90, 90, 90),
    )
    points = np.zeros((NUM_LANDMARKS, 2))
    points[list(CHIP_POINTS)] = (MEAN_FACE + 0.25) / 1.5 * CHIP_SIZE
    found = IdentityEncoder()(Image.fromarray(image), points).embedding
    np.testing.assert_allclose(found[:6], DLIB, atol=0.01)
    assert np.linalg.norm(found) == pytest.approx(DLIB_LENGTH, abs=0.02)
