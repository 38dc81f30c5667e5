"""Train the fusion model on composed recordings and export it to ONNX.

    python runs/banks.py DATA --out BANKS
    python runs/fusion.py BANKS --out src/vatrace/weights/fusion.onnx

The dev banks choose the checkpoint. About 15 minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vatrace.corpora.composed import RATE, Bank, Composed, compose
from vatrace.losses import ccc_loss
from vatrace.metrics import concordance_cc
from vatrace.models.affect import AffectModel, ModelConfig
from vatrace.prediction import MODALITIES

STEPS = 300
BATCH = 24
NUM_BATCHES = 1600
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-3
NOISE = 0.1
"""Standard deviation of the noise on standardised features in training."""
NUM_DEV = 96
EVALUATE_EVERY = 100


def load(banks: Path, split: str) -> dict[str, Bank]:
    """The three banks of one split."""
    return {name: Bank(**np.load(banks / f"{name}-{split}.npz")) for name in MODALITIES}


def collate(recordings: list[Composed]) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Stack recordings of one length: features (B, T, D) and validity (B, T) by modality, targets (B, T, 2)."""
    features = {name: torch.from_numpy(np.stack([r.features[name] for r in recordings])) for name in MODALITIES}
    valid = {name: torch.from_numpy(np.stack([r.valid[name] for r in recordings])) for name in MODALITIES}
    return features, valid, torch.from_numpy(np.stack([r.target for r in recordings]))


def statistics(banks: dict[str, Bank]) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and standard deviation (D,) of each modality's training features."""
    result = {}
    for name, bank in banks.items():
        frames = torch.from_numpy(bank.frames[:: max(1, len(bank.frames) // 50_000)]).float()
        result[name] = (frames.mean(dim=0), frames.std(dim=0))
    return result


def anything(valid: dict[str, Tensor]) -> Tensor:
    """Where at least one modality is there, (B, T)."""
    return torch.stack(list(valid.values())).any(dim=0)


def pooled_ccc(model: AffectModel, recordings: list[Composed]) -> tuple[float, float]:
    """CCC of valence and arousal over all steps at which something is there."""
    model.eval()
    truths, predictions = [], []
    with torch.inference_mode():
        for start in range(0, len(recordings), BATCH):
            features, valid, target = collate(recordings[start : start + BATCH])
            kept = anything(valid)
            predictions.append(model(features, valid)[kept])
            truths.append(target[kept])
    truth, prediction = torch.cat(truths).numpy(), torch.cat(predictions).numpy()
    return concordance_cc(truth[:, 0], prediction[:, 0]), concordance_cc(truth[:, 1], prediction[:, 1])


def fixed_recordings(banks: dict[str, Bank], count: int, seed: int) -> list[Composed]:
    """The same recordings for the same seed."""
    return [compose(banks, STEPS, np.random.default_rng([seed, index])) for index in range(count)]


def train(config: ModelConfig, banks: Path, seed: int) -> AffectModel:
    """AdamW, warm-up and cosine, CCC loss with a little squared error; keeps the weights that are best on dev."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 1])
    train_banks = load(banks, "train")
    dev = fixed_recordings(load(banks, "dev"), NUM_DEV, seed=0)
    model = AffectModel(config)
    model.standardise_by(statistics(train_banks))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / 100, 0.5 * (1 + math.cos(math.pi * step / NUM_BATCHES)))
    )
    best, best_weights, losses, started = -1.0, model.state_dict(), [], time.time()
    for step in range(NUM_BATCHES):
        model.train()
        features, valid, target = collate([compose(train_banks, STEPS, rng) for _ in range(BATCH)])
        for name in MODALITIES:
            features[name] += NOISE * torch.randn_like(features[name]) / model.get_buffer(f"{name}_scale")
        prediction = model(features, valid)
        kept = anything(valid)
        loss = ccc_loss(target, prediction, kept) + (target - prediction)[kept].square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if (step + 1) % EVALUATE_EVERY == 0:
            valence, arousal = pooled_ccc(model, dev)
            print(
                f"{step + 1}/{NUM_BATCHES} loss {np.mean(losses[-EVALUATE_EVERY:]):.4f} "
                f"dev CCC valence {valence:.3f} arousal {arousal:.3f} {time.time() - started:.0f} s",
                flush=True,
            )
            if valence + arousal > best:
                best = valence + arousal
                best_weights = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(best_weights)
    return model.eval()


class Exported(nn.Module):
    """AffectModel with its inputs side by side, as ONNX wants them."""

    def __init__(self, model: AffectModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, face: Tensor, voice: Tensor, words: Tensor, valid: Tensor) -> Tensor:
        """Features (B, T, D) and validity (B, T, 3) -> (B, T, 2)."""
        features = dict(zip(MODALITIES, (face, voice, words), strict=True))
        return self.model(features, {name: valid[:, :, i] for i, name in enumerate(MODALITIES)})


def export(model: AffectModel, config: ModelConfig, path: Path) -> None:
    """Write the ONNX file, with rate, window and sizes in its metadata; check it against PyTorch at several lengths."""
    import onnx
    import onnxruntime

    def inputs(batch: int, steps: int) -> tuple[Tensor, ...]:
        features = [torch.randn(batch, steps, config.feature_dims[name]) for name in MODALITIES]
        return (*features, torch.rand(batch, steps, len(MODALITIES)) > 0.3)

    names = [*MODALITIES, "valid"]
    axes = {name: {0: "batch", 1: "steps"} for name in [*names, "valence_arousal"]}
    for module in model.modules():
        if hasattr(module, "parametrizations"):
            nn.utils.parametrize.remove_parametrizations(module, "weight")
    wrapped = Exported(model).eval()
    torch.onnx.export(
        wrapped,
        inputs(2, 50),
        str(path),
        input_names=names,
        output_names=["valence_arousal"],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
    proto = onnx.load(path)
    meta = {"rate": RATE, "win_len": STEPS, "config": json.dumps(asdict(config))}
    onnx.helper.set_model_props(proto, {key: str(value) for key, value in meta.items()})
    onnx.save(proto, path)
    session = onnxruntime.InferenceSession(str(path))
    for steps in (1, 17, 300, 1000):
        values = inputs(1, steps)
        with torch.inference_mode():
            expected = wrapped(*values).numpy()
        (found,) = session.run(None, {name: value.numpy() for name, value in zip(names, values, strict=True)})
        difference = float(np.abs(expected - found).max())
        if difference > 1e-4:
            raise RuntimeError(f"ONNX differs from PyTorch by {difference} at {steps} steps")


def main() -> None:
    """Train, reporting on dev, and export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("banks", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    config = ModelConfig()
    model = train(config, args.banks, args.seed)
    export(model, config, args.out)


if __name__ == "__main__":
    main()
