"""How people weigh face and voice when they see and hear someone: a regression on the votes of CREMA-D.

    python recipes/cremad.py DATA

DATA contains cremad_ratings/processedResults/tabulatedVotes.csv (Cao et al. 2014, IEEE Trans. Affective Computing 5(4),
377-390): votes over six emotions for the same 7,442 clips with sound only, picture only, and both. Each vote counts as the
valence and arousal of its category. The values for both are regressed on those for the voice and for the face alone. The
weights are in `recipes/composed.py`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from categories import CATEGORY_VALENCE_AROUSAL

VOTES = {"A": "anger", "D": "disgust", "F": "fear", "H": "happiness", "N": "neutral", "S": "sadness"}
CONDITIONS = {1: "voice", 2: "face", 3: "both"}
"""First digit of a row's number."""


def main() -> None:
    """Print the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    table = pd.read_csv(args.data / "cremad_ratings" / "processedResults" / "tabulatedVotes.csv", index_col=0)
    votes = table[list(VOTES)].to_numpy(float)
    values = votes / votes.sum(axis=1, keepdims=True) @ np.array([CATEGORY_VALENCE_AROUSAL[name] for name in VOTES.values()])
    ratings = pd.DataFrame(values, columns=["valence", "arousal"])
    ratings["clip"], ratings["condition"] = table["fileName"].to_numpy(), (table.index // 100_000).map(CONDITIONS)
    for output in ("valence", "arousal"):
        wide = ratings.pivot_table(index="clip", columns="condition", values=output).dropna()
        design = np.column_stack([wide["face"], wide["voice"], np.ones(len(wide))])
        (face, voice, offset), *_ = np.linalg.lstsq(design, wide["both"].to_numpy(), rcond=None)
        r = np.corrcoef(design @ [face, voice, offset], wide["both"])[0, 1]
        print(f"{output}: {face:.2f} face + {voice:.2f} voice + {offset:.2f}   r {r:.2f}   ({len(wide)} clips)")


if __name__ == "__main__":
    main()
