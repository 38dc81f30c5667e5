"""The running level of live speech."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vatrace.media.mixing import gain_from
from vatrace.media.voice_activity import MIN_PEAK, RATE, Spans

MEMORY_DUR = 30.0
"""Seconds of speech over which the level is averaged: long enough to keep loud and quiet sentences different."""
MIN_DUR = 0.3
"""Seconds of speech from which its level is known."""


class RunningLevel:
    """Follows the level of speech in successive blocks of audio. Silence and noise don't change it."""

    def __init__(self) -> None:
        self._power = 0.0
        self._dur = 0.0

    def add(self, audio: NDArray[np.float32], spans: Spans) -> None:
        """Add new audio (N,), 16 kHz, with the spans of speech in it in seconds from its start."""
        parts = [audio[round(max(start, 0.0) * RATE) : max(round(end * RATE), 0)] for start, end in spans]
        speech = np.concatenate([np.zeros(0, np.float32), *parts])
        if not len(speech):
            return
        dur = len(speech) / RATE
        self._dur = min(self._dur + dur, MEMORY_DUR)
        share = min(dur / self._dur, 1.0)
        self._power += share * (float(np.mean(np.square(speech, dtype=np.float64))) - self._power)

    def searched(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """Audio (N,) scaled for speech detection: by `gain`, or by its peak until the level is known."""
        peak = float(np.abs(audio).max(initial=0.0))
        known = self._dur >= MIN_DUR or peak < MIN_PEAK
        return audio * np.float32(self.gain if known else 0.5 / peak)

    @property
    def gain(self) -> float:
        """Factor that brings speech to the level used for recordings; 1 until its level is known."""
        if self._dur < MIN_DUR or self._power <= 0:
            return 1.0
        return gain_from(10 * np.log10(self._power))
