"""Active-speaker networks for the tests, whose answers follow from what they are shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn


class Brightness(nn.Module):
    """The mean of each face, 0..255, plus 1000 times that of the audio of the same frame, or the first cepstral coefficient."""

    def __init__(self, sound: str) -> None:
        super().__init__()
        self.sound = sound

    def forward(self, faces: Tensor, sound: Tensor) -> Tensor:
        heard = 1000 * sound.reshape(1, -1, 640).mean(2) if self.sound == "audio" else sound[:, ::4, 0]
        return faces.mean((2, 3)) + heard


EVEN = 2.0


class MovesWhileLoud(nn.Module):
    """Somebody speaks if the mouth changes, by more than EVEN grey levels in 0.2 s on average, and the audio is loud.

    Args:
        sign: -1 for a network that takes everybody else for the speaker.
        loud: RMS above which audio is loud.
    """

    def __init__(self, sign: int = 1, loud: float = 0.005) -> None:
        super().__init__()
        self.sign, self.loud = sign, loud

    def forward(self, faces: Tensor, audio: Tensor) -> Tensor:
        mouths = faces[:, :, 14:24, 10:22]  # of 32
        changes = (mouths[:, 5:] - mouths[:, :-5]).abs().mean((2, 3))
        moves = (nn.functional.pad(changes, (2, 3), "replicate") - EVEN).clamp(-3, 3)
        loud = (audio.reshape(1, -1, 640).square().mean(2).sqrt() > self.loud).float()
        return self.sign * (loud * moves - 3 * (1 - loud))


class Scaled(MovesWhileLoud):
    """The same with a weight, which multiplies the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, faces: Tensor, audio: Tensor) -> Tensor:
        return self.scale * super().forward(faces, audio)


def move_weights(path: Path, factor: float = 1.0) -> None:
    """Store the weights of an ONNX file, multiplied by a factor, in a file next to it, as PyTorch does with large ones."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            tensor.CopyFrom(onnx.numpy_helper.from_array(values * np.float32(factor), tensor.name))
    onnx.save_model(model, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=0)


def write_speaker(path: Path, network: nn.Module, sound: str = "audio", size: int = 32, frames: int | None = None) -> Path:
    """Export a network with the interface of `vatrace.features.active_speaker`; `frames` fixes their number."""
    example = torch.zeros(1, (25 if frames is None else frames) * 640) if sound == "audio" else torch.zeros(1, 100, 13)
    dynamic = {"faces": {1: "frames"}, sound: {1: "samples"}, "scores": {1: "frames"}}
    torch.onnx.export(
        network,
        (torch.zeros(1, 25 if frames is None else frames, size, size), example),
        str(path),
        dynamo=False,
        input_names=["faces", sound],
        output_names=["scores"],
        dynamic_axes=None if frames else dynamic,
    )
    return path
