"""The level of live speech, which is known only as it is heard."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vatrace.media.mixing import MAX_GAIN, TARGET_LEVEL
from vatrace.media.voice_activity import MIN_PEAK, RATE, Spans

MEMORY_DUR = 30.0
"""Seconds of speech over which the level is averaged: long enough for loud and quiet sentences to stay apart."""
MIN_DUR = 0.3
"""Seconds of speech before anything is known of its level."""


class RunningLevel:
    """Follows the level of speech in audio that comes block by block. Silence and noise leave it as it is."""

    def __init__(self) -> None:
        self._power = 0.0
        self._dur = 0.0

    def add(self, audio: NDArray[np.float32], spans: Spans) -> None:
        """Take note of new audio (N,), 16 kHz, with the spans of speech in it in seconds from its start."""
        parts = [audio[round(max(start, 0.0) * RATE) : max(round(end * RATE), 0)] for start, end in spans]
        speech = np.concatenate([np.zeros(0, np.float32), *parts])
        if not len(speech):
            return
        dur = len(speech) / RATE
        self._dur = min(self._dur + dur, MEMORY_DUR)
        share = min(dur / self._dur, 1.0)
        self._power += share * (float(np.mean(np.square(speech, dtype=np.float64))) - self._power)

    def searched(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """Audio (N,) at a level at which speech is found: the usual one, or by its peak while none is known."""
        peak = float(np.abs(audio).max(initial=0.0))
        known = self._dur >= MIN_DUR or peak < MIN_PEAK
        return audio * np.float32(self.gain if known else 0.5 / peak)

    @property
    def gain(self) -> float:
        """Factor that brings speech to the level that recordings are brought to; 1 until some was heard."""
        if self._dur < MIN_DUR or self._power <= 0:
            return 1.0
        return float(10 ** (min(TARGET_LEVEL - 10 * np.log10(self._power), MAX_GAIN) / 20))
