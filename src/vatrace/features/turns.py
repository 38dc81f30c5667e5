"""Turns: who speaks when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vatrace.media.voice_activity import RATE


@dataclass(frozen=True)
class Turn:
    """A stretch of speech.

    Attributes:
        start: seconds.
        end: seconds.
        voice: whose voice it is: 0 for the one that speaks longest, and so on; None where several speak at once.
        person: the index in `Perceived.people` of who speaks; None if nobody in sight does, several do, or it isn't known.
    """

    start: float
    end: float
    voice: int | None
    person: int | None = None


def borders(turns: Sequence[Turn]) -> NDArray[np.float64]:
    """When each of the T turns gives way to the next, (T - 1,) seconds: half-way through the pause between them."""
    return np.array([(before.end + after.start) / 2 for before, after in pairwise(turns)])


def turn_at(turns: Sequence[Turn], times: ArrayLike) -> NDArray[np.int64]:
    """The index of the turn that each of some times (N,) in seconds belongs to; a pause is shared by the turns around it."""
    return np.searchsorted(borders(turns), np.asarray(times, np.float64), side="right").astype(np.int64)


def one_voice(block: NDArray[np.float32], start: float, turns: Sequence[Turn], voice: int) -> NDArray[np.float32]:
    """Audio (N,), 16 kHz, that begins at `start` seconds, with silence in place of what belongs to other voices' turns."""
    heard = block.copy()
    edges = np.concatenate([[-np.inf], borders(turns), [np.inf]])
    first, last = turn_at(turns, [start, start + len(block) / RATE])
    for index in range(first, last + 1):
        if turns[index].voice != voice:
            low, high = np.clip((edges[index : index + 2] - start) * RATE, 0, len(block)).round().astype(int)
            heard[low:high] = 0
    return heard
