"""The scale of a corpus's annotations, if it isn't -1..1, from all values together, so that all files get the same answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vatrace.names import DIMENSIONS

SCALES = {
    "from 1": ((1, 5), (1, 7), (1, 9), (1, 10), (1, 100)),
    "from 0": ((0, 4), (0, 5), (0, 6), (0, 8), (0, 10), (0, 100), (0, 255), (0, 1000)),
    "both": ((-2, 2), (-3, 3), (-4, 4), (-5, 5), (-10, 10), (-50, 50), (-100, 100), (-1000, 1000)),
}
"""Scales that annotation tools and questionnaires use."""
MIN_OUTSIDE = 0.02
"""Share of values outside -1..1 from which they are on another scale; fewer are mistakes."""
MIN_VALUES = 100
"""Number of values from which it isn't by chance that all are positive."""
MIN_REACH = 0.5
"""Largest value from which a scale that starts at 0 is 0..1."""


@dataclass(frozen=True)
class Scale:
    """The likely scale of a corpus.

    Attributes:
        what: a plain sentence, with what to do.
        certain: whether the values can't be on -1..1.
    """

    what: str
    certain: bool


def scale_of(values: Iterable[NDArray[np.float64]]) -> Scale | None:
    """Guess the scale of annotations; None if they seem to be on -1..1, or there are few.

    Args:
        values: (N, 2) valence and arousal of each annotation of the corpus, as they are written, NaN where not annotated.
    """
    lows, highs = np.full(2, np.inf), np.full(2, -np.inf)
    counts, outside = np.zeros(2, np.int64), 0
    for rows in values:
        known = np.isfinite(rows)
        lows = np.minimum(lows, np.where(known, rows, np.inf).min(axis=0, initial=np.inf))
        highs = np.maximum(highs, np.where(known, rows, -np.inf).max(axis=0, initial=-np.inf))
        counts += known.sum(axis=0)
        outside += int((np.abs(rows[known]) > 1 + 1e-6).sum())
    total = int(counts.sum())
    if not total:
        return None
    spans = " and ".join(f"{name} is in {low:g}..{high:g}" for name, low, high in zip(DIMENSIONS, lows, highs, strict=True))
    if outside >= max(2, MIN_OUTSIDE * total):
        return _other_scale(float(lows.min()), float(highs.max()), spans)
    positive = [
        name
        for name, low, high, count in zip(DIMENSIONS, lows, highs, counts, strict=True)
        if count >= MIN_VALUES and low >= 0 and MIN_REACH <= high <= 1 and low < high
    ]
    if outside or not positive:
        return None
    which = " and ".join(positive)
    are, they = ("are", "they") if len(positive) > 1 else ("is", "it")
    what = f"{which} {are} never below 0 in the whole corpus: {are} {they} annotated on 0..1? If so, convert with 2x - 1"
    return Scale(what, certain=False)


def _other_scale(low: float, high: float, spans: str) -> Scale:
    kind = "from 1" if low >= 1 else "from 0" if low >= 0 else "both"
    found = next(((a, b) for a, b in SCALES[kind] if a <= low and high <= b), None)
    if found is None:
        return Scale(f"{spans} over all annotations; rescale them to -1..1", certain=True)
    middle, half = (found[0] + found[1]) / 2, (found[1] - found[0]) / 2
    formula = f"(x - {middle:g}) / {half:g}" if middle else f"x / {half:g}"
    guess = f"are they on a scale of {found[0]}..{found[1]}? If so, convert with {formula}, which gives -1..1"
    return Scale(f"{spans} over all annotations: {guess}", certain=True)
