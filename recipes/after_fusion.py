"""What other treatments of the values would change: windows, smoothing, and the mean of several models.

    python recipes/after_fusion.py BANKS --seeds SEED1.onnx SEED2.onnx

Prints the CCC of composed dev recordings of two minutes. The first row is what the package does.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from composed import RATE, Composed, compose
from composed_fusion import load
from evaluate import Fusion
from vatrace.evaluation.bootstrap import ccc_of_moments, moments
from vatrace.timeline import overlap_add

NUM_RECORDINGS, STEPS, SEED = 192, 1200, 1
WIN_LEN, HOP_LEN = 300, 150
OTHERS = ((300, 200), (400, 150), (400, 200), (600, 300), (1200, 1200))
"""Windows and hops in steps; 400 and 150 are those of the strongest entries of ABAW."""
WIDTHS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds of the centred moving mean."""

Values = NDArray[np.float64]


def predicted(fusion: Fusion, recording: Composed, win_len: int = WIN_LEN, hop_len: int = HOP_LEN) -> Values:
    """Valence and arousal (T, 2) from overlapping windows."""

    def apply(start: int, stop: int) -> NDArray[np.float32]:
        features = {name: values[start:stop] for name, values in recording.features.items()}
        valid = {name: mask[start:stop] for name, mask in recording.valid.items()}
        return fusion(Composed(features, valid, recording.target[start:stop]))

    return overlap_add(STEPS, win_len, hop_len, apply)


def smoothed(values: Values, seconds: float) -> Values:
    """The centred moving mean (T, 2); at the ends, of the steps that are there."""
    half = round(seconds * RATE / 2)
    kernel = np.ones(2 * half + 1)
    counts = np.convolve(np.ones(len(values)), kernel, "same")
    return np.stack([np.convolve(column, kernel, "same") / counts for column in values.T], axis=-1)


def row(label: str, recordings: list[Composed], values: list[Values]) -> None:
    """Print the CCC of valence and arousal at the steps with at least one modality."""
    pairs = []
    for recording, found in zip(recordings, values, strict=True):
        supported = np.any(list(recording.valid.values()), axis=0)
        pairs.append((recording.target[supported], found[supported]))
    valence, arousal = ccc_of_moments(moments(pairs, [str(index) for index in range(len(pairs))]).sum(axis=0))
    print(f"{label:<44}{valence:.3f}   {arousal:.3f}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("banks", type=Path)
    parser.add_argument("--seeds", type=Path, nargs="+", default=[], help="models trained with other seeds")
    args = parser.parse_args()
    banks = load(args.banks, "dev")
    composed = [compose(banks, STEPS, np.random.default_rng([SEED, index])) for index in range(NUM_RECORDINGS)]
    recordings = [recording for recording in composed if np.any(list(recording.valid.values()))]
    shipped = Fusion("fusion.onnx")
    values = [predicted(shipped, recording) for recording in recordings]
    print(f"{len(recordings)} recordings of {STEPS / RATE:g} s{'':<20}valence  arousal")
    row(f"windows of {WIN_LEN} steps at hop {HOP_LEN}", recordings, values)
    for win_len, hop_len in OTHERS:
        found = [predicted(shipped, recording, win_len, hop_len) for recording in recordings]
        row(f"windows of {win_len} steps at hop {hop_len}", recordings, found)
    for seconds in WIDTHS:
        row(f"moving mean over {seconds:g} s", recordings, [smoothed(found, seconds) for found in values])
    others = [[predicted(fusion, recording) for recording in recordings] for fusion in map(Fusion, args.seeds)]
    for number, found in enumerate(others, start=1):
        row(f"another seed ({number})", recordings, found)
    if others:
        means = [np.mean(found, axis=0) for found in zip(values, *others, strict=True)]
        row(f"the mean of {1 + len(others)} seeds", recordings, means)


if __name__ == "__main__":
    main()
