"""The speaker turns of a prediction, with their words."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from vatrace.features.named_speakers import turns_of
from vatrace.features.perceived import Perceived
from vatrace.features.turns import Turn as Heard
from vatrace.inference.prediction import OFF_SCREEN, SEVERAL, Turn
from vatrace.media.transcripts import Word

MAX_PAUSE = 0.3
"""Seconds of silence after which the same person's speech is a new turn: the shortest pause that the diarizer finds."""


def label(index: int) -> str:
    """The number by which outputs refer to a person, from the index in `Perceived.people`."""
    return str(index + 1)


def spoken_turns(perceived: Perceived) -> list[Turn]:
    """All turns of a recording, in order; pauses of up to MAX_PAUSE within one person's speech don't end a turn."""
    heard, words = perceived.turns, perceived.sound.words
    if not heard:
        return []
    said: dict[int, list[Word]] = {}
    for word, index in zip(words, turns_of(words, heard, perceived.attribution.owners), strict=True):
        said.setdefault(index, []).append(word)
    turns = [Turn(turn.start, turn.end, _speaker(turn), tuple(said.get(i, ()))) for i, turn in enumerate(heard)]
    starts = [0, *(i for i, (before, turn) in enumerate(pairwise(turns), 1) if not _continues(before, turn))]
    groups = np.split(np.arange(len(turns)), starts[1:])
    return [
        replace(turns[group[0]], end=turns[group[-1]].end, words=sum((turns[i].words for i in group), start=()))
        for group in groups
    ]


def _speaker(turn: Heard) -> str:
    if turn.voice is None:
        return SEVERAL
    return OFF_SCREEN if turn.person is None else label(turn.person)


def _continues(before: Turn, turn: Turn) -> bool:
    return before.person == turn.person and turn.start - before.end <= MAX_PAUSE
