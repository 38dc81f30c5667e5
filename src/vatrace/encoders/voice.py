"""The voice network on ONNX Runtime: attentive pooling over Whisper's frames (`recipes/voice.py` trains it on RAVDESS)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vatrace.weights import onnx_session


class VoiceEncoder:
    """Whisper's frames of a stretch of speech to embeddings; each one is of the 3 s around its frame.

    Args:
        threads: CPU threads.
        file: its ONNX file, or the name of one of the package's.
    """

    def __init__(self, threads: int = 1, file: str | Path = "voice.onnx") -> None:
        self._session = onnx_session(file, threads)

    def __call__(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 384), 50 a second -> (N, 128)."""
        return self._run("embedding", frames)

    def emotions(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 384) -> (N, 8) probabilities of neutral, calm, happiness, sadness, anger, fear, disgust, surprise, as acted."""
        return self._run("emotion", frames)

    def valence_arousal(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 384) -> (N, 2) valence and arousal in -1..1, as of acted emotion categories."""
        return self._run("valence_arousal", frames)

    def _run(self, output: str, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        (result,) = self._session.run([output], {"frames": frames})
        return np.asarray(result, dtype=np.float32)


class WhisperFrames:
    """Whisper's frames as they are."""

    def __call__(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 384) -> the same."""
        return frames
