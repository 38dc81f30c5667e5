"""Matches the speakers that a transcript names to the people in the recording.

Voices and mouths assign each turn to a person; a transcript may also name the speaker of each word. A named speaker is
matched to the person to whom most of that speaker's words were assigned. Where the two disagree, the transcript decides: turns
are split and given to the person it names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby, pairwise

import numpy as np

from vatrace.features.turns import Turn, turn_at
from vatrace.media.transcripts import Word

CONSISTENT = 2 / 3
"""Share of a speaker's words that one person must have to be matched to the speaker: at least twice as many as all others
together. In composed scenes, visible people get 0.97 of their own speech (docs/people.md); by chance, one of two gets half."""

LOOSE = 1.0
"""Seconds by which a word may reach into somebody else's turn, next to one of its own speaker's, without splitting that turn:
captions are timed for readers, less exactly than turns. A choice, not a measurement; shorter interjections are lost."""

MANY = 0.1
"""Share of the words from which a disagreement between a transcript and the voices is noted."""

Owners = dict[str | None, int | None]
"""The person that each speaker in a transcript is matched to (an index in `Perceived.people`); None for somebody off screen."""


def by_labels(turns: Sequence[Turn], words: Sequence[Word]) -> tuple[list[Turn], Owners, list[str]]:
    """Assign turns to the people that a transcript names.

    Args:
        turns: in order, with the people found by voices and mouths.
        words: of the transcript; those without a speaker have no influence on turns.

    Returns:
        The turns; the person of each speaker who could be matched; and what the user should know.
    """
    named = [word for word in words if word.speaker is not None]
    if not turns or not named:
        return list(turns), {}, []
    places = turn_at(turns, [_middle(word) for word in named]).tolist()
    owners, unclear = _owners(named, [turns[place] for place in places])
    inside: dict[int, list[Word]] = defaultdict(list)
    moved = 0.0
    for word, place in zip(named, places, strict=True):
        if word.speaker not in owners or turns[place].voice is None or _own_neighbour(word, place, turns, owners) != place:
            continue
        inside[place].append(word)
        moved += (word.end - word.start) * (owners[word.speaker] != turns[place].person)
    result = [part for place, turn in enumerate(turns) for part in _cut(turn, inside[place], owners)]
    notes = [
        f"{name} in the transcript can't be matched to one person: voices and mouths decide who said these words"
        for name in unclear
    ]
    if moved > MANY * sum(word.end - word.start for word in named):
        notes.append(f"the transcript and the voices disagree on the speaker of {moved:.1f} s of words: the transcript is used")
    return result, owners, notes


def turns_of(words: Sequence[Word], turns: Sequence[Turn], owners: Owners) -> list[int]:
    """The index of the turn that each word belongs to: the one at its time, or an adjacent turn of the word's own speaker."""
    places = turn_at(turns, [_middle(word) for word in words]).tolist()
    return [
        _own_neighbour(word, place, turns, owners) if word.speaker in owners else place
        for word, place in zip(words, places, strict=True)
    ]


def _middle(word: Word) -> float:
    return (word.start + word.end) / 2


def _owners(words: Sequence[Word], turns: Sequence[Turn]) -> tuple[Owners, list[str]]:
    """The person (None: off screen) of each speaker of some words, each with its turn; and the speakers without a match."""
    spoken: dict[str | None, dict[int | None, float]] = defaultdict(lambda: defaultdict(float))
    for word, turn in zip(words, turns, strict=True):
        if turn.voice is not None:
            spoken[word.speaker][turn.person] += word.end - word.start
    owners, unclear = {}, []
    for name, times in spoken.items():
        person = max(times, key=lambda person: times[person])
        if times[person] >= CONSISTENT * sum(times.values()):
            owners[name] = person
        else:
            unclear.append(str(name))
    return owners, unclear


def _own_neighbour(word: Word, place: int, turns: Sequence[Turn], owners: Owners) -> int:
    """The index of the adjacent turn of the word's owner if it is so close that loose timing explains the gap; else `place`."""
    here, middle, owner = turns[place], _middle(word), owners[word.speaker]
    if here.voice is not None and here.person == owner:
        return place
    for other, apart in ((place - 1, middle - here.start), (place + 1, here.end - middle)):
        if 0 <= other < len(turns) and apart < LOOSE and turns[other].voice is not None and turns[other].person == owner:
            return other
    return place


def _cut(turn: Turn, words: Sequence[Word], owners: Owners) -> list[Turn]:
    """Split a turn into parts with one owner each, half-way between the words of two owners."""
    groups = [(owner, list(group)) for owner, group in groupby(words, key=lambda word: owners[word.speaker])]
    if not groups:
        return [turn]
    cuts = [(before[-1].end + after[0].start) / 2 for (_, before), (_, after) in pairwise(groups)]
    edges = [turn.start, *np.clip(cuts, turn.start, turn.end).tolist(), turn.end]
    return [
        replace(turn, start=start, end=end, person=owner)
        for (owner, _), (start, end) in zip(groups, pairwise(edges), strict=True)
        if end > start
    ]
