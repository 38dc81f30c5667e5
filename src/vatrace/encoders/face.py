"""The expression network on ONNX Runtime (`recipes/face.py` trains it on FER+)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vatrace.weights import onnx_session


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
        """The same crops -> (N, 8) probabilities of neutral, happiness, surprise, sadness, anger, disgust, fear, contempt."""
        return self._run("expression", crops)

    def valence_arousal(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The same crops -> (N, 2) valence and arousal in -1..1: the mean over the expressions, weighted by probability."""
        return self._run("valence_arousal", crops)

    def _run(self, output: str, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        grey = crops if crops.ndim == 3 else luma(crops)
        (result,) = self._session.run([output], {"faces": grey[:, None].astype(np.float32)})
        return np.asarray(result, dtype=np.float32)


def luma(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB (..., 3) to grey (...): the luma of ITU-R BT.601, in the same integer arithmetic as Pillow's mode "L"."""
    weighted = rgb.astype(np.uint32) @ np.array([19595, 38470, 7471], dtype=np.uint32)
    return ((weighted + 0x8000) >> 16).astype(np.uint8)
