"""The expression network on ONNX Runtime (`runs/face.py` trains it on FER+)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vatrace.weights import onnx_session


class FaceEncoder:
    """Grey face crops to embeddings.

    Args:
        threads: CPU threads.
    """

    def __init__(self, threads: int = 1) -> None:
        self._session = onnx_session("face.onnx", threads)

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, 48, 48) grey values 0..255 -> (N, 128) embeddings."""
        return self._run("embedding", crops)

    def expressions(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, 48, 48) -> (N, 8) probabilities of neutral, happiness, surprise, sadness, anger, disgust, fear, contempt."""
        return self._run("expression", crops)

    def _run(self, output: str, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        (result,) = self._session.run([output], {"faces": crops[:, None].astype(np.float32)})
        return np.asarray(result, dtype=np.float32)
