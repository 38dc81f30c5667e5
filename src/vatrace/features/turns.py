"""Turns: who speaks when."""

from __future__ import annotations

from dataclasses import dataclass


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
