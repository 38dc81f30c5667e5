"""Temporal convolutional network (Bai, Kolter & Koltun 2018, arXiv 1803.01271)."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


class CausalConv(nn.Module):
    """A weight-normalised dilated convolution over the present and the past, then LeakyReLU and dropout."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.past = (kernel_size - 1) * dilation
        self.conv = weight_norm(nn.Conv1d(in_channels, out_channels, kernel_size, dilation=dilation))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, T) -> (B, C_out, T)."""
        return self.dropout(F.leaky_relu(self.conv(F.pad(x, (self.past, 0)))))


class Level(nn.Module):
    """Two causal convolutions of one dilation with a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            CausalConv(in_channels, out_channels, kernel_size, dilation, dropout),
            CausalConv(out_channels, out_channels, kernel_size, dilation, dropout),
        )
        self.shortcut = nn.Conv1d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, T) -> (B, C_out, T)."""
        return F.leaky_relu(self.body(x) + self.shortcut(x))


class TCN(nn.Module):
    """Levels with dilations 1, 2, 4, ..., then batch norm. Causal; receptive field 2 (k - 1)(2^levels - 1) + 1 steps.

    Args:
        in_channels: channels of the features.
        out_channels: channels of every level.
        num_levels: number of levels.
        kernel_size: steps in each convolution.
        dropout: dropout after each convolution.
    """

    def __init__(
        self, in_channels: int, out_channels: int, num_levels: int = 4, kernel_size: int = 5, dropout: float = 0.1
    ) -> None:
        super().__init__()
        widths = [in_channels, *[out_channels] * num_levels]
        self.levels = nn.Sequential(
            *(Level(a, b, kernel_size, 2**level, dropout) for level, (a, b) in enumerate(pairwise(widths)))
        )
        self.norm = nn.BatchNorm1d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C_in) -> (B, T, C_out)."""
        return self.norm(self.levels(x.transpose(1, 2))).transpose(1, 2)
