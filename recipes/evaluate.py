"""Evaluate fusion models on composed recordings of held-out people, faces and sentences.

    python recipes/banks.py DATA --out BANKS
    python recipes/evaluate.py BANKS --split dev
    python recipes/evaluate.py BANKS --split test --seeds SEED1.onnx SEED2.onnx

The 95 % intervals are by bootstrap over recordings. `--seeds` takes models trained with other seeds and adds the mean and the
standard deviation over all seeds. The test split is for the figures in docs/model-card.md: evaluate on it once, after all
choices have been made. Composed recordings measure the mechanism of fusion, not the world.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from composed import RATE, SUBSETS, Bank, Composed, Composition
from composed_fusion import NUM_DEV, fixed_recordings, load
from vatrace.encoders import FEATURE_DIMS
from vatrace.evaluation.bootstrap import Pair, ccc_of_moments, interval, moments, resample_counts, resampled_ccc
from vatrace.inference.intervals import HalfWidths, bounds, situations
from vatrace.names import MODALITIES
from vatrace.weights import onnx_session

NUM_RECORDINGS, SEED = 8 * NUM_DEV, 1
"""The seed differs from those for model selection (0) and calibration (2)."""
NUM_FOR_INTERVALS = 4000
"""Only one recording in thirteen, for instance, has voice alone, and it takes hundreds to tell 88 % from 90 %."""


class Fusion:
    """A fusion model on features.

    Args:
        file: its ONNX file, or the name of one in the package; a streaming model takes a recording as one long chunk.

    Attributes:
        half_widths: half-widths of its intervals.
        streams: whether it is causal, for streams.
    """

    def __init__(self, file: str | Path) -> None:
        self._session = onnx_session(file, threads=2)
        inputs = {value.name: value.shape for value in self._session.get_inputs()}
        self._state = {
            name: np.zeros([1, *shape[1:]], np.float32) for name, shape in inputs.items() if name.startswith("state_")
        }
        self.streams = bool(self._state)
        self.half_widths: HalfWidths = json.loads(self._session.get_modelmeta().custom_metadata_map.get("intervals", "{}"))

    def __call__(self, recording: Composed) -> NDArray[np.float32]:
        """Valence and arousal (T, 2)."""
        valid = np.stack([recording.valid[name] for name in MODALITIES], axis=-1)[None]
        features = {name: recording.features[name][None] for name in MODALITIES}
        return np.asarray(self._session.run(["values"], features | {"valid": valid} | self._state)[0][0])


Recordings = list[Composed]


def without(recording: Composed, kept: tuple[str, ...]) -> Composed:
    """The recording with only some of its modalities."""
    valid = {name: mask & (name in kept) for name, mask in recording.valid.items()}
    return replace(recording, valid=valid)


def single_samples(name: str, bank: Bank) -> Recordings:
    """Each sample alone as a recording: a face for 3 s, an utterance, a sentence with 0.3 s per word."""
    found = []
    for index in range(len(bank.labels)):
        frames = bank.sample(index)
        if name == "face":
            frames = np.repeat(frames[:1], 30, axis=0)
        elif name == "words":
            frames = np.repeat(frames, 3, axis=0)
        found.append(alone(name, frames, bank.labels[index]))
    return found


def alone(name: str, frames: NDArray[Any], label: NDArray[np.float32]) -> Composed:
    """A recording of one label with frames (T, D) of one modality only."""
    steps = len(frames)
    features = {other: np.zeros((steps, dim), np.float32) for other, dim in FEATURE_DIMS.items()}
    features[name] = frames.astype(np.float32)
    valid = {other: np.full(steps, other == name) for other in MODALITIES}
    return Composed(features, valid, np.repeat(label[None], steps, axis=0))


def pair(fusion: Fusion, recording: Composed, whole: bool) -> Pair:
    """Truth and prediction at the steps with at least one modality; their mean if the recording is one `whole` sample."""
    supported = np.any(list(recording.valid.values()), axis=0)
    truth, prediction = recording.target[supported], fusion(recording)[supported]
    return (truth[:1], prediction.mean(axis=0, keepdims=True)) if whole else (truth, prediction)


def line(label: str, fusions: list[Fusion], recordings: Recordings, whole: bool = False) -> None:
    """Print one row: CCC of valence and arousal."""
    usable = [recording for recording in recordings if np.any(list(recording.valid.values()))]
    units = [str(index) for index in range(len(usable))]
    tables = [moments([pair(fusion, recording, whole) for recording in usable], units) for fusion in fusions]
    values = np.array([ccc_of_moments(table.sum(axis=0)) for table in tables])
    resampled = resampled_ccc(tables[0], resample_counts(len(usable)))
    cells = []
    for column in range(2):
        low, high = interval(resampled[:, column])
        cell = f"{values[0, column]:.3f} [{low:.3f}, {high:.3f}]"
        if len(fusions) > 1:
            cell += f" {values[:, column].mean():.3f} ± {values[:, column].std(ddof=1):.3f}"
        cells.append(cell)
    print(f"{label:<42}{len(usable):>6}   {'   '.join(cells)}", flush=True)


def composed_rows(recordings: Recordings) -> Iterator[tuple[str, Recordings]]:
    """All recordings, those with the same modalities, and those with all three reduced to some of them."""
    yield "all", recordings
    for names in SUBSETS:
        yield (
            "+".join(names),
            [r for r in recordings if tuple(name for name in MODALITIES if r.valid[name].any()) == names],
        )
    complete = [r for r in recordings if all(mask.any() for mask in r.valid.values())]
    for kept in [names for names in SUBSETS if len(names) < len(MODALITIES)]:
        yield f"all three, reduced to {'+'.join(kept)}", [without(recording, kept) for recording in complete]


def coverage(banks: dict[str, Bank], fusion: Fusion) -> None:
    """Print how often intervals contain the true value, over all steps of the recordings with the same modalities."""
    inside: dict[str, list[NDArray[np.bool_]]] = {}
    for recording in fixed_recordings(banks, NUM_FOR_INTERVALS, SEED):
        where = situations(recording.valid, RATE, ahead=not fusion.streams)
        low, high = bounds(fusion(recording).astype(np.float64), where, fusion.half_widths)
        contained = (low <= recording.target) & (recording.target <= high)
        for name in ("all", "+".join(name for name in MODALITIES if recording.valid[name].any()) or "nothing"):
            inside.setdefault(name, []).append(contained)
    print(f"\n{'true values in 90 % intervals':<34}{'n':>6}   valence                arousal")
    for name, parts in inside.items():
        valence, arousal = np.concatenate(parts).mean(axis=0)
        print(f"{name:<34}{len(parts):>6}   {valence:<22.1%} {arousal:.1%}")


def main() -> None:
    """Print the tables of one split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("banks", type=Path)
    parser.add_argument("--split", choices=["dev", "test"], default="dev")
    parser.add_argument("--fusion", type=Path, help="the model to evaluate (default: the package's)")
    parser.add_argument("--seeds", type=Path, nargs="+", default=[], help="models trained with other seeds")
    args = parser.parse_args()
    banks = load(args.banks, args.split)
    fusions = [Fusion(file) for file in (args.fusion or "fusion.onnx", *args.seeds)]
    heading = "CCC valence [95 %]" + (" mean ± SD" if args.seeds else "")
    print(f"{args.split + ' split':<42}{'n':>6}   {heading:<22}   {heading.replace('valence', 'arousal')}")
    for name, bank in banks.items():
        line(f"single samples, {name}", fusions, single_samples(name, bank), whole=True)
    recordings = list(fixed_recordings(banks, NUM_RECORDINGS, SEED))
    for label, chosen in composed_rows(recordings):
        line(f"composed, {label}", fusions, chosen)
    for label, share in (("none disagrees", 0.0), ("one disagrees at times", 1.0)):
        line(f"composed, {label}", fusions, list(fixed_recordings(banks, NUM_DEV, SEED, Composition(disagreeing=share))))
    if fusions[0].half_widths:
        coverage(banks, fusions[0])


if __name__ == "__main__":
    main()
