"""Recordings put together from separate samples of faces, voices and sentences, for want of an open corpus with all three.

A smooth path of valence and arousal is drawn; at each moment a face, a voice and a sentence whose own labels lie near it are
put there, from different people. It teaches and measures the machinery of fusion. It is not a sample of the world.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vatrace.corpora.categories import CATEGORY_VALENCE_AROUSAL

RATE = 10.0
"""Steps a second."""

NEUTRAL_SHARE = 4.0
"""How much more often the path rests at neutral than at any one other category: most of real recordings is near it."""

SUBSETS: dict[tuple[str, ...], float] = {
    ("face", "voice", "words"): 0.52,
    ("face",): 0.08,
    ("voice",): 0.08,
    ("words",): 0.08,
    ("face", "voice"): 0.08,
    ("face", "words"): 0.08,
    ("voice", "words"): 0.08,
}
"""How often a recording has which modalities at all."""


@dataclass(frozen=True)
class Bank:
    """Samples of one modality with a label each.

    Attributes:
        labels: (N, 2) valence and arousal, -1..1.
        offsets: (N + 1,) where each sample's frames begin and end.
        frames: (M, D) float16 encoder features: variants of a face, steps of an utterance, or words of a sentence.
        groups: (N,) who speaks; samples of one recording are of one group. All 0 where it is not known.
    """

    labels: NDArray[np.float32]
    offsets: NDArray[np.int64]
    frames: NDArray[np.float16]
    groups: NDArray[np.int64]

    def sample(self, index: int) -> NDArray[np.float16]:
        """The frames (n, D) of one sample."""
        return self.frames[self.offsets[index] : self.offsets[index + 1]]


@dataclass(frozen=True)
class Composed:
    """One recording of T steps.

    Attributes:
        features: (T, D) float32 by modality.
        valid: (T,) bool by modality.
        target: (T, 2) valence and arousal.
    """

    features: dict[str, NDArray[np.float32]]
    valid: dict[str, NDArray[np.bool_]]
    target: NDArray[np.float32]


def latent_path(steps: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A path (T, 2) of valence and arousal: rests of 1..8 s at points of the circumplex, and ways of 0.3..4 s between them.

    Points are emotion categories at a random strength, jittered; neutral comes as often as half of the others together.
    """
    categories = np.array(list(CATEGORY_VALENCE_AROUSAL.values()))
    chances = np.array([NEUTRAL_SHARE if name == "neutral" else 1.0 for name in CATEGORY_VALENCE_AROUSAL])
    path: list[NDArray[np.float64]] = []
    length, here = 0, None
    while length < steps:
        point = rng.choice(categories, p=chances / chances.sum()) * rng.uniform(0.2, 1.1) + rng.normal(0, 0.1, 2)
        way, rest = round(rng.uniform(0.3, 4) * RATE), round(rng.uniform(1, 8) * RATE)
        ease = (1 - np.cos(np.linspace(0, np.pi, way)))[:, None] / 2
        here = point if here is None else here
        path += [here + ease * (point - here), np.repeat(point[None], rest, axis=0)]
        length, here = length + way + rest, point
    return np.clip(np.concatenate(path)[:steps], -1, 1)


def _spells(steps: int, rng: np.random.Generator, on: tuple[float, float], off: tuple[float, float]) -> list[range]:
    """Spells of `on` seconds with gaps of `off` seconds between them, both uniform."""
    spells, position = [], round(rng.uniform(*off) * rng.uniform(0, 1) * RATE)
    while position < steps:
        length = max(1, round(rng.uniform(*on) * RATE))
        spells.append(range(position, min(position + length, steps)))
        position += length + max(1, round(rng.uniform(*off) * RATE))
    return spells


def _near(bank: Bank, point: NDArray[np.float64], pool: NDArray[np.int64], rng: np.random.Generator, spread: float) -> int:
    """A sample of `pool` whose label is near `point`, but for noise."""
    candidates = rng.choice(pool, min(len(pool), 100), replace=False)
    wanted = point + rng.normal(0, spread, 2)
    return int(candidates[np.argmin(np.sum((bank.labels[candidates] - wanted) ** 2, axis=1))])


def compose(banks: dict[str, Bank], steps: int, rng: np.random.Generator, spread: float = 0.12) -> Composed:
    """Put one recording together.

    Args:
        banks: samples by modality.
        steps: its length T.
        rng: source of all choices.
        spread: standard deviation of the noise between the path and the label looked for.
    """
    path = latent_path(steps, rng)
    subsets, shares = list(SUBSETS), np.array(list(SUBSETS.values()))
    present = subsets[rng.choice(len(subsets), p=shares / shares.sum())]
    features = {name: np.zeros((steps, bank.frames.shape[1]), np.float32) for name, bank in banks.items()}
    valid = {name: np.zeros(steps, bool) for name in banks}
    group = rng.choice(np.unique(banks["voice"].groups))
    pools = {name: np.arange(len(bank.labels)) for name, bank in banks.items()}
    pools["voice"] = np.flatnonzero(banks["voice"].groups == group)

    def put(name: str, start: int, frames: NDArray[np.float16]) -> None:
        stop = min(start + len(frames), steps)
        features[name][start:stop], valid[name][start:stop] = frames[: stop - start], True

    def choose(name: str, step: int) -> NDArray[np.float16]:
        return banks[name].sample(_near(banks[name], path[step], pools[name], rng, spread))

    if "face" in present:
        for spell in _spells(steps, rng, on=(2, 30), off=(0.2, 6)):
            step = spell.start
            while step < spell.stop:  # one picture, seen in variants, for a moment
                length = min(round(rng.uniform(0.2, 2) * RATE), spell.stop - step)
                variants = choose("face", min(step + length // 2, steps - 1))
                put("face", step, variants[rng.integers(len(variants), size=max(length, 1))])
                step += max(length, 1)
    for spell in _spells(steps, rng, on=(1, 12), off=(0.3, 5)):
        step = spell.start
        while "voice" in present and step < spell.stop:
            frames = choose("voice", step)[: spell.stop - step]
            put("voice", step, frames)
            step += len(frames)
        step = spell.start
        while "words" in present and step < spell.stop:
            for vector in choose("words", step):
                length = min(round(rng.uniform(0.1, 0.6) * RATE), spell.stop - step)
                put("words", step, np.repeat(vector[None], length, axis=0))
                step += length + int(rng.random() < 0.15)
                if step >= spell.stop:
                    break
    return Composed(features, valid, path.astype(np.float32))
