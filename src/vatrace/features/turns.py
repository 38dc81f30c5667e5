"""Speaker turns: who speaks when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from operator import attrgetter

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vatrace.media.transcripts import Word
from vatrace.media.voice_activity import RATE


@dataclass(frozen=True)
class Turn:
    """A stretch of speech.

    Attributes:
        start: seconds.
        end: seconds.
        voice: the number of the voice: 0 for the one that speaks longest, and so on; None where several speak at once.
        person: the index of the speaker in `Perceived.people`; None if they are off screen, several speak, or it isn't known.
    """

    start: float
    end: float
    voice: int | None
    person: int | None = None


def borders(turns: Sequence[Turn]) -> NDArray[np.float64]:
    """The borders between T turns, (T - 1,) seconds: half-way through the pause between two."""
    return np.array([(before.end + after.start) / 2 for before, after in pairwise(turns)])


def turn_at(turns: Sequence[Turn], times: ArrayLike) -> NDArray[np.int64]:
    """The index of the turn that each of some times (N,) in seconds belongs to; a pause is shared by the turns around it."""
    return np.searchsorted(borders(turns), np.asarray(times, np.float64), side="right").astype(np.int64)


def one_voice(block: NDArray[np.float32], start: float, turns: Sequence[Turn], voice: int) -> NDArray[np.float32]:
    """A block of 16 kHz audio (N,), which begins at `start` seconds, with the turns of other voices replaced by silence."""
    heard = block.copy()
    edges = np.concatenate([[-np.inf], borders(turns), [np.inf]])
    first, last = turn_at(turns, [start, start + len(block) / RATE])
    for index in range(first, last + 1):
        if turns[index].voice != voice:
            low, high = np.clip((edges[index : index + 2] - start) * RATE, 0, len(block)).round().astype(int)
            heard[low:high] = 0
    return heard


def by_speaker(turns: Sequence[Turn]) -> list[Turn]:
    """Renumber the voices by speaker: all turns of a person get one voice, even if diarization found several.

    If there is only one speaker, turns in which several voices overlap are theirs as well.
    """
    numbers: dict[tuple[int | None, int | None], int] = {}

    def number(turn: Turn) -> int | None:
        if turn.voice is None:
            return None
        return numbers.setdefault((turn.person, turn.voice if turn.person is None else None), len(numbers))

    numbered = [replace(turn, voice=number(turn)) for turn in turns]
    if len(numbers) != 1:
        return numbered
    ((person, _),) = numbers
    return [replace(turn, voice=0, person=person) for turn in numbered]


def same_voices(turns: Sequence[Turn], others: Sequence[Turn]) -> bool:
    """Whether both distinguish the same voices, however these are numbered and split into turns."""
    edges = np.array(sorted({edge for turn in (*turns, *others) for edge in (turn.start, turn.end)}))
    middles = (edges[1:] + edges[:-1]) / 2
    pairs = {(turns[a].voice, others[b].voice) for a, b in zip(turn_at(turns, middles), turn_at(others, middles), strict=True)}
    return len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})


def labelled_turns(words: Sequence[Word]) -> list[Turn]:
    """The turns of a transcript that names the speaker of every word, who are numbered by how long they speak; else none."""
    spoken: dict[str | None, float] = {}
    for word in words:
        spoken[word.speaker] = spoken.get(word.speaker, 0.0) + word.end - word.start
    if None in spoken or len(spoken) < 2:
        return []
    numbers = {name: number for number, name in enumerate(sorted(spoken, key=lambda name: -spoken[name]))}
    groups = [list(group) for _, group in groupby(words, key=attrgetter("speaker"))]
    return [Turn(group[0].start, group[-1].end, *[numbers[group[0].speaker]] * 2) for group in groups]
