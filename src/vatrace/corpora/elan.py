"""Annotations of valence and arousal in ELAN documents: two tiers with these names, a number in each annotation.

    valence   |  0.2  |   0.35    |        | -0.1 |
    arousal   |    0.5    |  0.4  | 0.1 |

A number holds from the start of its annotation to its end; where there is none, nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from vatrace.errors import CorpusError, missing
from vatrace.names import DIMENSIONS

STEP_MS = 100
"""Milliseconds between the rows that are made of annotations."""


def check_readable(path: Path) -> None:
    """Raise MissingExtraError if the library that reads ELAN documents is missing."""
    if find_spec("pympi") is None:
        raise missing(f"{path}: ELAN documents need pympi", "formats")


def read_elan(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield where a row is from, and its time (s), valence and arousal as they are written; "" where there is no annotation.

    Raises:
        CorpusError: if it can't be read or has not both tiers.
    """
    import pympi

    try:
        document = pympi.Eaf(str(path), suppress_version_warning=True)
    except Exception as error:  # pympi raises just that
        raise CorpusError(f"{path}: not an ELAN document that can be read ({error})") from error
    tiers = {name.strip().lower(): name for name in document.get_tier_names()}
    absent = [name for name in DIMENSIONS if name not in tiers]
    if absent:
        found = ", ".join(document.get_tier_names()) or "none"
        raise CorpusError(f"{path}: no tier {absent[0]!r} (needed: {', '.join(DIMENSIONS)}; found: {found})")
    spans = {name: sorted(document.get_annotation_data_for_tier(tiers[name])) for name in DIMENSIONS}
    ends = [end for tier in spans.values() for _, end, *_ in tier]
    cells: dict[str, dict[int, str]] = {name: {} for name in DIMENSIONS}
    for name, tier in spans.items():
        for start, end, text, *_ in tier:
            first = -(-start // STEP_MS)
            for step in range(first, max(-(-end // STEP_MS), first + 1)):
                cells[name][step] = text.strip()
    for step in range(max(ends, default=0) // STEP_MS + 1):
        time = step * STEP_MS / 1000
        yield f"{time:g} s", [f"{time}", *(cells[name].get(step, "") for name in DIMENSIONS)]
