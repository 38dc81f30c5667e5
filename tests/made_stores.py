"""Stores whose labels can be learned from their features, for the tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vatrace.store import EncoderInfo, Membership, Meta, Schema, Store

DIMS = {"face": 6, "voice": 5, "words": 4}
CONFIG = """
[model]
fusion = "concat"
num_levels = 2
head_dim = 16
dropout = 0.0
fusion_dropout = 0.0
[model.feature_dims]
face = 6
voice = 5
words = 4
[model.widths]
face = 8
voice = 8
words = 8
[train]
learning_rate = 1e-2
num_epochs = 4
batch_size = 6
win_len = 40
hop_len = 20
"""


def make_store(
    path: Path,
    splits: Mapping[str, str] | None = None,
    steps: int = 150,
    crops: bool = False,
    subjects: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Store:
    """Recordings of different lengths. Valence is half in the face and half in the voice, arousal in the voice and the words;
    noise is on both. A fifth of each modality is missing, in spells, and some steps have no label.

    With crops, their brightness follows valence.
    """
    splits = splits or {"a": "train", "b": "train", "c": "train", "d": "train", "e": "dev", "f": "dev", "g": "test"}
    store = Store.create(path, Schema(10.0, {name: EncoderInfo(name, f"{name}-1", dim) for name, dim in DIMS.items()}, crops))
    mixing = {name: np.random.default_rng(7).normal(size=(2, dim)) for name, dim in DIMS.items()}
    for index, name in enumerate(splits):
        rng = np.random.default_rng([seed, index])
        length = steps + 7 * index
        path_ = np.cumsum(rng.normal(0, 0.15, (length, 2)), axis=0)
        labels = np.tanh(path_ - path_.mean(axis=0))
        known = {"face": labels * [1, 0], "voice": labels, "words": labels * [0, 1]}
        features = {m: (known[m] @ mixing[m] + rng.normal(0, 0.3, (length, dim))).astype(np.float16) for m, dim in DIMS.items()}
        valid = {m: np.repeat(rng.random(length // 10 + 1) < 0.8, 10)[:length] for m in DIMS}
        light = np.clip(127 + 100 * labels[:, 0], 0, 255).astype(np.uint8)
        pictures = np.broadcast_to(light[:, None, None, None], (length, 48, 48, 3))
        store.write(
            Meta(name, 10.0, length),
            valid,
            lambda start, stop, features=features: {m: values[start:stop] for m, values in features.items()},
            np.arange(length * 3) / 30,
            lambda start, stop, pictures=pictures: pictures[start:stop],
        )
        labels[:5] = np.nan
        store.write_labels(name, labels)
    members = {name: Membership(split, (subjects or {}).get(name, "")) for name, split in splits.items()}  # type: ignore[arg-type]
    store.write_corpus(members, {"kind": "folder"})
    return store


def use_all(path: Path) -> None:
    """Read everything in a store with the splits train and dev."""
    opened = Store(path)
    assert opened.corpus_facts is not None
    opened.without_features("dev")
    for recording in [*opened.split("train"), *opened.split("dev")]:
        recording.features("face", 0, 5)
        recording.valid()
        recording.labels()
