"""Faces that were turned and changed by known amounts, made from a picture of a real one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vatrace.features.landmarker import Landmarker, Mesh, roi_from_mesh

SIDE = 400
"""Pixels of the pictures; the face is about half as large."""
DISTANCE = 45.0
"""From the camera to the rendered head, in cm: somebody in front of a laptop."""
LIDS = {  # the upper lid's points, from corner to corner, with the lower lid's point below each
    **dict(zip((246, 161, 160, 159, 158, 157, 173), (7, 163, 144, 145, 153, 154, 155), strict=True)),
    **dict(zip((466, 388, 387, 386, 385, 384, 398), (249, 390, 373, 374, 380, 381, 382), strict=True)),
}
FINE, IRIS = 4, 0.44
"""Samples along a side for each pixel of what is painted, and the width of an iris, 1.17 cm, in lengths of the eye."""
EYES = {468: (33, 133), 473: (263, 362)}
"""The middle of each iris, whose edge has the next four points, and the corners of the eye."""


def canonical_head() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Points (468, 3) in cm and triangles (898, 3) of Google's canonical face model (Apache-2.0).

    From `geometry_pipeline_metadata_landmarks.binarypb` in `face_landmarker.task`; x to the right of the picture, y up, z
    towards the camera.
    """
    head = np.load(Path(__file__).with_name("canonical_head.npz"))
    return head["points"].astype(np.float64), head["triangles"].astype(np.int64)


def square(image: Image.Image) -> Image.Image:
    """The middle of a picture, SIDE pixels wide."""
    left = (image.width - image.height) // 2
    middle = image.crop((left, 0, left + image.height, image.height))
    return middle.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def mesh_of(landmarker: Landmarker, image: Image.Image) -> Mesh:
    """The landmarks of the face in a picture."""
    mesh = landmarker.landmarks(image, landmarker.detect(image)[0])
    return landmarker.landmarks(image, roi_from_mesh(mesh.points))


def rotation(yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """From x right, y up, z towards the camera: first clockwise, then up, then to the right; by the textbook's matrices."""
    y, p, r = np.radians([yaw, pitch, roll])
    about_z = np.array([[np.cos(r), np.sin(r), 0], [-np.sin(r), np.cos(r), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    return np.asarray(about_y @ about_x @ about_z)


def rendered(image: Image.Image, points: NDArray[np.float64], angles: tuple[float, float, float]) -> Image.Image:
    """The canonical head with the skin of a real face, turned by yaw, pitch and roll in degrees, through a camera.

    Args:
        image: a picture of the face.
        points: (478, 2) its landmarks.
        angles: degrees.
    """
    head, triangles = canonical_head()
    turned = (head - head.mean(axis=0)) @ rotation(*angles).T
    scale = SIDE * 0.55 / 16 * DISTANCE / (DISTANCE - turned[:, 2])  # the head is 16 cm wide
    seen = SIDE / 2 + turned[:, :2] * (1, -1) * scale[:, None]
    texture = np.asarray(image)
    canvas = np.tile(np.median(texture.reshape(-1, 3), axis=0).astype(np.uint8), (SIDE, SIDE, 1))
    nearest = np.full((SIDE, SIDE), -np.inf)
    for corners in triangles:
        low = np.clip(np.floor(seen[corners].min(axis=0)), 0, SIDE - 1).astype(int)
        high = np.clip(np.ceil(seen[corners].max(axis=0)), 0, SIDE - 1).astype(int)
        x, y = np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1))
        edges = np.column_stack([seen[corners], np.ones(3)]).T
        if abs(np.linalg.det(edges)) < 1e-9:
            continue
        shares = np.linalg.solve(edges, np.stack([x.ravel(), y.ravel(), np.ones(x.size)]))
        depth = turned[corners, 2] @ shares
        inside = (shares >= -1e-9).all(axis=0) & (depth > nearest[y.ravel(), x.ravel()])
        place = (y.ravel()[inside], x.ravel()[inside])
        source = np.clip(shares.T[inside] @ points[corners], 0, SIDE - 1).round().astype(int)
        canvas[place], nearest[place] = texture[source[:, 1], source[:, 0]], depth[inside]
    return Image.fromarray(canvas)


def _lids(points: NDArray[np.float64]) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The edges of both eyes: upper and lower lid (9, 2) from corner to corner."""
    uppers, lowers = list(LIDS), list(LIDS.values())
    found = []
    for side, (outer, inner) in enumerate(EYES.values()):
        inside = slice(7 * side, 7 * side + 7)
        found.append((points[[outer, *uppers[inside], inner]], points[[outer, *lowers[inside], inner]]))
    return found


def closing(image: Image.Image, points: NDArray[np.float64], share: float) -> Image.Image:
    """A face whose upper lids are painted, a share of the way to the lower ones, in the colour of the skin above them."""
    large = image.resize((SIDE * FINE, SIDE * FINE), Image.Resampling.BICUBIC)
    paint = ImageDraw.Draw(large)
    for upper, lower in _lids(points):
        edge, above = upper + share * (lower - upper), upper - 0.5 * (lower - upper)
        middle = above[len(above) // 2]
        skin = image.getpixel((round(middle[0]), round(middle[1])))
        lid = [tuple(point * FINE) for point in np.vstack([upper, edge[::-1]])]
        paint.polygon(lid, fill=skin)
        paint.line([tuple(point * FINE) for point in edge], fill=(50, 35, 30), width=FINE)
    return large.resize((SIDE, SIDE), Image.Resampling.BOX)


def looking(image: Image.Image, points: NDArray[np.float64], moves: tuple[float, float]) -> Image.Image:
    """A face with painted eyes, whose irises lie to the right of the middle between the corners, and above it.

    Args:
        image: a picture of the face.
        points: (478, 2) its landmarks.
        moves: to the right of the picture and up, in lengths of the eye.
    """
    large = image.resize((SIDE * FINE, SIDE * FINE), Image.Resampling.BICUBIC)
    inside, eyes = Image.new("L", large.size), Image.new("RGB", large.size, (215, 205, 200))
    for (upper, lower), (outer, inner) in zip(_lids(points), EYES.values(), strict=True):
        ImageDraw.Draw(inside).polygon([tuple(point * FINE) for point in np.vstack([upper, lower[::-1]])], fill=255)
        along = points[inner] - points[outer] if points[inner][0] > points[outer][0] else points[outer] - points[inner]
        upwards = np.array([along[1], -along[0]])
        x, y = (points[outer] + points[inner]) / 2 + moves[0] * along + moves[1] * upwards
        for share, colour in ((IRIS, (70, 55, 45)), (IRIS / 2.5, (15, 12, 12))):
            reach = share * np.linalg.norm(along) / 2
            box = [round(value * FINE) for value in (x - reach, y - reach, x + reach, y + reach)]
            ImageDraw.Draw(eyes).ellipse(box, fill=colour)
    large.paste(eyes, mask=inside)
    return large.resize((SIDE, SIDE), Image.Resampling.BOX)
