from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from speech_corpora import TEST_CORPORA, TRAIN_CORPORA, Utterance, corpus_utterances, train_utterances


@pytest.fixture(scope="module")
def splits(shared: Path) -> dict[str, list[Utterance]]:
    return {split: train_utterances(shared, split) for split in ("train", "dev", "test")}


def test_nobody_is_in_two_splits_and_nothing_of_a_test_corpus_in_any(splits: dict[str, list[Utterance]]) -> None:
    speakers = {split: {(one.corpus, one.speaker) for one in said} for split, said in splits.items()}
    assert all(not first & second for first, second in combinations(speakers.values(), 2))
    for split in ("train", "dev"):
        assert {one.corpus for one in splits[split]} == set(TRAIN_CORPORA)
    assert {one.corpus for one in splits["test"]} == {"ravdess"}
    assert not set(TRAIN_CORPORA) & set(TEST_CORPORA)


def test_each_utterance_is_there_once(splits: dict[str, list[Utterance]], shared: Path) -> None:
    counts = Counter(one.path for said in splits.values() for one in said)
    assert set(counts.values()) == {1}
    assert len(counts) == sum(len(corpus_utterances(shared, corpus)) for corpus in TRAIN_CORPORA) == 1440 + 4023
    assert all(path.is_file() for path in list(counts)[::100])


def test_strength_follows_intensity_and_neutral_is_the_middle(splits: dict[str, list[Utterance]], shared: Path) -> None:
    said = [one for split in splits.values() for one in split]
    assert {one.valence_arousal for one in said if one.emotion == "neutral"} == {(0.0, 0.0)}
    anger = {one.corpus: set[float]() for one in said}
    for one in said:
        if one.emotion == "anger":
            anger[one.corpus].add(round(one.valence_arousal[1], 4))
    assert anger["ravdess"] == {round(0.59 * 0.7, 4), 0.59} and anger["urdu"] == {round(0.59 * 0.7, 4)}
    assert anger["nemo"] == {round(0.59 * 0.85, 4)}
    assert not any(np.isnan(one.valence_arousal).any() for one in said)
    read = corpus_utterances(shared, "koread")
    assert {one.emotion: one.valence_arousal[0] for one in read} == {"negative": -0.6, "neutral": 0.0, "positive": 0.6}
    assert all(np.isnan(one.valence_arousal[1]) for one in read)
