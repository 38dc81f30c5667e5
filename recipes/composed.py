"""Recordings composed of separate samples of faces, voices and sentences, because no open corpus has all three.

A path of valence and arousal is drawn. Faces, utterances and sentences whose labels lie near it are placed along it, from
different people. Sometimes one modality leaves the path. Each encoder errs in one direction throughout a recording. The target
is a mean of the modalities' paths, weighted as people weight face and voice. Such recordings train and measure the mechanism of
fusion, not the world (docs/composed.md).

Recordings are generated when needed and not stored; the same random generator gives the same recordings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from categories import CATEGORY_VALENCE_AROUSAL

RATE = 10.0
"""Steps a second."""

NEUTRAL_SHARE = 12.0
"""How much more often the path rests at neutral than at any other single category: real recordings are mostly neutral."""

SUBSETS: dict[tuple[str, ...], float] = {
    ("face", "voice", "words"): 0.52,
    ("face",): 0.08,
    ("voice",): 0.08,
    ("words",): 0.08,
    ("face", "voice"): 0.08,
    ("face", "words"): 0.08,
    ("voice", "words"): 0.08,
}
"""The share of recordings with each set of modalities."""

WEIGHTS: dict[str, tuple[float, float]] = {"face": (0.85, 0.60), "voice": (0.24, 0.39), "words": (0.45, 0.20)}
"""The weights of face, voice and words in the target, for valence and for arousal.

Face and voice: a regression on the ratings of 7,442 clips with picture only, sound only, and both (Cao et al. 2014;
`recipes/cremad.py`). The weights of words are our choice, larger for valence than for arousal.
"""
FULL_WORDS = 0.3
"""How far from neutral words must be to have their full weight, which is smaller in proportion nearer to neutral. In the clips
above, harmless words left the ratings to face and voice, whose weights add up to one. The distance is our choice."""
LEAST_WORDS = 0.1
"""Share of their weight that neutral words keep."""
FADING = 2.0
"""Time constant in seconds: how fast the weight of a modality falls after it was last present."""


@dataclass(frozen=True)
class Bank:
    """Samples of one modality with a label each.

    Attributes:
        labels: (N, 2) valence and arousal, -1..1.
        offsets: (N + 1,) where each sample's frames begin and end.
        frames: (M, D) float16 encoder features: variants of a face, steps of an utterance, or words of a sentence.
        groups: (N,) the speaker; a recording has samples of one group only. All 0 where the speaker is unknown.
        wander: (K, T, D) float16, how the frames of K talking faces move about their means, at RATE; none for voice and words.
    """

    labels: NDArray[np.float32]
    offsets: NDArray[np.int64]
    frames: NDArray[np.float16]
    groups: NDArray[np.int64]
    wander: NDArray[np.float16] = field(default_factory=lambda: np.zeros((0, 0, 0), np.float16))

    def sample(self, index: int) -> NDArray[np.float16]:
        """The frames (n, D) of one sample."""
        return self.frames[self.offsets[index] : self.offsets[index + 1]]


@dataclass(frozen=True)
class Composition:
    """How recordings are composed.

    The standard deviations have two parts, because the encoders err alike throughout a recording: a person's face at rest may
    look pleased, and the voices of one corpus sound tense. Those of the voice are of corpora left out of its training
    (`recipes/across_corpora.py`): the offset is their mean error, and the spread what remains beyond the error on unheard
    speakers of corpora that it knows. Those of the face are of FER+'s neutral faces (dev split), which are single pictures, so
    that the whole error may be an offset.

    Attributes:
        spread: standard deviation of valence and arousal between a modality's path and the labels of its samples.
        offset: standard deviation of a shift of all samples of a modality in one recording.
        disagreeing: share of the recordings with two or more modalities in which one sometimes leaves the path.
        rating_lag: the range of the raters' lag in seconds; one value is drawn for each recording.
        rating_noise: standard deviation of the raters' slow drift.
    """

    spread: Mapping[str, tuple[float, float]] = field(
        default_factory=lambda: {"face": (0.12, 0.12), "voice": (0.25, 0.16), "words": (0.12, 0.12)}
    )
    offset: Mapping[str, tuple[float, float]] = field(
        default_factory=lambda: {"face": (0.14, 0.11), "voice": (0.19, 0.15), "words": (0.0, 0.0)}
    )
    disagreeing: float = 0.5
    rating_lag: tuple[float, float] = (0.0, 0.0)
    rating_noise: float = 0.0


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
    """A path (T, 2) of valence and arousal: rests of 1..8 s at points of the circumplex, moves of 0.3..4 s or jumps between.

    Points are emotion categories at a random strength, with jitter; neutral is more frequent than all others together. One
    change in five is a jump.
    """
    categories = np.array(list(CATEGORY_VALENCE_AROUSAL.values()))
    chances = np.array([NEUTRAL_SHARE if name == "neutral" else 1.0 for name in CATEGORY_VALENCE_AROUSAL])
    path: list[NDArray[np.float64]] = []
    length, current = 0, None
    while length < steps:
        point = rng.choice(categories, p=chances / chances.sum()) * rng.uniform(0.2, 1.1) + rng.normal(0, 0.1, 2)
        move = 0 if rng.random() < 0.2 else round(rng.uniform(0.3, 4) * RATE)
        rest = round(rng.uniform(1, 8) * RATE)
        ease = (1 - np.cos(np.linspace(0, np.pi, move)))[:, None] / 2
        current = point if current is None else current
        path += [current + ease * (point - current), np.repeat(point[None], rest, axis=0)]
        length, current = length + move + rest, point
    return np.clip(np.concatenate(path)[:steps], -1, 1)


def _spells(steps: int, rng: np.random.Generator, on: tuple[float, float], off: tuple[float, float]) -> list[range]:
    """Spells of `on` seconds, separated by gaps of `off` seconds, both drawn uniformly."""
    spells, position = [], round(rng.uniform(*off) * rng.uniform(0, 1) * RATE)
    while position < steps:
        length = max(1, round(rng.uniform(*on) * RATE))
        spells.append(range(position, min(position + length, steps)))
        position += length + max(1, round(rng.uniform(*off) * RATE))
    return spells


def own_paths(
    path: NDArray[np.float64], present: tuple[str, ...], rng: np.random.Generator, disagreeing: float
) -> dict[str, NDArray[np.float64]]:
    """Each modality's path (T, 2): the common one, which one of several modalities may leave for 2..10 s at a time."""
    own = {name: path.copy() for name in present}
    if len(present) > 1 and rng.random() < disagreeing:
        elsewhere = latent_path(len(path), rng)
        for spell in _spells(len(path), rng, on=(2, 10), off=(3, 20)):
            own[present[rng.integers(len(present))]][spell.start : spell.stop] = elsewhere[spell.start : spell.stop]
    return own


def weighted_path(
    path: NDArray[np.float64], own: Mapping[str, NDArray[np.float64]], valid: Mapping[str, NDArray[np.bool_]]
) -> NDArray[np.float64]:
    """The target (T, 2): the mean of the modalities' paths, weighted by WEIGHTS, by recency, and words by how much they say.

    Where no modality has been present for long, it is the common path, which can't be predicted.
    """
    total, weight = 1e-3 * path, np.full_like(path, 1e-3)
    for name, present in valid.items():
        if name not in own:
            continue
        last = np.maximum.accumulate(np.where(present, np.arange(len(path)), -np.inf))
        recency = np.exp((last - np.arange(len(path))) / (FADING * RATE))[:, None] * WEIGHTS[name]
        if name == "words":
            recency = recency * np.clip(np.linalg.norm(own[name], axis=1, keepdims=True) / FULL_WORDS, LEAST_WORDS, 1)
        total, weight = total + recency * own[name], weight + recency
    return total / weight


def rated(truth: NDArray[np.float64], rng: np.random.Generator, composition: Composition) -> NDArray[np.float64]:
    """A rater's trace (T, 2) of the target: late, and drifting."""
    lag = round(rng.uniform(*composition.rating_lag) * RATE)
    late = truth[np.maximum(np.arange(len(truth)) - lag, 0)]
    if not composition.rating_noise:
        return late
    keep = np.exp(-1 / (3 * RATE))  # the drift has a time constant of 3 s
    drift = np.zeros_like(late)
    for step, kick in enumerate(rng.normal(0, composition.rating_noise * np.sqrt(1 - keep**2), late.shape)):
        drift[step] = keep * drift[step - 1] + kick
    return np.clip(late + drift, -1, 1)


def _near(
    bank: Bank, point: NDArray[np.float64], pool: NDArray[np.int64], rng: np.random.Generator, spread: tuple[float, float]
) -> int:
    """A sample of `pool` whose label is near `point`, apart from noise."""
    candidates = rng.choice(pool, min(len(pool), 100), replace=False)
    wanted = point + rng.normal(0, spread, 2)
    return int(candidates[np.argmin(np.sum((bank.labels[candidates] - wanted) ** 2, axis=1))])


def wandering(wander: NDArray[np.float16], steps: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Movements (T, D) of the features of a talking face: courses of random people, forwards or backwards, in succession."""
    parts: list[NDArray[np.float16]] = []
    while sum(map(len, parts)) < steps:
        parts.append(wander[rng.integers(len(wander))][:: rng.choice([1, -1])])
    return np.concatenate(parts)[:steps].astype(np.float32)


def compose(
    banks: Mapping[str, Bank], steps: int, rng: np.random.Generator, composition: Composition | None = None
) -> Composed:
    """Compose one recording.

    Args:
        banks: samples by modality.
        steps: its length T.
        rng: source of all choices.
        composition: how it is composed; the default if None.
    """
    options = composition or Composition()
    path = latent_path(steps, rng)
    subsets, shares = list(SUBSETS), np.array(list(SUBSETS.values()))
    present = subsets[rng.choice(len(subsets), p=shares / shares.sum())]
    own = own_paths(path, present, rng, options.disagreeing)
    seen = {name: own[name] + rng.normal(0, options.offset[name], 2) for name in present}  # as the encoders take it
    features = {name: np.zeros((steps, bank.frames.shape[1]), np.float32) for name, bank in banks.items()}
    valid = {name: np.zeros(steps, bool) for name in banks}
    group = rng.choice(np.unique(banks["voice"].groups))
    pools = {name: np.arange(len(bank.labels)) for name, bank in banks.items()}
    pools["voice"] = np.flatnonzero(banks["voice"].groups == group)

    def put(name: str, start: int, frames: NDArray[np.float16]) -> None:
        stop = min(start + len(frames), steps)
        features[name][start:stop], valid[name][start:stop] = frames[: stop - start], True

    def choose(name: str, step: int) -> NDArray[np.float16]:
        return banks[name].sample(_near(banks[name], seen[name][step], pools[name], rng, options.spread[name]))

    speech = _spells(steps, rng, on=(1, 12), off=(0.3, 5))
    if "face" in present:
        for spell in _spells(steps, rng, on=(2, 30), off=(0.2, 6)):
            step = spell.start
            while step < spell.stop:  # one face, in random variants
                length = min(round(rng.uniform(0.2, 2) * RATE), spell.stop - step)
                variants = choose("face", min(step + length // 2, steps - 1))
                put("face", step, variants[rng.integers(len(variants), size=max(length, 1))])
                step += max(length, 1)
        if len(banks["face"].wander):
            movements = wandering(banks["face"].wander, steps, rng)
            for spell in speech:
                talking = valid["face"][spell.start : spell.stop, None]
                features["face"][spell.start : spell.stop] += movements[spell.start : spell.stop] * talking
    for spell in speech:
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
    target = rated(weighted_path(path, own, valid), rng, options)
    return Composed(features, valid, target.astype(np.float32))
