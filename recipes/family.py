"""Train every fusion on the same composed recordings with several seeds, and compare them.

    python recipes/banks.py DATA --out BANKS
    python recipes/family.py BANKS --out FAMILY --seeds 0 1 2
    python recipes/family.py BANKS --out FAMILY --table
    python recipes/family.py BANKS --out FAMILY --table --split test       (once, after all choices)

With one seed, every fusion gets the same recordings in the same order. Each model is saved when it is trained: the same command
continues after an interruption, and commands with different `--only` may run in parallel. These short trainings (an epoch is
100 batches) show which fusions learn fast, not where each would end. `--table` evaluates the saved models on the recordings of
`evaluate.py`.
"""

from __future__ import annotations

import argparse
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from composed import Composed
from composed_fusion import collate, fixed_recordings, load, train
from evaluate import NUM_RECORDINGS, SEED
from vatrace.encoders import FEATURE_DIMS
from vatrace.evaluation.bootstrap import ccc_of_moments, interval, moments, resample_counts, resampled_ccc
from vatrace.models.affect import ModelConfig
from vatrace.training.checkpoint import Model, load_model, save_model
from vatrace.training.config import RunConfig

NUM_EPOCHS = 4

Option = bool | int | float | str


def fusion(name: str, **options: Option) -> ModelConfig:
    """The default model with another fusion."""
    return ModelConfig(fusion=name, fusion_options=options)


def alone(modality: str) -> ModelConfig:
    """A TCN and the head, for one modality."""
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
    "transformer, within 5 s": fusion("transformer", reach=50),
    "rcma, time axis, L = 1": fusion("rcma", num_recursions=1),
    "rcma, time axis, L = 2": fusion("rcma", num_recursions=2),
    "rcma, time axis, L = 3": fusion("rcma", num_recursions=3),
    "rcma, time axis, L = 4": fusion("rcma", num_recursions=4),
    "rcma, time axis, L = 3, own weights": fusion("rcma", num_recursions=3, shared_weights=False),
    "rcma, channel axis, L = 3": fusion("rcma", num_recursions=3, axis="channel"),
    "rcma, within 5 s, L = 3": fusion("rcma", num_recursions=3, reach=50),
    "rjcma, time axis, L = 3": fusion("rjcma", num_recursions=3),
    "cross_attention, within 5 s": fusion("cross_attention", reach=50),  # equals the next with L = 1
    "recursive_cross_attention, L = 2 (default)": fusion("recursive_cross_attention", reach=50, num_recursions=2),
    "recursive_cross_attention, L = 3": fusion("recursive_cross_attention", reach=50, num_recursions=3),
    "recursive_cross_attention, looking back only": fusion("recursive_cross_attention", reach=50, causal=True),
}


def table_of(model: Model, recordings: list[Composed]) -> np.ndarray:
    """The sums of each recording from which CCC is computed."""
    pairs = []
    with torch.inference_mode():
        for start in range(0, len(recordings), 24):
            batch = collate(recordings[start : start + 24])
            predicted = model(batch.features, batch.valid)
            pairs += [(t[v].numpy(), p[v].numpy()) for t, p, v in zip(batch.target, predicted, batch.labelled, strict=True)]
    return moments(pairs, [str(index) for index in range(len(pairs))])


def file_name(variant: str, seed: int) -> str:
    """The name of a model's file."""
    return f"{re.sub(r'[^a-z0-9]+', '-', variant.lower()).strip('-')}-{seed}.safetensors"


def train_one(variant: str, banks: Path, seed: int, epochs: int, path: Path) -> None:
    """Train a model and save it."""
    started = time.time()
    run = RunConfig(model=VARIANTS[variant], train=replace(RunConfig().train, num_epochs=epochs))
    model = train(run, banks, seed, log=lambda line: None)
    minutes = round((time.time() - started) / 60, 1)
    save_model(path, model, {"variant": variant, "seed": seed, "epochs": epochs, "minutes": minutes})
    print(f"{variant}, seed {seed}: {minutes} minutes", flush=True)


def print_table(folder: Path, seeds: list[int], recordings: list[Composed]) -> None:
    """Mean and standard deviation over seeds, and the interval of the mean by bootstrap over recordings, in Markdown."""
    counts = resample_counts(len(recordings))
    print("| fusion | seeds | valence | arousal | mean | 95 % |")
    print("| --- | --- | --- | --- | --- | --- |")
    for variant in VARIANTS:
        files = [path for path in (folder / file_name(variant, seed) for seed in seeds) if path.is_file()]
        if files:
            tables = [table_of(load_model(file)[0], recordings) for file in files]
            scores = np.array([ccc_of_moments(table.sum(axis=0)) for table in tables])
            low, high = interval(np.mean([resampled_ccc(table, counts)[:, 2] for table in tables], axis=0))
            cells = [
                f"{column.mean():.3f}" + (f" ± {column.std(ddof=1):.3f}" if len(column) > 1 else "")
                for column in (*scores.T, scores.mean(axis=1))
            ]
            print(f"| {variant} | {len(files)} | {' | '.join(cells)} | {low:.3f} to {high:.3f} |", flush=True)


def main() -> None:
    """Train the models that don't exist yet, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("banks", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="a folder for the models")
    parser.add_argument("--epochs", type=int, default=NUM_EPOCHS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), metavar="NAME")
    parser.add_argument("--table", action="store_true", help="train nothing; evaluate the saved models")
    parser.add_argument("--split", choices=["dev", "test"], default="dev", help="for --table")
    args = parser.parse_args()
    if args.table:
        print_table(args.out, args.seeds, list(fixed_recordings(load(args.banks, args.split), NUM_RECORDINGS, SEED)))
        return
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        for variant in args.only:
            path = args.out / file_name(variant, seed)
            if not path.is_file():
                train_one(variant, args.banks, seed, args.epochs, path)


if __name__ == "__main__":
    main()
