"""Give a fusion model its intervals, from its errors on composed recordings of the dev banks.

    python runs/calibrate.py BANKS src/vatrace/weights/fusion.onnx

They are kept in the file. About 2 minutes on two CPU cores. `runs/evaluate.py` tells how often they hold the truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from composed import fixed_recordings, load
from evaluate import Fusion, without
from vatrace.corpora.composed import RATE
from vatrace.export import add_metadata
from vatrace.intervals import NOTHING, half_widths, metadata, situations

NUM_RECORDINGS, SEED = 600, 2
"""Recordings to calibrate on; the seed is another than those of choosing (0) and of evaluating (1)."""


def main() -> None:
    """Measure the errors in each situation, and write their quantiles into the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("banks", type=Path)
    parser.add_argument("fusion", type=Path)
    args = parser.parse_args()
    fusion, found = Fusion(args.fusion), []
    for recording in fixed_recordings(load(args.banks, "dev"), NUM_RECORDINGS, SEED):
        blank = without(recording, ())  # nobody is seen or heard for long
        for made in (recording, blank):
            where = situations(made.valid, RATE, ahead=not fusion.streams)
            missed = (made.target - fusion(made)).astype(np.float64)
            if made is recording:
                missed[where == NOTHING] = np.nan
            found.append((missed, where))
    widths = half_widths(found)
    for name, (valence, arousal) in sorted(widths.items()):
        print(f"{name:18} valence ± {valence:.3f}   arousal ± {arousal:.3f}")
    add_metadata(args.fusion, metadata(widths))


if __name__ == "__main__":
    main()
