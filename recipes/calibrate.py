"""Give a fusion model its intervals, from its errors on composed recordings of the dev banks.

    python recipes/calibrate.py BANKS src/vatrace/weights/fusion.onnx

They are kept in the file. About 3 minutes on two CPU cores. `recipes/evaluate.py` tells how often they hold the truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from composed import RATE
from composed_fusion import STEPS, fixed_recordings, load
from evaluate import Fusion, without
from vatrace.inference.intervals import NOTHING, half_widths, metadata, situations
from vatrace.training.export import add_metadata

NUM_RECORDINGS, SEED = 4000, 2
"""Recordings to calibrate on; the seed is another than those of choosing (0) and of evaluating (1). So many, because
one recording in thirteen has voice alone, say, and a quantile of fifty recordings is itself off by 2 or 3 %."""


def main() -> None:
    """Measure the errors in each situation, and write their quantiles into the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("banks", type=Path)
    parser.add_argument("fusion", type=Path)
    args = parser.parse_args()
    fusion, found = Fusion(args.fusion), []
    banks = load(args.banks, "dev")
    nobody = fusion(without(next(fixed_recordings(banks, 1, SEED)), ()))
    for recording in fixed_recordings(banks, NUM_RECORDINGS, SEED):
        where = situations(recording.valid, RATE, ahead=not fusion.streams)
        missed = (recording.target - fusion(recording)).astype(np.float64)
        missed[where == NOTHING] = np.nan  # it is little; as if nobody were seen or heard all the time says more
        found.append((missed, where))
        found.append(((recording.target - nobody).astype(np.float64), np.full(STEPS, NOTHING)))
    widths = half_widths(found)
    for name, (valence, arousal) in sorted(widths.items()):
        print(f"{name:18} valence ± {valence:.3f}   arousal ± {arousal:.3f}")
    add_metadata(args.fusion, metadata(widths))


if __name__ == "__main__":
    main()
