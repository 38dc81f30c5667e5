"""The voice network on ONNX Runtime: attentive pooling over Whisper's frames (`recipes/voice.py` trains it)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vatrace.weights import onnx_session


class RavdessEncoder:
    """Turns Whisper's frames of a stretch of speech into embeddings, each from the 3 s around its frame.

    Args:
        path: ONNX file made by `recipes/voice.py`; None for the package's own.
        threads: CPU threads.

    Raises:
        CheckpointError: if the file can't be opened.
    """

    dim = 128

    def __init__(self, path: Path | None = None, threads: int = 1) -> None:
        self._session = onnx_session(path or "voice.onnx", threads)

    def __call__(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 384), 50 a second -> (N, 128)."""
        return self._run("embedding", frames)

    def emotions(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 384) -> (N, 8) probabilities of neutral, calm, happiness, sadness, anger, fear, disgust, surprise, as acted."""
        return self._run("emotion", frames)

    def valence_arousal(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 384) -> (N, 2) valence and arousal in -1..1, learned from acted emotion categories."""
        return self._run("valence_arousal", frames)

    def _run(self, output: str, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        (result,) = self._session.run([output], {"frames": frames})
        return np.asarray(result, dtype=np.float32)


class WhisperFrames:
    """Returns Whisper's frames unchanged.

    Args:
        path: not used.
        threads: not used.
    """

    dim = 384

    def __init__(self, path: Path | None = None, threads: int = 1) -> None:
        pass

    def __call__(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 384) -> (N, 384), unchanged."""
        return frames
