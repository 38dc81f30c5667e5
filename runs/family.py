"""Train every fusion on the same composed recordings and compare them on dev.

    python runs/banks.py DATA --out BANKS
    python runs/family.py BANKS --epochs 2

One seed gives every fusion the same recordings in the same order. Short trainings (an epoch is 100 batches) say which fusions
learn fast, not where each would end. Prints a Markdown table, a row as each is done.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

from composed import NUM_DEV, fixed_recordings, load, pooled_ccc, train
from vatrace.config import RunConfig
from vatrace.models.affect import ModelConfig

CAUSAL: dict[str, bool | int | float | str] = {"causal": True, "reach": 50}
VARIANTS: dict[str, ModelConfig] = {
    "concat": ModelConfig(fusion="concat"),
    "gated": ModelConfig(fusion="gated"),
    "leader_follower": ModelConfig(fusion="leader_follower"),
    "lstm": ModelConfig(fusion="lstm"),
    "jca": ModelConfig(fusion="jca"),
    "rcma, as printed": ModelConfig(fusion="rcma"),
    "rcma, channel": ModelConfig(fusion="rcma", fusion_options={"axis": "channel"}),
    "rjcma": ModelConfig(fusion="rjcma"),
    "rcma, within 50 steps": ModelConfig(fusion="rcma", fusion_options={"reach": 50}),
    "transformer, within 50 steps": ModelConfig(fusion="transformer", fusion_options={"reach": 50}),
    "cross_attention, within 50 steps": ModelConfig(fusion="cross_attention", fusion_options={"reach": 50}),
    "recursive_cross_attention (default)": ModelConfig(),
    "recursive_cross_attention, causal (streaming)": ModelConfig(fusion_options=CAUSAL),
}


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("banks", type=Path)
    parser.add_argument("--epochs", type=int, default=RunConfig().train.num_epochs)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), metavar="NAME")
    args = parser.parse_args()
    dev = fixed_recordings(load(args.banks, "dev"), NUM_DEV, seed=0)
    run = RunConfig(train=replace(RunConfig().train, num_epochs=args.epochs))
    print("| fusion | valence | arousal | minutes |\n| --- | --- | --- | --- |", flush=True)
    for name in args.only:
        started = time.time()
        model = train(replace(run, model=VARIANTS[name]), args.banks, args.seed, log=lambda line: None)
        valence, arousal = pooled_ccc(model, dev)
        print(f"| {name} | {valence:.3f} | {arousal:.3f} | {(time.time() - started) / 60:.1f} |", flush=True)


if __name__ == "__main__":
    main()
