"""Evaluate the package's weights, each part alone and the whole on composed recordings.

    python runs/banks.py DATA --out BANKS
    python runs/evaluate.py DATA BANKS --split dev

The test split is for the figures in the README and the model card: evaluate on it once, when everything is chosen.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from composed import NUM_DEV, STEPS, fixed_recordings, load
from face import load as load_faces
from face import scores as face_scores
from vatrace.corpora.composed import RATE, SUBSETS, Bank, Composed
from vatrace.encoders import FEATURE_DIMS
from vatrace.encoders.face import FaceEncoder
from vatrace.encoders.words import WordEncoder
from vatrace.intervals import HalfWidths, bounds, situations
from vatrace.metrics import concordance_cc
from vatrace.prediction import MODALITIES
from vatrace.weights import onnx_session
from words import load as load_sentences
from words import scores as word_scores

NUM_BOOTSTRAP = 1000


class Fusion:
    """A fusion model on features.

    Args:
        file: its ONNX file, or the name of the package's.
    """

    def __init__(self, file: str | Path) -> None:
        self._session = onnx_session(file, threads=2)
        self.half_widths: HalfWidths = json.loads(self._session.get_modelmeta().custom_metadata_map.get("intervals", "{}"))

    def __call__(self, recording: Composed) -> NDArray[np.float32]:
        """Valence and arousal (T, 2)."""
        valid = np.stack([recording.valid[name] for name in MODALITIES], axis=-1)[None]
        features = {name: recording.features[name][None] for name in MODALITIES}
        return np.asarray(self._session.run(["values"], features | {"valid": valid})[0][0])

    def alone(self, name: str, frames: NDArray[np.float16]) -> NDArray[np.float32]:
        """Mean valence and arousal (2,) of one sample of one modality, nothing else being there."""
        steps = len(frames)
        features = {other: np.zeros((steps, dim), np.float32) for other, dim in FEATURE_DIMS.items()}
        features[name] = frames.astype(np.float32)
        valid = {other: np.full(steps, other == name) for other in MODALITIES}
        return self(Composed(features, valid, np.zeros((steps, 2), np.float32))).mean(axis=0)


def interval(truths: list[NDArray[np.float32]], predictions: list[NDArray[np.float32]], column: int) -> str:
    """Pooled CCC with a 95 % bootstrap interval over recordings (or samples)."""
    rng = np.random.default_rng(0)

    def pooled(chosen: NDArray[np.int64]) -> float:
        truth, prediction = (np.concatenate([values[i] for i in chosen])[:, column] for values in (truths, predictions))
        return concordance_cc(truth, prediction)

    everything = np.arange(len(truths))
    low, high = np.percentile([pooled(rng.choice(everything, len(everything))) for _ in range(NUM_BOOTSTRAP)], [2.5, 97.5])
    return f"{pooled(everything):.3f} [{low:.3f}, {high:.3f}]"


def line(label: str, truths: list[NDArray[np.float32]], predictions: list[NDArray[np.float32]]) -> None:
    """Print one row: CCC of valence and arousal."""
    print(f"{label:<34}{len(truths):>6}   {interval(truths, predictions, 0)}   {interval(truths, predictions, 1)}", flush=True)


def samples(fusion: Fusion, name: str, bank: Bank) -> None:
    """The whole model on single samples of one modality: a face for 3 s, an utterance, a sentence at 3 words a second."""
    predictions = []
    for index in range(len(bank.labels)):
        frames = bank.sample(index)
        if name == "face":
            frames = np.repeat(frames[:1], 30, axis=0)
        elif name == "words":
            frames = np.repeat(frames, 3, axis=0)
        predictions.append(fusion.alone(name, frames)[None])
    line(f"{name} alone, single samples", list(bank.labels[:, None]), predictions)


def coverage(recordings: list[Composed], predicted: list[NDArray[np.float32]], widths: HalfWidths) -> None:
    """Print how often intervals hold the truth, over all steps of the recordings that have these modalities at all."""
    inside: dict[str, list[NDArray[np.bool_]]] = {}
    for recording, values in zip(recordings, predicted, strict=True):
        low, high = bounds(values.astype(np.float64), situations(recording.valid, RATE), widths)
        held = (low <= recording.target) & (recording.target <= high)
        for name in ("all", "+".join(name for name in MODALITIES if recording.valid[name].any()) or "nothing"):
            inside.setdefault(name, []).append(held)
    print(f"\n{'intervals at 90 %, composed':<34}{'n':>6}   held, valence          held, arousal")
    for name, parts in inside.items():
        valence, arousal = np.concatenate(parts).mean(axis=0)
        print(f"{name:<34}{len(parts):>6}   {valence:<22.1%} {arousal:.1%}")


def main() -> None:
    """Print the tables of one split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("banks", type=Path)
    parser.add_argument("--split", choices=["dev", "test"], default="dev")
    parser.add_argument("--fusion", type=Path, help="another fusion model, such as one of another seed")
    args = parser.parse_args()

    faces, votes = load_faces(args.data, args.split)
    encoder = FaceEncoder(threads=2)
    probabilities = np.concatenate([encoder.expressions(part[:, 0].byte().numpy()) for part in faces.split(512)])
    print(f"expression network, FER+ {args.split}: {face_scores(torch.from_numpy(probabilities), votes)}")

    texts, truth = load_sentences(args.data, args.split)
    words = WordEncoder(threads=2)
    print(f"word encoder, EmoBank {args.split}: {word_scores(truth, np.array([words.valence_arousal(t) for t in texts]))}")

    fusion, banks = Fusion(args.fusion or "fusion.onnx"), load(args.banks, args.split)
    print(f"\n{'the whole model, ' + args.split:<34}{'n':>6}   CCC valence [95 %]     CCC arousal [95 %]")
    for name, bank in banks.items():
        samples(fusion, name, bank)
    recordings = fixed_recordings(banks, 4 * NUM_DEV, seed=1)
    predicted = [fusion(recording) for recording in recordings]
    for names in (None, *SUBSETS):
        truths, predictions = [], []
        for recording, values in zip(recordings, predicted, strict=True):
            there = np.any([recording.valid[name] for name in MODALITIES], axis=0)
            if names in {None, tuple(name for name in MODALITIES if recording.valid[name].any())} and there.any():
                truths.append(recording.target[there])
                predictions.append(values[there])
        line(f"composed, {STEPS / 10:.0f} s, {'+'.join(names) if names else 'all'}", truths, predictions)
    if fusion.half_widths:
        coverage(recordings, predicted, fusion.half_widths)


if __name__ == "__main__":
    main()
