"""The measurements of `--also face`: everything that the landmarks of a face show."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.features.blendshapes import BLENDSHAPES, BlendshapeNetwork
from vatrace.features.head import HEAD, eye_openness, measures
from vatrace.features.landmarker import MIN_SCORE, Landmarker, roi_from_mesh

MEASURES = (*HEAD, *(f"blendshape_{name.removeprefix('_')}" for name in BLENDSHAPES))
"""The columns of `FaceMeter.tracked`."""
OPENNESS = HEAD.index("eye_openness")


class FaceMeter:
    """Measures faces in the frames in which they are tracked, and their lids also in the frames between those.

    Args:
        landmarker: finds landmarks.
    """

    def __init__(self, landmarker: Landmarker) -> None:
        self._landmarker = landmarker
        self._blendshapes = BlendshapeNetwork()
        self._points: dict[int, NDArray[np.float64]] = {}

    def tracked(self, image: Image.Image, faces: Mapping[int, NDArray[np.float64]]) -> list[NDArray[np.float64]]:
        """The values of MEASURES, (59,), of each face in a frame.

        Args:
            image: RGB.
            faces: landmarks (478, 2) by the number of the track; they are found again, and with depths.
        """
        self._points, found = {}, []
        for track, points in faces.items():
            mesh = self._landmarker.landmarks(image, roi_from_mesh(points))
            found.append(np.concatenate([measures(mesh), self._blendshapes(mesh.points)]))
            self._points[track] = mesh.points
        return found

    def between(self, image: Image.Image) -> dict[int, float]:
        """The `eye_openness` of the same faces in the next frame, by the number of the track, if they are found in it."""
        found = {}
        for track, points in self._points.items():
            mesh = self._landmarker.landmarks(image, roi_from_mesh(points))
            if mesh.presence >= MIN_SCORE:
                found[track] = eye_openness(np.column_stack([mesh.points, mesh.depths]))
                self._points[track] = mesh.points
        return found
