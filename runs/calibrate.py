"""Give a fusion model its intervals, from its errors on composed recordings of the dev banks.

    python runs/calibrate.py BANKS src/vatrace/weights/fusion.onnx

They are kept in the file. About 2 minutes on two CPU cores. `runs/evaluate.py` tells how often they hold the truth.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from composed import fixed_recordings, load
from evaluate import Fusion
from vatrace.corpora.composed import RATE, Composed
from vatrace.export import add_metadata
from vatrace.intervals import LEVEL, NOTHING, half_widths, situations

NUM_RECORDINGS, SEED = 600, 2
"""Recordings to calibrate on; the seed is another than those of choosing (0) and of evaluating (1)."""


def main() -> None:
    """Measure the errors in each situation, and write their quantiles into the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("banks", type=Path)
    parser.add_argument("fusion", type=Path)
    args = parser.parse_args()
    fusion = Fusion(args.fusion)
    errors: dict[str, list[np.ndarray]] = {}
    for recording in fixed_recordings(load(args.banks, "dev"), NUM_RECORDINGS, SEED):
        missed = recording.target - fusion(recording)
        where = situations(recording.valid, RATE)
        for name in np.unique(where).tolist():
            if name != NOTHING:
                errors.setdefault(name, []).append(missed[where == name])
        blank = Composed(
            recording.features, {name: np.zeros_like(mask) for name, mask in recording.valid.items()}, recording.target
        )
        errors.setdefault(NOTHING, []).append(recording.target - fusion(blank))  # where nobody is seen or heard for long
    widths = half_widths({name: np.concatenate(parts).astype(np.float64) for name, parts in errors.items()})
    for name, (valence, arousal) in sorted(widths.items()):
        print(f"{name:18}{sum(map(len, errors[name])):>8} steps   valence ± {valence:.3f}   arousal ± {arousal:.3f}")
    rounded = {name: [round(value, 4) for value in pair] for name, pair in widths.items()}
    add_metadata(args.fusion, {"intervals": json.dumps(rounded), "interval_level": LEVEL})


if __name__ == "__main__":
    main()
