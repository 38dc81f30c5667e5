"""Decoded audio frames: put on one sampling rate, and rid of numbers that aren't sound."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from vatrace.media.voice_activity import RATE

MAX_SAMPLE = 8.0
"""Largest sample (+18 dBFS) that is taken for sound without further thought: decoders of lossy codecs overshoot 1 a little."""
MAX_OCTAVES = 32
"""Octaves above 1 of the loudest audio that is believed: floats on the scale of 32-bit integers."""
GAP = 3
"""Empty octaves above which samples have nothing to do with the rest. Amplitudes of sound leave no such gap."""


class Resampler:
    """Frames of any kind, and of changing kinds, as planar floats of 16 kHz with their own channels."""

    def __init__(self) -> None:
        self._resampler: Any = None
        self._kind: tuple[str, str, int] | None = None

    def resample(self, frame: Any | None) -> list[Any]:
        """Resample the next frame; None for what remains at the end."""
        import av

        kind = frame and (frame.format.name, frame.layout.name, frame.sample_rate)
        parts: list[Any] = []
        if kind != self._kind:  # a resampler takes one kind of audio
            parts += self._resampler.resample(None) if self._resampler else []
            self._kind, self._resampler = kind, av.AudioResampler(format="fltp", rate=RATE) if frame else None
        return parts + (self._resampler.resample(frame) if frame else [])


def cleaned(frame: Any, limit: float) -> tuple[Any, int]:
    """A decoded frame with silence for the samples that aren't numbers or are beyond `limit`, and how many these were.

    It must be done before resampling, which spreads them. The frame itself is changed.
    """
    if not frame.format.name.startswith(("flt", "dbl")):
        return frame, 0
    samples = frame.to_ndarray()  # (C, N), or (1, N * C) if they are interleaved
    bad = ~(np.abs(samples) <= limit)
    if not bad.any():
        return frame, 0
    samples[bad] = 0
    for plane, row in zip(frame.planes, samples, strict=True):
        plane.update(np.pad(row, (0, plane.buffer_size // row.itemsize - len(row))).tobytes())
    return frame, int(bad.sum())


def plausible_limit(frames: Iterable[Any]) -> float:
    """The level beyond which samples aren't sound, from a look at the amplitudes in (parts of) a recording.

    Some files are far too loud, or on the scale of integers, and sound all the same. Their amplitudes fill all octaves up to
    the loudest. Damage stands out: it lies more than `GAP` octaves above everything else.
    """
    counts = np.zeros(MAX_OCTAVES + 1, np.int64)  # up to 1, 2, 4, ...
    for frame in frames:
        samples = np.abs(frame.to_ndarray())
        samples = samples[(samples > 0) & (samples < 2.0**MAX_OCTAVES)]
        octaves = np.maximum(np.ceil(np.log2(samples)), 0).astype(int)
        counts += np.bincount(octaves, minlength=len(counts))
    present = np.flatnonzero(counts)
    if not len(present):
        return MAX_SAMPLE
    top = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))  # half of all samples are damaged in no file
    for octave in present[present > top]:
        if octave - top > GAP + 1:
            break
        top = int(octave)
    return max(MAX_SAMPLE, 2.0 ** (top + 1))
