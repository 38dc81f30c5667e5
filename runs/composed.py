"""Train the fusion model on composed recordings and export it to ONNX.

    python runs/banks.py DATA --out BANKS
    python runs/composed.py BANKS --out src/vatrace/weights/fusion.onnx

The dev banks choose the checkpoint. About 15 minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vatrace.checkpoint import Model
from vatrace.config import RunConfig, read_config
from vatrace.corpora.composed import RATE, Bank, Composed, compose
from vatrace.export import export_onnx
from vatrace.metrics import concordance_cc
from vatrace.models.affect import AffectModel
from vatrace.prediction import MODALITIES
from vatrace.train import Batch, Epoch, TrainConfig, fit

STEPS = 300
"""Length of the dev recordings."""
OUTPUTS = ("valence", "arousal")
"""The columns of a recording's target."""
EPOCH = 100
"""Batches between looks at dev."""
NOISE = 0.1
"""Standard deviation of the noise on standardised features in training."""
NUM_DEV = 96


def load(banks: Path, split: str) -> dict[str, Bank]:
    """The three banks of one split."""
    return {name: Bank(**np.load(banks / f"{name}-{split}.npz")) for name in MODALITIES}


def collate(recordings: list[Composed], outputs: Sequence[str] = OUTPUTS) -> Batch:
    """Put recordings of one length side by side; steps at which nothing is there don't count."""
    features = {name: torch.from_numpy(np.stack([r.features[name] for r in recordings])) for name in MODALITIES}
    valid = {name: torch.from_numpy(np.stack([r.valid[name] for r in recordings])) for name in MODALITIES}
    anything = torch.stack(list(valid.values())).any(dim=0)
    target = torch.from_numpy(np.stack([r.target for r in recordings]))
    return Batch(features, valid, target[:, :, [OUTPUTS.index(name) for name in outputs]], anything)


def statistics(banks: dict[str, Bank]) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and standard deviation (D,) of each modality's training features."""
    result = {}
    for name, bank in banks.items():
        frames = torch.from_numpy(bank.frames[:: max(1, len(bank.frames) // 50_000)]).float()
        result[name] = (frames.mean(dim=0), frames.std(dim=0))
    return result


def pooled_ccc(model: Model, recordings: list[Composed]) -> list[float]:
    """CCC of each of the model's outputs over all steps at which something is there."""
    truths, predictions = [], []
    with torch.inference_mode():
        for start in range(0, len(recordings), 24):
            batch = collate(recordings[start : start + 24], model.config.outputs)
            predictions.append(model(batch.features, batch.valid)[batch.labelled])
            truths.append(batch.target[batch.labelled])
    truth, prediction = torch.cat(truths).numpy(), torch.cat(predictions).numpy()
    return [concordance_cc(truth[:, k], prediction[:, k]) for k in range(truth.shape[1])]


def fixed_recordings(banks: dict[str, Bank], count: int, seed: int) -> list[Composed]:
    """The same recordings for the same seed."""
    return [compose(banks, STEPS, np.random.default_rng([seed, index])) for index in range(count)]


def training_batches(banks: dict[str, Bank], model: AffectModel, config: TrainConfig, seed: int) -> Iterator[Batch]:
    """New recordings without end, with noise on their features."""
    rng = np.random.default_rng([seed, 1])
    while True:
        batch = collate([compose(banks, config.win_len, rng) for _ in range(config.batch_size)], model.config.outputs)
        for name, values in batch.features.items():
            values.add_(NOISE * torch.randn_like(values) / model.get_buffer(f"{name}_scale"))
        yield batch


def train(config: RunConfig, banks: Path, seed: int, log: Callable[[str], None] = print) -> AffectModel:
    """Train on composed recordings, logging each epoch; the weights that are best on dev are kept."""
    torch.manual_seed(seed)
    train_banks = load(banks, "train")
    dims = {name: train_banks[name].frames.shape[1] for name in MODALITIES}
    if config.model.feature_dims != dims:
        raise ValueError(f"the banks are of {dims} channels, the model of {config.model.feature_dims}")
    dev = fixed_recordings(load(banks, "dev"), NUM_DEV, seed=0)
    model = AffectModel(config.model)
    model.standardise_by(statistics(train_banks))
    endless = training_batches(train_banks, model, config.train, seed)
    started = time.time()

    def report(epoch: Epoch) -> None:
        dev_ccc = " ".join(f"{name} {value:.3f}" for name, value in epoch.scores.items())
        log(f"{epoch.number}/{config.train.num_epochs} loss {epoch.loss:.4f} dev CCC {dev_ccc} {time.time() - started:.0f} s")

    def evaluate(trained: Model) -> dict[str, float]:
        return dict(zip(config.model.outputs, pooled_ccc(trained, dev), strict=True))

    fit(model, lambda number: islice(endless, EPOCH), EPOCH, evaluate, config.train, report, seed=seed)
    return model


def main() -> None:
    """Train, reporting on dev, and export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("banks", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", default="default", help="a TOML file, or a preset (default: default)")
    parser.add_argument("--streaming", action="store_true", help="export the form that takes a stream in chunks")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    config = read_config(args.config)
    if args.streaming:
        AffectModel(config.model).initial_state(1)  # if it can't stream, that should be known before it is trained
    args.out.parent.mkdir(parents=True, exist_ok=True)
    model = train(config, args.banks, args.seed)
    export_onnx(model, args.out, streaming=args.streaming, metadata={"rate": RATE, "win_len": config.train.win_len})


if __name__ == "__main__":
    main()
