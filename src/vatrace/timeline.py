"""The regular grid of all features and traces: step i is at i / rate seconds. NumPy only."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-6
"""Seconds by which two times may differ and still belong to the same step."""


def num_steps(duration: float, rate: float) -> int:
    """The number of steps that start before `duration` seconds; at least one.

    Args:
        duration: length of the recording in seconds.
        rate: steps per second.
    """
    return max(1, int(np.ceil((duration - TOLERANCE) * rate)))


def step_range(start: float, end: float, rate: float) -> range:
    """The steps from `start` to `end` seconds; at least the step nearest to their midpoint."""
    first, stop = (int(np.ceil((moment - TOLERANCE) * rate)) for moment in (start, end))
    if first >= stop:
        first = max(round((start + end) / 2 * rate), 0)
        stop = first + 1
    return range(max(first, 0), max(stop, 0))


def spans_to_mask(spans: Iterable[tuple[float, float]], steps: int, rate: float) -> NDArray[np.bool_]:
    """Mark the steps inside any span of (start, end) seconds, (T,)."""
    mask = np.zeros(steps, dtype=bool)
    for start, end in spans:
        inside = step_range(start, end, rate)
        mask[inside.start : inside.stop] = True
    return mask


def steps_at(times: NDArray[np.float64], rate: float) -> NDArray[np.int64]:
    """The step that is current at each of `times` in seconds."""
    return np.floor((times + TOLERANCE) * rate).astype(int)


def frames_on_grid(
    start: float, frames: NDArray[np.float32], rate: float, frame_rate: float = 50.0
) -> tuple[int, NDArray[np.float32]]:
    """Average an encoder's frames over each step that they cover; above the frame rate, take the current frame.

    Args:
        start: time of the first frame in seconds.
        frames: (N, D), N >= 1.
        rate: steps per second.
        frame_rate: frames per second; by default, Whisper's.

    Returns:
        The first step, and vectors (n, D) for it and the following steps.
    """
    index = steps_at(start + np.arange(len(frames)) / frame_rate, rate)
    if rate > frame_rate:
        steps = np.arange(index[0], index[-1] + 1)
        current = np.floor((steps / rate + TOLERANCE - start) * frame_rate).astype(int)
        return int(index[0]), frames[current.clip(0)].astype(np.float32)
    edges = np.flatnonzero(np.diff(index, prepend=index[0] - 1))
    sums = np.add.reduceat(frames, edges, axis=0)
    means = sums / np.diff(edges, append=len(index))[:, None]
    return int(index[0]), means.astype(np.float32)


def resample(values: NDArray[np.floating], rate: float, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate a trace (T,) at `rate` linearly at `times` in seconds; constant beyond its ends."""
    return np.interp(times, np.arange(len(values)) / rate, values)


def resample_mask(mask: NDArray[np.bool_], rate: float, times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The values of a mask (T,) at `rate`, at the step that is current at each of `times` in seconds."""
    return mask[np.clip(steps_at(times, rate), 0, len(mask) - 1)]


def windows(length: int, win_len: int, hop_len: int) -> list[tuple[int, int]]:
    """Overlapping windows (start, stop) that cover 0..length. The last ends at `length`; all have the same length if possible.

    Raises:
        ValueError: if the hop is not in 1..win_len.
    """
    if not 1 <= hop_len <= win_len:
        raise ValueError(f"hop_len must be in 1..{win_len} (win_len), not {hop_len}")
    starts = list(range(0, max(length - win_len, 0), hop_len))
    return [(start, start + win_len) for start in starts] + [(max(length - win_len, 0), length)]


def overlap_add(
    length: int, win_len: int, hop_len: int, apply: Callable[[int, int], NDArray[np.floating]]
) -> NDArray[np.float64]:
    """Run `apply(start, stop)` -> (stop - start, K) on overlapping windows and join the results, (length, K).

    Each value is a mean over the windows that contain it, with triangular weights, since windows are most accurate in the
    middle.
    """
    total: NDArray[np.float64] | None = None
    weight = np.zeros((length, 1))
    for start, stop in windows(length, win_len, hop_len):
        values = np.asarray(apply(start, stop), dtype=np.float64)
        position = np.arange(stop - start)
        triangle = np.minimum(position + 1, (stop - start) - position)[:, None].astype(np.float64)
        if total is None:
            total = np.zeros((length, values.shape[1]))
        total[start:stop] += values * triangle
        weight[start:stop] += triangle
    assert total is not None
    return total / weight
