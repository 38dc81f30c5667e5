"""The pose of a head, where its eyes look, and how far eyes and mouth are open, from the landmarks of a face."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vatrace.features.landmarker import INNER_LIPS, LEFT_EYE, RIGHT_EYE, Mesh

HEAD = ("head_yaw", "head_pitch", "head_roll", "gaze_yaw", "gaze_pitch", "eye_openness", "mouth_opening")
"""The columns of `measures`: five angles in degrees, and two ratios of lengths."""

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

EYES, IRISES = (RIGHT_EYE, LEFT_EYE), (468, 473)
"""Mesh points at the corners of both eyes, and in the middle of both irises."""
EYE_LENGTH, TO_IRIS = 2.66, 1.0
"""Distance between the corners of an eye in Google's canonical face model, and from the centre about which an eyeball turns to
its iris, in cm. The centre is about 1.35 cm behind the front of the cornea (Fry & Hill 1962), and the iris about 0.35 cm."""
IRIS_ABOVE = 0.15
"""How far above the middle between the corners of the eye the iris is, in cm, when somebody looks straight ahead. Chosen so
that head and eyes of eleven GRID speakers, who face the camera, point at it in the mean."""


def measures(mesh: Mesh) -> tuple[float, ...]:
    """The values of HEAD for one face.

    `mouth_opening` is the distance between the inner lips, divided by that between the outer corners of the eyes. Distances are
    in space, so that they don't depend on the pose.
    """
    points = np.column_stack([mesh.points, mesh.depths])
    mouth = _distance(points, INNER_LIPS) / max(_distance(points, (RIGHT_EYE[0], LEFT_EYE[0])), 1e-9)
    return (*pose(points), *gaze(points), eye_openness(points), mouth)


def eye_openness(points: NDArray[np.float64]) -> float:
    """The distance between the lids, divided by the length of the eye; the mean of both eyes.

    Args:
        points: (478, 3) landmarks with depths.
    """
    openings = [
        _distance(points, lids) / max(_distance(points, corners), 1e-9) for lids, corners in zip(LIDS, EYES, strict=True)
    ]
    return float(np.mean(openings))


def gaze(points: NDArray[np.float64]) -> tuple[float, float]:
    """Yaw and pitch of the eyes in degrees, relative to the head; the mean of both eyes.

    The eyeball is a sphere that turns about its centre, which moves the iris by TO_IRIS times the sine of the angle. Yaw is
    positive if they look to the right of the picture, pitch if they look up.

    Args:
        points: (478, 3) landmarks with depths, as in `pose`.
    """
    upright = (points * (1, -1, -1)) @ _rotation(points)
    moved = [
        (upright[iris] - upright[list(corners)].mean(axis=0)) * EYE_LENGTH / max(_distance(points, corners), 1e-9)
        for iris, corners in zip(IRISES, EYES, strict=True)
    ]
    x, y, _ = np.mean(moved, axis=0)
    yaw, pitch = np.degrees(np.arcsin(np.clip(np.array([x, y - IRIS_ABOVE]) / TO_IRIS, -1, 1))).tolist()
    return yaw, pitch


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
    turn = _rotation(points)
    forward = turn[:, 2]
    yaw, pitch = np.arctan2(forward[0], forward[2]), np.arcsin(np.clip(forward[1], -1, 1))
    upright = _turn(yaw, 0, 2) @ _turn(pitch, 1, 2)
    rest = upright.T @ turn
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(-np.arctan2(rest[1, 0], rest[0, 0])))


def _rotation(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation (3, 3) of a head that faces the camera to landmarks (478, 3); x to the right, y up, z towards the camera."""
    found = points[list(RIGID)] * (1, -1, -1)
    model = np.array(list(RIGID.values()))
    left, _, right = np.linalg.svd((found - found.mean(axis=0)).T @ (model - model.mean(axis=0)))
    return np.asarray(left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right)


def _turn(angle: float, axis: int, towards: int) -> NDArray[np.float64]:
    """The rotation that moves the axis `towards` to `axis` by an angle in radians."""
    found = np.eye(3)
    found[[axis, towards], [axis, towards]] = np.cos(angle)
    found[axis, towards], found[towards, axis] = np.sin(angle), -np.sin(angle)
    return found
