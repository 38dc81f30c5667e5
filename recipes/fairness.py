"""Is the voice network equally accurate for women and men? Cross-validation over RAVDESS's 21 actors outside the test split.

    python recipes/fairness.py DATA --frames FRAMES

FRAMES is the folder that `recipes/voice.py` fills. The recipe's network is trained three times on 14 actors and all other
corpora, and tested on the other 7, as recorded in the studio. The 95 % intervals are by bootstrap over actors. About 10 minutes
on two CPU cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from speech_corpora import Utterance, train_utterances
from voice import Heard, all_heard, rate, scores, train

NUM_FOLDS, NUM_RESAMPLES = 3, 1000


def fold_of(utterance: Utterance) -> int | None:
    """The fold in which an actor of RAVDESS is held out; a woman and a man have successive numbers."""
    return int(utterance.speaker) % (2 * NUM_FOLDS) // 2 if utterance.corpus == "ravdess" else None


def main() -> None:
    """Train, and print one row for women and one for men."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--frames", type=Path, required=True)
    args = parser.parse_args()
    said: list[Utterance] = []
    heard: list[Heard] = []
    studio: list[Heard] = []
    for split in ("train", "dev"):
        of_split, found = train_utterances(args.data, split), all_heard(args.data, split, args.frames)
        moved = [Heard(part.frames, part.utterance + len(said)) for part in found]
        studio += moved[: len(of_split)]  # the first variant is as recorded in the studio
        heard += moved
        said += of_split
    predicted = {}
    for fold in range(NUM_FOLDS):
        held_out = {utterance for utterance, what in enumerate(said) if fold_of(what) == fold}
        model = train(said, [part for part in heard if part.utterance not in held_out], seed=fold)
        tested = [part for part in studio if part.utterance in held_out]
        for part, *outputs in zip(tested, *rate(model, tested), strict=True):
            predicted[part.utterance] = outputs
    rng = np.random.default_rng(0)
    for label, sex in (("women", "f"), ("men", "m")):
        actors = sorted({said[index].speaker for index in predicted if said[index].sex == sex})
        of_actor = {actor: [index for index in predicted if said[index].speaker == actor] for actor in actors}

        def measure(chosen: list[str], of_actor: dict[str, list[int]] = of_actor) -> dict[str, float]:
            rows = [index for actor in chosen for index in of_actor[actor]]
            probabilities, values = (np.array([predicted[index][k] for index in rows]) for k in range(2))
            return scores([said[index] for index in rows], probabilities, values)

        resampled = [measure(rng.choice(actors, len(actors)).tolist()) for _ in range(NUM_RESAMPLES)]
        cells = []
        for name, value in measure(actors).items():
            low, high = np.percentile([row[name] for row in resampled], [2.5, 97.5])
            cells.append(f"{name} {value:.3f} [{low:.3f}, {high:.3f}]")
        print(f"{label}, {len(actors)} actors: {'   '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
