"""Whether annotations are in seconds of their recording."""

from __future__ import annotations

import numpy as np

from vatrace.corpora.corpus import Annotation, CorpusError

MISMATCH = 0.5
"""Seconds by which lengths may differ before it is worth a word."""
MOST_AFTER = 0.5
"""Share of an annotation after the end of its recording from which its times can't be seconds of this recording."""
OTHER_UNITS = {"numbers of frames": (8.0, 130.0), "milliseconds": (500.0, 2000.0)}
"""How many times as long as their recording annotations are when their times are in another unit."""


def see_that_it_ends(annotation: Annotation, end: float) -> str:
    """What is to be said of an annotation that goes on after its recording has ended; "" where it doesn't.

    Args:
        annotation: of it.
        end: of the recording, seconds.

    Raises:
        CorpusError: if most of it lies after the end, so that its times are no seconds of this recording.
    """
    times = annotation.times[~np.isnan(annotation.values).all(axis=1)]
    last = float(times[-1]) if len(times) else 0.0
    if last <= end + MISMATCH:
        return ""
    who = f"{annotation.annotator}: " if annotation.annotator else ""
    text = f"{who}annotated up to {last:.1f} s, but the recording ends at {end:.1f} s"
    if (times > end + MISMATCH).mean() < MOST_AFTER:
        return text
    guesses = [unit for unit, (low, high) in OTHER_UNITS.items() if low * end <= last <= high * end]
    raise CorpusError(
        f"{text}; most of it lies after that" + "".join(f"; are the times {unit}? They should be seconds" for unit in guesses)
    )
