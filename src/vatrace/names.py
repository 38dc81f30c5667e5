"""Names that all parts of the package share (modalities, dimensions, splits, sides), and the rates of traces."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Literal

Dimension = Literal["valence", "arousal"]
Split = Literal["train", "dev", "test"]
Side = Literal["left", "right"]
"""Which of two people in the frame."""
People = Literal["main", "all", "left", "right"] | int
"""Whose traces are wanted: see `vatrace.Model.predict`."""
Progress = Callable[[str, float], None]
"""Called with a stage ("face", "voice and words", "fusion") and the share of it that is done, 0..1, from several threads."""

MODALITIES = ("face", "voice", "words")
"""The modalities of a recording. Stores and models may have others, such as `physiology`."""
DIMENSIONS: tuple[Dimension, ...] = ("valence", "arousal")
"""The columns of labels and predictions."""
RESERVED = ("valid", "values", "recursions", "crops", "frame_times")
"""Names in stores and ONNX files that no modality may have."""
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
ALSO = ("emotions", "face", "voice")
"""More columns of a trace that can be asked for."""
MAX_PEOPLE = 8
"""People of one recording whose traces can be asked for: the most prominent ones, of a crowd."""
DEFAULT_RATE, MAX_RATE = 10.0, 100.0
"""Rows per second of a trace, or steps per second of a store."""


def whole_number(text: str) -> int | None:
    """The number that a text of at most 15 digits is, or None: `int` fails for thousands of digits."""
    return int(text) if len(text) <= 15 and text.isdecimal() else None


def in_order(modalities: Iterable[str]) -> tuple[str, ...]:
    """The given modalities in the order of stores and models: face, voice, words, then others alphabetically."""
    given = set(modalities)
    return (*(name for name in MODALITIES if name in given), *sorted(given - set(MODALITIES)))


def check_modality(name: str) -> None:
    """Check the name of a modality, which names a file, a table column and an ONNX input.

    Raises:
        ValueError: if it is not made of lower-case letters, digits and underscores, or is reserved.
    """
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise ValueError(f"a modality's name must be lower-case letters, digits and _, starting with a letter, not {name!r}")
    if name in RESERVED or name.startswith(("state_", "next_state_")):
        raise ValueError(f"{name!r} is reserved: give the modality another name")
