"""Compute the intervals of a fusion model from its errors on composed recordings of the dev banks.

    python recipes/calibrate.py BANKS src/vatrace/weights/fusion.onnx

They are stored in the file. About 3 minutes on two CPU cores. `recipes/evaluate.py` measures how often they contain the true
value.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from composed import RATE
from composed_fusion import STEPS, fixed_recordings, load
from evaluate import Fusion, without
from vatrace.inference.intervals import NEAR, NOTHING, HalfWidths, half_widths, metadata, situations
from vatrace.training.export import add_metadata

NUM_RECORDINGS, SEED = 4000, 2
"""The seed differs from those for model selection (0) and evaluation (1). Many recordings are needed: only one in thirteen,
for instance, has voice alone, and a quantile estimated from fifty recordings is itself off by 2 or 3 %."""

UNHEARD = 1.4
"""How much wider the intervals are where nothing but a voice is known. On corpora left out of the training of the voice network
(`across_corpora.py`), the 90 % quantile of its errors is 1.42 times as large for valence, and 1.45 times for arousal, as on
unheard speakers of corpora that it knows: 0.75 instead of 0.53, and 0.42 instead of 0.29."""


def widened(widths: HalfWidths) -> HalfWidths:
    """Half-widths for voices unlike those of the training corpora."""
    alone = ("voice", NOTHING + NEAR + "voice")
    return {
        name: (valence * UNHEARD, arousal * UNHEARD) if name in alone else (valence, arousal)
        for name, (valence, arousal) in widths.items()
    }


def main() -> None:
    """Measure the errors in each situation, and write their quantiles into the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("banks", type=Path)
    parser.add_argument("fusion", type=Path)
    args = parser.parse_args()
    fusion, found = Fusion(args.fusion), []
    banks = load(args.banks, "dev")
    unsupported = fusion(without(next(fixed_recordings(banks, 1, SEED)), ()))
    for recording in fixed_recordings(banks, NUM_RECORDINGS, SEED):
        where = situations(recording.valid, RATE, ahead=not fusion.streams)
        errors = (recording.target - fusion(recording)).astype(np.float64)
        errors[where == NOTHING] = np.nan  # too few steps: estimated below, with no modality present throughout
        found.append((errors, where))
        found.append(((recording.target - unsupported).astype(np.float64), np.full(STEPS, NOTHING)))
    widths = widened(half_widths(found))
    for name, (valence, arousal) in sorted(widths.items()):
        print(f"{name:18} valence ± {valence:.3f}   arousal ± {arousal:.3f}")
    add_metadata(args.fusion, metadata(widths))


if __name__ == "__main__":
    main()
