"""The expression network: a small residual CNN on 48 x 48 grey faces (PyTorch, for training and export)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vatrace.encoders.face import EXPRESSIONS

FACE_SIZE = 48
"""Side of the square input in pixels, as in FER2013."""


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with batch norm and a shortcut (He et al. 2016, arXiv 1512.03385)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride) if stride != 1 else nn.Identity(),
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C_out, H / stride, W / stride)."""
        return torch.relu(self.body(x) + self.shortcut(x))


class FaceNet(nn.Module):
    """Turns grey face crops into an embedding and eight expression logits.

    Args:
        widths: channels at 24 x 24, 12 x 12 and 6 x 6.
        embedding_dim: size of the embedding, the input of the fusion.
        dropout: dropout on the embedding before the classifier.
    """

    def __init__(self, widths: tuple[int, int, int] = (64, 128, 256), embedding_dim: int = 128, dropout: float = 0.3) -> None:
        super().__init__()
        narrow, middle, wide = widths
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 32, 3, 1, 1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(inplace=True),
            ResidualBlock(32, narrow, stride=2),
            ResidualBlock(narrow, middle, stride=2),
            ResidualBlock(middle, wide, stride=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.embed = nn.Sequential(nn.Linear(wide, embedding_dim), nn.BatchNorm1d(embedding_dim), nn.ReLU())
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(embedding_dim, len(EXPRESSIONS))

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """Encode face crops.

        Args:
            faces: (B, 1, 48, 48) grey values 0..255.

        Returns:
            The embedding (B, embedding_dim) and the expression logits (B, 8).
        """
        embedding = self.embed(self.trunk((faces - 127.5) / 64.0))
        return embedding, self.classifier(self.dropout(embedding))
