"""Train the expression network on FER+ and export it to ONNX.

    python recipes/face.py DATA --out src/vatrace/weights/face.onnx

DATA contains ferplus/ferplus.npz (images, votes, split). The target of each face is the distribution of its votes without
single votes, "unknown" and "not a face" (cleaned as in Barsoum et al. 2016); the loss is the cross-entropy with it. Scores on
dev are printed; only the number of epochs, which is fixed below, was chosen by them. About half an hour on two CPU cores.
"""

from __future__ import annotations

import argparse
import io
import math
import time
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from categories import CATEGORY_VALENCE_AROUSAL
from vatrace.encoders.face import EXPRESSIONS
from vatrace.encoders.networks.face import FACE_SIZE, FaceNet
from vatrace.metrics import concordance_cc

EPOCHS = 30
BATCH = 128
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.05
EMA_DECAY = 0.998
MIN_VOTES = 2
SMALL_SHARE, COMPRESSED_SHARE = 0.25, 0.25
"""Shares of the faces that are shrunk, and compressed as JPEG."""
TABLE = torch.tensor([CATEGORY_VALENCE_AROUSAL[name] for name in EXPRESSIONS])


class Faces(NamedTuple):
    """The faces of one split.

    Attributes:
        images: (N, 1, 48, 48) in 0..255.
        votes: (N, 8) shares of the votes.
        agreed: (N,) bool, whether one expression has more than half of all votes. The published accuracies are over these faces
            (mode "majority" in the code of Barsoum et al. 2016).
    """

    images: Tensor
    votes: Tensor
    agreed: Tensor


def load(data: Path, split: str) -> Faces:
    """The faces with more votes for expressions than for "unknown" or "not a face"."""
    archive = np.load(data / "ferplus" / "ferplus.npz")
    chosen = archive["split"] == split
    images, votes = archive["images"][chosen], archive["votes"][chosen].astype(np.float32)
    votes[votes < MIN_VOTES] = 0
    expressions = votes[:, : len(EXPRESSIONS)]
    agreed = expressions.max(axis=1) > votes.sum(axis=1) / 2
    usable = expressions.sum(axis=1) > votes[:, len(EXPRESSIONS) :].sum(axis=1)
    shares = expressions[usable] / expressions[usable].sum(axis=1, keepdims=True)
    return Faces(torch.from_numpy(images[usable])[:, None].float(), torch.from_numpy(shares), torch.from_numpy(agreed[usable]))


def augment(faces: Tensor, generator: torch.Generator) -> Tensor:
    """Vary faces as video does and FER2013 doesn't: crop, light, sharpness, size, noise, compression, occlusion."""
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
    small = uniform(0, 1) < SMALL_SHARE  # far from the camera
    if small.any():
        side = int(torch.randint(FACE_SIZE // 2, FACE_SIZE, (), generator=generator))
        shrunk = F.interpolate(faces[small], size=(side, side), mode="area")
        faces[small] = F.interpolate(shrunk, size=(FACE_SIZE, FACE_SIZE), mode="bilinear", align_corners=False)
    gamma = torch.exp(uniform(-0.25, 0.25, 1, 1, 1))
    faces = 255 * (faces.clamp(0, 255) / 255) ** gamma
    mean = faces.mean(dim=(2, 3), keepdim=True)
    faces = (faces - mean) * uniform(0.6, 1.4, 1, 1, 1) + mean + uniform(-30, 30, 1, 1, 1)
    noise = torch.randn(faces.shape, generator=generator) * uniform(0, 8, 1, 1, 1)
    faces = (faces + noise).clamp(0, 255)
    for index in torch.nonzero(uniform(0, 1) < COMPRESSED_SHARE).flatten().tolist():
        faces[index, 0] = compressed(faces[index, 0], quality=int(torch.randint(30, 90, (), generator=generator)))

    size, left, top = uniform(0.1, 0.35), uniform(0, 0.9), uniform(0, 0.9)
    axis = torch.arange(FACE_SIZE) / FACE_SIZE
    covered_x = (axis >= left[:, None]) & (axis < (left + size)[:, None])
    covered_y = (axis >= top[:, None]) & (axis < (top + size)[:, None])
    covered = covered_y[:, :, None] & covered_x[:, None, :] & (uniform(0, 1, 1, 1) < 0.3)
    return torch.where(covered[:, None], uniform(0, 255, 1, 1, 1), faces)


def compressed(face: Tensor, quality: int) -> Tensor:
    """A face (48, 48) after JPEG compression."""
    file = io.BytesIO()
    Image.fromarray(face.round().byte().numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).float()


def predict(model: FaceNet, faces: Tensor) -> Tensor:
    """Expression probabilities (N, 8) of faces (N, 1, 48, 48)."""
    exported = Exported(model).eval()
    with torch.inference_mode():
        return torch.cat([exported(batch)[1] for batch in faces.split(512)])


def scores(predicted: Tensor, faces: Faces) -> str:
    """Accuracy on agreed faces and on all faces, and CCC of the expected valence and arousal."""
    truth, prediction = (faces.votes @ TABLE).numpy(), (predicted @ TABLE).numpy()
    right = (predicted.argmax(1) == faces.votes.argmax(1)).float()
    valence, arousal = (concordance_cc(truth[:, k], prediction[:, k]) for k in range(2))
    return (
        f"accuracy {right[faces.agreed].mean():.3f} (all faces {right.mean():.3f}), "
        f"CCC valence {valence:.3f} arousal {arousal:.3f}"
    )


def train(faces: Faces, dev: Faces, epochs: int, seed: int) -> FaceNet:
    """Train with AdamW and a cosine schedule; return the moving average of the weights."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = FaceNet()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on a CPU
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(EMA_DECAY), use_buffers=True
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    averaged = cast(FaceNet, average.module)
    steps = epochs * (len(faces.images) // BATCH)

    def rate(step: int) -> float:
        return min(1.0, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * step / steps))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    for epoch in range(epochs):
        started, losses = time.time(), []
        model.train()
        for chosen in torch.randperm(len(faces.images), generator=generator).split(BATCH)[: steps // epochs]:
            batch = augment(faces.images[chosen], generator).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                _, logits = model(batch)
            loss = F.cross_entropy(logits.float(), faces.votes[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            average.update_parameters(model)
            losses.append(loss.item())
        result = scores(predict(averaged, dev.images), dev)
        print(f"epoch {epoch + 1}/{epochs} loss {np.mean(losses):.4f} dev {result} {time.time() - started:.0f} s", flush=True)
    return averaged


class Exported(torch.nn.Module):
    """FaceNet averaged over a face and its mirror image, so that both give the same result."""

    def __init__(self, model: FaceNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 1, 48, 48) -> the mean embedding (B, E), probabilities (B, 8), and their valence and arousal (B, 2)."""
        embedding, logits = self.model(torch.cat([faces, faces.flip(3)]))
        embedding, expression = ((half[0] + half[1]) / 2 for half in (embedding.chunk(2), logits.softmax(dim=1).chunk(2)))
        return embedding, expression, expression @ TABLE


def export(model: FaceNet, path: Path) -> None:
    """Write the ONNX file.

    `faces` (B, 1, 48, 48) float32 in 0..255 -> `embedding` (B, E), `expression` (B, 8), `valence_arousal` (B, 2).
    """
    names = ["embedding", "expression", "valence_arousal"]
    torch.onnx.export(
        Exported(model.to(memory_format=torch.contiguous_format)).eval(),  # type: ignore[call-overload]
        (torch.zeros(2, 1, FACE_SIZE, FACE_SIZE),),
        str(path),
        input_names=["faces"],
        output_names=names,
        dynamic_axes={name: {0: "batch"} for name in ("faces", *names)},
        opset_version=17,
        dynamo=False,
    )


def main() -> None:
    """Train, report on dev, and export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    args = parser.parse_args()
    model = train(load(args.data, "train"), load(args.data, "dev"), args.epochs, args.seed)
    export(model, args.out)


if __name__ == "__main__":
    main()
