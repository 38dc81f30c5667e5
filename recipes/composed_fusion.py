"""Train the fusion model on composed recordings and export it to ONNX.

    python recipes/banks.py DATA --out BANKS
    python recipes/composed_fusion.py BANKS --out src/vatrace/weights/fusion.onnx

The checkpoint is selected on the dev banks. About 15 minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from composed import RATE, Bank, Composed, Composition, compose
from vatrace.metrics import concordance_cc
from vatrace.models.affect import AffectModel
from vatrace.names import DIMENSIONS, MODALITIES
from vatrace.training.checkpoint import Model
from vatrace.training.config import RunConfig, read_config
from vatrace.training.data import Batch
from vatrace.training.export import export_onnx
from vatrace.training.loop import Epoch, TrainConfig, fit

STEPS = 300
"""Length of the dev recordings."""
EPOCH = 100
"""Batches between evaluations on dev."""
NOISE = 0.1
"""Standard deviation of the noise on standardised features in training."""
NUM_DEV = 96
RIDGE = 1000.0
"""Penalty of the regression that measures how well features predict labels."""


def load(banks: Path, split: str) -> dict[str, Bank]:
    """The three banks of one split."""
    return {name: Bank(**np.load(banks / f"{name}-{split}.npz")) for name in MODALITIES}


def collate(recordings: list[Composed], outputs: Sequence[str] = DIMENSIONS) -> Batch:
    """Make a batch of recordings of equal length; steps without any modality don't count."""
    features = {name: torch.from_numpy(np.stack([r.features[name] for r in recordings])) for name in MODALITIES}
    valid = {name: torch.from_numpy(np.stack([r.valid[name] for r in recordings])) for name in MODALITIES}
    anything = torch.stack(list(valid.values())).any(dim=0)
    target = torch.from_numpy(np.stack([r.target for r in recordings]))
    return Batch(features, valid, target[:, :, [DIMENSIONS.index(name) for name in outputs]], anything)


def statistics(banks: dict[str, Bank]) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and standard deviation (D,) of each modality's training features."""
    result = {}
    for name, bank in banks.items():
        frames = torch.from_numpy(bank.frames[:: max(1, len(bank.frames) // 50_000)]).float()
        result[name] = (frames.mean(dim=0), frames.std(dim=0))
    return result


def pooled_ccc(model: Model, recordings: list[Composed]) -> list[float]:
    """CCC of each of the model's outputs over all steps with at least one modality."""
    truths, predictions = [], []
    with torch.inference_mode():
        for start in range(0, len(recordings), 24):
            batch = collate(recordings[start : start + 24], model.config.outputs)
            predictions.append(model(batch.features, batch.valid)[batch.labelled])
            truths.append(batch.target[batch.labelled])
    truth, prediction = torch.cat(truths).numpy(), torch.cat(predictions).numpy()
    return [concordance_cc(truth[:, k], prediction[:, k]) for k in range(truth.shape[1])]


def fixed_recordings(
    banks: dict[str, Bank], count: int, seed: int, composition: Composition | None = None
) -> Iterator[Composed]:
    """Yield the same recordings for the same seed, one at a time: thousands wouldn't fit into memory."""
    return (compose(banks, STEPS, np.random.default_rng([seed, index]), composition) for index in range(count))


def training_composition(train_banks: dict[str, Bank], dev_banks: dict[str, Bank]) -> Composition:
    """The composition of training recordings, in which encoders are no more accurate than on unseen people and sentences.

    The encoders were trained on the training samples and predict them too well: a fusion trained on such recordings trusts
    them, and above all the words, too much. Labels are therefore drawn farther from the path, by the difference between the
    errors of a ridge regression on the samples' mean features on dev and on train.
    """
    spread = {}
    for name, (valence, arousal) in Composition().spread.items():
        (x, truth), (dev_x, dev_truth) = (_means(banks[name]) for banks in (train_banks, dev_banks))
        centre, scale, offset = x.mean(axis=0), x.std(axis=0) + 1e-3, truth.mean(axis=0)
        x, dev_x = (x - centre) / scale, (dev_x - centre) / scale
        weight = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ (truth - offset))
        squares = ((dev_x @ weight + offset - dev_truth) ** 2).mean(axis=0) - ((x @ weight + offset - truth) ** 2).mean(axis=0)
        spread[name] = (
            float(np.sqrt(valence**2 + max(squares[0], 0))),
            float(np.sqrt(arousal**2 + max(squares[1], 0))),
        )
    return Composition(spread=spread)


def _means(bank: Bank) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mean features (N, D) of each sample, and the labels (N, 2)."""
    sums = np.add.reduceat(bank.frames.astype(np.float32), bank.offsets[:-1], axis=0)
    return (sums / np.diff(bank.offsets)[:, None]).astype(np.float32), bank.labels


def training_batches(
    banks: dict[str, Bank], composition: Composition, model: AffectModel, config: TrainConfig, seed: int
) -> Iterator[Batch]:
    """Yield batches of new recordings endlessly, with noise on their features."""
    rng = np.random.default_rng([seed, 1])
    while True:
        recordings = [compose(banks, config.win_len, rng, composition) for _ in range(config.batch_size)]
        batch = collate(recordings, model.config.outputs)
        for name in model.modalities:
            values = batch.features[name]
            values.add_(NOISE * torch.randn_like(values) / model.get_buffer(f"{name}_scale"))
        yield batch


def train(config: RunConfig, banks: Path, seed: int, log: Callable[[str], None] = print) -> AffectModel:
    """Train on composed recordings, log each epoch, and keep the weights that are best on dev."""
    torch.manual_seed(seed)
    train_banks, dev_banks = load(banks, "train"), load(banks, "dev")
    dims = {name: train_banks[name].frames.shape[1] for name in MODALITIES}
    if not config.model.feature_dims.items() <= dims.items():
        raise ValueError(f"the banks have {dims} channels, the model {config.model.feature_dims}")
    composition = training_composition(train_banks, dev_banks)
    log("spread of the labels in training: " + " ".join(f"{n} {v:.2f} {a:.2f}" for n, (v, a) in composition.spread.items()))
    dev = list(fixed_recordings(dev_banks, NUM_DEV, seed=0))
    model = AffectModel(config.model)
    model.standardise_by(statistics({name: train_banks[name] for name in model.modalities}))
    endless = training_batches(train_banks, composition, model, config.train, seed)
    started = time.time()

    def report(epoch: Epoch) -> None:
        dev_ccc = " ".join(f"{name} {value:.3f}" for name, value in epoch.scores.items())
        log(f"{epoch.number}/{config.train.num_epochs} loss {epoch.loss:.4f} dev CCC {dev_ccc} {time.time() - started:.0f} s")

    def evaluate(trained: Model) -> dict[str, float]:
        return dict(zip(config.model.outputs, pooled_ccc(trained, dev), strict=True))

    fit(model, lambda number: islice(endless, EPOCH), EPOCH, evaluate, config.train, report, seed=seed)
    return model


def main() -> None:
    """Train, report on dev, and export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("banks", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", default="default", help="a TOML file, or a preset (default: default)")
    parser.add_argument("--streaming", action="store_true", help="export the streaming form, which takes chunks")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    config = read_config(args.config)
    if args.streaming:
        AffectModel(config.model).new_memory()  # raises before the training if the model can't stream
    args.out.parent.mkdir(parents=True, exist_ok=True)
    model = train(config, args.banks, args.seed)
    export_onnx(model, args.out, streaming=args.streaming, metadata={"rate": RATE, "win_len": config.train.win_len})


if __name__ == "__main__":
    main()
