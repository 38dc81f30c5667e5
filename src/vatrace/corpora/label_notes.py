"""Findings about the labels of one recording."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vatrace.corpora.corpus import Annotation, Notes, excess
from vatrace.errors import CorpusError
from vatrace.names import DIMENSIONS

SPAN = 1.0
"""Seconds by which the starts or ends of annotators of one recording may differ."""
MOST_MISSING = 0.5
"""Share of missing labels from which it is a warning."""


def label_notes(annotations: Sequence[Annotation], end: float | None) -> Notes:
    """Findings about one recording's annotations.

    Args:
        annotations: of the recording.
        end: of the recording, seconds; None where it is unknown.
    """
    found = [annotation for annotation in annotations if len(annotation.times)]
    if not found:
        yield "warning", "not annotated"
    for annotation in found:
        who = f"{annotation.annotator}: " if annotation.annotator else ""
        yield from ((severity, who + what) for severity, what in value_notes(annotation.values))
        if end is None:
            continue
        last = float(annotation.times[-1])
        try:
            too_long = excess(annotation, end)
        except CorpusError as error:
            yield "error", str(error)
            continue
        if too_long:
            yield "warning", too_long
        elif last < end * MOST_MISSING:
            yield "warning", f"{who}annotated up to {last:.1f} s only; the recording ends at {end:.1f} s"
    for side, index in (("start", 0), ("end", -1)):
        moments = {annotation.annotator: float(annotation.times[index]) for annotation in found}
        if moments and max(moments.values()) - min(moments.values()) > SPAN:
            listed = ", ".join(f"{name} at {moment:.1f} s" for name, moment in sorted(moments.items()))
            yield "warning", f"annotators {side} at different times: {listed}"


def value_notes(values: NDArray[np.float64]) -> Notes:
    """Findings about the values (N, 2) of one annotator."""
    missing = np.isnan(values)
    if missing.all():
        yield "warning", "no values are annotated"
        return
    share = missing[:, ~missing.all(axis=0)].any(axis=1).mean()
    if share > 0:
        yield "warning" if share > MOST_MISSING else "info", f"{share:.1%} of the rows are not annotated"
    for name, column in zip(DIMENSIONS, values.T, strict=True):
        known = column[~np.isnan(column)]
        if not len(known):
            yield "warning", f"{name} is not annotated at all"
        elif known.min() == known.max():
            yield "warning", f"{name} is {known[0]:g} throughout"
