"""The pose of a head, and how far eyes and mouth are open, from the landmarks of a face."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.features.landmarker import INNER_LIPS, LEFT_EYE, RIGHT_EYE, Landmarker, Mesh, roi_from_mesh

HEAD = ("head_yaw", "head_pitch", "head_roll", "eye_openness", "mouth_opening")
"""The columns of `measures`: three angles in degrees, and two ratios of lengths."""

_MIDDLE = {4: (0.0, -0.463, 7.587), 6: (0.0, 2.473, 5.789), 10: (0.0, 8.262, 4.482)}
_PAIRS = {
    (33, 263): (4.446, 2.664, 3.173),
    (133, 362): (1.856, 2.585, 3.758),
    (143, 372): (6.408, 2.236, 1.561),
    (127, 356): (7.743, 2.365, -2.005),
    (54, 284): (6.279, 6.615, 1.426),
    (67, 297): (3.524, 8.006, 3.729),
    (121, 350): (1.821, 1.468, 4.224),
    (198, 420): (1.247, 0.230, 5.681),
    (129, 358): (1.786, -0.978, 4.850),
}
RIGID = {
    **_MIDDLE,
    **{pair[side]: (sign * x, y, z) for pair, (x, y, z) in _PAIRS.items() for side, sign in ((0, -1.0), (1, 1.0))},
}
"""Where mesh points lie in a head of average shape that faces the camera, in cm: x to the right of the picture, y up, z towards
the camera. These are points of Google's canonical face model (in `face_landmarker.task`, Apache-2.0) by which MediaPipe aligns
heads. Those on jaw and cheeks, which move when people speak and smile, are left out."""

LIDS = ((159, 145), (386, 374))
"""Mesh points in the middle of the upper and the lower lid, of the right and the left eye."""

BLINK, LONGEST_BLINK = 0.5, 0.5
"""Share of a person's usual eye openness below which the eyes are closed, and seconds after which this is no blink.
In eleven clips of GRID speakers, eyes are open at most 0.30 of their median in each blink, and at least 0.78 where nobody
blinks; blinks last 0.08 to 0.2 s below BLINK."""


def measures(mesh: Mesh) -> tuple[float, ...]:
    """The values of HEAD for one face.

    `eye_openness` is the distance between the lids, divided by the length of the eye; the mean of both eyes. `mouth_opening` is
    the distance between the inner lips, divided by that between the outer corners of the eyes. These distances are in space, so
    that they don't depend on the pose.
    """
    points = np.column_stack([mesh.points, mesh.depths])
    eyes = [
        _distance(points, lids) / max(_distance(points, corners), 1e-9)
        for lids, corners in zip(LIDS, (RIGHT_EYE, LEFT_EYE), strict=True)
    ]
    mouth = _distance(points, INNER_LIPS) / max(_distance(points, (RIGHT_EYE[0], LEFT_EYE[0])), 1e-9)
    return (*pose(points), float(np.mean(eyes)), mouth)


def measured(landmarker: Landmarker, image: Image.Image, points: NDArray[np.float64]) -> tuple[float, ...]:
    """The `measures` of a face whose landmarks (478, 2) in an image are about known; they are found again, and with depths."""
    return measures(landmarker.landmarks(image, roi_from_mesh(points)))


def _distance(points: NDArray[np.float64], pair: tuple[int, int]) -> float:
    return float(np.linalg.norm(points[pair[0]] - points[pair[1]]))


def pose(points: NDArray[np.float64]) -> tuple[float, float, float]:
    """Yaw, pitch and roll of a head in degrees, relative to the line of sight from the camera to the head.

    They belong to the rotation that brings RIGID to the landmarks with the least squared error (Kabsch 1976): first roll, then
    pitch, then yaw. Yaw is positive if the face is turned to the right of the picture, pitch if it looks up, roll if the head
    is tilted clockwise in the picture.

    Args:
        points: (478, 3) landmarks: x to the right and y down in pixels, and depths, away from the camera, in the same unit.
    """
    found = points[list(RIGID)] * (1, -1, -1)
    model = np.array(list(RIGID.values()))
    left, _, right = np.linalg.svd((found - found.mean(axis=0)).T @ (model - model.mean(axis=0)))
    turn = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
    forward = turn[:, 2]
    yaw, pitch = np.arctan2(forward[0], forward[2]), np.arcsin(np.clip(forward[1], -1, 1))
    upright = _turn(yaw, 0, 2) @ _turn(pitch, 1, 2)
    rest = upright.T @ turn
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(-np.arctan2(rest[1, 0], rest[0, 0])))


def _turn(angle: float, axis: int, towards: int) -> NDArray[np.float64]:
    """The rotation that moves the axis `towards` to `axis` by an angle in radians."""
    found = np.eye(3)
    found[[axis, towards], [axis, towards]] = np.cos(angle)
    found[axis, towards], found[towards, axis] = np.sin(angle), -np.sin(angle)
    return found


def blinks(openness: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """Where a person blinks: 1 in the first row of each blink, 0 elsewhere, NaN where the face isn't visible.

    A blink is a time of up to LONGEST_BLINK in which the eyes are open less than BLINK of their median, with open eyes before
    and after it.

    Args:
        openness: (T,) `eye_openness` of one person; NaN where the face isn't visible.
        rate: rows a second.
    """
    known = ~np.isnan(openness)
    found = np.where(known, 0.0, np.nan)
    if not known.any():
        return found
    closed = known & (openness < BLINK * np.nanmedian(openness))
    edges = np.flatnonzero(np.diff(closed.astype(int), prepend=0, append=0)).reshape(-1, 2)
    for start, end in edges.tolist():
        between = start > 0 and end < len(known) and known[start - 1] and known[end]
        if between and end - start <= LONGEST_BLINK * rate:
            found[start] = 1.0
    return found
