"""Train the expression network on FER+ and export it to ONNX.

    python runs/face.py DATA --out src/vatrace/weights/face.onnx

DATA holds ferplus/ferplus.npz (images, votes, split). The target of each face is its vote distribution without single
votes, "unknown" and "not a face" (as Barsoum et al. 2016 clean them); the loss is the cross-entropy with it. The dev split
reports; nothing is chosen by it but the number of epochs, fixed below. About half an hour on two CPU cores.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vatrace.corpora.categories import CATEGORY_VALENCE_AROUSAL
from vatrace.metrics import concordance_cc
from vatrace.models.face import EXPRESSIONS, FACE_SIZE, FaceNet

EPOCHS = 40
BATCH = 128
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.05
EMA_DECAY = 0.998
MIN_VOTES = 2


def load(data: Path, split: str) -> tuple[Tensor, Tensor]:
    """Faces (N, 1, 48, 48) in 0..255 and expression distributions (N, 8) of one split."""
    archive = np.load(data / "ferplus" / "ferplus.npz")
    chosen = archive["split"] == split
    images, votes = archive["images"][chosen], archive["votes"][chosen].astype(np.float32)
    votes[votes < MIN_VOTES] = 0
    usable = votes[:, : len(EXPRESSIONS)].sum(axis=1) > votes[:, len(EXPRESSIONS) :].sum(axis=1)
    votes = votes[usable, : len(EXPRESSIONS)]
    votes /= votes.sum(axis=1, keepdims=True)
    return torch.from_numpy(images[usable])[:, None].float(), torch.from_numpy(votes)


def augment(faces: Tensor, generator: torch.Generator) -> Tensor:
    """What a video does to a face and FER2013 doesn't show: other crops, light, sharpness, noise, things in front."""
    num = len(faces)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(num, *shape, generator=generator) * (high - low) + low

    angle, scale, squeeze = uniform(-0.3, 0.3), uniform(0.8, 1.15), uniform(0.93, 1.07)
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    affine = torch.stack(
        [
            torch.stack([cos * squeeze * flip, -sin, uniform(-0.12, 0.12)], dim=1),
            torch.stack([sin * flip, cos / squeeze, uniform(-0.12, 0.12)], dim=1),
        ],
        dim=1,
    )
    grid = F.affine_grid(affine, [num, 1, FACE_SIZE, FACE_SIZE], align_corners=False)
    faces = F.grid_sample(faces, grid, padding_mode="border", align_corners=False)

    blurred = F.avg_pool2d(F.pad(faces, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    amount = uniform(-0.6, 1.0, 1, 1, 1)  # below zero sharpens
    faces = faces + amount * (blurred - faces) * (uniform(0, 1, 1, 1, 1) < 0.5)
    mean = faces.mean(dim=(2, 3), keepdim=True)
    faces = (faces - mean) * uniform(0.6, 1.4, 1, 1, 1) + mean + uniform(-40, 40, 1, 1, 1)
    noise = torch.randn(faces.shape, generator=generator) * uniform(0, 8, 1, 1, 1)
    faces = (faces + noise).clamp(0, 255)

    size, left, top = uniform(0.1, 0.35), uniform(0, 0.9), uniform(0, 0.9)
    axis = torch.arange(FACE_SIZE) / FACE_SIZE
    covered_x = (axis >= left[:, None]) & (axis < (left + size)[:, None])
    covered_y = (axis >= top[:, None]) & (axis < (top + size)[:, None])
    covered = covered_y[:, :, None] & covered_x[:, None, :] & (uniform(0, 1, 1, 1) < 0.3)
    return torch.where(covered[:, None], uniform(0, 255, 1, 1, 1), faces)


def predict(model: FaceNet, faces: Tensor) -> Tensor:
    """Expression probabilities (N, 8) of faces (N, 1, 48, 48)."""
    model.eval()
    with torch.inference_mode():
        return torch.cat([model(batch)[1].softmax(dim=1) for batch in faces.split(512)])


def scores(predicted: Tensor, targets: Tensor) -> str:
    """Majority-label accuracy and CCC of the expected valence and arousal, for a person to read."""
    table = torch.tensor([CATEGORY_VALENCE_AROUSAL[name] for name in EXPRESSIONS])
    truth, prediction = (targets @ table).numpy(), (predicted @ table).numpy()
    accuracy = float((predicted.argmax(1) == targets.argmax(1)).float().mean())
    valence, arousal = (concordance_cc(truth[:, k], prediction[:, k]) for k in range(2))
    return f"accuracy {accuracy:.3f}, CCC valence {valence:.3f} arousal {arousal:.3f}"


def train(faces: Tensor, targets: Tensor, dev: tuple[Tensor, Tensor], epochs: int, seed: int) -> FaceNet:
    """Train with AdamW, one cosine of the learning rate, and an average of the weights, which is returned."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = FaceNet()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on a CPU
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(EMA_DECAY), use_buffers=True
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    averaged = cast(FaceNet, average.module)
    steps = epochs * (len(faces) // BATCH)

    def rate(step: int) -> float:
        return min(1.0, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * step / steps))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    for epoch in range(epochs):
        started, losses = time.time(), []
        model.train()
        for chosen in torch.randperm(len(faces), generator=generator).split(BATCH)[: steps // epochs]:
            batch = augment(faces[chosen], generator).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                _, logits = model(batch)
            loss = F.cross_entropy(logits.float(), targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            average.update_parameters(model)
            losses.append(loss.item())
        result = scores(predict(averaged, dev[0]), dev[1])
        print(f"epoch {epoch + 1}/{epochs} loss {np.mean(losses):.4f} dev {result} {time.time() - started:.0f} s", flush=True)
    return averaged


class Exported(torch.nn.Module):
    """FaceNet with probabilities in place of logits."""

    def __init__(self, model: FaceNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 1, 48, 48) -> (B, E), (B, 8)."""
        embedding, logits = self.model(faces)
        return embedding, logits.softmax(dim=1)


def export(model: FaceNet, path: Path) -> None:
    """Write the ONNX file: `faces` (B, 1, 48, 48) float32 in 0..255 -> `embedding` (B, E), `expression` (B, 8)."""
    torch.onnx.export(
        Exported(model.to(memory_format=torch.contiguous_format)).eval(),  # type: ignore[call-overload]
        (torch.zeros(2, 1, FACE_SIZE, FACE_SIZE),),
        str(path),
        input_names=["faces"],
        output_names=["embedding", "expression"],
        dynamic_axes={name: {0: "batch"} for name in ("faces", "embedding", "expression")},
        opset_version=17,
        dynamo=False,
    )


def main() -> None:
    """Train, report on dev, export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    args = parser.parse_args()
    faces, targets = load(args.data, "train")
    model = train(faces, targets, load(args.data, "dev"), args.epochs, args.seed)
    export(model, args.out)


if __name__ == "__main__":
    main()
