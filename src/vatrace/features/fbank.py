"""Log mel filter banks as Kaldi computes them, which speaker embeddings are trained on."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from vatrace.media.voice_activity import RATE

NUM_MELS = 80
FRAME, HOP = 400, 160
"""Samples of a frame, 25 ms, and from one to the next, 10 ms."""
NUM_FFT = 512
PREEMPHASIS = 0.97
LOW_HZ, HIGH_HZ = 20.0, RATE / 2
FULL_SCALE = 32_768.0
"""Kaldi's samples are 16-bit numbers."""
FLOOR = float(np.finfo(np.float32).eps)
"""The smallest energy of a band, as in Kaldi."""


def fbank(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log energies in 80 mel bands (F, 80) of audio (N,) at 16 kHz, -1..1: `compute-fbank-feats` without dither.

    Frames lie within the audio, so F = (N - 400) // 160 + 1, or 0 if the audio is shorter than a frame. The mean over time is
    not subtracted.
    """
    if len(audio) < FRAME:
        return np.zeros((0, NUM_MELS), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(audio, FRAME)[::HOP] * np.float32(FULL_SCALE)
    frames -= frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    shaped = (frames - np.float32(PREEMPHASIS) * before) * np.hamming(FRAME).astype(np.float32)
    spectrum = np.fft.rfft(shaped, NUM_FFT)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    # not a matrix product, whose threads would keep a second core busy while they wait for the next turn
    return np.log(np.maximum(np.einsum("fk,mk->fm", power[:, :-1], _mel_filters()), FLOOR))


@cache
def _mel_filters() -> NDArray[np.float32]:
    """(80, 256): triangles that are evenly spaced on the mel scale, 1127 ln(1 + f / 700), and linear on it."""
    hertz = np.arange(NUM_FFT // 2) * RATE / NUM_FFT
    mels = 1127 * np.log1p(hertz / 700)
    low, high = 1127 * np.log1p(np.array([LOW_HZ, HIGH_HZ]) / 700)
    width = (high - low) / (NUM_MELS + 1)
    middles = low + width * np.arange(1, NUM_MELS + 1)
    return np.maximum(1 - np.abs(mels - middles[:, None]) / width, 0).astype(np.float32)
