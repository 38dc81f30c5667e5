"""The paper's voice network, VGGish, from the user's file, on a patch of 0.96 s around each step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vatrace.encoders.state_dict import read_state_dict, set_torch_threads
from vatrace.media.reading import SAMPLING_RATE

WIN_LEN, HOP_LEN, FFT_LEN = 400, 160, 512
"""Samples: windows of 25 ms every 10 ms."""
NUM_MELS, LOW, HIGH = 64, 125.0, 7500.0
"""Number of mel bands, and their lowest and highest edge in Hz."""
LOG_OFFSET = 0.01
PATCH_LEN = 96
"""Mel frames of a patch, 0.96 s."""
BATCH = 64


def mel_filters() -> NDArray[np.float64]:
    """Triangles (257, 64) on the mel scale 1127 ln(1 + f / 700), with the published edges; 0 for the constant component."""
    edges = np.linspace(_mel(np.array(LOW)), _mel(np.array(HIGH)), NUM_MELS + 2)
    bins = _mel(np.linspace(0, SAMPLING_RATE / 2, FFT_LEN // 2 + 1))[:, None]
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.maximum(0, np.minimum((bins - lower) / (centre - lower), (upper - bins) / (upper - centre)))
    triangles[0] = 0
    return np.asarray(triangles)


def _mel(frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1127 * np.log(1 + frequency / 700))


def log_mel(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute log-mel frames (1 + (N - 400) // 160, 64) of 16 kHz audio (N,).

    The values are ln(mel + 0.01) of magnitudes, with a periodic Hann window.
    """
    count = max(1 + (len(audio) - WIN_LEN) // HOP_LEN, 0)
    frames = np.lib.stride_tricks.sliding_window_view(audio, WIN_LEN)[::HOP_LEN][:count] if count else np.zeros((0, WIN_LEN))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WIN_LEN) / WIN_LEN)
    magnitudes = np.abs(np.fft.rfft(frames * window, FFT_LEN, axis=1))
    return np.log(magnitudes @ mel_filters() + LOG_OFFSET).astype(np.float32)


class VGGishEncoder:
    """Turns audio into embeddings.

    Args:
        path: file of the weights, such as `vggish-10086976.pth`.
        threads: CPU threads.

    Raises:
        CheckpointError: if the weights don't fit the network.
        MissingExtraError: if PyTorch is not installed.
    """

    dim = 128

    def __init__(self, path: Path, threads: int = 1) -> None:
        set_torch_threads(threads)
        from vatrace.encoders.networks.vggish import VGGish

        self._network = VGGish()
        self._network.load_state_dict(read_state_dict(path, self._network, ignore=("pproc.",)))
        self._network.eval()

    def steps(self, blocks: Iterable[NDArray[np.float32]], rate: float) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Embed a patch around each step of the grid; the audio is padded with silence.

        Args:
            blocks: successive parts (N,) of 16 kHz mono audio; the first starts at 0 s.
            rate: grid steps a second.

        Yields:
            The first step, and vectors (n, 128) for it and the following steps.
        """
        half = PATCH_LEN * HOP_LEN // 2
        tail = np.zeros(WIN_LEN - HOP_LEN, np.float32)
        waiting = np.zeros(half, np.float32)  # audio from sample `offset` on
        offset, end, step = -half, 0, 0
        sources = iter(blocks)
        more = True
        while more:
            block = next(sources, None)
            more = block is not None
            if block is None:
                waiting = np.concatenate([waiting, np.zeros(half, np.float32), tail])
            else:
                waiting, end = np.concatenate([waiting, block]), end + len(block)
            ready: list[NDArray[np.float32]] = []
            first = step
            while step / rate < end / SAMPLING_RATE:
                start = round(step / rate * SAMPLING_RATE) - half - offset
                if start + 2 * half + len(tail) > len(waiting):
                    break
                ready.append(log_mel(waiting[start : start + 2 * half + len(tail)]))
                step += 1
                if len(ready) == BATCH:
                    yield first, self._embed(ready)
                    ready, first = [], step
            if ready:
                yield first, self._embed(ready)
            cut = max(round(step / rate * SAMPLING_RATE) - half - offset, 0)
            waiting, offset = waiting[cut:], offset + min(cut, len(waiting))

    def _embed(self, patches: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            return np.asarray(self._network(torch.from_numpy(np.stack(patches))).numpy())
