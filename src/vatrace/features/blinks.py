"""Blinks, from how far the eyes are open in each frame of a video, not only in those in which faces are tracked."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

BLINK, LONGEST_BLINK = 0.5, 0.5
"""Share of a person's usual eye openness below which the eyes are closed, and seconds after which this is no blink.
In eleven clips of GRID speakers, eyes are open at most 0.30 of their median in each blink, and at least 0.78 where nobody
blinks; blinks last 0.08 to 0.2 s below BLINK."""

LID_RATE = 30.0
"""Frames a second in which lids are measured at most: two or more in any blink, since they last 0.08 s or longer."""

MAX_GAP = 0.25
"""Seconds without a measurement after which nobody knows what the eyes did: about the length of a blink. Slow videos have five
to ten frames a second."""


@dataclass
class Openness:
    """How far the eyes of a face are open over time.

    Attributes:
        times: seconds, ascending.
        values: `eye_openness` (`vatrace.features.head`) at each of them.
    """

    times: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))

    def add(self, time: float, value: float) -> None:
        """Add a measurement."""
        self.times.append(time)
        self.values.append(value)


def joined(parts: Sequence[Openness]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times and values of one person, ascending, from those of tracks that don't overlap."""
    times = np.concatenate([np.empty(0), *(np.array(part.times) for part in parts)])
    values = np.concatenate([np.empty(0), *(np.array(part.values) for part in parts)])
    order = np.argsort(times, kind="stable")
    return times[order], values[order]


def blinks(times: NDArray[np.float64], openness: NDArray[np.float64]) -> NDArray[np.float64]:
    """When a person's blinks begin, in seconds.

    A blink is a time of up to LONGEST_BLINK in which the eyes are open less than BLINK of their median, with open eyes before
    and after it, and without gaps of more than MAX_GAP.

    Args:
        times: (N,) seconds, ascending.
        openness: (N,) `eye_openness` of one person at these times.
    """
    if not len(times):
        return np.empty(0)
    closed = openness < BLINK * np.median(openness)
    edges = np.flatnonzero(np.diff(closed.astype(int), prepend=0, append=0)).reshape(-1, 2)
    found = []
    for start, end in edges.tolist():
        inside = start > 0 and end < len(times) and np.diff(times[start - 1 : end + 1]).max() <= MAX_GAP
        if inside and times[end] - times[start] <= LONGEST_BLINK:
            found.append(times[start])
    return np.array(found)
