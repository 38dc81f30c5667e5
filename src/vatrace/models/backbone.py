"""A face network that is trained together with the model: from face crops to valence and arousal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vatrace.encoders.networks.face import FaceNet
from vatrace.encoders.networks.ir_resnet import IRResNet50
from vatrace.models.affect import AffectModel, ModelConfig

CHUNK = 512
"""Faces per pass of the network. To save memory, the activations of a pass are recomputed for its gradients."""


@dataclass(frozen=True, config={"extra": "forbid"})
class BackboneConfig:
    """The config of a face network that is trained too, released group by group from the top, as in the paper.

    Attributes:
        network: "ferplus" (`recipes/face.py` trains it) or "ir50" (the paper's).
        weights: the file with its initial weights; relative to the run's TOML file.
        release_epochs: epochs after which the first, second and third group of its layers begin to learn; others stay frozen.
        learning_rate: factor on the learning rate of the other networks.
    """

    network: Literal["ferplus", "ir50"]
    weights: str
    release_epochs: tuple[PositiveInt, ...] = (5, 10, 15)
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1.0


class GreyFaceNet(FaceNet):
    """FaceNet on colour crops (N, 3, 48, 48) in -1..1."""

    size, dim = 48, 128

    def forward(self, faces: Tensor) -> Tensor:  # type: ignore[override]
        """(N, 3, 48, 48) in -1..1 -> (N, 128)."""
        luma = faces.new_tensor([0.299, 0.587, 0.114])[:, None, None]  # ITU-R BT.601, as in the encoder
        return super().forward((faces * luma).sum(dim=1, keepdim=True) * 127.5 + 127.5)[0]

    def groups(self) -> list[list[nn.Module]]:
        """Its layers in three groups from the top."""
        trunk = list(self.trunk)
        return [[self.embed, trunk[5]], [trunk[4]], [trunk[3]]]


NETWORKS: dict[str, type[GreyFaceNet] | type[IRResNet50]] = {"ferplus": GreyFaceNet, "ir50": IRResNet50}


def check_backbone(model: ModelConfig, backbone: BackboneConfig) -> None:
    """Raise ValueError unless the model's face features have the channels of the network."""
    dim = NETWORKS[backbone.network].dim
    if model.feature_dims.get("face") != dim:
        raise ValueError(f"backbone {backbone.network} gives {dim} channels: set model.feature_dims.face to {dim}")


class EndToEndModel(nn.Module):
    """A face network, and the model that takes its embeddings.

    Args:
        affect: the model, whose face features must have the channels of the network.
        config: the config of the face network.

    Raises:
        ValueError: if the channels differ.
    """

    def __init__(self, affect: AffectModel, config: BackboneConfig) -> None:
        super().__init__()
        check_backbone(affect.config, config)
        self.affect, self.backbone_config = affect, config
        self.backbone = NETWORKS[config.network]()
        self.config, self.modalities = affect.config, affect.modalities
        self.release(0)
        self.eval()

    def release(self, epochs_done: int) -> None:
        """Release the groups whose `release_epochs` have passed, so that they learn."""
        self.backbone.requires_grad_(False)
        for group, epoch in zip(self.backbone.groups(), self.backbone_config.release_epochs, strict=False):
            for module in group:
                module.requires_grad_(epochs_done >= epoch)

    def train(self, mode: bool = True) -> EndToEndModel:
        """Set the mode; the face network always stays in evaluation mode, so that its batch norms keep their statistics."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, features: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> Tensor:
        """Predict like AffectModel, except that features["face"] are crops (B, T, S, S, 3) uint8."""
        crops, present = features["face"], valid["face"]
        faces = crops[present].permute(0, 3, 1, 2)
        parts = [self._encode(part) for part in faces.split(CHUNK)] if len(faces) else []
        embeddings = crops.new_zeros((*present.shape, self.backbone.dim), dtype=torch.float32)
        if parts:
            embeddings = embeddings.index_put((present,), torch.cat(parts).float())
        elif self.training:  # no face in this batch: other processes still wait for a gradient, which is 0
            embeddings = embeddings + 0 * sum(value.sum() for value in self.backbone.parameters() if value.requires_grad)
        return self.affect({**features, "face": embeddings}, valid)

    def _encode(self, faces: Tensor) -> Tensor:
        scaled = faces.float() / 127.5 - 1
        return checkpoint(self.backbone, scaled, use_reentrant=False)
