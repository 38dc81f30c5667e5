"""Decides whether two faces are of the same person, with dlib's face recognition network (`recipes/identity.py` converts it).

The network maps an aligned face to 128 numbers, such that faces of one person lie close together and those of different people
far apart (King 2017, dlib's `dlib_face_recognition_resnet_model_v1`). It is never used to find out a name: it only decides
which faces, in one recording or in several, or in a picture, are of the same person.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.features.landmarker import LEFT_EYE, RIGHT_EYE, crop
from vatrace.weights import onnx_session

DIM = 128
CHIP_SIZE, CHIP_PADDING = 150, 0.25
"""Side of an aligned face in pixels, and the margin around the mean face in shares of its side, as in dlib."""

NOSE_TIP, NOSE_BASE = 1, 2
"""Mesh points at the tip of the nose, and where it meets the upper lip."""
CHIP_POINTS = (LEFT_EYE[1], LEFT_EYE[0], RIGHT_EYE[0], RIGHT_EYE[1], NOSE_BASE)
MEAN_FACE = np.array(
    [[0.8595674595992, 0.2134981538014], [0.6460604764104, 0.2289674387677], [0.1205750620789, 0.2137274526848],
     [0.3340850613712, 0.2290642403242], [0.4901123135679, 0.6277975316475]]
)  # fmt: skip
"""dlib's corners of the eyes and base of the nose in a square face (`get_face_chip_details`, five points)."""

SAME_PERSON = 0.50
"""Distance between two embeddings below which they are the same person's. dlib's own threshold is 0.6, for photographs; in GRID
clips one person's views are within 0.35 of each other, and different speakers' at least 0.55 apart."""

FULL_VIEW, PROFILE_WEIGHT = 0.35, 0.05
"""Offset of the nose from the midpoint of the eyes, in halves of their distance, up to which a view counts fully; and the
weight of other views. The network was trained on faces that look more or less at the camera."""

TO_CHIP = (MEAN_FACE + CHIP_PADDING) / (1 + 2 * CHIP_PADDING) * CHIP_SIZE


def chip_matrix(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The (2, 3) map from pixels of an aligned face to the image: the similarity that fits dlib's five points best.

    Args:
        points: (478, 2) landmarks in pixels.
    """
    target = points[list(CHIP_POINTS)]
    origin, middle = TO_CHIP.mean(axis=0), target.mean(axis=0)
    source, aim = TO_CHIP - origin, target - middle  # Umeyama 1991 in two dimensions
    cos, sin = (source * aim).sum(), (source[:, 0] * aim[:, 1] - source[:, 1] * aim[:, 0]).sum()
    turn = np.array([[cos, -sin], [sin, cos]]) / (source**2).sum()
    return np.column_stack([turn, middle - turn @ origin])


def turned_away(points: NDArray[np.float64]) -> float:
    """How far a face is turned to a side: 0 towards the camera, about 1 in profile, from the landmarks (478, 2)."""
    right, left, nose = points[RIGHT_EYE[0]], points[LEFT_EYE[0]], points[NOSE_TIP]
    eyes = left - right
    return abs(float(2 * (nose - right) @ eyes / max(eyes @ eyes, 1e-9)) - 1)


@dataclass(frozen=True)
class View:
    """A face in one image.

    Attributes:
        embedding: (128,).
        weight: 1 for a face that looks at the camera, PROFILE_WEIGHT for one that is turned away.
    """

    embedding: NDArray[np.float64]
    weight: float

    def distance(self, other: View) -> float:
        """Distance between the embeddings."""
        return float(np.linalg.norm(self.embedding - other.embedding))

    @property
    def is_full(self) -> bool:
        """Whether it can decide alone."""
        return self.weight == 1.0


@dataclass
class Identity:
    """How one person looks, from any number of views.

    Attributes:
        weight: sum of the views' weights; 0 before the first.
        mean: (128,) weighted mean of their embeddings.
        latest: (128,) the last embedding.
    """

    weight: float = 0.0
    mean: NDArray[np.float64] = field(default_factory=lambda: np.zeros(DIM))
    latest: NDArray[np.float64] = field(default_factory=lambda: np.zeros(DIM))

    def add(self, view: View) -> None:
        """Learn from one more view."""
        self.weight += view.weight
        self.mean = self.mean + (view.embedding - self.mean) * (view.weight / self.weight)
        self.latest = view.embedding

    def distance(self, view: View) -> float:
        """Distance of a view from the mean of this person's views; infinite without any.

        A face that is turned away is also compared with the latest view, which can be a profile as well.
        """
        if not self.weight:
            return np.inf
        known = [self.mean] if view.is_full else [self.mean, self.latest]
        return float(min(np.linalg.norm(view.embedding - embedding) for embedding in known))


class IdentityEncoder:
    """Computes the views of faces.

    Args:
        path: ONNX file made by `recipes/identity.py`; None for the package's own.
        threads: CPU threads.

    Raises:
        CheckpointError: if the file can't be opened.
    """

    def __init__(self, path: Path | None = None, threads: int = 1) -> None:
        self._session = onnx_session(path or "identity.onnx", threads)

    def __call__(self, image: Image.Image, points: NDArray[np.float64]) -> View:
        """The view of the face with these landmarks (478, 2) in an RGB image."""
        chip = np.asarray(crop(image, chip_matrix(points), CHIP_SIZE))
        (embedding,) = self._session.run(["embedding"], {"faces": chip[None]})
        return View(embedding[0].astype(np.float64), 1.0 if turned_away(points) < FULL_VIEW else PROFILE_WEIGHT)
