"""A trace in so few numbers that a table of many recordings can hold it, and a small picture of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vatrace.inference.prediction import Prediction
from vatrace.names import DIMENSIONS

POINTS = 60
"""Points of a sketch: one every 3 pixels of its picture. They take about 0.6 kB of a side file."""
WIDTH, HEIGHT = 180, 48
"""Of the picture, in pixels."""

Sketch = Mapping[str, Sequence[float | None]]
"""For each dimension, means over equal parts of the recording; None where nothing is supported."""


def sketch(prediction: Prediction) -> dict[str, list[float | None]]:
    """The sketch of one person's trace; with fewer points if it has fewer rows."""
    rows = np.flatnonzero(prediction.counted)
    parts = np.array_split(rows, min(POINTS, len(rows))) if len(rows) else []
    kept = [part[prediction.supported[part]] for part in parts]
    found: dict[str, list[float | None]] = {}
    for name in DIMENSIONS:
        values = getattr(prediction, name)
        found[name] = [round(float(values[part].mean()), 2) if len(part) else None for part in kept]
    return found


def drawn(found: Sketch, label: str) -> str:
    """A sketch as SVG: both traces from -1 (bottom) to 1 (top), with a line at 0.

    Args:
        found: the sketch.
        label: what the picture shows, as escaped text, for those who can't see it.
    """
    lines = "".join(f'<path class="{name}" d="{_path(values)}"/>' for name, values in found.items() if name in DIMENSIONS)
    middle = HEIGHT / 2
    return (
        f'<svg class="sketch" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{label}">'
        f'<path class="zero" d="M0 {middle:g}H{WIDTH}"/>{lines}</svg>'
    )


def _path(values: Sequence[float | None]) -> str:
    """A line through the known values, interrupted where they aren't known; a value alone is a short dash."""
    step = WIDTH / max(len(values), 1)
    parts, before = [], False
    for place, value in enumerate(values):
        if value is not None:
            y = HEIGHT / 2 * (1 - min(max(value, -1), 1))
            first = "" if before else f"M{place * step:.1f} {y:.1f}"
            parts.append(f"{first}L{(place + 1) * step if not before else (place + 0.5) * step:.1f} {y:.1f}")
        before = value is not None
    return "".join(parts)
