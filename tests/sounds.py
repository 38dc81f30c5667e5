"""Audio files of any number of tracks and channels, and signals that are not speech."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from vatrace.media.reading import SAMPLING_RATE

Audio = NDArray[np.float32]


def write_tracks(
    path: Path,
    tracks: Sequence[Audio],
    layouts: Sequence[str] = ("stereo",),
    codec: str = "pcm_f32le",
    default: int = 0,
    bit_rate: int | None = None,
) -> Path:
    """Write tracks (C, N) of 16 kHz, one of which is flagged as the default."""
    from av.stream import Disposition

    layouts = [*layouts, *[layouts[-1]] * (len(tracks) - len(layouts))]
    with av.open(str(path), "w") as container:
        streams = []
        for index, layout in enumerate(layouts):
            stream = container.add_stream(codec, rate=SAMPLING_RATE, layout=layout)
            if bit_rate:
                stream.bit_rate = bit_rate
            if len(tracks) > 1:
                stream.disposition = Disposition.default if index == default else Disposition(0)
            streams.append(stream)
        for stream, track, layout in zip(streams, tracks, layouts, strict=True):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(track, np.float32), format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = SAMPLING_RATE, 0, Fraction(1, SAMPLING_RATE)
            size = stream.codec_context.frame_size or 1024
            resampler = av.AudioResampler(stream.codec_context.format, layout, SAMPLING_RATE, size)
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(stream.encode(part))
            container.mux(stream.encode(None))
    return path


def times(num: int) -> NDArray[np.float64]:
    return np.arange(num) / SAMPLING_RATE


def hum(num: int, amplitude: float = 0.3) -> Audio:
    """Mains hum: 50 Hz with its harmonics."""
    tones = sum(np.sin(2 * np.pi * 50 * k * times(num)) / k for k in (1, 2, 3, 5, 7))
    return (amplitude * tones / 2).astype(np.float32)


def timecode(num: int, amplitude: float = 0.3) -> Audio:
    """Like SMPTE linear timecode at 25 frames a second: 2000 bits/s; the sign changes at each bit, and within each 1."""
    halves = np.arange(num) * 4000 // SAMPLING_RATE
    bits = np.random.default_rng(1).integers(0, 2, num)
    flips = [index % 2 == 0 or bits[index // 2] == 1 for index in range(int(halves[-1]) + 1)]
    return (amplitude * (1 - 2 * (np.cumsum(flips)[halves] % 2))).astype(np.float32)


def noise(num: int, amplitude: float = 0.1) -> Audio:
    return (amplitude * np.random.default_rng(2).normal(size=num)).astype(np.float32)


def music(num: int, amplitude: float = 0.3) -> Audio:
    """Chords of decaying tones, two a second."""
    steps = (0, 4, 7, 12, 7, 4)
    result = np.zeros(num)
    for beat in range(int(times(num)[-1] * 2) + 1):
        start = beat * SAMPLING_RATE // 2
        since = times(num - start)
        for interval in (0, 4, 7):
            pitch = 220 * 2 ** ((steps[beat % 6] + interval) / 12)
            tones = sum(np.sin(2 * np.pi * pitch * k * since) / k**2 for k in (1, 2, 3))
            result[start:] += np.exp(-3 * since) * tones
    return (amplitude * result / np.abs(result).max()).astype(np.float32)
