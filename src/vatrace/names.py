"""The names that every part of the package shares: modalities, dimensions, splits and sides."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Dimension = Literal["valence", "arousal"]
Split = Literal["train", "dev", "test"]
Side = Literal["left", "right"]
"""Which of two people in the picture."""

MODALITIES = ("face", "voice", "words")
"""What a recording is perceived by. Stores and models may have others, such as `physiology`."""
DIMENSIONS: tuple[Dimension, ...] = ("valence", "arousal")
"""The columns of labels and predictions."""
SPLITS: tuple[Split, ...] = ("train", "dev", "test")


def in_order(modalities: Iterable[str]) -> tuple[str, ...]:
    """The given modalities in the order that stores and models keep: face, voice, words, then others alphabetically."""
    given = set(modalities)
    return (*(name for name in MODALITIES if name in given), *sorted(given - set(MODALITIES)))
