"""How many words are kept in English, and how many are invented in other languages.

    python benchmarks/transcription.py DATA                     40 files of each corpus, about 6 min
    python benchmarks/transcription.py DATA --files 10 --test   a quick look, and the corpora that no threshold was chosen by

DATA is a folder with `clips/*.mpg` (GRID), `ravdess/*.flac` and `speech/meta.csv`, as in recipes/README.md. For English, the
table has the share of recognised words that are kept; for other languages, the share of the time with speech that has words.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from vatrace import Model, load_model
from vatrace.media.demo import SPEECH, packaged_file

OTHERS, ENGLISH_TEST, OTHERS_TEST = ("emodb", "emovo", "korean", "nemo", "urdu"), ("tess",), ("turev",)
LAST_TRAINING_ACTOR = 18


def corpora(data: Path, test: bool) -> dict[str, tuple[bool, list[Path]]]:
    """Whether a corpus is in English, and its files, by name."""
    actors = [path for path in sorted((data / "ravdess").glob("*.flac")) if int(path.stem[-2:]) <= LAST_TRAINING_ACTOR]
    found = {
        "GRID": (True, sorted((data / "clips").glob("*.mpg"))),
        "RAVDESS, training actors": (True, actors),
        "a reading": (True, [packaged_file(*SPEECH)]),
    }
    table = pd.read_csv(data / "speech" / "meta.csv")
    for name in (*OTHERS, *((*ENGLISH_TEST, *OTHERS_TEST) if test else ())):
        files = [data / "speech" / name / Path(file).name for file in table.loc[table["corpus"] == name, "file"]]
        found[name] = (name in ENGLISH_TEST, sorted(files))
    return found


def row(model: Model, paths: Sequence[Path], language: str) -> tuple[int, int, float]:
    """Words kept, words recognised, and the share of the steps with speech that have words."""
    kept = recognised = steps = with_words = 0
    for path in paths:
        prediction = model.predict(path, modalities=["voice", "words"], language=language)
        kept += len(prediction.words)
        recognised += len(prediction.words) + prediction.words_left_out
        speech = prediction.presence["voice"]
        steps += int(speech.sum())
        with_words += int((speech & prediction.presence["words"]).sum())
    return kept, recognised, with_words / max(steps, 1)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--files", type=int, default=40, metavar="N", help="of each corpus, drawn with seed 0 (default: 40)")
    parser.add_argument("--test", action="store_true", help="also the corpora whose terms allow testing only")
    parser.add_argument(
        "--language", default="auto", metavar="CODE", help="en: as without the extra `languages` (default: auto)"
    )
    args = parser.parse_args()
    model, random = load_model(), np.random.default_rng(0)
    print(f"{'corpus':26} {'files':>5} {'kept':>5} {'of':>5} {'with words':>11}")
    for name, (english, paths) in corpora(args.data, args.test).items():
        chosen = [paths[index] for index in sorted(random.permutation(len(paths))[: args.files])]
        kept, recognised, share = row(model, chosen, args.language)
        share_text = f"{kept / max(recognised, 1):.1%} kept" if english else f"{share:.1%}"
        print(f"{name:26} {len(chosen):5} {kept:5} {recognised:5} {share_text:>11}", flush=True)


if __name__ == "__main__":
    main()
