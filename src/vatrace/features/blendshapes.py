"""How far a face makes each of 52 movements, from its landmarks: the blendshapes of Google's Face Landmarker.

The network is that of `face_landmarker.task` (Apache-2.0), converted by `recipes/landmarker.py`. Names and points are those of
MediaPipe's graph (`face_blendshapes_graph.cc`); all but the first name are ARKit's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vatrace.weights import onnx_session

_NAMES = """
_neutral browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft
cheekSquintRight eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight eyeLookInLeft eyeLookInRight eyeLookOutLeft
eyeLookOutRight eyeLookUpLeft eyeLookUpRight eyeSquintLeft eyeSquintRight eyeWideLeft eyeWideRight jawForward jawLeft
jawOpen jawRight mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft mouthFrownRight mouthFunnel mouthLeft
mouthLowerDownLeft mouthLowerDownRight mouthPressLeft mouthPressRight mouthPucker mouthRight mouthRollLower
mouthRollUpper mouthShrugLower mouthShrugUpper mouthSmileLeft mouthSmileRight mouthStretchLeft mouthStretchRight
mouthUpperUpLeft mouthUpperUpRight noseSneerLeft noseSneerRight
"""
BLENDSHAPES = tuple(_NAMES.split())
"""In the order of the network's outputs; left and right are the person's."""

_POINTS = """
0 1 4 5 6 7 8 10 13 14 17 21 33 37 39 40 46 52 53 54 55 58 61 63 65 66 67 70 78 80 81 82 84 87 88 91 93 95 103 105 107
109 127 132 133 136 144 145 146 148 149 150 152 153 154 155 157 158 159 160 161 162 163 168 172 173 176 178 181 185 191
195 197 234 246 249 251 263 267 269 270 276 282 283 284 285 288 291 293 295 296 297 300 308 310 311 312 314 317 318 321
323 324 332 334 336 338 356 361 362 365 373 374 375 377 378 379 380 381 382 384 385 386 387 388 389 390 397 398 400 402
405 409 415 454 466 468 469 470 471 472 473 474 475 476 477
"""
POINTS = np.array(_POINTS.split(), int)
"""(146,) Mesh points that the network takes, in order."""


class BlendshapeNetwork:
    """Maps landmarks to the strength of BLENDSHAPES."""

    def __init__(self) -> None:
        self._session = onnx_session("face_blendshapes.onnx")

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.float32]:
        """The strengths (52,), 0..1, of one face; its place and size in the picture don't matter.

        Args:
            points: (478, 2) landmarks in pixels.
        """
        (scores,) = self._session.run(["scores"], {"points": points[None, POINTS].astype(np.float32)})
        return np.asarray(scores)
