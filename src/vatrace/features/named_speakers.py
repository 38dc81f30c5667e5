"""The speakers that a transcript names, and which of the people they are.

Voices and mouths say whose turns of speech are; a transcript may also say whose its words are. Each of its speakers is the
person who has most of that speaker's words. Where the two disagree, the transcript decides: turns are cut and given to the
person whom it names.
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
"""Share of a speaker's words from which they are one person's: that person has at least twice as many as all others together.
In composed scenes, people in sight get 0.97 of their own speech (docs/people.md), and chance gives one of two people half."""

LOOSE = 1.0
"""Seconds by which a word may lie inside somebody else's turn, next to one of its speaker's own, without cutting that turn:
captions are timed for readers, and less exact than turns. A choice, not a measurement; shorter interjections are lost."""

MANY = 0.1
"""Share of the words from which a disagreement between a transcript and the voices is noted."""

Owners = dict[str | None, int | None]
"""The person of each speaker in a transcript, by their index in `Perceived.people`; None for nobody in sight."""


def by_labels(turns: Sequence[Turn], words: Sequence[Word]) -> tuple[list[Turn], Owners, list[str]]:
    """Give turns to the people whom a transcript names.

    Args:
        turns: in order, with the people found by voices and mouths.
        words: of the transcript; those without a speaker say nothing about turns.

    Returns:
        The turns; who the speakers are, as far as it is clear; and what the user should know.
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
    notes = [f"it isn't clear which person is {name} in the transcript: voices decide whose words they are" for name in unclear]
    if moved > MANY * sum(word.end - word.start for word in named):
        notes.append(f"for {moved:.1f} s of words, the voices disagree with the speakers in the transcript, which decide")
    return result, owners, notes


def turns_of(words: Sequence[Word], turns: Sequence[Turn], owners: Owners) -> list[int]:
    """The index of the turn that each word belongs to: by time, or if that is next to a turn of its speaker, that one."""
    places = turn_at(turns, [_middle(word) for word in words]).tolist()
    return [
        _own_neighbour(word, place, turns, owners) if word.speaker in owners else place
        for word, place in zip(words, places, strict=True)
    ]


def _middle(word: Word) -> float:
    return (word.start + word.end) / 2


def _owners(words: Sequence[Word], turns: Sequence[Turn]) -> tuple[Owners, list[str]]:
    """The person (None: nobody in sight) of each speaker of some words, each with its turn; and speakers who are nobody's."""
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
    """The index of the turn before or after a word's if that is its owner's and so close that the word is timed loosely."""
    here, middle, owner = turns[place], _middle(word), owners[word.speaker]
    if here.voice is not None and here.person == owner:
        return place
    for other, apart in ((place - 1, middle - here.start), (place + 1, here.end - middle)):
        if 0 <= other < len(turns) and apart < LOOSE and turns[other].voice is not None and turns[other].person == owner:
            return other
    return place


def _cut(turn: Turn, words: Sequence[Word], owners: Owners) -> list[Turn]:
    """A turn in parts, each of one owner of its words; cut half-way between the words of two."""
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
