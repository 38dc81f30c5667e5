"""Train every fusion on the same composed recordings with several seeds, and compare them.

    python runs/banks.py DATA --out BANKS
    python runs/family.py BANKS --out family.csv --seeds 0 1 2
    python runs/family.py BANKS --out family.csv --table

One seed gives every fusion the same recordings in the same order. Each row is added to the CSV as it is done: the same call
goes on where it was stopped. Short trainings (an epoch is 100 batches) say which fusions learn fast, not where each would end.
What is chosen is chosen by dev; the columns of test are for the table. `--table` prints it in Markdown.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from composed import NUM_DEV, collate, fixed_recordings, load, train
from vatrace.bootstrap import ccc_of_moments, interval, moments, nan_mean, resample_counts, resampled_ccc
from vatrace.checkpoint import Model
from vatrace.config import RunConfig
from vatrace.corpora.composed import Composed
from vatrace.encoders import FEATURE_DIMS
from vatrace.models.affect import ModelConfig

NUM_EPOCHS = 4
NUM_TEST, TEST_SEED = 8 * NUM_DEV, 1

Option = bool | int | float | str


def fusion(name: str, **options: Option) -> ModelConfig:
    """The default but for its fusion."""
    return ModelConfig(fusion=name, fusion_options=options)


def alone(modality: str) -> ModelConfig:
    """A TCN and the head on one modality."""
    widths = {modality: ModelConfig().widths[modality]}
    return ModelConfig(fusion="concat", feature_dims={modality: FEATURE_DIMS[modality]}, widths=widths)


VARIANTS: dict[str, ModelConfig] = {
    "face alone": alone("face"),
    "voice alone": alone("voice"),
    "words alone": alone("words"),
    "concat": fusion("concat"),
    "gated": fusion("gated"),
    "leader_follower": fusion("leader_follower"),
    "lstm": fusion("lstm"),
    "jca": fusion("jca"),
    "cross_attention, within 5 s": fusion("cross_attention", reach=50),
    "transformer, within 5 s": fusion("transformer", reach=50),
    "rcma, time axis, L = 1": fusion("rcma", num_recursions=1),
    "rcma, time axis, L = 2": fusion("rcma", num_recursions=2),
    "rcma, time axis, L = 3": fusion("rcma", num_recursions=3),
    "rcma, time axis, L = 4": fusion("rcma", num_recursions=4),
    "rcma, time axis, L = 3, own weights": fusion("rcma", num_recursions=3, shared_weights=False),
    "rcma, channel axis, L = 3": fusion("rcma", num_recursions=3, axis="channel"),
    "rcma, within 5 s, L = 3": fusion("rcma", num_recursions=3, reach=50),
    "rjcma, time axis, L = 3": fusion("rjcma", num_recursions=3),
    "recursive_cross_attention, L = 1": fusion("recursive_cross_attention", reach=50, num_recursions=1),
    "recursive_cross_attention, L = 2 (default)": fusion("recursive_cross_attention", reach=50, num_recursions=2),
    "recursive_cross_attention, L = 3": fusion("recursive_cross_attention", reach=50, num_recursions=3),
    "recursive_cross_attention, looking back only": fusion("recursive_cross_attention", reach=50, causal=True),
}


@dataclass(frozen=True)
class Row:
    """One trained model.

    Attributes:
        variant: key of VARIANTS.
        seed: of weights and recordings.
        epochs: of training.
        minutes: that it took.
        dev: mean of valence's and arousal's CCC on dev.
        valence: CCC on test.
        arousal: CCC on test.
        low: of the 95 % interval of their mean, by bootstrap over recordings.
        high: of the same.
    """

    variant: str
    seed: int
    epochs: int
    minutes: float
    dev: float
    valence: float
    arousal: float
    low: float
    high: float


def table_of(model: Model, recordings: list[Composed]) -> np.ndarray:
    """What each recording adds to CCC's sums."""
    pairs = []
    with torch.inference_mode():
        for start in range(0, len(recordings), 24):
            batch = collate(recordings[start : start + 24])
            predicted = model(batch.features, batch.valid)
            pairs += [(t[v].numpy(), p[v].numpy()) for t, p, v in zip(batch.target, predicted, batch.labelled, strict=True)]
    return moments(pairs, [str(index) for index in range(len(pairs))])


def train_one(name: str, banks: Path, seed: int, epochs: int) -> Row:
    """Train and measure."""
    started = time.time()
    run = RunConfig(model=VARIANTS[name], train=replace(RunConfig().train, num_epochs=epochs))
    model = train(run, banks, seed, log=lambda line: None).eval()
    dev = ccc_of_moments(table_of(model, fixed_recordings(load(banks, "dev"), NUM_DEV, seed=0)).sum(axis=0))
    test = table_of(model, fixed_recordings(load(banks, "test"), NUM_TEST, TEST_SEED))
    valence, arousal = ccc_of_moments(test.sum(axis=0)).tolist()
    low, high = interval(resampled_ccc(test, resample_counts(len(test)))[:, 2])
    scores = (float(nan_mean(dev)), valence, arousal, low, high)
    return Row(name, seed, epochs, round((time.time() - started) / 60, 1), *(round(score, 4) for score in scores))


def read(path: Path) -> list[Row]:
    """The rows that are there."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Row(row["variant"], int(row["seed"]), int(row["epochs"]), *(float(row[key]) for key in list(row)[3:]))
            for row in csv.DictReader(file)
        ]


def add(path: Path, row: Row) -> None:
    """Add a row."""
    new = not path.is_file()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(asdict(row)))
        if new:
            writer.writeheader()
        writer.writerow(asdict(row))


def print_table(rows: list[Row]) -> None:
    """The mean and the standard deviation over seeds, and the interval of the first seed, in Markdown."""
    print("| fusion | seeds | dev, mean | test, valence | test, arousal | test, mean | 95 %, first seed |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in VARIANTS:
        found = sorted((row for row in rows if row.variant == name), key=lambda row: row.seed)
        if found:
            columns = ([r.dev for r in found], [r.valence for r in found], [r.arousal for r in found])
            means = [(row.valence + row.arousal) / 2 for row in found]
            cells = [
                f"{np.mean(column):.3f}" + (f" ± {np.std(column, ddof=1):.3f}" if len(column) > 1 else "")
                for column in (*columns, means)
            ]
            print(f"| {name} | {len(found)} | {' | '.join(cells)} | {found[0].low:.3f} to {found[0].high:.3f} |")


def main() -> None:
    """Train what is not there yet, or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("banks", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="a CSV file")
    parser.add_argument("--epochs", type=int, default=NUM_EPOCHS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), metavar="NAME")
    parser.add_argument("--table", action="store_true", help="train nothing, print what is there")
    args = parser.parse_args()
    if args.table:
        print_table(read(args.out))
        return
    for seed in args.seeds:
        for name in args.only:
            if not any((row.variant, row.seed, row.epochs) == (name, seed, args.epochs) for row in read(args.out)):
                row = train_one(name, args.banks, seed, args.epochs)
                add(args.out, row)
                print(row, flush=True)


if __name__ == "__main__":
    main()
