"""Decoded audio frames: resampled to one rate, and with samples removed that aren't sound."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vatrace.media.voice_activity import RATE

MAX_SAMPLE = 8.0
"""Largest sample (+18 dBFS) that always counts as sound: decoders of lossy codecs overshoot 1 a little."""
MAX_RATE = 1_000_000
"""Hz of the fastest audio that arrives in blocks."""
MAX_OCTAVES = 32
"""Octaves above 1 of the loudest audio that is accepted: floats on the scale of 32-bit integers."""
GAP = 3
"""Empty octaves beyond which samples are damage. Amplitudes of sound leave no such gap."""


class Resampler:
    """Converts frames of any format, which may change, to planar floats at 16 kHz with their own channels."""

    def __init__(self) -> None:
        self._resampler: Any = None
        self._kind: tuple[str, str, int] | None = None

    def resample(self, frame: Any | None) -> list[Any]:
        """Resample the next frame; None at the end, for the rest."""
        import av

        kind = frame and (frame.format.name, frame.layout.name, frame.sample_rate)
        parts: list[Any] = []
        if kind != self._kind:  # a resampler accepts one format
            parts += self._resampler.resample(None) if self._resampler else []
            self._kind, self._resampler = kind, av.AudioResampler(format="fltp", rate=RATE) if frame else None
        return parts + (self._resampler.resample(frame) if frame else [])


class BlockResampler:
    """Resamples successive blocks of mono audio (N,) to 16 kHz, without gaps between them.

    Args:
        rate: the sampling rate of the blocks, above 0 and up to MAX_RATE, Hz.
    """

    def __init__(self, rate: int) -> None:
        import av

        self.rate = rate
        self._inner = av.AudioResampler(format="fltp", layout="mono", rate=RATE)

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The next block, resampled."""
        import av

        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None], np.float32), format="fltp", layout="mono")
        frame.sample_rate = self.rate
        parts = [part.to_ndarray()[0] for part in self._inner.resample(frame)]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def scaled(samples: ArrayLike) -> NDArray[np.float32]:
    """Samples (N,) as float32; those of signed integers are scaled to -1..1.

    Raises:
        ValueError: if they have another shape or type.
    """
    given = np.asarray(samples)
    if given.ndim != 1:
        raise ValueError(f"audio must have one dimension, (N,) mono, not the shape {given.shape}")
    if np.issubdtype(given.dtype, np.signedinteger):
        return (given / -float(np.iinfo(given.dtype).min)).astype(np.float32)
    if not np.issubdtype(given.dtype, np.floating):
        raise ValueError(f"audio must consist of floats or signed integers, not of {given.dtype}")
    return given.astype(np.float32)


def as_mono(samples: ArrayLike) -> NDArray[np.float32]:
    """Samples (N,) as `scaled` gives them, with 0 for those that aren't sound.

    Raises:
        ValueError: if they have another shape or type.
    """
    found = scaled(samples)
    return np.where(np.abs(found) <= MAX_SAMPLE, found, np.float32(0))


def cleaned(frame: Any, limit: float) -> tuple[Any, int]:
    """Replace the samples of a decoded frame that aren't finite or exceed `limit` by silence; the frame and their number.

    This must happen before resampling, which spreads them. The frame is changed in place.
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
    """The level beyond which samples aren't sound, from the amplitudes in (parts of) a recording.

    Some files are far too loud, or on the scale of integers, but intact: their amplitudes fill all octaves up to the loudest.
    Damage stands out: it lies more than `GAP` octaves above everything else.
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
    top = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))  # no file has half of its samples damaged
    for octave in present[present > top]:
        if octave - top > GAP + 1:
            break
        top = int(octave)
    return max(MAX_SAMPLE, 2.0 ** (top + 1))
