"""Mel-frequency cepstral coefficients as active-speaker networks expect them: those of the library python_speech_features."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from vatrace.media.voice_activity import RATE

NUM_MFCC = 13
FRAME, HOP = 400, 160
"""Samples of a frame, 25 ms, and from one to the next, 10 ms."""
NUM_FFT, NUM_MELS = 512, 26
PREEMPHASIS = 0.97
LIFTER = 22
FULL_SCALE = 32_768.0
"""The library is given 16-bit samples."""
FLOOR = float(np.finfo(np.float64).eps)
"""What energies of 0 are replaced by."""


def mfcc(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Coefficients (N // 160, 13), 100 a second, of audio (N,) at 16 kHz in -1..1; the first is the logarithm of the energy.

    They are those of `python_speech_features.mfcc` with its default values, for the audio followed by silence.
    """
    num = len(audio) // HOP
    samples = np.pad(audio.astype(np.float64) * FULL_SCALE, (0, FRAME))
    samples[1:] -= PREEMPHASIS * samples[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::HOP][:num]
    power = np.abs(np.fft.rfft(frames, NUM_FFT)) ** 2 / NUM_FFT
    bands = power @ _mel_filters().T
    found = np.log(np.where(bands == 0, FLOOR, bands)) @ _cosines().T
    energy = power.sum(axis=1)
    found[:, 0] = np.log(np.where(energy == 0, FLOOR, energy))
    return found.astype(np.float32)


@cache
def _mel_filters() -> NDArray[np.float64]:
    """(26, 257): triangles between bins that are evenly spaced on the mel scale, 2595 log10(1 + f / 700), from 0 to 8 kHz."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, NUM_MELS + 2) / 2595) - 1)
    corners = np.floor((NUM_FFT + 1) * hertz / RATE)
    low, middle, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    bins = np.arange(NUM_FFT // 2 + 1)
    return np.maximum(np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)), 0)


@cache
def _cosines() -> NDArray[np.float64]:
    """(13, 26): the orthonormal discrete cosine transform (type 2), and the weights that raise the higher coefficients."""
    k, n = np.arange(NUM_MFCC)[:, None], np.arange(NUM_MELS)
    transform = np.sqrt(2 / NUM_MELS) * np.cos(np.pi * k * (2 * n + 1) / (2 * NUM_MELS))
    return transform * (1 + LIFTER / 2 * np.sin(np.pi * k / LIFTER))
