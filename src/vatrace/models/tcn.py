"""Temporal convolutional network (Bai, Kolter & Koltun 2018, arXiv 1803.01271)."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from vatrace.models.memory import Memory
from vatrace.models.norm import MaskedBatchNorm


class CausalConv(nn.Module):
    """A weight-normalised dilated convolution over current and past steps, then LeakyReLU and spatial dropout.

    It is a two-dimensional convolution of height 1, so that (B, T, C) is the channels-last layout, which needs no copies and is
    fastest on CPUs.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.past = (kernel_size - 1) * dilation
        self.conv = weight_norm(nn.Conv2d(in_channels, out_channels, (1, kernel_size), dilation=(1, dilation)))
        self.dropout = dropout

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        """(B, T, C_in) -> (B, T, C_out)."""
        x = (memory or Memory()).extend(x, self.past)
        y = self.conv(x.transpose(1, 2).unsqueeze(2)).squeeze(2).transpose(1, 2)
        if self.training:  # Bai et al. drop whole channels
            y = y * F.dropout(y.new_ones(y.shape[0], 1, y.shape[2]), self.dropout)
        return F.leaky_relu(y)


class Level(nn.Module):
    """Two causal convolutions with the same dilation, and a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.first = CausalConv(in_channels, out_channels, kernel_size, dilation, dropout)
        self.second = CausalConv(out_channels, out_channels, kernel_size, dilation, dropout)
        self.shortcut = nn.Linear(in_channels, out_channels) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        """(B, T, C_in) -> (B, T, C_out)."""
        y = self.second(self.first(x, memory), memory)
        return F.leaky_relu(y + self.shortcut(x))


class TCN(nn.Module):
    """Levels with dilations 1, 2, 4, ..., then batch norm. Causal; receptive field 2 (k - 1)(2^levels - 1) + 1 steps.

    Args:
        in_channels: channels of the features.
        out_channels: channels of every level.
        num_levels: number of levels.
        kernel_size: steps in each convolution.
        dropout: dropout of channels after each convolution.
    """

    def __init__(
        self, in_channels: int, out_channels: int, num_levels: int = 4, kernel_size: int = 5, dropout: float = 0.1
    ) -> None:
        super().__init__()
        widths = [in_channels, *[out_channels] * num_levels]
        self.levels = nn.ModuleList(
            Level(a, b, kernel_size, 2**level, dropout) for level, (a, b) in enumerate(pairwise(widths))
        )
        self.norm = MaskedBatchNorm(out_channels)

    def forward(self, x: Tensor, valid: Tensor, memory: Memory | None = None) -> Tensor:
        """X (B, T, C_in), valid (B, T) bool -> (B, T, C_out)."""
        for level in self.levels:
            x = level(x, memory)
        return self.norm(x, valid)
