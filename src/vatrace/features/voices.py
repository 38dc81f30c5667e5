"""Clusters the vectors of turns into voices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DIM = 256
MIN_CORE_DUR = 0.6
"""Seconds of the shortest turn that is clustered; shorter ones are only assigned to the voices found."""
MAX_CORE = 2000
"""Maximum number of turns that are clustered, the longest ones, to limit memory and time in long recordings."""
MIN_VOICE_DUR, MIN_VOICE_SHARE, ENOUGH_DUR = 2.0, 0.05, 10.0
"""Seconds, and share of all speech, that a voice must have; turns of a smaller one go to the other voices.
`ENOUGH_DUR` seconds are enough, whatever the share."""
APART = 0.70
"""Mean cosine distance between the turns of two clusters above which they are two voices, if that within them is `USUAL`.

It was measured on recordings composed of acted and spontaneous utterances from six corpora, some with music or noise: 139 of
145 with one speaker became one voice, and in dialogues of two to four speakers 10 % of the speech was given to the wrong voice.
At 0.68, fewer dialogues lose a voice, but more single speakers, who act several emotions in a row, are split in two."""
USUAL, USUAL_PAIRS = 0.45, 3.0
"""Usual mean distance between two turns of one voice, and the number of pairs of turns that this prior counts as."""
ADAPTS = 0.5
"""How much `APART` rises with the mean distance within the two clusters: emotional voices vary more than calm ones."""


@dataclass(frozen=True)
class Speech:
    """A stretch of speech whose voice is not yet known.

    Attributes:
        start: seconds.
        end: seconds.
        speakers: numbers of the speakers; two stretches with the same numbers may still have different voices.
        embedding: (256,); None where it is too short or several speak.
    """

    start: float
    end: float
    speakers: tuple[int, ...]
    embedding: NDArray[np.float64] | None

    @property
    def dur(self) -> float:
        """Seconds."""
        return self.end - self.start


def voices_of(speech: Sequence[Speech]) -> tuple[list[int | None], NDArray[np.float64]]:
    """The voices of speech.

    Returns:
        The voice of each stretch, 0 for the one that speaks longest, None where several speak at once; and the voices'
        embeddings, (V, 256), of unit length.
    """
    heard = [index for index, part in enumerate(speech) if part.embedding is not None]
    if not heard:
        return [0 if len(part.speakers) == 1 else None for part in speech], np.zeros((0, DIM))
    vectors = _unit(np.array([speech[index].embedding for index in heard]))
    durs = np.array([speech[index].dur for index in heard])
    means = _unit(np.array([durs[group] @ vectors[group] for group in _groups(vectors, durs)]))
    found = dict(zip(heard, np.argmax(vectors @ means.T, axis=1).tolist(), strict=True))
    spoken = np.bincount(list(found.values()), durs, len(means))
    order = np.argsort(-spoken, kind="stable")
    rank = {int(voice): place for place, voice in enumerate(order)}
    known = {index: rank[voice] for index, voice in found.items()}
    return [known.get(index, _guess(speech, index, known)) for index in range(len(speech))], means[order]


def _guess(speech: Sequence[Speech], index: int, known: dict[int, int]) -> int | None:
    """The voice of a stretch without embedding: that of the nearest stretch of the same speaker, or of any; None if several."""
    voices = set()
    for speaker in speech[index].speakers:
        same = [other for other in known if speech[other].speakers == (speaker,)] or list(known)
        voices.add(known[min(same, key=lambda other: abs(speech[other].start - speech[index].start))])
    return voices.pop() if len(voices) == 1 else None


def _groups(vectors: NDArray[np.float64], durs: NDArray[np.float64]) -> Iterator[list[int]]:
    """For each voice, the rows of vectors (N, 256) that are clustered into it."""
    core = np.flatnonzero(durs >= MIN_CORE_DUR)
    core = core if len(core) else np.arange(len(durs))
    enough = min(max(MIN_VOICE_DUR, MIN_VOICE_SHARE * durs.sum()), ENOUGH_DUR)
    core = np.sort(core[np.argsort(-durs[core], kind="stable")][:MAX_CORE])
    waiting = [tree(1 - vectors[core] @ vectors[core].T)]
    while waiting:
        group = waiting.pop()
        small, large = sorted(group.parts, key=lambda part: durs[core[part.rows]].sum()) if group.parts else (None, None)
        if small and large and durs[core[small.rows]].sum() < enough:
            waiting.append(large)
        elif small and large and are_apart(group):
            waiting += [small, large]
        else:
            yield core[group.rows].tolist()


@dataclass(frozen=True)
class Group:
    """Rows that were joined.

    Attributes:
        rows: which.
        within: sum of the distances between each two of them.
        parts: the two groups of which it consists; none for a single row.
        between: the mean distance between these two.
    """

    rows: list[int]
    within: float = 0.0
    parts: tuple[Group, ...] = ()
    between: float = 0.0


def are_apart(group: Group) -> bool:
    """Whether the two parts of a group are two voices."""
    pairs = sum(len(part.rows) * (len(part.rows) - 1) / 2 for part in group.parts)
    within = (sum(part.within for part in group.parts) + USUAL * USUAL_PAIRS) / (pairs + USUAL_PAIRS)
    return group.between > APART + ADAPTS * (within - USUAL)


def tree(distances: NDArray[np.float64]) -> Group:
    """Join the two nearest groups, by the mean distance between their rows, until one is left.

    The pairs are found by following nearest neighbours until two are each other's (Murtagh 1983), in time that grows with the
    square of the number.

    Args:
        distances: (N, N), symmetric, N >= 1.
    """
    far = distances.astype(np.float64)
    np.fill_diagonal(far, np.inf)
    groups: dict[int, Group] = {row: Group([row]) for row in range(len(far))}
    chain: list[int] = []
    while len(groups) > 1:
        if not chain:
            chain = [next(iter(groups))]
        here = chain[-1]
        near = int(np.argmin(far[here]))
        if len(chain) < 2 or far[here, near] < far[here, chain[-2]]:
            chain.append(near)
            continue
        near = chain[-2]
        del chain[-2:]
        one, other, between = groups[near], groups.pop(here), float(far[here, near])
        sizes = len(one.rows), len(other.rows)
        within = one.within + other.within + between * sizes[0] * sizes[1]
        groups[near] = Group(one.rows + other.rows, within, (one, other), between)
        mean = (far[near] * sizes[0] + far[here] * sizes[1]) / sum(sizes)
        mean[[near, here]] = np.inf
        far[near], far[:, near] = mean, mean
        far[here], far[:, here] = np.inf, np.inf
    return next(iter(groups.values()))


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
