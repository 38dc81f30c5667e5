"""The expression network on ONNX Runtime (`recipes/face.py` trains it on FER+)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vatrace.weights import onnx_session

EXPRESSIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""The eight FER+ categories (Barsoum et al. 2016), in the order of the network's outputs."""

FACE_PART = (((np.arange(48) - 23.5) / 15) ** 2 + ((np.arange(48)[:, None] - 25) / 18) ** 2) < 1
"""The pixels of a crop that show the face, without its surroundings: its brightness is measured in them."""

BRIGHTEST, MIDDLE = 0.85, 0.55
"""Target brightness of a face, in shares of white: of its brightest 2 %, and of its mean. The images that the network was
trained on have 0.80 and 0.55 on average; with these values, its accuracy on FER+'s dev split falls least, from 0.833 to
0.831."""

GAIN, GAMMA = (0.5, 3.0), (0.5, 2.0)
"""Minimum and maximum of the gain and of the exponent applied to the brightness."""


class FerPlusEncoder:
    """Turns face crops into embeddings.

    Args:
        path: ONNX file made by `recipes/face.py`; None for the package's own.
        threads: CPU threads.

    Raises:
        CheckpointError: if the file can't be opened.
    """

    dim, crop_size = 128, 48

    def __init__(self, path: Path | None = None, threads: int = 1) -> None:
        self._session = onnx_session(path or "face.onnx", threads)

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, 48, 48, 3) RGB, or (N, 48, 48) grey, values 0..255 -> (N, 128) embeddings."""
        return self._run("embedding", crops)

    def expressions(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The same crops -> (N, 8) probabilities of EXPRESSIONS."""
        return self._run("expression", crops)

    def with_expressions(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The same crops -> their embeddings and the probabilities of EXPRESSIONS, in the time that one of them takes."""
        embeddings, expressions = self._outputs(["embedding", "expression"], crops)
        return embeddings, expressions

    def valence_arousal(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The same crops -> (N, 2) valence and arousal in -1..1: the mean over the expressions, weighted by probability."""
        return self._run("valence_arousal", crops)

    def _run(self, output: str, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._outputs([output], crops)[0]

    def _outputs(self, names: list[str], crops: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        grey = crops if crops.ndim == 3 else luma(crops)
        found = self._session.run(names, {"faces": with_usual_brightness(grey)[:, None]})
        return [np.asarray(values, dtype=np.float32) for values in found]


def with_usual_brightness(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Normalise faces to the brightness and contrast of the images that the network was trained on.

    A gain, then a gamma, both within bounds: a camera's exposure says nothing about the face. Clipped pixels stay
    clipped.

    Args:
        grey: (N, 48, 48), values 0..255.

    Returns:
        (N, 48, 48), values 0..255.
    """
    light = np.maximum(grey.astype(np.float32), 1) / 255
    brightest = np.quantile(light[:, FACE_PART], 0.98, axis=1).astype(np.float32)
    light = np.clip(light * np.clip(BRIGHTEST / brightest, *GAIN)[:, None, None], 1 / 255, 1)
    face = light[:, FACE_PART]
    gamma = np.ones(len(light), np.float32)
    for _ in range(3):  # the mean of a power is not the power of the mean
        mean = np.clip((face ** gamma[:, None]).mean(axis=1), 0.02, 0.98)
        gamma = np.clip(gamma * np.float32(np.log(MIDDLE)) / np.log(mean), *GAMMA)
    return 255 * light ** gamma[:, None, None]


def luma(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB (..., 3) to grey (...): the luma of ITU-R BT.601, in the same integer arithmetic as Pillow's mode "L"."""
    weighted = rgb.astype(np.uint32) @ np.array([19595, 38470, 7471], dtype=np.uint32)
    return ((weighted + 0x8000) >> 16).astype(np.uint8)
